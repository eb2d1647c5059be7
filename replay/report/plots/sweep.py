"""The figure of ``replay sweep``: saved against loss of all policies, and a map of each grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.data.types import Floats
from replay.report.format import percent
from replay.report.plots.style import COLORS, MARKERS, draw_budget_line, safe, shorten
from replay.report.plots.style import save as save_figure
from replay.search.grid_sweep import GridResult, GridSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]

_MOST_MAPS = 4
_STARS = ("#D55E00", "#56B4E9", "#CC79A7")
_MOST_NUMBERS = 200  # cells of a heat map that still have room for their numbers
_MOST_TICKS = 24


def save(sweep: GridSweep, path: Path) -> None:
    """Draw to a file; errors as for `replay.report.plots.style.save`."""
    save_figure(draw(sweep), path)


def draw(sweep: GridSweep) -> Figure:
    """Saved against loss of all policies, with the front and the centres, above a map of each grid (up to
    four).
    """
    from matplotlib.figure import Figure

    without = [result for result in sweep.grids if result.region is None]
    results = [*(result for result, _ in sweep.distinct), *without]
    shown = [result for result in results if _axes_of(result)][:_MOST_MAPS]
    columns = 1 if len(shown) <= 1 else 2
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(11, 5.4 + 4.0 * rows), layout="constrained")
    if not shown:
        _all_policies(figure.subplots(), sweep)
        return figure
    top, bottom = figure.subfigures(2, 1, height_ratios=[5.4, 4.0 * rows], squeeze=False).ravel()
    _all_policies(top.subplots(), sweep)
    grid = bottom.subplots(rows, columns, squeeze=False).ravel()
    for axes, result in zip(grid, shown, strict=False):
        if len(_axes_of(result)) > 1:
            _map(axes, sweep, result)
        else:
            _line(axes, sweep, result)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    return figure


def _axes_of(result: GridResult) -> list[int]:
    """The ordered dimensions of a grid that have several values, those with most first."""
    sizes = [
        (len(item.values), axis)
        for axis, item in enumerate(result.grid.dimensions)
        if item.ordered and len(item.values) > 1
    ]
    return (
        [axis for _, axis in sorted(sizes, key=lambda size: (-size[0], size[1]))]
        if result.grid.points
        else []
    )


def _scale(sweep: GridSweep) -> float:
    return 1.0 if sweep.tolerance.kind == "regret" else 100.0


def _loss_label(sweep: GridSweep) -> str:
    return {
        "lost": "best-metric loss,\n% of a run's improvement",
        "relative_regret": "best-metric loss,\n% of the best value",
        "regret": f"best-metric loss\nin {safe(sweep.outcomes.study.objective.name)}",
    }[sweep.tolerance.kind]


def _all_policies(axes: Axes, sweep: GridSweep) -> None:
    saved, loss, tolerance = (
        100 * sweep.saved,
        _scale(sweep) * sweep.loss,
        sweep.tolerance,
    )
    several = 1 < len(sweep.grids) <= len(COLORS)
    taken = np.zeros(len(saved), dtype=bool)
    for index, result in enumerate(sweep.grids if several else []):
        taken[result.indices] = True
        axes.plot(
            saved[result.indices],
            loss[result.indices],
            marker=MARKERS[index],
            color=COLORS[index],
            markersize=3,
            alpha=0.45,
            linestyle="none",
            label=safe(result.grid.rule),
            rasterized=True,
        )
    rest = ~taken
    if rest.any():
        axes.plot(
            saved[rest],
            loss[rest],
            ".",
            color="0.55",
            markersize=3,
            alpha=0.5,
            rasterized=True,
            label=f"{len(saved):,} policies",
        )
    # the equal budget is equal in the mean over runs
    if tolerance.kind != "relative_regret" and sweep.weight == "runs":
        draw_budget_line(axes, sweep.outcomes.study, tolerance.kind)
    few = len(sweep.front) <= 40
    axes.plot(
        saved[sweep.front],
        loss[sweep.front],
        color="black",
        linewidth=1.2,
        marker="o" if few else None,
        markersize=4,
        drawstyle="steps-pre",
        label="Pareto front",
    )
    axes.axhline(
        _scale(sweep) * tolerance.value,
        color="#D55E00",
        linewidth=1,
        linestyle=":",
        label=tolerance.describe(),
    )
    top = float(np.nanmax(loss)) if not np.isnan(loss).all() else 1.0
    for index, (result, _) in enumerate(sweep.distinct[: len(_STARS)]):
        centre = result.centre
        axes.plot(
            saved[centre],
            loss[centre],
            marker="*",
            color=_STARS[index],
            markeredgecolor="black",
            markersize=14,
            linestyle="none",
            zorder=5,
            label=f"centre: {shorten(sweep.sweep.policies[centre].spec(), 48)}",
        )
    of = "" if sweep.weight == "runs" else "the total "
    axes.set_xlabel(f"compute saved, % of {of}{sweep.outcomes.study.question.unit}")
    axes.set_ylabel(_loss_label(sweep))
    counted = len(sweep.outcomes.study.judged_runs)
    metric = safe(sweep.outcomes.study.objective.name)
    axes.set_title(f"{counted} run{'s' * (counted != 1)}, judged by {metric}; means, in-sample", fontsize=10)
    axes.set_xlim(-3, 103)
    axes.set_ylim(bottom=-0.02 * (top or 1.0))
    axes.grid(alpha=0.25)
    # beside the axes, where no mark can be under it
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)


def _reference(sweep: GridSweep, result: GridResult) -> int:
    """The point through which a grid is cut: the centre of its region, or else what loses least."""
    if result.region is not None:
        return result.region.centre
    loss = sweep.loss[result.indices]
    return int(np.nanargmin(loss)) if not np.isnan(loss).all() else 0


def _cut(
    sweep: GridSweep, result: GridResult, axes: Sequence[int]
) -> tuple[Floats, Floats, tuple[int, ...], str]:
    """Loss and saved over some dimensions, the others fixed as at the point of reference.

    Returns both, the coordinates of that point, and the fixed values in words.
    """
    at = result.grid.points[_reference(sweep, result)][1]
    shape = tuple(len(result.grid.dimensions[axis].values) for axis in axes)
    loss, saved = np.full(shape, np.nan), np.full(shape, np.nan)
    others = [axis for axis in range(len(at)) if axis not in axes]
    for index, (_, coordinates) in enumerate(result.grid.points):
        if all(coordinates[axis] == at[axis] for axis in others):
            cell = tuple(coordinates[axis] for axis in axes)
            loss[cell] = _scale(sweep) * sweep.loss[result.start + index]
            saved[cell] = 100 * sweep.saved[result.start + index]
    fixed = ", ".join(
        f"{result.grid.dimensions[axis].name}={result.grid.dimensions[axis].values[at[axis]]}"
        for axis in others
    )
    return loss, saved, tuple(at[axis] for axis in axes), safe(fixed)


def _ticks(values: Sequence[str]) -> tuple[list[int], list[str]]:
    indices = list(range(0, len(values), -(-len(values) // _MOST_TICKS)))
    return indices, [safe(values[index]) for index in indices]


def _map(axes: Axes, sweep: GridSweep, result: GridResult) -> None:
    """A heat map of the loss over the two ordered dimensions with most values."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    across, up = _axes_of(result)[:2]
    loss, _, at, fixed = _cut(sweep, result, (up, across))
    tolerance = _scale(sweep) * sweep.tolerance.value
    most = float(np.nanmax(loss)) if not np.isnan(loss).all() else tolerance
    norm = PowerNorm(
        0.5, vmin=0, vmax=max(most, tolerance) or 1.0
    )  # the small losses are the ones to tell apart
    colors = colormaps["cividis_r"].with_extremes(bad="0.92")
    image = axes.imshow(np.ma.masked_invalid(loss), origin="lower", aspect="auto", cmap=colors, norm=norm)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(_loss_label(sweep).replace("\n", " "), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _outline(axes, sweep.tolerance.allows(loss / _scale(sweep)))
    if loss.size <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(loss):
            if not np.isnan(value):
                text = (
                    _short(float(value))
                    if sweep.tolerance.kind == "regret"
                    else percent(value / 100).rstrip("%")
                )
                shade = "white" if norm(value) > 0.55 else "black"
                axes.text(
                    column,
                    row - 0.22 * ((row, column) == at),
                    text,
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color=shade,
                )
    if result.region is not None:
        axes.plot(at[1], at[0] + 0.12, marker="*", color="#D55E00", markeredgecolor="black", markersize=12)
    dimensions = result.grid.dimensions
    axes.set_xticks(
        *_ticks(dimensions[across].values),
        fontsize=7,
        rotation=0 if len(dimensions[across].values) <= 12 else 90,
    )
    axes.set_yticks(*_ticks(dimensions[up].values), fontsize=7)
    axes.set_xlabel(safe(dimensions[across].name), fontsize=9)
    axes.set_ylabel(safe(dimensions[up].name), fontsize=9)
    _name(axes, sweep, result, fixed, "; outlined: ")


def _short(value: float) -> str:
    """A number that fits a cell: ``.019``, ``2e-5``."""
    text = f"{value:.2g}" if abs(value) >= 0.01 else f"{value:.1g}"
    return text.replace("e-0", "e-").removeprefix("0") or "0"


def _name(axes: Axes, sweep: GridSweep, result: GridResult, fixed: str, before: str) -> None:
    text = f"{safe(result.grid.rule)}{' with ' if fixed else ''}{fixed}"
    axes.set_title(
        f"{text if len(text) <= 60 else text[:57] + '...'}{before}{sweep.tolerance.describe()}", fontsize=9
    )


def _outline(axes: Axes, inside: Any) -> None:
    """A line around the cells that are inside."""
    from matplotlib.collections import LineCollection

    padded = np.pad(np.asarray(inside, dtype=bool), 1)
    lines = []
    for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        lines.append([(column - 0.5, row - 1.5), (column - 0.5, row - 0.5)])
    for row, column in np.argwhere(padded[1:, :] != padded[:-1, :]):
        lines.append([(column - 1.5, row - 0.5), (column - 0.5, row - 0.5)])
    axes.add_collection(LineCollection(lines, colors="#D55E00", linewidths=2.5, zorder=3, clip_on=False))


def _line(axes: Axes, sweep: GridSweep, result: GridResult) -> None:
    """Saved and loss over the only ordered dimension."""
    (axis,) = _axes_of(result)
    loss, saved, (at,), fixed = _cut(sweep, result, (axis,))
    dimension = result.grid.dimensions[axis]
    index = np.arange(len(loss))
    axes.plot(index, saved, color=COLORS[0], marker="o", markersize=4, label="saved, %")
    right = axes if sweep.tolerance.kind != "regret" else axes.twinx()
    right.plot(
        index,
        loss,
        color=COLORS[1],
        marker="s",
        markersize=4,
        label=sweep.tolerance.noun + ", %" * (right is axes),
    )
    right.axhline(_scale(sweep) * sweep.tolerance.value, color=COLORS[1], linestyle=":", linewidth=1)
    if result.region is not None:
        for side, values, color in ((axes, saved, COLORS[0]), (right, loss, COLORS[1])):
            side.plot(
                at,
                values[at],
                marker="*",
                color=color,
                markeredgecolor="black",
                markersize=13,
                linestyle="none",
            )
    axes.set_xticks(*_ticks(dimension.values), fontsize=7)
    axes.set_xlabel(safe(dimension.name), fontsize=9)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(alpha=0.2)
    handles = [
        *axes.get_legend_handles_labels()[0],
        *(right.get_legend_handles_labels()[0] if right is not axes else []),
    ]
    axes.legend(handles=handles, fontsize=7, frameon=False)
    _name(axes, sweep, result, fixed, "; dotted: ")

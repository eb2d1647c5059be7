"""Plots of a simulation and of a sweep, drawn without pyplot (no global state, no display)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.data.types import Floats
from replay.engine.simulation import ORACLE, Simulation, records
from replay.errors import InputError, printable
from replay.report.tables import percent
from replay.stats.budgets import FixedBudgets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from replay.report.sweep import Part, Swept

__all__ = ["draw", "draw_sweep", "save", "save_sweep"]

_MOST_RUNS = 12
_MOST_POLICIES = 6
# Okabe & Ito's colours, told apart by colour-blind readers; each with its own marker
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "D", "^", "v", "P")

_MOST_MAPS = 4
_STARS = ("#D55E00", "#56B4E9", "#CC79A7")
_MOST_NUMBERS = 200  # cells of a heat map that still have room for their numbers
_MOST_TICKS = 24


def save(simulation: Simulation, summary: dict[str, list[Any]], path: Path) -> None:
    """Draw to a file, the format by its ending; raises InputError where that cannot be done."""
    _save(draw(simulation, summary), path)


def save_sweep(swept: Swept, path: Path) -> None:
    """Draw a sweep to a file; as `save`."""
    _save(draw_sweep(swept), path)


def _save(figure: Figure, path: Path) -> None:
    endings = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix.lstrip(".").lower() not in endings:
        raise InputError(
            f"--plot {path}: cannot draw a {path.suffix or 'file without ending'}; it can be"
            f" {', '.join(endings)}"
        )
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"--plot {path}: {error.strerror or error}") from None


def draw(simulation: Simulation, summary: dict[str, list[Any]]) -> Figure:
    """Saved against best-metric loss for all policies, above the runs' curves with best and stops marked."""
    from matplotlib.figure import Figure

    long = [run.id for run in simulation.runs if len(simulation.curves[run.id]) > 2]
    shown = (long or [run.id for run in simulation.runs])[:_MOST_RUNS]
    columns = min(4, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(11, 5.2 + 2.3 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[5.2, 2.3 * rows], squeeze=False).ravel()
    _scatter(top.subplots(), simulation, summary)
    grid = bottom.subplots(rows, columns, squeeze=False).ravel()
    marked = [policy for policy in simulation.policies if policy not in ("never", "one-epoch", ORACLE)][
        :_MOST_POLICIES
    ]
    stops = {(row["run"], row["policy"]): row for row in simulation.rows()}
    for axes, run in zip(grid, shown, strict=False):
        _curve(axes, simulation, run, marked, stops)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    bottom.legend(
        by_label.values(), by_label.keys(), loc="outside upper center", ncols=4, fontsize=8, frameon=False
    )
    more = len(simulation.runs) - len(shown)
    bottom.supxlabel("step" + (f" ({len(shown)} of {len(simulation.runs)} runs)" if more else ""), fontsize=9)
    bottom.supylabel(_safe(simulation.monitor.metric), fontsize=9)
    return figure


def _safe(text: str) -> str:
    return printable(text).replace("$", r"\$")


def _scatter(axes: Axes, simulation: Simulation, summary: dict[str, list[Any]]) -> None:
    rows = [row for row in records(summary) if row["lost_mean"] is not None]
    color = dict(
        zip(
            [row["policy"] for row in rows if row["policy"] not in ("never", "one-epoch", ORACLE)],
            _cycle(_COLORS),
            strict=False,
        )
    )
    marker = dict(zip(color, _cycle(_MARKERS), strict=False))
    _budget_line(axes, simulation, "lost")
    taken: list[tuple[float, float]] = []
    for row in rows:
        policy, x, y = row["policy"], 100 * row["saved_mean"], 100 * row["lost_mean"]
        shade = color.get(policy, "0.35")
        if row["lost_low"] is not None and row["saved_low"] is not None:
            axes.errorbar(
                x,
                y,
                xerr=[[x - 100 * row["saved_low"]], [100 * row["saved_high"] - x]],
                yerr=[[y - 100 * row["lost_low"]], [100 * row["lost_high"] - y]],
                fmt="none",
                ecolor=shade,
                alpha=0.35,
                capsize=2,
            )
        axes.plot(x, y, marker=marker.get(policy, "*"), color=shade, markersize=8, linestyle="none")
        level = sum(abs(x - other_x) < 9 and abs(y - other_y) < 4 for other_x, other_y in taken)
        taken.append((x, y))
        axes.annotate(
            _safe(policy),
            (x, y),
            xytext=(8, 6 - 11 * level),
            textcoords="offset points",
            fontsize=8,
            color=shade,
            ha="left" if x < 70 else "right",
        )
    axes.set_xlabel(f"compute saved, % of {simulation.unit}")
    axes.set_ylabel("best-metric loss,\n% of a run's improvement")
    counted = len(simulation.runs)
    axes.set_title(
        f"{counted} run{'s' * (counted != 1)}, judged by {_safe(simulation.objective.metric)}; mean and 95 %"
        " interval",
        fontsize=10,
    )
    axes.set_xlim(-3, 103)
    axes.set_ylim(bottom=min(-1.0, axes.get_ylim()[0] * 0.02))
    axes.grid(alpha=0.25)


def _cycle(items: Sequence[str]) -> Sequence[str]:
    return list(items) * 100


def _budget_line(axes: Axes, simulation: Simulation, figure: str) -> None:
    """What training shorter by as much would lose (``lost``, or ``regret``): the line that a policy should
    lie below.
    """
    budgets = FixedBudgets(list(simulation.profiles.values()))
    saved = [share / 50 for share in range(50)]
    lost = [
        100 * budgets.matching(share).lost if figure == "lost" else budgets.matching(share).regret
        for share in saved
    ]
    axes.plot(
        [100 * share for share in saved],
        lost,
        color="0.6",
        linestyle="--",
        linewidth=1,
        label="train shorter by as much",
    )
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def _curve(
    axes: Axes,
    simulation: Simulation,
    run: str,
    policies: Sequence[str],
    stops: Mapping[tuple[str, str], dict[str, Any]],
) -> None:
    curve = simulation.curves[run]
    axes.plot(curve.steps, curve.values, color="0.45", linewidth=1)
    best = curve.best()
    if best is not None:
        axes.plot(
            curve.steps[best],
            curve.values[best],
            marker="*",
            color="black",
            markersize=10,
            linestyle="none",
            label="best",
            zorder=3,
        )
    low, high = axes.get_ylim()
    for number, policy in enumerate(policies):
        row = stops.get((run, policy))
        color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]
        if row is None or row["stopped_step"] is None:
            axes.plot([], [], marker=marker, color=color, linestyle="none", label=_safe(policy))
            continue
        height = low + (high - low) * (0.97 - 0.09 * number)
        axes.axvline(row["stopped_step"], color=color, linewidth=0.8, alpha=0.6)
        axes.plot(
            row["stopped_step"],
            height,
            marker=marker,
            color=color,
            markersize=5,
            linestyle="none",
            label=_safe(policy),
        )
    name = _safe(run)
    axes.set_title(name if len(name) <= 34 else "..." + name[-31:], fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)


def draw_sweep(swept: Swept) -> Figure:
    """Saved against loss of all policies, with the front and the centres, above a map of each grid (up to
    four).
    """
    from matplotlib.figure import Figure

    parts = [*(part for part, _ in swept.distinct), *(part for part in swept.parts if part.region is None)]
    shown = [part for part in parts if _axes_of(part)][:_MOST_MAPS]
    columns = 1 if len(shown) <= 1 else 2
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(11, 5.4 + 4.0 * rows), layout="constrained")
    if not shown:
        _all_policies(figure.subplots(), swept)
        return figure
    top, bottom = figure.subfigures(2, 1, height_ratios=[5.4, 4.0 * rows], squeeze=False).ravel()
    _all_policies(top.subplots(), swept)
    grid = bottom.subplots(rows, columns, squeeze=False).ravel()
    for axes, part in zip(grid, shown, strict=False):
        if len(_axes_of(part)) > 1:
            _map(axes, swept, part)
        else:
            _line(axes, swept, part)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    return figure


def _axes_of(part: Part) -> list[int]:
    """The ordered dimensions of a grid that have several values, those with most first."""
    sizes = [
        (len(item.values), axis)
        for axis, item in enumerate(part.grid.dimensions)
        if item.ordered and len(item.values) > 1
    ]
    return (
        [axis for _, axis in sorted(sizes, key=lambda size: (-size[0], size[1]))] if part.grid.points else []
    )


def _scale(swept: Swept) -> float:
    return 1.0 if swept.limit.kind == "regret" else 100.0


def _loss_label(swept: Swept) -> str:
    return {
        "lost": "best-metric loss,\n% of a run's improvement",
        "relative_regret": "best-metric loss,\n% of the best value",
        "regret": f"best-metric loss\nin {_safe(swept.simulation.objective.metric)}",
    }[swept.limit.kind]


def _all_policies(axes: Axes, swept: Swept) -> None:
    saved, loss, limit = 100 * swept.sweep.figures["saved_mean"], _scale(swept) * swept.loss, swept.limit
    several = 1 < len(swept.parts) <= len(_COLORS)
    taken = np.zeros(len(saved), dtype=bool)
    for number_, part in enumerate(swept.parts if several else []):
        taken[part.places] = True
        axes.plot(
            saved[part.places],
            loss[part.places],
            marker=_MARKERS[number_],
            color=_COLORS[number_],
            markersize=3,
            alpha=0.45,
            linestyle="none",
            label=_safe(part.grid.rule),
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
    if limit.kind != "relative_regret":
        _budget_line(axes, swept.simulation, limit.kind)
    few = len(swept.front) <= 40
    axes.plot(
        saved[swept.front],
        loss[swept.front],
        color="black",
        linewidth=1.2,
        marker="o" if few else None,
        markersize=4,
        drawstyle="steps-pre",
        label="Pareto front",
    )
    axes.axhline(
        _scale(swept) * limit.value, color="#D55E00", linewidth=1, linestyle=":", label=limit.describe()
    )
    top = float(np.nanmax(loss)) if not np.isnan(loss).all() else 1.0
    for place, (part, _) in enumerate(swept.distinct[: len(_STARS)]):
        centre = part.marked[0]
        axes.plot(
            saved[centre],
            loss[centre],
            marker="*",
            color=_STARS[place],
            markeredgecolor="black",
            markersize=14,
            linestyle="none",
            zorder=5,
            label=f"centre: {_safe(swept.sweep.policies[centre].spec())}",
        )
    axes.set_xlabel(f"compute saved, % of {swept.simulation.unit}")
    axes.set_ylabel(_loss_label(swept))
    counted = len(swept.simulation.runs)
    metric = _safe(swept.simulation.objective.metric)
    axes.set_title(f"{counted} run{'s' * (counted != 1)}, judged by {metric}; means, in-sample", fontsize=10)
    axes.set_xlim(-3, 103)
    axes.set_ylim(bottom=-0.02 * (top or 1.0))
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def _reference(swept: Swept, part: Part) -> int:
    """The point through which a grid is cut: the centre of its region, or else what loses least."""
    if part.region is not None:
        return part.region.centre
    loss = swept.loss[part.places]
    return int(np.nanargmin(loss)) if not np.isnan(loss).all() else 0


def _cut(swept: Swept, part: Part, axes: Sequence[int]) -> tuple[Floats, Floats, tuple[int, ...], str]:
    """Loss and saved over some dimensions, the others as at the point of reference; where that is, and what
    the others are.
    """
    at = part.grid.points[_reference(swept, part)][1]
    shape = tuple(len(part.grid.dimensions[axis].values) for axis in axes)
    loss, saved = np.full(shape, np.nan), np.full(shape, np.nan)
    others = [axis for axis in range(len(at)) if axis not in axes]
    for place, (_, coordinates) in enumerate(part.grid.points):
        if all(coordinates[axis] == at[axis] for axis in others):
            cell = tuple(coordinates[axis] for axis in axes)
            loss[cell] = _scale(swept) * swept.loss[part.start + place]
            saved[cell] = 100 * swept.sweep.figures["saved_mean"][part.start + place]
    told = ", ".join(
        f"{part.grid.dimensions[axis].name}={part.grid.dimensions[axis].values[at[axis]]}" for axis in others
    )
    return loss, saved, tuple(at[axis] for axis in axes), _safe(told)


def _ticks(values: Sequence[str]) -> tuple[list[int], list[str]]:
    places = list(range(0, len(values), -(-len(values) // _MOST_TICKS)))
    return places, [_safe(values[place]) for place in places]


def _map(axes: Axes, swept: Swept, part: Part) -> None:
    """A heat map of the loss over the two ordered dimensions with most values."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    across, up = _axes_of(part)[:2]
    loss, _, at, told = _cut(swept, part, (up, across))
    limit = _scale(swept) * swept.limit.value
    most = float(np.nanmax(loss)) if not np.isnan(loss).all() else limit
    norm = PowerNorm(0.5, vmin=0, vmax=max(most, limit) or 1.0)  # the small losses are the ones to tell apart
    colors = colormaps["cividis_r"].with_extremes(bad="0.92")
    image = axes.imshow(np.ma.masked_invalid(loss), origin="lower", aspect="auto", cmap=colors, norm=norm)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(_loss_label(swept).replace("\n", " "), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _outline(axes, loss <= limit)
    if loss.size <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(loss):
            if not np.isnan(value):
                text = (
                    _short(float(value)) if swept.limit.kind == "regret" else percent(value / 100).rstrip("%")
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
    if part.region is not None:
        axes.plot(at[1], at[0] + 0.12, marker="*", color="#D55E00", markeredgecolor="black", markersize=12)
    dimensions = part.grid.dimensions
    axes.set_xticks(
        *_ticks(dimensions[across].values),
        fontsize=7,
        rotation=0 if len(dimensions[across].values) <= 12 else 90,
    )
    axes.set_yticks(*_ticks(dimensions[up].values), fontsize=7)
    axes.set_xlabel(_safe(dimensions[across].name), fontsize=9)
    axes.set_ylabel(_safe(dimensions[up].name), fontsize=9)
    _name(axes, swept, part, told, "; outlined: ")


def _short(value: float) -> str:
    """A number that fits a cell: ``.019``, ``2e-5``."""
    text = f"{value:.2g}" if abs(value) >= 0.01 else f"{value:.1g}"
    return text.replace("e-0", "e-").removeprefix("0") or "0"


def _name(axes: Axes, swept: Swept, part: Part, told: str, before: str) -> None:
    text = f"{_safe(part.grid.rule)}{' with ' if told else ''}{told}"
    axes.set_title(
        f"{text if len(text) <= 60 else text[:57] + '...'}{before}{swept.limit.describe()}", fontsize=9
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


def _line(axes: Axes, swept: Swept, part: Part) -> None:
    """Saved and loss over the only ordered dimension."""
    (axis,) = _axes_of(part)
    loss, saved, (at,), told = _cut(swept, part, (axis,))
    dimension = part.grid.dimensions[axis]
    place = np.arange(len(loss))
    axes.plot(place, saved, color=_COLORS[0], marker="o", markersize=4, label="saved, %")
    own = axes if swept.limit.kind != "regret" else axes.twinx()
    own.plot(
        place,
        loss,
        color=_COLORS[1],
        marker="s",
        markersize=4,
        label=swept.limit.noun + ", %" * (own is axes),
    )
    own.axhline(_scale(swept) * swept.limit.value, color=_COLORS[1], linestyle=":", linewidth=1)
    if part.region is not None:
        axes.plot(
            at,
            saved[at],
            marker="*",
            color=_COLORS[0],
            markeredgecolor="black",
            markersize=13,
            linestyle="none",
        )
        own.plot(
            at,
            loss[at],
            marker="*",
            color=_COLORS[1],
            markeredgecolor="black",
            markersize=13,
            linestyle="none",
        )
    axes.set_xticks(*_ticks(dimension.values), fontsize=7)
    axes.set_xlabel(_safe(dimension.name), fontsize=9)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(alpha=0.2)
    handles = [
        *axes.get_legend_handles_labels()[0],
        *(own.get_legend_handles_labels()[0] if own is not axes else []),
    ]
    axes.legend(handles=handles, fontsize=7, frameon=False)
    _name(axes, swept, part, told, "; dotted: ")

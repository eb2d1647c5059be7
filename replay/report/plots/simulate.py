"""The figure of ``replay simulate``: saved against lost, and the runs with their stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.data.curve import Curve
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, records
from replay.report.plots.labels import Mark, label_marks
from replay.report.plots.style import draw_budget_line, look, safe, shorten
from replay.report.plots.style import save as save_figure
from replay.stats.summary import SAVED_KEYS, Weight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]

_MOST_RUNS = 12
_MOST_POLICIES = 6


def save(
    outcomes: Outcomes, summary: Mapping[str, Sequence[Any]], path: Path, *, weight: Weight = "runs"
) -> None:
    """Draw to a file; errors as for `replay.report.plots.style.save`."""
    save_figure(draw(outcomes, summary, weight=weight), path)


def draw(outcomes: Outcomes, summary: Mapping[str, Sequence[Any]], *, weight: Weight = "runs") -> Figure:
    """Saved against best-metric loss for all policies, above the runs' curves with best and stops marked.

    With the ``weight`` compute, saved is the share of the total compute.
    """
    from matplotlib.figure import Figure

    panel = outcomes.study.panel
    curves = {run.id: curve for run, curve in zip(panel.runs, panel.curves, strict=True)}
    long = [run for run, curve in curves.items() if len(curve) > 2]
    shown = (long or list(curves))[:_MOST_RUNS]
    columns = min(4, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    typed = dict(zip(outcomes.policies, outcomes.typed, strict=True))
    figure = Figure(figsize=(11, 5.2 + 2.3 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[5.2, 2.3 * rows], squeeze=False).ravel()
    plane = top.subplots()
    marks = _scatter(plane, outcomes, summary, weight)
    grid = bottom.subplots(rows, columns, squeeze=False).ravel()
    marked = [policy for policy in outcomes.policies if policy not in (*BASELINES, ORACLE)][:_MOST_POLICIES]
    stops = {(row["run"], row["spec"]): row for row in outcomes.rows()}
    for axes, run in zip(grid, shown, strict=False):
        _curve(axes, run, curves[run], {policy: typed[policy] for policy in marked}, stops)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    longest = max(map(len, by_label))
    bottom.legend(
        by_label.values(),
        by_label.keys(),
        loc="outside upper center",
        ncols=max(1, min(len(by_label), 7, 130 // (longest + 8))),
        fontsize=8,
        frameon=False,
    )
    more = len(panel.runs) - len(shown)
    bottom.supxlabel("step" + (f" ({len(shown)} of {len(panel.runs)} runs)" if more else ""), fontsize=9)
    bottom.supylabel(shorten(outcomes.study.monitor.name, 60), fontsize=9)
    label_marks(figure, plane, marks)
    return figure


def _scatter(
    axes: Axes, outcomes: Outcomes, summary: Mapping[str, Sequence[Any]], weight: Weight
) -> list[Mark]:
    """Draw the policies, and return their marks, which have no labels yet."""
    rows = [row for row in records(summary) if row["lost_mean"] is not None]
    policies = [row["spec"] for row in rows if row["spec"] not in (*BASELINES, ORACLE)]
    looks = {spec: look(number) for number, spec in enumerate(policies)}
    study = outcomes.study
    if weight == "runs":  # the equal budget is equal in the mean over runs
        draw_budget_line(axes, study, "lost")
    marks: list[Mark] = []
    for row in rows:
        policy, x, y = row["spec"], 100 * row[SAVED_KEYS[weight]], 100 * row["lost_mean"]
        shade, marker = looks.get(policy, ("0.35", "*"))
        if row["lost_low"] is not None and row["saved_low"] is not None:
            axes.errorbar(
                x,
                y,
                xerr=None  # the interval is that of the mean over runs
                if weight == "compute"
                else [[x - 100 * row["saved_low"]], [100 * row["saved_high"] - x]],
                yerr=[[y - 100 * row["lost_low"]], [100 * row["lost_high"] - y]],
                fmt="none",
                ecolor=shade,
                alpha=0.35,
                capsize=2,
            )
        axes.plot(x, y, marker=marker, color=shade, markersize=8, linestyle="none")
        marks.append(Mark(x, y, row["policy"], shade, marker))
    axes.set_xlabel(f"compute saved, % of {'' if weight == 'runs' else 'the total '}{study.question.unit}")
    axes.set_ylabel("best-metric loss,\n% of a run's improvement")
    counted = len(study.judged_runs)
    axes.set_title(
        f"{counted} run{'s' * (counted != 1)}, judged by {safe(study.objective.name)}; mean and 95 %"
        " interval",
        fontsize=10,
    )
    axes.set_xlim(-3, 103)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.04 * high), high)
    axes.grid(alpha=0.25)
    return marks


def _curve(
    axes: Axes,
    run: str,
    curve: Curve,
    policies: Mapping[str, str],
    stops: Mapping[tuple[str, str], dict[str, Any]],
) -> None:
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
    for number, (policy, typed) in enumerate(policies.items()):
        row = stops.get((run, policy))
        color, marker = look(number)
        name = shorten(typed, 60)
        if row is None or row["stopped_step"] is None:
            axes.plot([], [], marker=marker, color=color, linestyle="none", label=name)
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
            label=name,
        )
    axes.set_title(shorten(run, 36), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)

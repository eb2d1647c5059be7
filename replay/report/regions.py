"""The good regions of a sweep in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from replay.policies.grid import Dimension
from replay.report.format import number, percent
from replay.search.grid_sweep import GridResult, GridSweep
from replay.search.region import NEAR_BEST, Span
from replay.search.tolerance import Tolerance

__all__ = ["describe_figures", "describe_loss", "describe_region", "move_bounds"]

_MOST_VALUES = 4


def describe_loss(tolerance: Tolerance, value: float | None) -> str:
    """A loss in the terms of the tolerance: a share, or a value of the metric."""
    return number(value) if tolerance.kind == "regret" else percent(value)


def describe_figures(sweep: GridSweep, index: int) -> str:
    """What a policy saves and loses."""
    figures, tolerance = sweep.sweep.figures, sweep.tolerance
    of = "" if sweep.weight == "runs" else " of the total compute"
    text = f"saves {percent(sweep.saved[index])}{of} and loses {percent(figures['lost_mean'][index])}"
    if tolerance.kind == "lost":
        return text
    return f"{text} ({tolerance.noun} {describe_loss(tolerance, float(sweep.loss[index]))})"


def describe_region(sweep: GridSweep, result: GridResult) -> str:
    """The region of a grid: where it is, its centre, how far parameters can move, and its corner."""
    region, tolerance = result.region, sweep.tolerance
    assert region is not None
    count, total = len(region.points), len(result.grid.points)
    runs, most = int(sweep.sweep.figures["runs"][result.centre]), len(sweep.outcomes.study.judged_runs)
    on = f" (on {runs} of {most} runs)" if runs < most else ""
    centre, corner = result.spec(region.centre), result.spec(region.best)
    if total == 1:
        return f"{centre} {describe_figures(sweep, result.centre)}{on}."
    text = (
        f"Good region: {_where(result)}{on}. There {count:,} of {total:,} points keep {tolerance.describe()}"
        f" and save within {NEAR_BEST * 100:.0f} points of the most that does. Its centre, {centre},"
        f" {describe_figures(sweep, result.centre)}."
    )
    if region.spans:
        text += f" {_moves(region.spans, tolerance)}"
    if region.best != region.centre:
        text += f" The corner that saves most, {corner}, {describe_figures(sweep, result.corner)}."
    return text


def _where(result: GridResult) -> str:
    """The values that the region's points have, one part per dimension with several values."""
    rule = result.grid.rule
    ranges = [
        (dimension.name, _values(dimension, result.value_indices(axis)))
        for axis, dimension in enumerate(result.grid.dimensions)
        if len(dimension.values) > 1
    ]
    if not ranges:
        return rule
    text = ", ".join(f"{name}={values}" for name, values in ranges)
    # a rule is named by its parameter where that has its name: patience=2..5
    return text if rule in ranges[0][0] else f"{rule}: {text}"


def _values(dimension: Dimension, indices: Sequence[int]) -> str:
    values = [dimension.values[index] for index in indices]
    if dimension.ordered and len(indices) > 2 and indices[-1] - indices[0] == len(indices) - 1:
        return f"{values[0]}..{values[-1]}"
    shown = values if len(values) <= _MOST_VALUES else [*values[: _MOST_VALUES - 1], "..."]
    return "|".join(shown)


def _moves(spans: Sequence[Span], tolerance: Tolerance) -> str:
    """How far each parameter can move."""
    edge = any(span.low_edge or span.high_edge for span in spans)
    return (
        f"Each alone, before {tolerance.noun} passes {tolerance.text}:"
        f" {', '.join(_move(span) for span in spans)}"
    ) + ("; nothing is known beyond an edge." if edge else ".")


def _move(span: Span) -> str:
    if span.low == span.high:
        return f"{span.name} stays at {span.value}" + " (edge)" * (span.low_edge or span.high_edge)
    return (
        f"{span.name} from {span.low}{' (edge)' * span.low_edge} to {span.high}{' (edge)' * span.high_edge}"
    )


def move_bounds(span: Span) -> str:
    """The values between which a parameter can move: ``2..6``."""
    return span.low if span.low == span.high else f"{span.low}..{span.high}"

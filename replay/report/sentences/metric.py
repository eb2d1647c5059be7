"""Why a metric and its mode were taken, and how the log of a run ends, in words."""

from __future__ import annotations

from replay.data.censoring import Censoring, CensoringKind
from replay.data.improvement import Improvement
from replay.engine.metrics import Metric, ModeSource, NameSource
from replay.errors import list_names
from replay.report.format import number
from replay.stats.summary import Shortage

__all__ = [
    "say_better",
    "say_censoring",
    "say_improvement",
    "say_metric",
    "say_mode_reason",
    "say_name_reason",
    "say_shortage",
]

_NAME_REASONS = {
    NameSource.GIVEN: "as given",
    NameSource.STATED: "stated by the logs",
    NameSource.VALIDATION_LOSS: "the validation loss",
    NameSource.ONLY_LOSS: "the only held-out loss",
    NameSource.ONLY_METRIC: "the only metric",
}

_MODE_REASONS = {
    ModeSource.GIVEN: "as given",
    ModeSource.POLICY: "as given by the policy",
    ModeSource.STATED: "stated by the log",
}


def say_metric(metric: Metric) -> str:
    """The metric and which of its values are better, each with the reason."""
    better = f"{say_better(metric.mode)} is better"
    if (
        metric.name_source is NameSource.STATED
        and metric.mode_source is ModeSource.STATED
        and not metric.spellings
    ):
        states = "log states" if metric.runs == 1 else "logs state"
        return f"{metric.name}, {better} (the {states} both)"
    return f"{metric.name} ({say_name_reason(metric)}), {better} ({say_mode_reason(metric)})"


def say_name_reason(metric: Metric) -> str:
    """Why the metric was taken."""
    reason = _NAME_REASONS[metric.name_source]
    if metric.name_source is NameSource.STATED and metric.runs == 1:
        reason = "stated by the log"
    return f"{reason}; logged as {list_names(metric.spellings)}" if metric.spellings else reason


def say_mode_reason(metric: Metric) -> str:
    """Why the metric has its mode."""
    if metric.mode_source is ModeSource.NAME:
        return f"by its name: {metric.mode_word}"
    return _MODE_REASONS[metric.mode_source]


def say_better(mode: str) -> str:
    """``lower`` or ``higher``: which values are better."""
    return "lower" if mode == "min" else "higher"


def say_censoring(censoring: Censoring) -> str:
    """Why a log does not show the training as it was planned."""
    if censoring.kind is CensoringKind.STOPPED_EARLY:
        return f"stopped early by {censoring.stopped_by}"
    how = "file cut off" if censoring.kind is CensoringKind.CUT_OFF else "cut short"
    end = f"{how} at {censoring.unit} {number(censoring.reached)}"
    return end if censoring.planned is None else f"{end} of {number(censoring.planned)}"


def say_improvement(improvement: Improvement) -> str:
    """How a curve shows that it was still improving at its end."""
    if improvement is Improvement.BEST_IS_LAST:
        return "its best eval is its last"
    return "still improving within noise"


def say_shortage(shortage: Shortage) -> str:
    """What there is too little of to rank policies."""
    if shortage.runs is not None:
        return f"{shortage.runs} run{'s' * (shortage.runs != 1)}"
    return f"a median of {shortage.evals:g} evals a run"

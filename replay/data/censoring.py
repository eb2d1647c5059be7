"""Censoring: whether a log shows the training as it was planned, and what to report where it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from numbers import Real
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.improvement import Improvement
from replay.data.info import StepUnit
from replay.data.run import Run

__all__ = ["Censoring", "CensoringKind", "censoring", "find_endings", "least_share", "planned_steps"]

#: What tools may count a complete training short, as a share, where the plan is known in epochs only:
#: transformers 4.46 counts 2.96 epochs at the end of 3 when it accumulates gradients.
_ROUNDING = 0.02


class CensoringKind(StrEnum):
    """Why a log does not show the training as it was planned."""

    STOPPED_EARLY = "stopped-early"
    CUT_SHORT = "cut-short"
    CUT_OFF = "cut-off"


@dataclass(frozen=True)
class Censoring:
    """Why a log is censored, with its facts.

    ``stopped_by`` names what stopped the training. Of a training that was cut short, and of a file that is
    cut off, ``reached`` is where the log ends and ``planned`` where the training was planned to end (None:
    it is only known that the log is incomplete), both in ``unit``.
    """

    kind: CensoringKind
    stopped_by: str | None = None
    reached: float | None = None
    planned: float | None = None
    unit: StepUnit = "step"


def censoring(run: Run) -> Censoring | None:
    """Why a run's log does not show the training as it was planned; None where it does.

    A log is censored where a rule stopped the training early, where it ends before the planned end, where its
    format records the end of a training and it has no such record, or where its file is cut off before the
    planned end: whether evals follow is not known then. Any other log that does not state its plan is taken
    as complete.

    A log ends before the planned end only if one more log entry was due by then: a training of 1203 steps
    that logs every 10 has its last entry at step 1200. Where the log records the step at which the training
    ended, that step counts. One step is never missing, since tools that count from 0 call the last of 1000
    steps 999; nor is, where the plan is known in epochs, what rounding to whole steps takes off an epoch.
    """
    info = run.info
    if info.stopped_by:
        return Censoring(CensoringKind.STOPPED_EARLY, stopped_by=info.stopped_by)
    logged = [steps for steps in (run.steps, *(series.step for series in run.train.values())) if len(steps)]
    reached = max([run.trained_steps, *(float(steps[-1]) for steps in logged)])
    planned = planned_steps(run)
    kind = CensoringKind.CUT_OFF if info.cut_off else CensoringKind.CUT_SHORT
    if planned is None:
        if info.complete is False or info.cut_off:
            return Censoring(kind, reached=reached, unit=info.step_unit)
        return None
    per_epoch = None if _number(info.planned_steps) else _steps_per_epoch(run)
    missing = planned - reached
    if missing <= 0 or (per_epoch is not None and reached >= planned * least_share(per_epoch)):
        return None
    # the usual distance of the entries that are closest together
    interval = min((float(np.median(np.diff(steps))) for steps in logged if len(steps) > 1), default=0.0)
    if missing <= 1 and (interval > 1 or any(steps[0] == 0 for steps in logged)):
        return None
    if info.complete is None and not info.cut_off and missing < interval:
        return None
    if per_epoch is None:
        return Censoring(kind, None, reached, planned, info.step_unit)
    return Censoring(kind, None, reached / per_epoch, planned / per_epoch, "epoch")


def planned_steps(run: Run) -> float | None:
    """The step at which a run was planned to end, None where its log does not tell.

    Of a plan in epochs, the epochs that the log counts tell how many steps that is.
    """
    steps, epochs = _number(run.info.planned_steps), _number(run.info.planned_epochs)
    if steps is not None or epochs is None:
        return steps
    per_epoch = _steps_per_epoch(run)
    return None if per_epoch is None else epochs * per_epoch


def _number(value: Any) -> float | None:
    """A planned length, None where it is none."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None


def _steps_per_epoch(run: Run) -> float | None:
    """Steps per epoch by the last epoch that the log counts, None where it counts none."""
    if run.info.step_unit == "epoch":
        return 1.0
    if "epoch" in run.columns:
        values, present = run.columns["epoch"]
        steps, epochs = run.steps[present], values[present]
    elif "epoch" in run.train:
        steps, epochs = run.train["epoch"]
    else:
        return None
    if len(epochs) and epochs[0] == 0 and steps[0] > 0 and (epochs == np.floor(epochs)).all():
        epochs = epochs + 1  # numbers of epochs from 0: all but the first were finished before
    usable = np.isfinite(epochs) & (epochs > 0) & (steps > 0)
    return float(steps[usable][-1] / epochs[usable][-1]) if usable.any() else None


def least_share(per_epoch: float) -> float:
    """The least share of its planned epochs that a complete training may count, by its steps per epoch.

    Tools take an epoch for the whole steps in it: 5 batches of which 2 make a step are 2 steps, so that the
    last step of 3 epochs ends epoch 2.4 of 3. On top come 2 %.
    """
    # logged epochs may be rounded to two decimals, so that 3 steps per epoch may look like 2.99
    whole = math.floor(per_epoch * 1.01)
    return (1 - _ROUNDING) * (min(whole / per_epoch, 1.0) if whole else 1.0)


def find_endings(
    runs: Sequence[Run], censored: Mapping[str, Censoring], improving: Mapping[str, Improvement]
) -> list[Finding]:
    """What to report on how the logs of runs end, the same from every command.

    At most one finding of each kind: CENSORED_RUNS (a warning, since it turns figures into bounds),
    STILL_IMPROVING and PLAN_UNKNOWN (notes). Each names its runs. ``censored`` and ``improving`` map ids of
    runs to the reason; a run that is censored is not reported as still improving, nor as without a plan.
    """
    total = len(runs)
    findings = []
    if censored:
        kinds = [censored[run.id].kind for run in runs if run.id in censored]
        facts: dict[str, object] = {
            "total": total,
            "stopped": kinds.count(CensoringKind.STOPPED_EARLY),
            "cut": kinds.count(CensoringKind.CUT_SHORT),
            "cut_off": kinds.count(CensoringKind.CUT_OFF),
        }
        findings.append(Finding(Kind.CENSORED_RUNS, Severity.WARNING, tuple(censored), facts=facts))
    complete = [run for run in runs if run.id not in censored]
    rising = [run.id for run in complete if run.id in improving]
    if rising:
        last = sum(improving[run] is Improvement.BEST_IS_LAST for run in rising)
        facts = {"total": total, "last": last}
        findings.append(Finding(Kind.STILL_IMPROVING, Severity.NOTE, tuple(rising), facts=facts))
    unplanned = tuple(run.id for run in complete if planned_steps(run) is None)
    if unplanned:
        findings.append(Finding(Kind.PLAN_UNKNOWN, Severity.NOTE, unplanned, facts={"total": total}))
    return findings

"""The planned length of a training that was ended before it, and logs whose length a stop rule chose."""

from __future__ import annotations

import numpy as np

from replay.data.censoring import CensoringKind
from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.data.types import Bools, Floats
from replay.engine.study import Study

__all__ = ["find_adaptive", "trained_shares", "unfinished"]


def unfinished(study: Study) -> Bools:
    """Whether each run of the panel was ended before the training as it was planned.

    The best value of such a training is unknown, so every loss of a stop is a lower bound.
    """
    # a run that was trained as planned and still improved at its end shows its own training in full
    as_planned = {"best-is-last", "still-improving"}
    ended = {run for run, reason in study.censored.items() if str(reason.kind) not in as_planned}
    mask: Bools = study.is_censored & np.array([run.id in ended for run in study.panel.runs], dtype=bool)
    return mask


def trained_shares(study: Study) -> Floats:
    """The share of its planned training that each run of the panel was trained for.

    1 for a run that was trained as planned, and where the log does not state its plan.
    """
    return np.array(
        [
            (_stated_share(run) or 1.0) if ended else 1.0
            for run, ended in zip(study.panel.runs, unfinished(study).tolist(), strict=True)
        ]
    )


def _stated_share(run: Run) -> float | None:
    """Trained by planned steps, or epochs; at most 1. None where the log does not state the plan."""
    info = run.info
    in_epochs = info.step_unit == "epoch"
    planned, trained = info.planned_steps, run.trained_steps
    if in_epochs:
        planned = info.planned_epochs
    elif not planned and info.planned_epochs:
        planned, trained = info.planned_epochs, _trained_epochs(run)
    if not planned or not np.isfinite(planned) or not trained > 0:
        return None
    return min(trained / float(planned), 1.0)


def _trained_epochs(run: Run) -> float:
    """Epochs up to the last step trained; 0 where the log does not count epochs."""
    column = run.at("epoch", run.steps)
    known = np.flatnonzero(column.present & np.isfinite(column.values) & (run.steps > 0))
    if not len(known):
        return 0.0
    last = known[-1]
    return float(column.values[last]) * run.trained_steps / float(run.steps[last])


def find_adaptive(study: Study) -> list[Finding]:
    """A finding where a stop rule chose the length of some logs, and these do not state what was planned.

    The equal budget is a share of such a length, so it is adaptive too, and no plain baseline.
    """
    runs = tuple(
        run.id
        for run in study.panel.runs
        if run.id in study.censored
        and study.censored[run.id].kind is CensoringKind.STOPPED_EARLY
        and _stated_share(run) is None
    )
    facts = {"total": len(study.panel.runs)}
    return [Finding(Kind.ADAPTIVE_BUDGET, Severity.NOTE, runs, facts=facts)] if runs else []

"""The planned length of a training that was ended before it, and logs whose length a stop rule chose."""

from __future__ import annotations

import numpy as np

from replay.data.censoring import CensoringKind, planned_steps
from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.data.types import Floats
from replay.engine.study import Study

__all__ = ["find_adaptive", "trained_shares"]


def trained_shares(study: Study) -> Floats:
    """The share of its planned training that each run of the panel was trained for.

    1 for a run that was trained as planned, and where the log does not state its plan.
    """
    return np.array(
        [
            (_stated_share(run) or 1.0) if ended else 1.0
            for run, ended in zip(study.panel.runs, study.is_censored.tolist(), strict=True)
        ]
    )


def _stated_share(run: Run) -> float | None:
    """Trained by planned steps, at most 1; None where the log does not state the plan."""
    planned = planned_steps(run)
    if planned is None or not run.trained_steps > 0:
        return None
    return min(run.trained_steps / planned, 1.0)


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

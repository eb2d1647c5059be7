"""Gaps: evals that a log lacks between others, by the interval that it states or keeps to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.data.types import Floats

__all__ = ["Gap", "find_gap", "find_incomplete", "missing_evals"]

#: The share of the evals that keep to an interval where the log has one.
_REGULAR = 0.75
#: Distances within this share of each other are the same.
_ALIKE = 0.02
#: More gaps than this share of the distances are another schedule.
_MOST_GAPS = 0.25


@dataclass(frozen=True)
class Gap:
    """The evals that are missing, by their steps, and the distance of the others; ``stated`` says whether the
    log itself states the distance.
    """

    steps: tuple[float, ...]
    every: float
    stated: bool


def find_gap(run: Run, steps: Floats) -> Gap | None:
    """The evals of a run that are missing between those at ``steps``; None where there are none, or where the
    evals keep to no interval.
    """
    if len(steps) < 4:
        return None
    every = _stated_interval(run)
    if every is not None and (steps[:-1] % every == 0).all():
        due = np.arange(steps[0], steps[-1], every)
        missing = np.setdiff1d(due, steps)
        return Gap(tuple(missing.tolist()), every, True) if len(missing) else None
    distances = np.diff(steps)
    usual = float(np.median(distances))
    multiples = distances / usual
    whole = np.round(multiples)
    fits = np.abs(multiples - whole) <= _ALIKE * np.maximum(whole, 1)
    regular = fits & (whole == 1)
    gaps = np.flatnonzero(fits & (whole > 1))
    # the last eval of a training is made when it ends, wherever that is
    inner = regular[:-1] if len(regular) > 4 else regular
    if not len(gaps) or inner.mean() < _REGULAR or len(gaps) > max(1, _MOST_GAPS * len(distances)):
        return None
    if any(gap + 1 in gaps and gap + 2 in gaps for gap in gaps.tolist()):
        return None  # the evals became rarer
    if gaps.tolist() == [len(distances) - 1]:
        return None
    steps_missing = [
        float(steps[gap] + part * distances[gap] / whole[gap])
        for gap in gaps.tolist()
        for part in range(1, int(whole[gap]))
    ]
    return Gap(tuple(steps_missing), usual, False)


def _stated_interval(run: Run) -> float | None:
    """The interval of the evals that the settings state, in steps."""
    value = run.info.hyperparameters.get("eval_steps")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        return None
    if value < 1:
        return float(np.ceil(value * run.info.planned_steps)) if run.info.planned_steps else None
    return float(value)


def missing_evals(run: Run, steps: Floats) -> Finding | None:
    """The finding that evals of a run are missing; None where none is."""
    gap = find_gap(run, steps)
    if gap is None:
        return None
    facts = {
        "steps": gap.steps,
        "every": gap.every,
        "stated": gap.stated,
        "unit": run.info.step_unit,
        "total": 1,
    }
    return Finding(Kind.MISSING_EVALS, Severity.WARNING, (run.id,), facts=facts)


def find_incomplete(runs: Sequence[Run], steps: Mapping[str, Floats]) -> list[Finding]:
    """Findings on runs whose log lacks its beginning, or evals between others; ``steps`` maps the id of a run
    to those of its evals.
    """
    findings = []
    heads = {
        run.id: finding["step"]
        for run in runs
        for finding in run.info.findings
        if finding.kind is Kind.MISSING_HEAD
    }
    if heads:
        run_id, step = next(iter(heads.items()))
        facts = {"total": len(runs), "run": run_id, "step": step}
        findings.append(Finding(Kind.MISSING_HEADS, runs=tuple(heads), facts=facts))
    gaps = [gap for run in runs if run.id in steps and (gap := missing_evals(run, steps[run.id]))]
    if gaps:
        first = gaps[0]
        facts = {**first.facts, "total": len(runs), "run": first.runs[0]}
        findings.append(Finding(Kind.MISSING_EVALS, runs=tuple(gap.runs[0] for gap in gaps), facts=facts))
    return findings

"""Explanation: what one policy sees, computes and decides at each eval of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from replay.data.run import Column, Run
from replay.data.types import Floats
from replay.engine.outcomes import Outcomes, whole
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, did_you_mean, list_names
from replay.policies import Policy

__all__ = ["COLUMNS", "Explanation", "Resumes", "explain", "pick_run", "trace_rows"]

#: Columns of an explanation, one row per eval. ``seen`` is the value that the policy looked at (smoothed, for
#: example; null where it did not look). ``counter`` is its signal, which stops the run when it reaches
#: ``limit``. ``reference`` and ``counter`` are null where the policy has none.
COLUMNS = ("eval", "step", "value", "seen", "reference", "counter", "limit", "decision", "reason")


@dataclass(frozen=True)
class Resumes:
    """Where a run was resumed, and where tools stop that keep less than the policy does.

    ``evals`` maps the first eval (1, 2, …) after each resume to the step at which it was resumed. A stop is
    the number of an eval, None where there is none. ``best_kept`` is that of tools that keep the best value
    and count anew, ``forgotten`` that of tools that begin anew with both; ``counts`` is False where the
    policy has no counter of evals, so that there is no ``best_kept``.
    """

    evals: dict[int, float]
    best_kept: int | None
    forgotten: int | None
    counts: bool


@dataclass(frozen=True, eq=False)
class Explanation:
    """One row per eval by COLUMNS, the outcome that they lead to, and the outcomes that hold it; ``resumes``
    is None where the run was not resumed.
    """

    outcomes: Outcomes
    rows: list[dict[str, Any]]
    outcome: dict[str, Any]
    resumes: Resumes | None = None


def explain(run: Run, policy: Policy | str, question: Question) -> Explanation:
    """Explain a run under a policy, which may be a specification; errors as for `simulate_policies`."""
    outcomes = simulate_policies([run], [policy], question)
    (outcome,) = outcomes.rows()
    rows = trace_rows(outcomes, 0, 0)
    return Explanation(outcomes, rows, outcome, _find_resumes(run, outcomes, question))


def trace_rows(outcomes: Outcomes, policy: int, row: int) -> list[dict[str, Any]]:
    """One row per eval by COLUMNS: how a policy, by its index, saw the run at a row of its view."""
    stops = outcomes.stops
    rule, trace, view = stops.resolved(policy), stops.trace(policy), stops.view(policy)
    run = int(view.runs[row])
    curve, position = outcomes.study.panel.curves[run], int(stops.positions[policy, run])
    threshold = rule.signal_threshold(trace.batch.mode)
    rows = []
    for index in range(int(trace.batch.lengths[row])):
        signal = float(trace.signal[row, index])
        reference = np.nan if trace.reference is None else float(trace.reference[row, index])
        looked = trace.position is None or trace.position[row, index] >= 0
        rows.append(
            {
                "eval": index + 1,
                "step": whole(float(trace.batch.steps[row, index])),
                "value": float(curve.values[index]) if index < len(curve) else None,
                "seen": float(trace.batch.values[row, index]) if looked else None,
                "reference": reference if np.isfinite(reference) else None,
                "counter": signal if np.isfinite(signal) else None,
                "limit": threshold if np.isfinite(threshold) else None,
                "decision": _decision(index + 1, position + 1 if position >= 0 else None),
                "reason": rule.reason(trace, row, index),
            }
        )
    return rows


def _find_resumes(run: Run, outcomes: Outcomes, question: Question) -> Resumes | None:
    """Where the run was resumed, with the stops of tools that forget something there."""
    stops = outcomes.stops
    rule, trace = stops.resolved(0), stops.trace(0)
    length = int(trace.batch.lengths[0])
    steps = trace.batch.steps[0, :length]
    begins = {}
    for step in run.info.resumes:
        first = int(np.searchsorted(steps, step))
        if 0 < first < length:
            begins[first + 1] = float(step)
    if not begins:
        return None
    threshold = rule.signal_threshold(trace.batch.mode)
    signal = trace.signal[0, :length]
    counts = _counts_evals(signal) and trace.position is None
    best_kept = None
    if counts:
        number = np.arange(1, length + 1)
        begun = [max((begin for begin in begins if begin <= at), default=0) for at in number.tolist()]
        since = number + 1 - np.array(begun)
        anew = np.where(np.isfinite(signal), np.minimum(signal, since), signal)
        best_kept = next((place + 1 for place in range(length) if anew[place] >= threshold), None)
    forgotten = _stop_anew(run, outcomes, question, [1, *begins, length + 1])
    return Resumes(begins, best_kept, forgotten, counts)


def _counts_evals(signal: Floats) -> bool:
    """Whether a signal is a counter of evals: it goes up by one, or back."""
    finite = signal[np.isfinite(signal)]
    return bool(
        len(finite) and (finite == np.floor(finite)).all() and (np.diff(finite) <= 1).all() and finite[0] <= 1
    )


def _stop_anew(run: Run, outcomes: Outcomes, question: Question, bounds: Sequence[int]) -> int | None:
    """The eval at which a policy stops that begins anew at each bound."""
    curve = outcomes.study.panel.curves[0]
    if curve.rows is None:
        return None
    for first, end in pairwise(bounds):
        rows = curve.rows[first - 1 : end - 1]
        columns = {
            name: Column(values[rows], present[rows]) for name, (values, present) in run.columns.items()
        }
        part = run.replace(columns=columns, info=run.info.replace(resumes=()))
        asked = replace(question, monitor=curve.metric, mode=curve.mode)
        (outcome,) = simulate_policies([part], [outcomes.typed[0]], asked).rows()
        if outcome["stopped_eval"] is not None:
            return int(outcome["stopped_eval"]) + first - 1
    return None


def _decision(eval: int, stopped_eval: int | None) -> str:
    if stopped_eval is None or eval < stopped_eval:
        return "continue"
    return "stop" if eval == stopped_eval else "after the stop"


def pick_run(runs: Sequence[Run], wanted: str | None) -> Run:
    """The run of an id, or of a part of an id that no other run has; the first run with evals by default.

    Raises InputError where no run fits, or several.
    """
    if wanted is None:
        return next((run for run in runs if len(run)), runs[0])
    ids = [run.id for run in runs]
    matches = [run for run in runs if run.id == wanted] or [run for run in runs if wanted in run.id]
    if not matches:
        hint = did_you_mean(wanted, ids)
        raise InputError(f"no run {wanted!r}; there are {list_names(ids, 4)}{hint}")
    if len(matches) > 1:
        fitting = [run.id for run in matches]
        raise InputError(
            f"{wanted!r} fits {len(matches)} runs: {list_names(fitting, 4)}. Give more of the id, for example"
            f" --run {fitting[0]}"
        )
    return matches[0]

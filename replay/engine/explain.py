"""Explanation: what one policy sees, computes and decides at each eval of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.engine.outcomes import Outcomes, whole
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, list_names, suggestion
from replay.policies import Policy

__all__ = ["COLUMNS", "Explanation", "explain", "pick_run"]

#: Columns of an explanation, one row per eval. ``seen`` is the value that the policy looked at (smoothed, for
#: example; null where it did not look). ``counter`` is its signal, which stops the run when it reaches
#: ``limit``. ``reference`` and ``counter`` are null where the policy has none.
COLUMNS = ("eval", "step", "value", "seen", "reference", "counter", "limit", "decision", "reason")


@dataclass(frozen=True, eq=False)
class Explanation:
    """One row per eval by COLUMNS, the outcome that they lead to, and the outcomes that hold it."""

    outcomes: Outcomes
    rows: list[dict[str, Any]]
    outcome: dict[str, Any]


def explain(run: Run, policy: Policy | str, question: Question) -> Explanation:
    """Explain a run under a policy, which may be a specification; errors as for `simulate_policies`."""
    outcomes = simulate_policies([run], [policy], question)
    stops = outcomes.stops
    rule, trace = stops.resolved(0), stops.trace(0)
    (outcome,) = outcomes.rows()
    curve = outcomes.study.panel.curves[0]
    threshold = rule.signal_threshold(trace.batch.mode)
    rows = []
    for index in range(int(trace.batch.lengths[0])):
        signal = float(trace.signal[0, index])
        reference = np.nan if trace.reference is None else float(trace.reference[0, index])
        looked = trace.position is None or trace.position[0, index] >= 0
        rows.append(
            {
                "eval": index + 1,
                "step": whole(float(trace.batch.steps[0, index])),
                "value": float(curve.values[index]) if index < len(curve) else None,
                "seen": float(trace.batch.values[0, index]) if looked else None,
                "reference": reference if np.isfinite(reference) else None,
                "counter": signal if np.isfinite(signal) else None,
                "limit": threshold if np.isfinite(threshold) else None,
                "decision": _decision(index + 1, outcome["stopped_eval"]),
                "reason": rule.reason(trace, 0, index),
            }
        )
    return Explanation(outcomes, rows, outcome)


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
        raise InputError(f"no run {wanted!r}; there are {suggestion(wanted, ids)}")
    if len(matches) > 1:
        raise InputError(
            f"{wanted!r} fits {len(matches)} runs: {list_names([run.id for run in matches], 8)}; give more of"
            " the id"
        )
    return matches[0]

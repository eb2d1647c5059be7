"""What one policy sees, computes and decides at each eval of one run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from replay.engine.simulation import Simulation, whole

__all__ = ["COLUMNS", "Explanation", "explain"]

#: Columns of an explanation, one row per eval. ``seen`` is the value that the policy looked at (smoothed, for
#: example; null where it did not look). ``counter`` is its signal, which stops the run when it reaches
#: ``limit``. ``reference`` and ``counter`` are null where the policy has none.
COLUMNS = ("eval", "step", "value", "seen", "reference", "counter", "limit", "decision", "reason")


class Explanation(NamedTuple):
    """One row per eval by COLUMNS, the outcome that they lead to, and the simulation that both come from."""

    simulation: Simulation
    rows: list[dict[str, Any]]
    outcome: dict[str, Any]


def explain(simulation: Simulation, policy: str) -> Explanation:
    """Explain the first run of a simulation (made with ``traces``) under one of its policies."""
    rule, trace, runs = simulation.traces[policy]
    curve = simulation.curves[runs[0]]
    outcome = next(row for row in simulation.rows() if row["run"] == runs[0] and row["policy"] == policy)
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
    return Explanation(simulation, rows, outcome)


def _decision(eval: int, stopped_eval: int | None) -> str:
    if stopped_eval is None or eval < stopped_eval:
        return "continue"
    return "stop" if eval == stopped_eval else "after the stop"

"""What policies saw and decided eval by eval, as ``replay explain`` shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from replay.engine.explain import trace_rows
from replay.engine.outcomes import ORACLE
from replay.report.page.gather import PageFacts
from replay.report.page.values import short, shorts

__all__ = ["trace_data"]

#: Evals for which the page holds a trace, and for which it also holds the reason in words.
_MOST_EVALS, _MOST_REASONS = 60_000, 20_000


def trace_data(facts: PageFacts) -> list[dict[str, Any]]:
    """The traces of the first policies, as many as there is room for, each with one entry per run; null for a
    run whose trace is left out.

    The columns of a trace are those of `replay.engine.explain.COLUMNS`: ``seen`` is null where it is the
    value of the run at each eval, ``reference`` holds the changes as pairs of an eval and a value, and
    ``reason`` is null where only the reason of the stop is held.
    """
    outcomes = facts.outcomes
    out: list[dict[str, Any]] = []
    evals = int(facts.study.panel.whole.lengths.sum())
    room, words = _MOST_EVALS, _MOST_REASONS
    for policy, spec in enumerate(outcomes.policies):
        if spec == ORACLE or spec == "never":
            continue
        if room < evals:
            if not out:  # the runs that lose most, as many as there is room for
                out.append(
                    _of_policy(facts, policy, with_reasons=False, runs=_worst_runs(facts, policy, room))
                )
            break
        room -= evals
        out.append(_of_policy(facts, policy, with_reasons=words >= evals))
        words -= evals
    return out


def _worst_runs(facts: PageFacts, policy: int, room: int) -> set[int]:
    """The runs on which a policy loses most, with at most so many evals together."""
    outcomes, lengths = facts.outcomes, facts.study.panel.whole.lengths
    losses = getattr(outcomes, facts.sweep.tolerance.kind)[outcomes.rows_of(policy)]
    order = outcomes.runs_of(policy)[np.argsort(-np.nan_to_num(losses, nan=-1.0), kind="stable")]
    fits = np.cumsum(lengths[order]) <= room
    return set(order[fits].tolist())


def _of_policy(
    facts: PageFacts, policy: int, *, with_reasons: bool, runs: set[int] | None = None
) -> dict[str, Any]:
    outcomes = facts.outcomes
    stops, count = outcomes.stops, len(facts.study.panel.runs)
    view, traces = stops.view(policy), [None] * count
    limit: Any = None
    for row in stops.rows(policy).tolist():
        if runs is not None and int(view.runs[row]) not in runs:
            continue
        rows = trace_rows(outcomes, policy, row)
        limit = rows[0]["limit"] if rows else limit
        traces[int(view.runs[row])] = _columns(rows, with_reasons)  # type: ignore[call-overload]
    return {"policy": outcomes.policies[policy], "limit": short(limit), "runs": traces}


def _columns(rows: list[dict[str, Any]], with_reasons: bool) -> dict[str, Any]:
    changes: list[list[Any]] = []
    for row in rows:
        value = short(row["reference"])
        if not changes or changes[-1][1] != value:
            changes.append([row["eval"] - 1, value])
    same = all(_equal(row["seen"], row["value"]) for row in rows)
    stop = next((row["reason"] for row in rows if row["decision"] == "stop"), None)
    return {
        "counter": shorts(row["counter"] for row in rows),
        "reference": changes,
        "seen": None if same else shorts(row["seen"] for row in rows),
        "why": stop,
        "reason": [row["reason"] for row in rows] if with_reasons else None,
    }


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or bool(np.isnan(one) and np.isnan(other))

"""What a log that is continued from a checkpoint goes on from, and what becomes void."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from collect.eval_log.counters import WASTE
from collect.eval_log.reader import ExistingLog
from collect.eval_log.values import is_number
from replay.readers.formats.eval_log import entries, number

__all__ = ["Continuation", "continue_from"]

_Records = Sequence[Mapping[str, Any]]


class Continuation(NamedTuple):
    """The state of a log at a checkpoint.

    ``segment`` is the number of the segment that begins, ``evals`` counts the evaluations that stay,
    ``at_eval`` says whether the checkpoint's step is that of the last one. ``train`` are the training log
    entries since then, and ``logged_step`` is where the first of them begins. ``counters`` are the last known
    ones, ``waste`` what becomes void now, ``wasted`` what all kills together have made void.
    """

    segment: int
    evals: int
    at_eval: bool
    train: list[Mapping[str, Any]]
    logged_step: int
    counters: dict[str, Any]
    waste: dict[str, Any]
    wasted: dict[str, Any]


def continue_from(log: ExistingLog, step: int, recorded_step: int = 0) -> Continuation:
    """The state of a log at the checkpoint of a step; what it holds after that step becomes void.

    ``recorded_step`` is the last step that another record than the log shows to be trained, as step signals
    do.
    """
    valid = _valid_records(log.records)
    kept = [record for record in valid if _step(record) <= step]
    counters = _last_counters(kept)
    complete = [
        compute
        for record in kept
        if record.get("kind") in ("eval", "checkpoint") and (compute := entries(record, "compute"))
    ]
    if complete and "flops" not in complete[-1]:
        counters.pop("flops", None)  # a part of them is unknown since an earlier record
    waste = _waste(valid, counters, step, recorded_step)
    segments = [record for record in log.records if record.get("kind") == "segment"]
    wasted = {
        name: value + sum(number(entries(record, "wasted").get(name)) or 0.0 for record in segments)
        for name, value in waste.items()
    }
    evals = [position for position, record in enumerate(kept) if record.get("kind") == "eval"]
    last_eval = int(_step(kept[evals[-1]])) if evals else 0
    since = kept[evals[-1] + 1 :] if evals else kept
    return Continuation(
        segment=len(segments) + 1,
        evals=len({kept[position].get("step") for position in evals}),
        at_eval=bool(evals) and last_eval == step,
        train=[record for record in since if record.get("kind") == "train"],
        logged_step=last_eval if kept else step,
        counters=counters,
        waste=waste,
        wasted=wasted,
    )


def _step(record: Mapping[str, Any]) -> float:
    return number(record.get("step")) or 0.0


def _valid_records(records: _Records) -> list[Mapping[str, Any]]:
    """The records that no later segment made void."""
    valid: list[Mapping[str, Any]] = []
    for record in records:
        if record.get("kind") == "segment":
            resumed_from = number(record.get("resumed_from")) or 0.0
            valid = [earlier for earlier in valid if _step(earlier) <= resumed_from]
        elif number(record.get("step")) is not None:
            valid.append(record)
    return valid


def _last_counters(records: _Records) -> dict[str, Any]:
    """The last known value of each counter."""
    counters: dict[str, Any] = {}
    for record in records:
        counters |= {name: value for name, value in entries(record, "compute").items() if is_number(value)}
    return counters


def _waste(valid: _Records, counters: Mapping[str, Any], step: int, recorded_step: int) -> dict[str, Any]:
    """What was done after ``step`` and becomes void: steps, and the counters as far as they are known."""
    last = max([float(step), recorded_step, *(_step(record) for record in valid)])
    waste: dict[str, Any] = {"steps": max(int(last) - step, 0)}
    reached = _last_counters(valid)
    for name in WASTE:
        if name in reached:
            waste[name] = max(reached[name] - counters.get(name, 0), 0)
    return waste

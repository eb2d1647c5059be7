"""Tests of the finished model, which are logged behind the training and are no evals of it.

Lightning's ``trainer.test`` logs at the step after the last one, and scripts measure the test set once, at
the end. Such a row would be one more eval, at which nothing was decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.names import held_out_name
from replay.data.types import Bools, Floats

__all__ = ["without_finished_model"]


def without_finished_model(
    steps: Mapping[str, Floats], held_out: Collection[str], aside: Collection[str | None]
) -> tuple[dict[str, Bools], Finding | None]:
    """Which points to keep of the series that have some at a test of the finished model, and the finding that
    there is one; none where the last step is an eval of the training.

    ``held_out`` names the metrics of evals, and ``aside`` the series that are no curves: clocks and counters.
    """
    evals = {name: step for name, step in steps.items() if name in held_out and len(step)}
    if not evals:
        return {}, None
    last = max(float(step[-1]) for step in evals.values())
    behind = [name for name, step in evals.items() if step[-1] == last]
    if not all(len(evals[name]) == 1 and _is_test(name) for name in behind):
        return {}, None
    before = [step for name, step in evals.items() if name not in behind]
    trained = [
        float(step[-1])
        for name, step in steps.items()
        if name not in held_out and name not in aside and len(step)
    ]
    if not before or len(np.unique(np.concatenate(before))) < 2 or max(trained, default=last) > last:
        return {}, None
    kept = {name: step < last for name, step in steps.items() if name in behind or name in aside}
    facts = {"metrics": tuple(sorted(behind)), "step": last}
    return kept, Finding(Kind.FINISHED_MODEL, Severity.NOTE, facts=facts)


def _is_test(name: str) -> bool:
    stated = held_out_name(name)
    return stated is not None and stated.split == "test"

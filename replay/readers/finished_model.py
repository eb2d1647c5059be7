"""Tests of the finished model, which are logged behind the training and are no evals of it.

Lightning's ``trainer.test`` logs at the step after the last one, and scripts measure the test set once, at
the end. Such a row would be one more eval, at which nothing was decided. Where it is logged without a step,
the CSVLogger of Lightning and of Fabric puts the number of rows that wait to be written in its place, which
looks like a training that begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.names import held_out_name
from replay.data.types import Bools, Floats
from replay.readers.points import Points

__all__ = ["without_finished_model", "without_last_row"]


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


def without_last_row(
    points: Mapping[str, Points], held_out: Collection[str], rows: int
) -> tuple[dict[str, Points], list[Finding]]:
    """The points of a table of so many rows without its last one, where that is an eval whose place is a
    number of rows; and the finding that there is one.

    A process that goes on may evaluate first, but at a step at which there was an eval.
    """
    last = max((int(series.order[-1]) for series in points.values() if len(series.order)), default=0)
    behind = {
        name: series for name, series in points.items() if len(series.order) and series.order[-1] == last
    }
    if not behind or not behind.keys() <= set(held_out):
        return dict(points), []
    step = float(next(iter(behind.values())).step[-1])
    trained = [
        float(one.step.max()) for name, one in points.items() if name not in held_out and len(one.step)
    ]
    if not trained or not 0 <= step < rows or step >= max(trained):
        return dict(points), []
    before = [series.step[:-1] for series in behind.values()]
    if any(len(one) < 2 or one[-1] <= step for one in before):
        return dict(points), []
    if step != rows - 1 and any((one == step).any() for one in before):
        return dict(points), []
    kept = {name: one.at(slice(0, -1)) if name in behind else one for name, one in points.items()}
    facts = {"metrics": tuple(sorted(behind)), "step": max(trained)}
    return kept, [Finding(Kind.FINISHED_MODEL, Severity.NOTE, facts=facts)]

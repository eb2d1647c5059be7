"""Rows of a table that are not in the order in which they were logged: the newest first, sorted as text, or
shuffled.

A log that goes back is usually a resume or a restart, which logs some steps once more. So rows are put in the
order of their steps only where no series has a step twice, and where the steps fall throughout, are sorted as
texts (10, 100, 20), or fall again and again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.types import Floats
from replay.readers.points import Points, distinct_steps

__all__ = ["falls_throughout", "sort_rows"]

#: Fewer steps tell nothing of the order of the rows.
_FEWEST = 4
#: Falls of the step, and their share of all changes, from which on the rows are shuffled.
_FALLS, _SHARE = 3, 0.25
#: Share of the distances that are equal where a log keeps to an interval.
_REGULAR = 0.75


def sort_rows(points: Mapping[str, Points]) -> tuple[dict[str, Points], list[Finding]]:
    """The points of a table in the order of their steps, where its rows were not logged in their order."""
    steps = [step for step in distinct_steps(points.values()).values() if len(step)]
    if not any((step[1:] < step[:-1]).any() for step in steps):
        return dict(points), []
    if not all(np.isfinite(step).all() and len(np.unique(step)) == len(step) for step in steps):
        return dict(points), []
    if not _is_out_of_order(max(steps, key=len)):
        return dict(points), []
    order = np.concatenate([series.order for series in points.values()])
    row, first = np.unique(order, return_index=True)
    step_of_row = np.concatenate([series.step for series in points.values()])[first]
    place = np.empty(len(row), dtype=np.int64)
    place[np.lexsort((row, step_of_row))] = np.arange(1, len(row) + 1)
    rows_sorted = {}
    for name, series in points.items():
        moved = place[np.searchsorted(row, series.order)]
        arrival = np.argsort(moved)
        rows_sorted[name] = Points(moved[arrival], series.step[arrival], series.value[arrival])
    return rows_sorted, [Finding(Kind.ROWS_SORTED, Severity.NOTE, facts={"rows": len(row)})]


def falls_throughout(step: Floats) -> bool:
    """Whether each step is lower than the one before, or equal, at regular distances: the newest row comes
    first.
    """
    distinct = np.unique(step)
    return len(distinct) >= _FEWEST and bool((np.diff(step) <= 0).all()) and _is_regular(distinct)


def _is_out_of_order(step: Floats) -> bool:
    if len(step) < _FEWEST:
        return False
    falls = np.count_nonzero(step[1:] < step[:-1])
    if falls == len(step) - 1:
        return True
    if falls >= max(_FALLS, _SHARE * (len(step) - 1)):
        return True
    texts = [f"{value:.15g}" for value in step.tolist()]
    return texts == sorted(texts) and _is_regular(np.sort(step))


def _is_regular(step: Floats) -> bool:
    """Whether most steps, which ascend, have the same distance."""
    distances = np.diff(step)
    return bool((distances == np.median(distances)).mean() >= _REGULAR)

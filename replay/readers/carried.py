"""Values that were carried forward: each row repeats the last eval until the next one.

Loops that log ``val_loss`` with every train step do it, and so does ``DataFrame.ffill``. A patience that
counts such rows as evals stops at once. They are told from evals that happen to be equal by three things: the
value changes after an equal number of rows again and again, a series of the training changes within those
rows, and the metric takes at least three values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, Severity
from replay.readers.points import Points
from replay.readers.series_names import is_bookkeeping

__all__ = ["drop_carried", "may_be_carried"]

#: Changes of value below which nothing can be told.
_FEWEST_CHANGES = 2


def drop_carried(
    points: Mapping[str, Points], held_out: Collection[str]
) -> tuple[dict[str, Points], list[Finding]]:
    """The points without those that only repeat the last eval, and what was left out."""
    found = {
        name: rows for name in held_out if name in points and (rows := _repeats(points[name])) is not None
    }
    trained = [
        series
        for name, series in points.items()
        if name not in held_out and not is_bookkeeping(name) and name.lower() not in ("epoch", "epochs")
    ]
    carried = {
        name: repeated
        for name, repeated in found.items()
        if any(_changes_within(series, points[name], repeated) for series in trained)
    }
    if not carried:
        return dict(points), []
    facts = {"names": tuple(sorted(carried)), "count": max(int(rows.sum()) for rows in carried.values())}
    kept = {name: series.at(~carried[name]) if name in carried else series for name, series in points.items()}
    return kept, [Finding(Kind.CARRIED_FORWARD, Severity.NOTE, facts=facts)]


def may_be_carried(series: Points) -> bool:
    """Whether a series repeats its values in a fixed rhythm."""
    return _repeats(series) is not None


def _repeats(series: Points) -> npt.NDArray[np.bool_] | None:
    """Which points repeat the eval before them; None where the values do not change in a fixed rhythm."""
    value = series.value
    if len(value) < 6:
        return None
    same = value[1:] == value[:-1]
    if 2 * np.count_nonzero(same) < len(same):
        return None
    begins = np.flatnonzero(np.concatenate([[True], ~same]))
    lengths = np.diff(begins)[1:]  # the first may be shorter, and the last one may go on
    if len(lengths) < _FEWEST_CHANGES or len(np.unique(value)) < 3:
        return None
    every = int(lengths.min())
    if every < 2 or (lengths % every).any() or (lengths == every).mean() < 0.6 or begins[1] > 2 * every:
        return None
    repeated = np.ones(len(value), dtype=bool)
    repeated[begins] = False
    for begin, length in zip(begins[1:-1].tolist(), lengths.tolist(), strict=True):
        repeated[begin : begin + length : every] = False  # an eval may equal the one before
    return repeated


def _changes_within(train: Points, series: Points, repeated: npt.NDArray[np.bool_]) -> bool:
    """Whether a series of the training changes in most rows in which a metric repeats its value."""
    shared, at, _ = np.intersect1d(train.order, series.order[repeated], return_indices=True)
    if 2 * len(shared) < repeated.sum():
        return False
    at = at[at > 0]
    return bool((train.value[at] != train.value[at - 1]).mean() > 0.5) if len(at) else False

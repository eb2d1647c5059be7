"""Windows and sums for rules that fit a line or a curve to evals, in a fixed order, so that a batch gives
what a plain loop does.
"""

from __future__ import annotations

import numpy as np

from replay.data.types import Bools, Floats

__all__ = ["ordered_sum", "trend", "windows"]


def windows(array: Floats, width: int) -> Floats:
    """The windows of ``width`` evals of every run, one below the other: runs × (evals − width + 1) rows."""
    if array.shape[1] < width:
        return np.empty((0, width))
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(array, width, axis=1)).reshape(
        -1, width
    )


def ordered_sum(terms: Floats, known: Bools) -> Floats:
    """Sum of the known terms of each row, oldest first and one by one."""
    total = np.zeros(len(terms))
    for column in range(terms.shape[1]):
        total = np.where(known[:, column], total + terms[:, column], total)
    return total


def trend(rows: Floats, known: Bools) -> tuple[Floats, Floats, Floats]:
    """Least squares of each row's known values on their positions in the row.

    Gives the slope, the positions less their mean, and the values less their mean. The first known value is
    subtracted beforehand, so that equal values have a slope of exactly 0.
    """
    count = known.sum(axis=1)
    with np.errstate(all="ignore"):
        apart = rows - np.take_along_axis(rows, known.argmax(axis=1)[:, None], axis=1)
        x = np.broadcast_to(np.arange(float(rows.shape[1])), rows.shape)
        x = x - (ordered_sum(x, known) / count)[:, None]
        y = apart - (ordered_sum(apart, known) / count)[:, None]
        return ordered_sum(x * y, known) / ordered_sum(x * x, known), x, y

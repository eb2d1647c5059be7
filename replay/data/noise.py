"""The eval-to-eval noise of a curve, and of many curves at once."""

from __future__ import annotations

import math

import numpy as np

from replay.data.types import Floats, Ints

__all__ = ["noise", "noise_of_rows"]

#: Scales a median absolute deviation to a standard deviation of normal noise.
_MAD_SCALE = 1.4826
#: Fewest finite values that the noise is estimated from.
_FEWEST = 5


def noise(values: Floats) -> float | None:
    """Robust estimate of a curve's eval-to-eval noise (one standard deviation), in the metric's unit.

    From second differences, in which a local trend cancels: 1.4826 · median |v[i−1] − 2 v[i] + v[i+1]| / √6.
    None with fewer than 5 finite values.

    Source: Gasser, Sroka & Jennen-Steinmetz, Biometrika 73 (1986) 625, with a median absolute deviation for
    their sum.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < _FEWEST:
        return None
    with np.errstate(all="ignore"):
        second = finite[:-2] - 2 * finite[1:-1] + finite[2:]
        spread = float(_MAD_SCALE * np.median(np.abs(second)) / math.sqrt(6))
    return spread if math.isfinite(spread) else None


def noise_of_rows(values: Floats, lengths: Ints) -> Floats:
    """`noise` of the first ``lengths`` values of each row; NaN where it is not known. Shape: one per row."""
    spreads = np.full(len(values), np.nan)
    inside = np.arange(values.shape[1])[None, :] < lengths[:, None]
    finite = (np.isfinite(values) | ~inside).all(axis=1)
    for row in np.flatnonzero(~finite):
        spread = noise(values[row, : lengths[row]])
        spreads[row] = np.nan if spread is None else spread
    rows = np.flatnonzero(finite & (lengths >= _FEWEST))
    if not len(rows):
        return spreads
    some = values[rows]
    with np.errstate(all="ignore"):
        second = np.abs(some[:, :-2] - 2 * some[:, 1:-1] + some[:, 2:])
        second[~inside[rows, 2:]] = np.inf  # sorted behind the others
        second.sort(axis=1)
        count = lengths[rows] - 2
        index = np.arange(len(rows))
        low, high = second[index, (count - 1) // 2], second[index, count // 2]
        middle = np.where(count % 2 == 1, low, (low + high) / 2)
        spread_of_rows = _MAD_SCALE * middle / math.sqrt(6)
    spreads[rows] = np.where(np.isfinite(spread_of_rows), spread_of_rows, np.nan)
    return spreads

"""Improvement at the end: whether a curve was still getting better at its last eval."""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import median

import numpy as np

from replay.data.curve import Curve
from replay.data.types import Floats

__all__ = ["LEAST_OF_RUN", "LEAST_OF_VALUE", "Improvement", "still_improving"]

#: A smaller gain at the end, as a share of the run's whole improvement, is none that training longer is for.
LEAST_OF_RUN = 0.01
#: A smaller gain, as a share of the value itself, is one that logs of four decimals do not show.
LEAST_OF_VALUE = 1e-4
#: Fewest evals of which the quarters are compared.
_FEWEST = 8


class Improvement(StrEnum):
    """How a curve shows that it was still improving at its end."""

    BEST_IS_LAST = "best-is-last"
    WITHIN_NOISE = "within-noise"


def still_improving(
    curve: Curve, *, best: int | None = None, noise: float | None = None
) -> Improvement | None:
    """How a curve shows that it was still improving at its end, None where it does not.

    Either its best value is its last, or, from 8 evals on, its last value is within one noise of the best.
    In both cases the gain at the end must be more than one noise, and at least ``LEAST_OF_RUN`` of the run's
    improvement since its first eval and ``LEAST_OF_VALUE`` of the value. That gain is, from 8 evals on, by
    how much the median of the last quarter is better than that of the quarter before. Where the best value is
    the last, it may also be by how much that is better than all before. ``best`` and ``noise`` are those of
    the curve, where the caller knows them.

    This says that a longer training might have been better. It does not make the outcomes of a complete run
    bounds; see `replay.data.censoring`.
    """
    best = curve.best() if best is None else best
    if best is None or best < 0 or len(curve) < 2:
        return None
    last = float(curve.values[-1])
    if not math.isfinite(last):
        return None
    spread = curve.noise if noise is None else noise
    spread = None if spread is None or math.isnan(spread) else spread
    oriented = curve.values if curve.mode == "min" else -curve.values
    gain = _gain_of_quarter(oriented)
    if best == len(curve) - 1:
        gain = max(gain, _gain_of_last(oriented))
        how = Improvement.BEST_IS_LAST
    elif len(curve) >= _FEWEST and spread is not None and oriented[-1] - oriented[best] <= spread:
        how = Improvement.WITHIN_NOISE
    else:
        return None
    first = oriented[np.isfinite(oriented)][0]
    least = max(LEAST_OF_RUN * float(first - oriented[best]), LEAST_OF_VALUE * abs(last))
    return how if gain > (spread or 0.0) and gain >= least else None


def _gain_of_last(oriented: Floats) -> float:
    """By how much the last value is better than all before; infinite where none of them is finite."""
    before = oriented[:-1][np.isfinite(oriented[:-1])]
    return float(before.min() - oriented[-1]) if len(before) else math.inf


def _gain_of_quarter(oriented: Floats) -> float:
    """By how much the last quarter is better than the quarter before; 0 where there are too few evals."""
    if len(oriented) < _FEWEST:
        return 0.0
    quarter = max(2, len(oriented) // 4)
    last, before = oriented[-quarter:], oriented[-2 * quarter : -quarter]
    if not (np.isfinite(last).any() and np.isfinite(before).any()):
        return 0.0
    # np.median is slow for so few values
    gain: float = median(before[np.isfinite(before)].tolist()) - median(last[np.isfinite(last)].tolist())
    return gain

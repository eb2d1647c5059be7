"""Improvement at the end: whether a curve was still getting better at its last eval."""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import median

import numpy as np

from replay.data.curve import Curve
from replay.data.types import Floats

__all__ = ["Improvement", "still_improving"]


class Improvement(StrEnum):
    """How a curve shows that it was still improving at its end."""

    BEST_IS_LAST = "best-is-last"
    WITHIN_NOISE = "within-noise"


def still_improving(
    curve: Curve, *, best: int | None = None, noise: float | None = None
) -> Improvement | None:
    """How a curve shows that it was still improving at its end, None where it does not.

    Either its best value is its last, or, from 8 evals on, it was improving within noise: the last value is
    within one noise of the best, and the median of the last quarter is better than that of the quarter before
    by more than one noise. ``best`` and ``noise`` are those of the curve, where the caller knows them.

    This says that a longer training might have been better. It does not make the outcomes of a complete run
    bounds; see `replay.data.censoring`.
    """
    best = curve.best() if best is None else best
    if best is None or best < 0 or len(curve) < 2:
        return None
    if best == len(curve) - 1:
        return Improvement.BEST_IS_LAST
    spread = curve.noise if noise is None else noise
    if len(curve) < 8 or spread is None or not math.isfinite(curve.values[-1]):
        return None
    oriented = curve.values if curve.mode == "min" else -curve.values
    if oriented[-1] - oriented[best] <= spread and _improves(oriented, spread):
        return Improvement.WITHIN_NOISE
    return None


def _improves(oriented: Floats, spread: float) -> bool:
    """Whether the last quarter is better than the quarter before by more than the noise."""
    quarter = max(2, len(oriented) // 4)
    last, before = oriented[-quarter:], oriented[-2 * quarter : -quarter]
    if not (np.isfinite(last).any() and np.isfinite(before).any()):
        return False
    # np.median is slow for so few values
    gain: float = median(before[np.isfinite(before)].tolist()) - median(last[np.isfinite(last)].tolist())
    return gain > spread

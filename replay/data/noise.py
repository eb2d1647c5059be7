"""The eval-to-eval noise of a curve."""

from __future__ import annotations

import math

import numpy as np

from replay.data.types import Floats

__all__ = ["noise"]


def noise(values: Floats) -> float | None:
    """Robust estimate of a curve's eval-to-eval noise (one standard deviation), in the metric's unit.

    From second differences, in which a local trend cancels: 1.4826 · median |v[i−1] − 2 v[i] + v[i+1]| / √6.
    None with fewer than 5 finite values.

    Source: Gasser, Sroka & Jennen-Steinmetz, Biometrika 73 (1986) 625, with a median absolute deviation for
    their sum.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 5:
        return None
    with np.errstate(all="ignore"):
        second = finite[:-2] - 2 * finite[1:-1] + finite[2:]
        spread = float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))
    return spread if math.isfinite(spread) else None

"""Intervals of a mean over runs, by bootstrap over groups of runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from replay.run import Floats

__all__ = ["ENOUGH_GROUPS", "interval"]

#: With fewer groups than this an interval is drawn from runs, and speaks of these groups only.
ENOUGH_GROUPS = 3

_DRAWS = 2000
_SEED = 20250101


@lru_cache(maxsize=8)
def _weights(groups: tuple[str, ...], draws: int = _DRAWS) -> Floats:
    """How often each run is drawn in each bootstrap sample of whole groups (draws × runs); seeded."""
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    generator = np.random.Generator(np.random.PCG64(_SEED))
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return drawn[:, member].astype(np.float64)


def interval(values: Floats, groups: Sequence[str], level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over runs, drawing whole groups; (NaN, NaN) with fewer than 2 runs.

    ``values`` has one entry a run, NaN where unknown (left out). With fewer than 3 groups there is nothing to draw groups
    from: runs are drawn, and the interval holds for those groups only. Seeded, so that equal input gives equal output.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Davison & Hinkley, Bootstrap Methods
    and their Application (1997), section 3.8, for drawing groups.
    """
    known = ~np.isnan(values)
    values, groups = values[known], [group for group, here in zip(groups, known, strict=True) if here]
    if len(values) < 2:
        return np.nan, np.nan
    if len(set(groups)) < ENOUGH_GROUPS:
        groups = [str(place) for place in range(len(groups))]
    weights = _weights(tuple(groups))
    total = weights.sum(axis=1)
    means = (weights @ values)[total > 0] / total[total > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

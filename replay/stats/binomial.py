"""Exact bounds of a probability."""

from __future__ import annotations

import math
from functools import lru_cache

__all__ = ["binomial_bounds"]


def binomial_bounds(count: int, total: int, tail: float) -> tuple[float, float]:
    """The exact (Clopper–Pearson) bounds of a probability by which ``count`` of ``total`` came about,
    ``tail`` beyond each.

    Source: Clopper & Pearson, Biometrika 26 (1934) 404.

    Examples
    --------
    >>> [round(bound, 4) for bound in binomial_bounds(3, 10, 0.025)]
    [0.0667, 0.6525]
    """
    low = 0.0 if count == 0 else _bisected(count, total, tail)
    high = 1.0 if count == total else 1 - _bisected(total - count, total, tail)
    return low, high


@lru_cache(maxsize=1024)
def _bisected(count: int, total: int, tail: float) -> float:
    """The probability at which ``count`` or more of ``total`` come about with probability ``tail``."""
    ways = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(count, total + 1)
    ]
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        log, rest = math.log(middle), math.log1p(-middle)
        reached = math.fsum(math.exp(way + k * log + (total - k) * rest) for k, way in enumerate(ways, count))
        low, high = (middle, high) if reached < tail else (low, middle)
    return (low + high) / 2

"""Quantiles of the normal distribution and of Student's t, for rules that state a confidence."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

__all__ = ["normal_quantile", "t_probability", "t_quantile"]


def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable is below with this probability."""
    return NormalDist().inv_cdf(probability)


def t_probability(value: float, freedom: int) -> float:
    """How probable it is that Student's t with a whole number of degrees of freedom is below a value.

    By the finite sums of Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(value / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term, total = 1.0, 1.0 if freedom > 1 else 0.0
    for number in range(1, (freedom - odd) // 2):
        term *= square * (2 * number if odd else 2 * number - 1) / (2 * number + 1 if odd else 2 * number)
        total += term
    if odd:
        return 0.5 + (angle + math.sin(angle) * math.cos(angle) * total) / math.pi
    return 0.5 + math.sin(angle) * total / 2


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """The value ≥ 0 that Student's t is below with a probability from 0.5 up to less than 1, by bisection.

    Examples
    --------
    >>> round(t_quantile(0.95, 8), 4)
    1.8595
    """
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high

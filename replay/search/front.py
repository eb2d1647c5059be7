"""The Pareto front: the policies of which no other saves as much and loses less."""

from __future__ import annotations

import numpy as np

from replay.data.types import Floats, Ints
from replay.stats.ties import levels

__all__ = ["front", "thin"]


def front(saved: Floats, loss: Floats, scale: float = 1.0) -> Ints:
    """Places of the Pareto-optimal policies, from the one that saves most to the one that saves least.

    A policy is left out where another saves at least as much and loses less, or saves more and loses no more,
    and where a figure is NaN; of equal ones the first is kept. Figures that differ by rounding are equal;
    ``scale`` is the scale of the loss (see `replay.stats.ties`).

    Examples
    --------
    >>> front(np.array([0.5, 0.4, 0.4, 0.2]), np.array([0.3, 0.1, 0.2, 0.1])).tolist()
    [0, 1]
    """
    known = np.flatnonzero(~(np.isnan(saved) | np.isnan(loss)))
    gives, loses = levels(-saved[known]), levels(loss[known], scale)
    ranks = np.lexsort((known, loses, gives))
    order = known[ranks]
    least = np.minimum.accumulate(loses[ranks])
    better = np.ones(len(order), dtype=bool)
    better[1:] = least[1:] < least[:-1]
    return order[better]


def thin(front: Ints, most: int) -> Ints:
    """At most ``most`` of a front: both ends, and those between spread evenly."""
    if len(front) <= most:
        return front
    return front[np.unique(np.linspace(0, len(front) - 1, most).round().astype(np.int64))]

"""Ties: when two computed figures count as equal.

Two ways of computing the same figure differ by rounding, about 1e-16 of its scale. A comparison that decides
something, such as a verdict or a limit, must not depend on that. So figures that differ by no more than
``TIE`` of their scale are equal. The scale of a share (``saved``, ``lost``) is 1. Figures in a metric's own
unit (``regret``) have no scale but their own size: pass ``scale=0``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replay.data.types import Bools, Floats, Ints

__all__ = ["TIE", "above", "at_least", "at_most", "below", "levels", "snap", "tied"]

#: Figures that differ by no more than this share of their scale are equal.
TIE = 1e-9


def tied(one: npt.ArrayLike, other: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> Bools:
    """Whether two figures are equal but for rounding; NaN is equal to nothing.

    The difference may be ``TIE`` of the scale or of the larger figure, whichever is larger.
    """
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), scale)
        near: Bools = (a == b) | ((np.abs(a - b) <= TIE * size) & np.isfinite(size))
    return near


def above(one: npt.ArrayLike, other: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> Bools:
    """Whether one figure is larger than another by more than rounding; see `tied`."""
    larger: Bools = np.greater(one, other) & ~tied(one, other, scale)
    return larger


def below(one: npt.ArrayLike, other: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> Bools:
    """Whether one figure is smaller than another by more than rounding; see `tied`."""
    return above(other, one, scale)


def at_most(one: npt.ArrayLike, other: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> Bools:
    """Whether one figure is smaller than another or tied with it; see `tied`."""
    within: Bools = np.less_equal(one, other) | tied(one, other, scale)
    return within


def at_least(one: npt.ArrayLike, other: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> Bools:
    """Whether one figure is larger than another or tied with it; see `tied`."""
    return at_most(other, one, scale)


def snap(values: Floats, scale: npt.ArrayLike = 1.0) -> Floats:
    """The values, with exactly 0 where they are tied with it."""
    return np.where(np.abs(values) <= TIE * np.asarray(scale), 0.0, values)


def levels(values: Floats, scale: float = 1.0) -> Ints:
    """The rank of each value from 0 for the lowest, the same for values that are tied.

    Values count as tied also through values between them. NaN gets the highest rank.

    Examples
    --------
    >>> levels(np.array([0.1 + 0.2, 0.1, 0.3])).tolist()
    [1, 0, 1]
    """
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")  # NaN comes last
    ordered = values[order]
    steps = ~tied(ordered[1:], ordered[:-1], scale)
    steps &= ~(np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])[: len(values)]
    return ranks

"""Sums of floats that do not depend on their order, nor on how they are divided among processes.

A float is a whole number of units of 2 to the power of 28 times some integer, plus a rest that is less than
one such unit. The whole numbers are added without rounding, for one unit after the other, and a sum is
rounded once, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.types import Bools, Floats, Ints

__all__ = ["ExactSums"]

#: Binary digits of a unit. Sums of up to 2^25 whole numbers of these are exact in a float64.
_DIGITS = 28
_MOST_COLUMNS = 2**25
#: Powers of two up to this one, and their inverses, are normal floats.
_NORMAL = 1000


@dataclass(frozen=True, eq=False)
class ExactSums:
    """One exact sum per policy, in a form that can be added up in any order.

    ``parts`` maps the exponent of a unit, as a multiple of 28, to a whole number of these units per policy.
    ``unbounded`` is the sum of the entries that are not finite: 0, infinite or NaN.
    """

    size: int
    parts: Mapping[int, Ints]
    unbounded: Floats

    @classmethod
    def zeros(cls, size: int) -> ExactSums:
        """Sums of nothing."""
        return cls(size, {}, np.zeros(size))

    @classmethod
    def of_rows(cls, values: Floats) -> ExactSums:
        """The sum of each row (policies × runs). Raises ValueError for more than 2^25 columns."""
        if values.shape[1] > _MOST_COLUMNS:
            raise ValueError(f"{values.shape[1]} columns; {_MOST_COLUMNS} can be summed at a time")
        finite = np.isfinite(values)
        unbounded = np.zeros(len(values))
        rest = values
        if not finite.all():
            with np.errstate(invalid="ignore"):
                unbounded = np.where(finite, 0.0, values).sum(axis=1)
            rest = np.where(finite, values, 0.0)
        parts: dict[int, Ints] = {}
        highest = _largest(rest)
        unit = (int(np.frexp(highest)[1]) - 1) // _DIGITS
        while highest:
            whole = _scaled(rest, -_DIGITS * unit)
            np.trunc(whole, out=whole)
            parts[unit] = whole.sum(axis=1).astype(np.int64)
            rest = rest - _scaled(whole, _DIGITS * unit, out=whole)
            highest = _largest(rest)
            unit -= 1
        return cls(len(values), parts, unbounded)

    def repeated(self, times: int) -> ExactSums:
        """The one sum for so many policies."""
        parts = {unit: np.repeat(part, times) for unit, part in self.parts.items()}
        return ExactSums(times, parts, np.repeat(self.unbounded, times))

    def spread(self, members: Sequence[int], size: int) -> ExactSums:
        """The sums as those of some of more policies, by their indices; the others have 0."""

        def spread(values: np.ndarray) -> np.ndarray:
            wide = np.zeros(size, dtype=values.dtype)
            wide[list(members)] = values
            return wide

        return ExactSums(
            size, {unit: spread(part) for unit, part in self.parts.items()}, spread(self.unbounded)
        )

    def __add__(self, other: ExactSums) -> ExactSums:
        parts = dict(self.parts)
        for unit, part in other.parts.items():
            parts[unit] = parts[unit] + part if unit in parts else part
        with np.errstate(invalid="ignore"):
            return ExactSums(self.size, parts, self.unbounded + other.unbounded)

    def only(self, chosen: Bools) -> ExactSums:
        """The sums of the chosen policies; 0 for the others."""
        return ExactSums(
            self.size,
            {unit: np.where(chosen, part, 0) for unit, part in self.parts.items()},
            np.where(chosen, self.unbounded, 0.0),
        )

    def means(self, counts: Ints) -> Floats:
        """Each sum divided by a count, rounded once; NaN where the count is 0."""
        lowest = min(self.parts, default=0)
        shift = max(-_DIGITS * lowest, 0)
        means = np.full(self.size, np.nan)
        columns = [(unit, part.tolist()) for unit, part in self.parts.items()]
        for policy, count in enumerate(counts.tolist()):
            if not count:
                continue
            if self.unbounded[policy]:  # infinite or NaN
                means[policy] = self.unbounded[policy]
                continue
            total = sum(part[policy] << (_DIGITS * unit + shift) for unit, part in columns)
            try:
                means[policy] = total / (count << shift)
            except OverflowError:
                means[policy] = np.inf if total > 0 else -np.inf
        return means

    def sums(self) -> Floats:
        """Each sum, rounded once."""
        return self.means(np.ones(self.size, dtype=np.int64))


def _largest(values: Floats) -> float:
    """The largest absolute value; 0 where there is none."""
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


def _scaled(values: Floats, exponent: int, out: Floats | None = None) -> Floats:
    """The values times two to the power of an exponent, exactly."""
    if abs(exponent) <= _NORMAL:
        scaled: Floats = np.multiply(values, 2.0**exponent, out=out)
        return scaled
    return np.ldexp(values, exponent, out=out)

"""Whether two logged series are of one training: their steps and values, point by point.

Values are equal as float32, or up to the digits of the series that was written with fewer digits. Steps are
equal, or off by one throughout: Lightning calls the step after 50 updates 49.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from replay.data.run import Series
from replay.data.types import Bools, Floats, Ints

__all__ = [
    "Agreement",
    "LoggedCurve",
    "agreement",
    "equal_values",
    "logged_curve",
    "measure_together",
    "printed_digits",
]

#: An eval that a resumed process makes once more differs by as much as two machines compute differently.
_REMADE = 2e-3
#: Of the steps that two logs of one training share, at least this share has equal values.
_MOST = 0.75
#: About so many values of a series are looked at to tell how many different ones it has.
_FEW = 64
#: Series up to this length are measured together.
_LONGEST = 4096


@dataclass
class LoggedCurve:
    """One series of a run, with how many different values it has and how they are written."""

    owner: int
    name: str
    step: Floats
    value: Floats
    held_out: bool

    @cached_property
    def _few(self) -> Floats:
        return self.value[:: max(1, len(self.value) // _FEW)]

    @cached_property
    def distinct(self) -> int:
        """How many different values it has, up to about 64."""
        return len(set(self._few[np.isfinite(self._few)].tolist()))

    @cached_property
    def anchors(self) -> list[tuple[float, float]]:
        """Step and value of the last finite point, which tells runs apart best, and of one in the middle."""
        finite = np.flatnonzero(np.isfinite(self.value))
        places = (int(finite[-1]), int(finite[len(finite) // 2])) if len(finite) else (-1,)
        return [(float(self.step[at]), float(self.value[at])) for at in dict.fromkeys(places)]

    @cached_property
    def _printed(self) -> tuple[int, int]:
        return printed_digits(self._few)

    @property
    def decimals(self) -> int:
        """With how many decimals its values are written."""
        return self._printed[0]

    @property
    def digits(self) -> int:
        """With how many significant digits its values are written."""
        return self._printed[1]


def measure_together(curves: Sequence[LoggedCurve]) -> None:
    """Find how many different values series have, and their anchors; at once for those of the same steps."""
    alike: dict[int, list[LoggedCurve]] = {}
    for curve in curves:
        if 0 < len(curve.step) <= _LONGEST:
            alike.setdefault(id(curve.step), []).append(curve)
    for together in alike.values():
        step = together[0].step
        values = np.stack([curve.value for curve in together])
        finite = np.logical_and.reduce(np.isfinite(values), axis=1)
        ordered = np.sort(values[:, :: max(1, len(step) // _FEW)], axis=1)
        distinct = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
        last, middle = len(step) - 1, len(step) // 2
        at_last, at_middle = float(step[last]), float(step[middle])
        columns = finite, distinct, values[:, last], values[:, middle]
        for curve, is_finite, count, final, half in zip(
            together, *(column.tolist() for column in columns), strict=True
        ):
            if is_finite:
                anchors = [(at_last, final)] if last == middle else [(at_last, final), (at_middle, half)]
                vars(curve).update(distinct=count, anchors=anchors)


class Agreement(NamedTuple):
    """How one series lies inside another.

    ``places`` are the indices of its points in the other, ``shift`` what is added to its steps, ``equal`` the
    number of different values that agree, and ``differing`` the indices in it of the points that do not.
    """

    places: Ints
    shift: float
    equal: int
    differing: tuple[int, ...]

    @property
    def is_prefix(self) -> bool:
        """Whether it is the beginning of the other, point by point."""
        return not self.shift and not self.differing and int(self.places[-1]) == len(self.places) - 1

    def forks(self, other: LoggedCurve) -> bool:
        """Whether the two differ from some step on, and the other goes on beyond that."""
        count = len(self.differing)
        tail = count > 0 and self.differing[0] == len(self.places) - count
        return tail and (count > 1 or int(self.places[-1]) < len(other.step) - 1)


def logged_curve(owner: int, name: str, series: Series, *, held_out: bool) -> LoggedCurve:
    """The series of a run, ready to be compared."""
    return LoggedCurve(owner, name, series.step, series.value, held_out)


def printed_digits(values: Floats) -> tuple[int, int]:
    """Decimals and significant digits of the shortest decimal text of the values, the most among them."""
    decimals = digits = 0
    for value in values.tolist():
        if math.isfinite(value) and value:
            mantissa, _, exponent = f"{value!r}".lower().partition("e")
            whole, _, fraction = mantissa.lstrip("-").partition(".")
            fraction = "" if fraction == "0" else fraction
            decimals = max(decimals, len(fraction) - int(exponent or 0))
            digits = max(digits, len((whole + fraction).strip("0")))
    return decimals, digits


def agreement(curve: LoggedCurve, other: LoggedCurve, *, near: bool) -> Agreement | None:
    """How a series lies inside another; None where its steps do not, or most of its values are others.

    A series that begins in the middle of the other may have a slightly different value there: a resumed
    process evaluates the checkpoint once more. In one training folder (``near``), a series may differ from
    some step on: it is that of a process that was killed, and resumed from before that step. Elsewhere it is
    a run that began with the same checkpoint.
    """
    for shift in (0.0, 1.0, -1.0):
        step = curve.step + shift
        if len(step) > len(other.step) or step[-1] > other.step[-1]:
            continue
        places = np.searchsorted(other.step, step)
        if not np.array_equal(other.step[places], step):
            continue
        same = equal_values(curve, other, places)
        if places[0] and len(same) > 1 and not same[0]:
            a, b = float(curve.value[0]), float(other.value[places[0]])
            same[0] = abs(a - b) <= _REMADE * max(abs(a), abs(b))
        differing = np.flatnonzero(~same)
        equal = len(np.unique(curve.value[same & np.isfinite(curve.value)]))
        if (len(differing) or shift) and equal < (2 if near and not shift else 3):
            continue
        agreed = Agreement(places, shift, equal, tuple(differing.tolist()))
        forks = agreed.forks(other)
        if len(differing) and (shift or (same.mean() < _MOST and not forks) or (forks and not near)):
            continue
        return agreed
    return None


def equal_values(curve: LoggedCurve, other: LoggedCurve, places: Ints) -> Bools:
    """Which points of a series have the same values as those of another at ``places``."""
    a, b = curve.value, other.value[places]
    with np.errstate(over="ignore", invalid="ignore"):
        same = (a.astype(np.float32) == b.astype(np.float32)) | (a == b) | (np.isnan(a) & np.isnan(b))
        finite = np.isfinite(a) & np.isfinite(b)
        gap, size_of = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        # to the digits of the coarser side, and one unit of float32 for the other
        reach = np.zeros(len(a))
        for decimals, digits in ((curve.decimals, curve.digits), (other.decimals, other.digits)):
            if 4 <= digits <= 10:
                exponent = np.floor(np.log10(np.where(finite & (size_of > 0), size_of, 1.0)))
                reach = np.maximum(reach, 0.5 * np.maximum(10.0 ** (exponent - digits + 1), 10.0**-decimals))
        near = finite & (reach > 0) & (gap <= reach * 1.001 + 6e-8 * size_of)
        return np.asarray(same | near)

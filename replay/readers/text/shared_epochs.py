"""The places of entries that print the same rounded epoch, as many evals within 0.01 epochs do.

Entries of one kind come at one logging interval, so a distance that agrees with all their epochs is looked
for. Where there is none, the entries of one epoch are placed at equal distances within what it was rounded
from. An eval that is repeated while its neighbours are far away is the same one again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

__all__ = ["Spread", "roundness", "spread"]

#: Distances that are looked at for a round one.
_MOST = 10_000


class Spread(NamedTuple):
    """The places of entries, and by how much they may be off."""

    places: list[float]
    off: float


def spread(intervals: Sequence[tuple[float, float]], *, whole: bool) -> Spread | None:
    """Places within the intervals that the printed epochs leave, in order; None where no two entries share
    one because of rounding. ``whole`` says that places are whole numbers.
    """
    groups = [(interval, len(list(same))) for interval, same in groupby(intervals)]
    if not any(count > 1 for _, count in groups) or not all(
        _is_rounded(groups, at) for at, (_, count) in enumerate(groups) if count > 1
    ):
        return None
    for first in (1, 0):
        for last in (len(intervals), len(intervals) - 1):
            found = _regular(intervals, first, last, whole=whole)
            if found is not None:
                return found
    places = []
    for (low, high), count in groups:
        begin = max(low, 0.0)
        places += [begin + (high - begin) * (at + 0.5) / count for at in range(count)]
    width = max(high - low for (low, high), _ in groups)
    if whole:
        places = [float(round(place)) for place in places]
    return Spread(places, width / 2) if len(set(places)) == len(places) else None


def _is_rounded(groups: Sequence[tuple[tuple[float, float], int]], at: int) -> bool:
    """Whether the entries of a group lie so close that they were rounded to one epoch: its neighbours are the
    next epochs that can be printed.
    """
    (low, high), _ = groups[at]
    near = [groups[other][0] for other in (at - 1, at + 1) if 0 <= other < len(groups)]
    if not near:
        return low < 0
    return all(abs(other - low) <= 1.5 * (high - low) for other, _ in near)


def _regular(
    intervals: Sequence[tuple[float, float]], first: int, last: int, *, whole: bool
) -> Spread | None:
    """The multiples of one distance that agree with the entries up to ``last``; the one behind them is that
    of the end. The first entry is that of ``first`` distances.
    """
    numbered = list(enumerate(intervals[:last], first))
    if len(numbered) < 3 or (first == 0 and intervals[0][0] > 0):
        return None
    least = max(low / number for number, (low, _) in numbered if number)
    most = min(high / number for number, (_, high) in numbered if number)
    if not most > 0 or least > most * (1 + 1e-9):
        return None
    least = min(least, most)
    every = _whole_between(least, most) if whole else _short_between(max(least, 0.0), most)
    if every is None:
        return None
    places = [number * every for number, _ in numbered]
    for low, high in intervals[last:]:
        if high <= places[-1]:
            return None
        places.append((max(low, places[-1]) + high) / 2)
    off = max(every - least, most - every) * len(numbered)
    return Spread([float(round(place)) for place in places] if whole else places, off)


def _whole_between(least: float, most: float) -> float | None:
    """The roundest whole number of two bounds."""
    numbers = range(max(math.ceil(least), 1), math.floor(most) + 1)[:_MOST]
    return float(max(numbers, key=roundness)) if numbers else None


def _short_between(least: float, most: float) -> float | None:
    """The number with the fewest digits between two bounds."""
    middle = (least + most) / 2
    for digits in range(1, 12):
        short = float(f"{middle:.{digits}g}")
        if least <= short <= most and short > 0:
            return short
    return middle if middle > 0 else None


def roundness(number: int) -> int:
    """How round a number is: 100 more than 50, that more than 10 and 5."""
    digits = str(number)
    rest = digits.rstrip("0")
    return 2 * (len(digits) - len(rest)) + rest.endswith("5")

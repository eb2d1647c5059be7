"""Processes of one training: in which order they logged, and whether one goes on where another ended.

A training that is killed and resumed has one log per process where its tool begins a new file or folder then.
Steps decide, and times where they are known: the clocks of two machines may differ, so a process that begins
in the middle of the training follows the one that led there, whatever their clocks say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Span", "begins_in_the_middle", "begins_later", "goes_on_from", "process_order"]

#: The distance of two entries of one series may vary by this much around the usual one.
_REACH = 1.6


@dataclass(frozen=True)
class Span:
    """What one process logged: the steps of each series, by a name that all processes share.

    ``began`` and ``ended`` are the times of its first and last entry in seconds since 1970, None where the
    log has no times.
    """

    steps: Mapping[str, npt.NDArray[np.float64]]
    began: float | None = None
    ended: float | None = None

    @cached_property
    def _least(self) -> dict[int, float]:
        """The first step of each array of steps by its `id`; series may share one."""
        arrays = {id(step): step for step in self.steps.values() if len(step)}
        return {key: float(step.min()) for key, step in arrays.items()}

    @cached_property
    def first(self) -> float:
        """The first step of any series."""
        return min(self._least.values(), default=np.inf)

    @cached_property
    def last(self) -> float:
        """The last step of any series."""
        arrays = {id(step): step for step in self.steps.values() if len(step)}
        return max((float(step.max()) for step in arrays.values()), default=-np.inf)

    @cached_property
    def begins(self) -> frozenset[tuple[str, float]]:
        """The first step of each series."""
        least = self._least
        return frozenset((name, least[id(step)]) for name, step in self.steps.items() if len(step))


def begins_later(later: Span, earlier: Span) -> bool:
    """Whether ``later`` begins after ``earlier``, in all or in a series that both have."""
    if later.begins == earlier.begins:
        return False
    first = dict(earlier.begins)
    return later.first > earlier.first or any(begin > first.get(name, np.inf) for name, begin in later.begins)


def goes_on_from(later: Span, earlier: Span) -> bool:
    """Whether the steps of ``later`` go on where those of ``earlier`` ended, or before that.

    It begins in the middle of a training and after the first step of ``earlier``, with the next entry that
    was due or one that ``earlier`` has as well, and comes further. The series that both logged most often
    decides.
    """
    common = [
        name for name in later.steps if len(earlier.steps.get(name, ())) > 0 and len(later.steps[name]) > 0
    ]
    if not common:
        return False
    name = max(common, key=lambda one: len(earlier.steps[one]) + len(later.steps[one]))
    old, new = earlier.steps[name], later.steps[name]
    spacing = max(_spacing(old) or 0.0, _spacing(new) or 0.0)
    begin, end = float(new.min()), float(old.max())
    if not begin > float(old.min()) or not later.last > earlier.last:
        return False
    if begin <= 1.01 * (_spacing(new[:6]) or 0.0):
        return False  # the first entry of a training from the begin
    if not spacing:  # a single entry each: only what comes right after the other can follow it
        return begin <= 2 * end
    return begin <= end + _REACH * spacing


def _spacing(step: npt.NDArray[np.float64]) -> float | None:
    distances = np.diff(np.unique(step))
    return float(np.median(distances)) if len(distances) else None


def begins_in_the_middle(span: Span) -> bool:
    """Whether a series of a process does not begin with the first entry of a training."""
    return any(
        len(step) and float(step.min()) > 1.01 * (_spacing(step[:6]) or 0.0) for step in span.steps.values()
    )


def process_order(spans: Sequence[Span]) -> list[int]:
    """The order of processes that logged into one place, as indices: by their times, unless the steps say
    that a clock was wrong.

    A process that begins where no process before it led is put behind the one that does.
    """

    def ready(number: int) -> bool:
        span = spans[number]
        if span.first <= least or any(goes_on_from(span, spans[other]) for other in reversed(order)):
            return True
        # no circle is possible: a process that goes on comes further than the one before
        return not any(goes_on_from(span, spans[other]) for other in waiting if other != number)

    waiting = sorted(range(len(spans)), key=lambda number: spans[number].began or 0.0)
    least = min((span.first for span in spans), default=0.0)
    order: list[int] = []
    while waiting:
        order.append(waiting.pop(next(place for place, number in enumerate(waiting) if ready(number))))
    return order

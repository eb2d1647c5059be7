"""What follows from the steps alone of a run: its evals, and which points belong to which of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import Column, Run, Series
from replay.data.types import Bools, Floats, Ints
from replay.readers.points import StepOrder
from replay.readers.shared_arrays import shared

__all__ = ["Layout"]

_BEGIN = np.zeros(1, dtype=np.int64)


class Layout:
    """The evals of a run, and how its columns are made of its series.

    ``steps`` are those of each name, ascending. ``held_out``, ``epoch``, ``counters`` and ``companions`` are
    those of `replay.readers.assemble.assemble`.
    """

    def __init__(
        self,
        steps: Mapping[str, Floats],
        held_out: Collection[str],
        epoch: str | None,
        counters: Mapping[str, str],
        companions: Mapping[str, str],
    ) -> None:
        self._steps = steps
        self._metrics = [name for name in steps if name in held_out]
        self._epoch = epoch if epoch in steps else None
        at_evals = _all_steps([steps[name] for name in self._metrics])
        self._evals = _Evals(at_evals)
        self._checked = StepOrder().ascends(at_evals)
        self._measures = [
            (name, target, name in counters)
            for name, target in [*counters.items(), *companions.items()]
            if name in steps
        ]
        clocks = (name for name, target in companions.items() if target == "wall_time")
        aside = {epoch, *held_out, *counters, *clocks}
        self._train = [name for name in steps if name not in aside]
        # the epoch is logged in the rows of the training and of the evals, which need not have one distance
        head = _missing_head({name: one for name, one in steps.items() if name != epoch} or steps)
        facts = {"step": head}
        self._findings = () if head is None else (Finding(Kind.MISSING_HEAD, Severity.NOTE, facts=facts),)
        self._last = max((float(one[-1]) for one in steps.values() if len(one)), default=0.0)

    def run(
        self,
        run_id: str,
        values: Mapping[str, Floats],
        info: RunInfo,
        findings: Sequence[Finding] = (),
        segments: Mapping[str, Floats] | None = None,
    ) -> Run:
        """The run of values that were logged at these steps.

        ``findings`` are added to those of ``info``; ``segments`` hold the number of each point's segment.
        """
        columns = self._columns(values, segments)
        for column in columns.values():
            column.values.flags.writeable = False  # so that the run need not copy it
        changes: dict[str, Any] = {"trained_steps": self._last}
        if values and info.trained_steps:
            changes["trained_steps"] = max(self._last, float(info.trained_steps))
        if findings or self._findings:
            changes["findings"] = (*info.findings, *findings, *self._findings)
        train = {name: Series(self._steps[name], values[name]) for name in self._train}
        return (Run.of_parts if self._checked else Run)(run_id, columns, info.replace(**changes), train)

    def _columns(
        self, values: Mapping[str, Floats], segments: Mapping[str, Floats] | None
    ) -> dict[str, Column]:
        steps, evals = self._steps, self._evals
        columns: dict[str, Column] = {"step": Column(evals.steps, evals.every)}
        if self._epoch is not None:
            columns["epoch"] = evals.last(steps[self._epoch], values[self._epoch])
        if segments is not None and self._metrics:
            number = np.zeros(len(evals.steps))
            for name in self._metrics:
                number[np.searchsorted(evals.steps, steps[name])] = segments[name]
            columns["segment"] = Column(number, evals.every)
        for name, target, is_counter in self._measures:
            if target in columns:
                continue
            if target == "train_loss":
                column = evals.mean_since(steps[name], values[name])
            elif target.startswith("eval_"):
                column = evals.exact(steps[name], values[name])
            else:
                column = evals.last(steps[name], values[name])
            if (is_counter and not _is_finite(column)) or not _has_any(column, evals):
                continue
            columns[target] = column
        for name in self._metrics:
            column = evals.exact(steps[name], values[name])
            columns[name if name not in columns else f"{name} (metric)"] = column
        return columns


def _is_finite(column: Column) -> bool:
    return bool(np.logical_and.reduce(np.isfinite(column.values[column.present])))


def _has_any(column: Column, evals: _Evals) -> bool:
    return len(evals.steps) > 0 if column.present is evals.every else bool(column.present.any())


def _missing_head(steps: Mapping[str, Floats]) -> float | None:
    """The first step, if it comes much later than the distance of the next points suggests; else None.

    Such a log begins in the middle: its writer began a new file when the training was resumed.
    """
    if not steps:
        return None
    first = min(steps.values(), key=lambda one: float(one[0]))
    begin = first[:6].tolist()
    distances = sorted(later - earlier for earlier, later in pairwise(begin))
    if len(begin) < 3:
        return None
    middle = len(distances) // 2
    usual = distances[middle] if len(distances) % 2 else (distances[middle - 1] + distances[middle]) / 2
    return float(begin[0]) if begin[0] > 2.5 * usual else None


def _all_steps(steps: Sequence[Floats]) -> Floats:
    """All steps of some series, each of them ascending."""
    distinct = list({id(step): step for step in steps}.values())
    if len(distinct) == 1:
        return distinct[0]
    return np.unique(np.concatenate(distinct)) if distinct else np.empty(0)


class _Place(NamedTuple):
    """Which points of a series belong to the evals: the place of each one's point, and which evals have one.

    ``whole`` says that all have the one of their own number.
    """

    points: Ints
    present: Bools
    whole: bool = False


class _Groups(NamedTuple):
    """The points since the eval before: the place of the first, and how many there are, for each eval."""

    low: Ints
    counts: Ints
    present: Bools
    several: frozenset[int]


class _Evals:
    """The steps of all evals, and columns with the values of a series at them; ``every`` are all evals.

    Series share their arrays of steps, so what is found for one of them is kept.
    """

    def __init__(self, steps: Floats) -> None:
        self.steps = shared(steps)
        self.every = shared(np.ones(len(steps), dtype=bool))
        self._exact: dict[int, _Place] = {}
        self._last: dict[int, _Place] = {}
        self._since: dict[int, _Groups] = {}

    def exact(self, step: Floats, value: Floats) -> Column:
        """The values that were logged at the steps of the evals."""
        place = self._exact.get(id(step))
        if place is None:
            place = self._exact[id(step)] = self._find_exact(step)
        return self._take(place, value)

    def last(self, step: Floats, value: Floats) -> Column:
        """The last value at or before each eval."""
        place = self._last.get(id(step))
        if place is None:
            place = self._last[id(step)] = self._find_last(step)
        return self._take(place, value)

    def mean_since(self, step: Floats, value: Floats) -> Column:
        """Mean of the points after the eval before and up to each one."""
        groups = self._since.get(id(step))
        if groups is None:
            groups = self._since[id(step)] = self._find_since(step)
        low, counts, present, several = groups
        if len(several) == 1 and (count := max(several)) > 1:  # an eval every so many entries
            cells = value[: count * len(counts)].reshape(-1, count)
            return Column(np.add.reduce(cells, axis=1) / count, self.every)
        values = np.full(len(counts), np.nan)
        for count in several - {0}:
            at = counts == count
            first = low[at]
            if count == 1:
                values[at] = value[first]
            else:
                cells = value[first[:, None] + np.arange(count)]
                values[at] = np.add.reduce(cells, axis=1) / count
        return Column(values, present)

    def _take(self, place: _Place, value: Floats) -> Column:
        if place.whole:
            return Column(value, self.every)
        if place.present is self.every:
            return Column(value[place.points], self.every)
        values = np.full(len(self.steps), np.nan)
        values[place.present] = value[place.points]
        return Column(values, place.present)

    def _find_exact(self, step: Floats) -> _Place:
        steps = self.steps
        if step is steps or (len(step) == len(steps) and (step == steps).all()):
            return self._whole()
        index = np.searchsorted(step, steps)
        at = np.minimum(index, max(len(step) - 1, 0))
        present = (step[at] == steps) & (index < len(step)) if len(step) else np.zeros(len(steps), dtype=bool)
        return _Place(index[present], shared(present))

    def _find_last(self, step: Floats) -> _Place:
        if step is self.steps:
            return self._whole()
        index = self._reach(step)
        if not len(index) or index[0] >= 0:
            return _Place(index, self.every)
        present = index >= 0
        return _Place(index[present], shared(present))

    def _find_since(self, step: Floats) -> _Groups:
        high = self._reach(step) + 1
        low = np.concatenate([_BEGIN, high[:-1]])[: len(high)]
        counts = high - low
        return _Groups(low, counts, shared(counts > 0), frozenset(counts.tolist()))

    def _whole(self) -> _Place:
        return _Place(np.arange(len(self.steps)), self.every, whole=True)

    def _reach(self, step: Floats) -> Ints:
        """The place of the last of some steps at or before each eval; −1 where there is none."""
        return np.searchsorted(step, self.steps, side="right") - 1

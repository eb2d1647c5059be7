"""Running means of runs, and a scheduler that compares a run's best value with the median of the others'."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import numpy as np

from replay.data.types import Floats
from replay.policies.across import CONTINUE, PAUSE, STOP, Scheduler

__all__ = ["MeansScheduler", "RunningMeans", "prefix_means"]

#: With more moments than this many times the evals of a run, means are looked up and not kept in order.
_MOST_MOMENTS = 8


def prefix_means(values: Sequence[float]) -> list[float]:
    """The mean of the first values, for each number of them, bit for bit that of numpy."""
    array = np.array(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        return [float(array[: count + 1].mean()) for count in range(len(array))]


class RunningMeans:
    """The mean of each run's reports from ``grace`` up to each moment at which some run reports.

    ``moments`` are these, in ascending order. ``at`` has the index of the moment of each report of each run
    (−1: before ``grace``). ``table`` has the means (runs × moments, NaN after a run's last report, and where
    a mean is not finite), and ``repeated`` the mean at a run's last moment if its last report counts twice.
    """

    def __init__(
        self, values: Sequence[Sequence[float]], progress: Sequence[Sequence[float]], grace: float
    ) -> None:
        late = [[index for index, amount in enumerate(row) if amount >= grace] for row in progress]
        self.moments = sorted(
            {row[index] for row, indices in zip(progress, late, strict=True) for index in indices}
        )
        place = {moment: index for index, moment in enumerate(self.moments)}
        self.at = [[place.get(amount, -1) for amount in row] for row in progress]
        self.last = np.array([row[-1] if row else -1 for row in self.at], dtype=np.int64)
        self.table = np.full((len(values), len(self.moments)), np.nan)
        self.repeated = np.full(len(values), np.nan)
        for run, (row, indices) in enumerate(zip(values, late, strict=True)):
            if not indices:
                continue
            begin = indices[0]
            means = prefix_means([row[index] for index in indices])
            ends = [self.at[run][index] for index in indices]
            for mean, moment, after in zip(means, ends, [*ends[1:], ends[-1] + 1], strict=True):
                self.table[run, moment:after] = mean
            with np.errstate(all="ignore"):
                self.repeated[run] = np.mean([*row[begin:], row[-1]])
        self.table[~np.isfinite(self.table)] = np.nan
        longest = max((len(row) for row in values), default=0)
        self.sparse = len(self.moments) > _MOST_MOMENTS * longest
        self.rows: list[list[float]] = [] if self.sparse else self.table.tolist()


class MeansScheduler(Scheduler):
    """Stops a run whose best value so far is ``worse`` than the median of the other runs' running means.

    Only runs with a report at least as late are looked at, or, with ``completed``, only those that have also
    trained to the end. With fewer than ``least`` of them the run goes on, or pauses with ``pauses``. With
    ``repeats``, the last report of a finished run counts twice in its last mean.
    """

    def __init__(
        self,
        means: RunningMeans,
        bests: Sequence[Sequence[float]],
        worse: Callable[[float, float], bool],
        least: int,
        *,
        pauses: bool = False,
        completed: bool = False,
        repeats: bool = False,
    ) -> None:
        self._means, self._bests, self._worse, self._least = means, bests, worse, least
        self._few, self._completed, self._repeats = (PAUSE if pauses else CONTINUE), completed, repeats
        self._reached = [-1] * len(bests)
        self._ordered: list[list[float]] = [] if means.sparse else [[] for _ in means.moments]
        self._known = np.full(len(bests), -1)
        self._finished = np.zeros(len(bests), dtype=bool)

    def _advance(self, run: int, moment: int) -> None:
        """Enter the run's means up to a moment."""
        begin, self._reached[run] = self._reached[run] + 1, moment
        if self._means.sparse:
            self._known[run] = moment
            return
        row = self._means.rows[run]
        for here in range(begin, moment + 1):
            if (mean := row[here]) == mean:
                insort(self._ordered[here], mean)

    def report(self, run: int, eval: int) -> int:
        moment = self._means.at[run][eval]
        if moment < 0:
            return CONTINUE
        if not self._completed:
            self._advance(run, moment)
        median = self._median_of_others(run, moment)
        if median is None:
            return self._few
        return STOP if self._worse(self._bests[run][eval], median) else CONTINUE

    def end(self, run: int, stopped: bool) -> None:
        at = self._means.at[run]
        if stopped or not at or at[-1] < 0:
            return
        if self._completed:
            self._advance(run, at[-1])
        if self._repeats and self._reached[run] == at[-1]:
            mean, again = float(self._means.table[run, at[-1]]), float(self._means.repeated[run])
            if self._means.sparse:
                self._finished[run] = True
                return
            ordered = self._ordered[at[-1]]
            if mean == mean:
                del ordered[bisect_left(ordered, mean)]
            if math.isfinite(again):
                insort(ordered, again)

    def _median_of_others(self, run: int, moment: int) -> float | None:
        """The median of the other runs' means at a moment; None where there are too few."""
        if self._means.sparse:
            others = self._look_up(run, moment)
            return None if len(others) < self._least else float(np.median(others))
        ordered = self._ordered[moment]
        own = math.nan if self._completed else self._means.rows[run][moment]
        skip = bisect_left(ordered, own) if own == own else len(ordered)
        count = len(ordered) - (own == own)
        if count < self._least:
            return None
        high = count // 2
        upper = ordered[high + (high >= skip)]
        if count % 2:
            return upper
        low = high - 1
        return (ordered[low + (low >= skip)] + upper) / 2

    def _look_up(self, run: int, moment: int) -> Floats:
        table = self._means.table[:, moment]
        if self._repeats:
            table = np.where(self._finished & (self._means.last == moment), self._means.repeated, table)
        there = (self._known >= moment) & np.isfinite(table)
        there[run] = False
        others: Floats = table[there]
        return others

"""Syne Tune's schedulers that stop runs: AsynchronousSuccessiveHalving (ASHA) and MedianStoppingRule."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.policies.across import (
    CONTINUE,
    STOP,
    AcrossRuns,
    Prepared,
    Scheduler,
    progress_rows,
    value_rows,
)
from replay.policies.param import param
from replay.policies.rungs import (
    Judge,
    Ranked,
    RungScheduler,
    asked_evals,
    brackets_up_to,
    check_rungs,
)
from replay.policies.running_means import prefix_means

__all__ = ["SyneAsha", "SyneMedian"]


@dataclass(frozen=True)
class SyneAsha(AcrossRuns):
    """Syne Tune's ASHA: stops a run at a rung if more than 1/reduction_factor of the values there are better.

    The run itself counts among the values, so that with reduction_factor 2 far fewer runs stop than in Ray
    Tune. Rungs, brackets, max_t and the rung that a report goes to are those of Ray Tune.

    Source: syne-tune 0.16.0, optimizer/schedulers/asha.py.
    """

    name: ClassVar[str] = "syne-asha"
    checked_against: ClassVar[str | None] = "syne-tune 0.16.0"

    reduction_factor: float = param("halving rate", 3.0, aliases=("reduction",))
    grace_period: float = param("the first rung, in the unit", 1.0, aliases=("grace",))
    max_t: float = param("runs stop here, and there are rungs up to here, in the unit", 100.0)
    brackets: int = param("brackets, each of which begins one rung later", 1, minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rungs(self.name, self.reduction_factor, self.grace_period, self.max_t)

    def prepare(self, batch: CurveBatch) -> Prepared:
        values, progress = value_rows(batch, oriented=True), progress_rows(batch, self.unit)
        visits, finals, shares = brackets_up_to(
            progress, self.grace_period, self.max_t, self.reduction_factor, self.brackets
        )
        judge = _below_share(self.reduction_factor)
        return Prepared(
            asked_evals(visits, len(values)),
            lambda rng: RungScheduler(values, visits, finals, shares, judge, rng),
        )


def _below_share(factor: float) -> Judge:
    most = 1 / factor

    def judge(rung: Ranked, value: float) -> int:
        odd = rung.unknown or value != value
        better = _rank_with_nan(rung, value) if odd else rung.below(value)
        rung.add(value)
        return STOP if len(rung) > 1 and better / len(rung) > most else CONTINUE

    return judge


def _rank_with_nan(rung: Ranked, value: float) -> int:
    """The rank that sorted and numpy's searchsorted give among values with NaN, as they arrived."""
    arrived = np.array([*rung.arrived, value])
    return int(np.searchsorted(sorted(arrived), arrived)[-1])


@dataclass(frozen=True)
class SyneMedian(AcrossRuns):
    """Syne Tune's MedianStoppingRule: stops a run whose running mean ranks below the median at the same step.

    The running mean of a run's reports is ranked among those of all runs that reported at exactly this step
    before, and its own. It stops where the share of better ones is above rank_cutoff, from grace_time and
    grace_population values on. Runs that share no steps are never compared.

    Source: syne-tune 0.16.0, optimizer/schedulers/median_stopping_rule.py.
    """

    name: ClassVar[str] = "syne-median"
    checked_against: ClassVar[str | None] = "syne-tune 0.16.0"

    grace_time: float = param("from where on runs stop, in the unit", 1.0, aliases=("grace",))
    grace_population: int = param("the least number of values at a step, its own included", 5, minimum=0)
    rank_cutoff: float = param("the share of better values that is tolerated", 0.5, minimum=0)
    running_average: bool = param("whether running means are compared, not values", True)

    def prepare(self, batch: CurveBatch) -> Prepared:
        values, progress = value_rows(batch, oriented=True), progress_rows(batch, self.unit)
        compared = [prefix_means(row) if self.running_average else row for row in values]
        return Prepared(
            [list(range(len(row))) for row in values],
            lambda rng: _SameStep(self, compared, progress),
        )


class _SameStep(Scheduler):
    """Ranks values among those at the same step."""

    def __init__(
        self, rule: SyneMedian, values: Sequence[Sequence[float]], progress: Sequence[Sequence[float]]
    ) -> None:
        self._rule, self._values, self._progress = rule, values, progress
        self._numbers: dict[float, list[float]] = {}
        self._unknown: dict[float, int] = {}

    def report(self, run: int, eval: int) -> int:
        step, value = self._progress[run][eval], self._values[run][eval]
        numbers = self._numbers.setdefault(step, [])
        if value == value:
            better = bisect_left(numbers, value)
            insort(numbers, value)
        else:  # numpy puts NaN behind everything
            better = len(numbers)
            self._unknown[step] = self._unknown.get(step, 0) + 1
        count = len(numbers) + self._unknown.get(step, 0)
        rule = self._rule
        if count < rule.grace_population or step < rule.grace_time:
            return CONTINUE
        return STOP if better / count > rule.rank_cutoff else CONTINUE

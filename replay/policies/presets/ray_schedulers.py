"""Ray Tune's schedulers that stop runs: AsyncHyperBandScheduler (ASHA) and MedianStoppingRule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from replay.data.curve import CurveBatch
from replay.policies.across import CONTINUE, STOP, AcrossRuns, Prepared, progress_rows, value_rows
from replay.policies.param import param
from replay.policies.rungs import (
    Judge,
    Ranked,
    RungScheduler,
    asked_evals,
    brackets_up_to,
    check_rungs,
    linear_quantile,
)
from replay.policies.running_means import MeansScheduler, RunningMeans

__all__ = ["RayAsha", "RayMedian"]


@dataclass(frozen=True)
class RayAsha(AcrossRuns):
    """Ray Tune's ASHAScheduler: stops a run at a rung if it is worse than a quantile of those before it.

    Rungs are at grace_period · reduction_factor^k up to max_t. The cutoff is the quantile 1 − 1 /
    reduction_factor of the values recorded before, by linear interpolation; a run stops where it is strictly
    worse. A report goes to the highest rung that it reaches and the run has not been recorded at, so that
    with sparse evals a later, better value fills a lower rung. The last report of a finished run counts once
    more. NaN goes on. Runs stop at max_t. With several brackets, each run is drawn into one.

    Source: ray 2.60.0, tune/schedulers/async_hyperband.py.
    """

    name: ClassVar[str] = "ray-asha"
    checked_against: ClassVar[str | None] = "ray 2.60.0"

    reduction_factor: float = param("halving rate", 4.0, aliases=("reduction",))
    grace_period: float = param("the first rung, in the unit", 1.0, aliases=("grace",))
    max_t: float = param("runs stop here, and there are rungs up to here, in the unit", 100.0)
    brackets: int = param("brackets, each of which begins one rung later", 1, minimum=1)
    stop_last_trials: bool = param("whether runs stop at max_t", True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rungs(self.name, self.reduction_factor, self.grace_period, self.max_t)

    def prepare(self, batch: CurveBatch) -> Prepared:
        progress = progress_rows(batch, self.unit)
        # Ray maximises: it multiplies by −1 where lower is better
        rewards = [[-value if batch.mode == "min" else value for value in row] for row in value_rows(batch)]
        visits, finals, shares = brackets_up_to(
            progress,
            self.grace_period,
            self.max_t,
            self.reduction_factor,
            self.brackets,
            endless=not self.stop_last_trials,
        )
        judge = _above_quantile(self.reduction_factor)
        return Prepared(
            asked_evals(visits, len(rewards)),
            lambda rng: RungScheduler(rewards, visits, finals, shares, judge, rng),
        )


def _above_quantile(factor: float) -> Judge:
    share = (1 - 1 / factor) * 100 / 100

    def judge(rung: Ranked, value: float) -> int:
        stop = value < linear_quantile(rung.numbers, share)
        rung.add(value)
        return STOP if stop else CONTINUE

    return judge


@dataclass(frozen=True)
class RayMedian(AcrossRuns):
    """Ray Tune's MedianStoppingRule: stops a run whose best is worse than the median of the others' means.

    From grace_period on, a run's best value so far is compared with the median, over all other runs with a
    report as late as this one, of the mean of their reports from grace_period to now. Means that are not
    finite are left out. A run stops where it is strictly worse, and where its first value is NaN. With fewer
    than min_samples_required means it goes on, but is paused while other runs wait for a worker.

    Source: ray 2.60.0, tune/schedulers/median_stopping_rule.py, with hard_stop.
    """

    name: ClassVar[str] = "ray-median"
    checked_against: ClassVar[str | None] = "ray 2.60.0"

    grace_period: float = param("from where on runs are compared, in the unit", 1.0, aliases=("grace",))
    min_samples_required: int = param("the least number of other runs", 3, minimum=1)

    def prepare(self, batch: CurveBatch) -> Prepared:
        progress = progress_rows(batch, self.unit)
        values = value_rows(batch)
        means = RunningMeans(values, progress, self.grace_period)
        bests = [_python_best(row, batch.mode == "min") for row in values]
        lower = batch.mode == "min"

        def worse(best: float, median: float) -> bool:
            # as Ray writes it: min(median, best) != best, where NaN is equal to nothing
            return not (best < median if lower else best > median) and median != best

        return Prepared(
            [list(range(len(row))) for row in values],
            lambda rng: MeansScheduler(
                means, bests, worse, self.min_samples_required, pauses=True, repeats=True
            ),
        )


def _python_best(values: list[float], lower: bool) -> list[float]:
    """The best value up to each eval as Python's min and max find it: a NaN at the beginning stays."""
    out: list[float] = []
    best = math.nan
    for index, value in enumerate(values):
        if not index or (value < best if lower else value > best):
            best = value
        out.append(best)
    return out

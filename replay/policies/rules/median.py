"""Median: stop a run whose best value is worse than the median of what completed runs had on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.policies.across import AcrossRuns, Prepared, progress_rows, value_rows
from replay.policies.param import param
from replay.policies.running_means import MeansScheduler, RunningMeans

__all__ = ["Median"]


@dataclass(frozen=True)
class Median(AcrossRuns):
    """The median rule of Vizier: stop a run whose best is worse than the median mean of completed runs.

    A run's best value so far is compared with the median, over the runs that have trained to the end and got
    at least as far, of the mean of their values from GRACE to here. It stops where it is strictly worse, and
    where it has only NaN. With fewer than MIN_RUNS of them it goes on.

    Source: Golovin, Solnik, Moitra, Kochanski, Karro & Sculley, Google Vizier, KDD 2017, section 3.1.2.
    """

    name: ClassVar[str] = "median"

    grace: float = param("from where on runs are compared, in the unit", 1.0, minimum=0)
    min_runs: int = param("the least number of completed runs", 5, minimum=1)

    def prepare(self, batch: CurveBatch) -> Prepared:
        values, progress = value_rows(batch, oriented=True), progress_rows(batch, self.unit)
        means = RunningMeans(values, progress, self.grace)
        bests = [np.fmin.accumulate(row).tolist() for row in values]  # fmin leaves NaN out
        return Prepared(
            [list(range(len(row))) for row in values],
            lambda rng: MeansScheduler(
                means, bests, lambda best, median: not best <= median, self.min_runs, completed=True
            ),
        )

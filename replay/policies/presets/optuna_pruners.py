"""Optuna's pruners that compare trials: successive halving, Hyperband, median and percentile."""

from __future__ import annotations

import math
from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.errors import PolicyError
from replay.policies.across import CONTINUE, STOP, AcrossRuns, Prepared, Scheduler, progress_rows
from replay.policies.param import format_parameter, param
from replay.policies.rungs import Ranked, linear_quantile

__all__ = ["OptunaHalving", "OptunaHyperband", "OptunaMedian", "OptunaPercentile"]

_VERSION = "optuna 5.0.0"


class _Reports:
    """What trials report: whole steps, and the value that counts at each report.

    A second report at a step is ignored, so that the first one counts there.
    """

    def __init__(self, batch: CurveBatch, unit: str) -> None:
        self.steps = [[int(amount) for amount in row] for row in progress_rows(batch, unit)]
        self.mode: Mode = batch.mode
        self.values: list[list[float]] = []
        for row, steps in zip(batch.values, self.steps, strict=True):
            first: dict[int, float] = {}
            self.values.append(
                [first.setdefault(step, value) for step, value in zip(steps, row.tolist(), strict=False)]
            )

    @property
    def all_evals(self) -> list[list[int]]:
        """Every eval of each run."""
        return [list(range(len(row))) for row in self.steps]


class _Halving(Scheduler):
    """SuccessiveHalvingPruner, for the trials of one bracket."""

    def __init__(self, reports: _Reports, least: int | None, factor: int, rate: int, bootstrap: int) -> None:
        self._reports, self._least, self._factor = reports, least, factor
        self._rate, self._bootstrap = rate, bootstrap
        self._sign = 1.0 if reports.mode == "min" else -1.0
        self._rungs: list[Ranked] = []
        self._rung_of: dict[int, int] = {}
        self._furthest: int | None = None

    def end(self, run: int, stopped: bool) -> None:
        steps = self._reports.steps[run]
        if not stopped and steps:
            self._furthest = max(steps[-1], self._furthest or 0)

    def report(self, run: int, eval: int) -> int:
        if self._least is None:
            if self._furthest is None:
                return CONTINUE
            self._least = max(self._furthest // 100, 1)
        step, value = self._reports.steps[run][eval], self._reports.values[run][eval]
        for rung in count(self._rung_of.get(run, 0)):
            if step < self._least * self._factor ** (self._rate + rung):
                return CONTINUE
            if value != value:
                return STOP
            self._rung_of[run] = rung + 1
            if rung == len(self._rungs):
                self._rungs.append(Ranked())
            ranked = self._rungs[rung]
            oriented = self._sign * value
            ranked.add(oriented)
            if len(ranked) <= self._bootstrap:
                return STOP
            if oriented > ranked.numbers[max(len(ranked) // self._factor - 1, 0)]:
                return STOP
        return CONTINUE


@dataclass(frozen=True)
class OptunaHalving(AcrossRuns):
    """Optuna's SuccessiveHalvingPruner: prunes a trial at a rung unless it is in the best 1/reduction_factor.

    Rungs are at min_resource · reduction_factor^(min_early_stopping_rate + k). A trial goes on if it is as
    good as the best n // reduction_factor of the n values at the rung, its own included, or, of the first
    ones, if it is the best. It passes all rungs that it has reached at once. NaN at a rung is pruned. With
    min_resource 0 (in Optuna "auto") it is a hundredth of the first completed trial's steps, at least 1, and
    nothing is pruned before.

    Source: optuna 5.0.0, pruners/_successive_halving.py.
    """

    name: ClassVar[str] = "optuna-halving"
    checked_against: ClassVar[str | None] = _VERSION

    min_resource: int = param("the first rung, in the unit (0: auto)", 0, minimum=0, aliases=("grace",))
    reduction_factor: int = param("halving rate", 4, minimum=2, aliases=("reduction",))
    min_early_stopping_rate: int = param("rungs left out at the beginning", 0, minimum=0)
    bootstrap_count: int = param("trials that a rung needs before one goes on", 0, minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bootstrap_count and not self.min_resource:
            raise PolicyError(
                f"{self.name}: bootstrap_count={self.bootstrap_count} needs min_resource of at least 1"
            )

    def prepare(self, batch: CurveBatch) -> Prepared:
        reports = _Reports(batch, self.unit)
        rates = (self.reduction_factor, self.min_early_stopping_rate, self.bootstrap_count)
        least = self.min_resource or None
        asked = (
            reports.all_evals
            if least is None
            else [_reaching(row, least * rates[0] ** rates[1], rates[0]) for row in reports.steps]
        )
        return Prepared(asked, lambda rng: _Halving(reports, least, *rates))


def _reaching(steps: Sequence[int], first: int, factor: int) -> list[int]:
    """The evals at which a trial reaches a rung that it has not reached before, from the first rung on."""
    evals = []
    due = first
    for eval, step in enumerate(steps):
        if step >= due:
            evals.append(eval)
            while step >= due:
                due *= factor
    return evals


@dataclass(frozen=True)
class OptunaHyperband(AcrossRuns):
    """Optuna's HyperbandPruner: successive halving in brackets, drawn by the number of a trial.

    There are floor(log(max_resource / min_resource)) + 1 brackets, to base reduction_factor; bracket s leaves
    out the first s rungs.
    The checksum of the study's name and the trial's number decides which one it is. Trials are numbered as
    they begin. With max_resource 0 (in Optuna "auto") it is one more than the last step of the first
    completed trial, and nothing is pruned before.

    Source: optuna 5.0.0, pruners/_hyperband.py.
    """

    name: ClassVar[str] = "optuna-hyperband"
    checked_against: ClassVar[str | None] = _VERSION

    min_resource: int = param("the first rung, in the unit", 1, minimum=1, aliases=("grace",))
    max_resource: int = param("the most that a trial uses, in the unit (0: auto)", 0, minimum=0)
    reduction_factor: int = param("halving rate", 3, minimum=2, aliases=("reduction",))
    bootstrap_count: int = param("trials that a rung needs before one goes on", 0, minimum=0)
    study: str = param("the study's name, which decides the brackets", "no-name")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bootstrap_count and not self.max_resource:
            raise PolicyError(
                f"{self.name}: bootstrap_count={self.bootstrap_count} needs max_resource of at least 1"
            )
        if self.max_resource and self.max_resource < self.min_resource:
            raise PolicyError(
                f"{self.name}: max_resource must be at least min_resource"
                f" ({format_parameter(self.min_resource)}), not {format_parameter(self.max_resource)}"
            )

    def prepare(self, batch: CurveBatch) -> Prepared:
        reports = _Reports(batch, self.unit)
        asked = (  # the rungs of every bracket are among those of the first one
            [_reaching(row, self.min_resource, self.reduction_factor) for row in reports.steps]
            if self.max_resource
            else reports.all_evals
        )
        return Prepared(asked, lambda rng: _Hyperband(self, reports))


class _Hyperband(Scheduler):
    def __init__(self, rule: OptunaHyperband, reports: _Reports) -> None:
        self._rule, self._reports = rule, reports
        self._number: dict[int, int] = {}
        self._bracket: dict[int, int] = {}
        self._brackets: list[_Halving] = []
        self._budgets: list[int] = []
        self._most, self._completed = rule.max_resource, 0

    def start(self, run: int) -> None:
        self._number[run] = len(self._number)

    def end(self, run: int, stopped: bool) -> None:
        steps = self._reports.steps[run]
        if not stopped and steps and not self._most:
            self._completed = max(steps[-1] + 1, self._completed)

    def report(self, run: int, eval: int) -> int:
        if not self._brackets and not self._begin():
            return CONTINUE
        if run not in self._bracket:
            self._bracket[run] = self._draw(self._number[run])
        return self._brackets[self._bracket[run]].report(run, eval)

    def _begin(self) -> bool:
        """Make the brackets, as soon as the most that a trial uses is known."""
        rule = self._rule
        self._most = self._most or self._completed
        if not self._most:
            return False
        factor = rule.reduction_factor
        brackets = math.floor(math.log(self._most / rule.min_resource, factor)) + 1
        for bracket in range(brackets):
            rest = brackets - 1 - bracket
            self._budgets.append(math.ceil(brackets * (factor**rest) / (rest + 1)))
            self._brackets.append(
                _Halving(self._reports, rule.min_resource, factor, bracket, rule.bootstrap_count)
            )
        return bool(self._brackets)

    def _draw(self, number: int) -> int:
        rest = crc32(f"{self._rule.study}_{number}".encode()) % sum(self._budgets)
        for bracket, budget in enumerate(self._budgets):
            rest -= budget
            if rest < 0:
                return bracket
        raise AssertionError("the budgets add up to their sum")


@dataclass(frozen=True)
class OptunaPercentile(AcrossRuns):
    """Optuna's PercentilePruner: prunes a trial whose best is not in the best PERCENTILE of completed trials.

    A trial's best value so far is compared with the percentile of the values that completed trials had at
    exactly this step; pruned and running trials do not count. It is pruned where it is strictly worse, and
    where it has reported nothing but NaN. At a step that no completed trial reported nothing is pruned.

    Source: optuna 5.0.0, pruners/_percentile.py.
    """

    name: ClassVar[str] = "optuna-percentile"
    checked_against: ClassVar[str | None] = _VERSION

    percentile: float = param("the best share that goes on, in percent", 25.0, minimum=0)
    n_startup_trials: int = param("completed trials before anything is pruned", 5, minimum=0)
    n_warmup_steps: int = param("nothing is pruned before, in the unit", 0, minimum=0, aliases=("grace",))
    interval_steps: int = param("prune at the first report in each interval of so many", 1, minimum=1)
    n_min_trials: int = param("values that a step needs before anything is pruned", 1, minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.percentile > 100:
            given = format_parameter(self.percentile)
            raise PolicyError(f"{self.name}: percentile must be at most 100, not {given}")

    def prepare(self, batch: CurveBatch) -> Prepared:
        reports = _Reports(batch, self.unit)
        best = np.fmin if batch.mode == "min" else np.fmax  # both leave NaN out
        bests = [best.accumulate(row).tolist() for row in reports.values]
        asked = [self._asked(row) for row in reports.steps]
        return Prepared(asked, lambda rng: _Percentile(self, reports, bests))

    def _asked(self, steps: Sequence[int]) -> list[int]:
        """The reports that come after the warm-up and are the first of their interval; steps ascend."""
        warm, interval = self.n_warmup_steps, self.interval_steps
        asked = []
        earlier = before = -1  # the last step below this one, and the step of the report before
        for eval, step in enumerate(steps):
            if step != before:
                earlier, before = before, step
            if step >= warm and earlier < (step - warm) // interval * interval + warm:
                asked.append(eval)
        return asked


@dataclass(frozen=True)
class OptunaMedian(OptunaPercentile):
    """Optuna's MedianPruner: prunes a trial whose best is worse than the median of completed trials.

    See optuna-percentile, with percentile 50.

    Source: optuna 5.0.0, pruners/_median.py.
    """

    name: ClassVar[str] = "optuna-median"

    percentile: float = param("the best share that goes on, in percent", 50.0, minimum=0)


class _Percentile(Scheduler):
    def __init__(self, rule: OptunaPercentile, reports: _Reports, bests: Sequence[Sequence[float]]) -> None:
        self._rule, self._reports, self._bests = rule, reports, bests
        self._lower = reports.mode == "min"
        self._share = (rule.percentile if self._lower else 100 - rule.percentile) / 100
        self._completed = 0
        self._at: dict[int, Ranked] = {}

    def end(self, run: int, stopped: bool) -> None:
        if stopped:
            return
        self._completed += 1
        steps, values = self._reports.steps[run], self._reports.values[run]
        for step, value in dict(zip(steps, values, strict=True)).items():
            ranked = self._at.get(step)
            if ranked is None:
                ranked = self._at[step] = Ranked()
            ranked.add(value)

    def report(self, run: int, eval: int) -> int:
        if not self._completed or self._completed < self._rule.n_startup_trials:
            return CONTINUE
        best = self._bests[run][eval]
        if best != best:
            return STOP
        ranked = self._at.get(self._reports.steps[run][eval])
        if ranked is None or len(ranked) < self._rule.n_min_trials:
            return CONTINUE
        bound = linear_quantile(ranked.numbers, self._share)
        return STOP if (best > bound if self._lower else best < bound) else CONTINUE

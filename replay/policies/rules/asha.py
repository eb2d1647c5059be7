"""Successive halving: at rungs a run goes on only if it is among the best, in one bracket or in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.errors import PolicyError
from replay.policies.across import CONTINUE, STOP, AcrossRuns, Prepared, progress_rows, value_rows
from replay.policies.param import format_parameter, param
from replay.policies.rungs import Judge, Ranked, RungScheduler, asked_evals, visit_all

__all__ = ["Asha", "Hyperband"]

#: A run that is further than so many rungs is compared at the first of them only.
_MOST_RUNGS = 64


@dataclass(frozen=True)
class Asha(AcrossRuns):
    """Asynchronous successive halving: at a rung, stop a run that is not in the best 1/REDUCTION so far.

    Rungs are at GRACE, GRACE · REDUCTION, GRACE · REDUCTION², … evals (or steps, epochs, tokens). A run that
    reaches a rung is compared with all runs that reached it before. It stops if the share of them, itself
    included, that is better is above 1/REDUCTION; the first at a rung always goes on. NaN is worse than
    everything.

    Source: Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht & Talwalkar, arXiv:1810.05934, in the form that
    stops runs instead of pausing them.
    """

    name: ClassVar[str] = "asha"

    reduction: float = param("one in REDUCTION runs goes on from rung to rung", 4.0)
    grace: float = param("the first rung, in the unit", 1.0)
    brackets: int = param("brackets, each of which begins one rung later", 1, minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction <= 1:
            raise PolicyError(
                f"{self.name}: reduction must be above 1, not {format_parameter(self.reduction)}"
            )
        if self.grace <= 0:
            raise PolicyError(f"{self.name}: grace must be above 0, not {format_parameter(self.grace)}")
        if self.brackets > _MOST_RUNGS:
            raise PolicyError(f"{self.name}: brackets must be at most {_MOST_RUNGS}, not {self.brackets}")

    def prepare(self, batch: CurveBatch) -> Prepared:
        values, progress = value_rows(batch, oriented=True), progress_rows(batch, self.unit)
        furthest = max((row[-1] for row in progress if row), default=0.0)
        milestones: list[float] = []
        while len(milestones) < _MOST_RUNGS + self.brackets:
            milestone = self.grace * self.reduction ** len(milestones)
            if milestone > furthest:
                break
            milestones.append(milestone)
        visits = [
            [visit_all(row, milestones[bracket:]) for row in progress] for bracket in range(self.brackets)
        ]
        shares = self._bracket_shares()
        judge = _best_share(self.reduction)
        return Prepared(
            asked_evals(visits, len(values)),
            lambda rng: RungScheduler(values, visits, None, shares, judge, rng),
        )

    def _bracket_shares(self) -> np.ndarray:
        """How many runs each bracket gets, so that all use about as much (Li et al., JMLR 18 (185), 2018)."""
        count = self.brackets
        weights = np.array(
            [count * self.reduction ** (count - 1 - bracket) / (count - bracket) for bracket in range(count)]
        )
        return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class Hyperband(Asha):
    """Asynchronous Hyperband: successive halving in BRACKETS, each of which begins to stop one rung later.

    Each run is drawn into a bracket when it begins, and is compared within it. Bracket s of n gets a share of
    the runs in proportion to n · REDUCTION^(n−1−s) / (n−s).

    Source: Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar, Hyperband, JMLR 18 (185), 2018.
    """

    name: ClassVar[str] = "hyperband"

    reduction: float = param("one in REDUCTION runs goes on from rung to rung", 3.0)
    brackets: int = param("brackets, each of which begins one rung later", 3, minimum=1)


def _best_share(reduction: float) -> Judge:
    most = 1 / reduction

    def judge(rung: Ranked, value: float) -> int:
        better = rung.below(value)
        rung.add(value)
        return STOP if better / len(rung) > most else CONTINUE

    return judge

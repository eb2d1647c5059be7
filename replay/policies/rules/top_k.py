"""Top-k: all runs train for a while, then only the best of them go on."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

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
from replay.policies.progress import PROGRESS_UNITS

__all__ = ["TopK"]

#: What the end of an epoch may be short of a whole number, as tools drop the last batch.
_ROUNDING = 0.05


@dataclass(frozen=True)
class TopK(AcrossRuns):
    """Train all runs for AFTER epochs (or see unit), then go on with the best K of them only.

    At its first eval there, each run waits until all runs have come as far. So the order in which they arrive
    changes nothing. Of equal values the run that comes first among the logs goes on. A run that ends before
    is not compared.
    """

    name: ClassVar[str] = "top-k"
    waits: ClassVar[bool] = True

    _: KW_ONLY
    k: int = param("runs that go on", 5, minimum=1)
    after: float = param("where they are compared, in the unit", 1.0, minimum=0)
    unit: str = param("what says how far a run is", "epochs", choices=tuple(PROGRESS_UNITS))

    def prepare(self, batch: CurveBatch) -> Prepared:
        values, progress = value_rows(batch, oriented=True), progress_rows(batch, self.unit)
        due = self.after - (_ROUNDING if self.unit == "epochs" else 0.0)
        compared = [
            next(([eval] for eval, amount in enumerate(row) if amount >= due), list[int]())
            for row in progress
        ]
        there = [run for run, evals in enumerate(compared) if evals]
        known = {run: values[run][compared[run][0]] for run in there}
        ranked = sorted(there, key=lambda run: math.inf if known[run] != known[run] else known[run])
        scheduler = _Barrier({(run, compared[run][0]) for run in ranked[self.k :]})
        return Prepared(compared, lambda rng: scheduler)


class _Barrier(Scheduler):
    """Stops runs at given evals, whatever the order."""

    def __init__(self, stops: Set[tuple[int, int]]) -> None:
        self._stops = stops

    def report(self, run: int, eval: int) -> int:
        return STOP if (run, eval) in self._stops else CONTINUE

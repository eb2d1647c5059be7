"""AcrossRuns: the base of policies that compare runs with each other, and what it takes to replay them.

Such a policy is not a function of one curve. What it decides at an eval depends on what other runs had
reported by then, and so on the order in which runs arrive. `replay.policies.clock` replays that order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion
from replay.policies.param import format_parameter, param
from replay.policies.progress import PROGRESS_UNITS, progress_of

__all__ = [
    "CONTINUE",
    "PAUSE",
    "STOP",
    "AcrossRuns",
    "Prepared",
    "Scheduler",
    "progress_rows",
    "refuse_across",
    "value_rows",
]

#: What a scheduler decides on a report. A paused run makes room for waiting runs, and is resumed after them.
CONTINUE, STOP, PAUSE = 0, 1, 2

#: More orders or workers than this take longer than anybody waits, and tell nothing more.
_MOST_ORDERS, _MOST_WORKERS = 10_000, 1_000_000


class Scheduler(ABC):
    """What a policy knows of the reports so far, in one arrival order.

    Runs and evals are 0-based indices.
    """

    def start(self, run: int) -> None:  # noqa: B027 — most rules do not care
        """A run begins; runs begin in the order in which workers become free."""

    @abstractmethod
    def report(self, run: int, eval: int) -> int:
        """A running run reports an eval: CONTINUE, STOP or PAUSE."""

    def end(self, run: int, stopped: bool) -> None:  # noqa: B027
        """A run has ended: it was stopped, or it has trained to the end of its log."""


class Prepared(NamedTuple):
    """A policy made ready for some runs.

    ``asked`` has, for each run, the evals at which the policy can act or remembers something, in order; other
    evals need not be reported. ``begin`` makes a scheduler that has seen nothing, for one arrival order; what
    it draws at random comes from the generator.
    """

    asked: Sequence[Sequence[int]]
    begin: Callable[[np.random.Generator], Scheduler]


@dataclass(frozen=True)
class AcrossRuns(Policy):
    """Base of the policies that compare runs with each other. Subclasses are frozen dataclasses.

    A subclass defines `prepare`. A report is compared with reports that came before it and with nothing
    else, unless the rule makes runs wait for each other.
    """

    _: KW_ONLY
    unit: str = param("what says how far a run is", "evals", choices=tuple(PROGRESS_UNITS))
    workers: int = param("runs that train at the same time", 4, minimum=1)
    orders: int = param("random arrival orders to replay", 200, minimum=1)
    seed: int = param("seed of the arrival orders", 0, minimum=0)

    #: Whether runs wait for each other, so that a report is compared with reports that come after it.
    waits: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("orders", _MOST_ORDERS), ("workers", _MOST_WORKERS)):
            if getattr(self, name) > most:
                given = format_parameter(getattr(self, name))
                raise PolicyError(f"{self.name}: {name} must be at most {most}, not {given}")

    @property
    def companions(self) -> tuple[Companion, ...]:
        return PROGRESS_UNITS[self.unit]

    @abstractmethod
    def prepare(self, batch: CurveBatch) -> Prepared:
        """Make the policy ready for the runs of a batch."""

    def trace(self, batch: CurveBatch) -> Trace:
        raise PolicyError(_refusal(self))

    def signal_threshold(self, mode: Mode) -> float:
        raise PolicyError(_refusal(self))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        raise PolicyError(_refusal(self))


def _refusal(policy: Policy) -> str:
    return (
        f"{policy.spec()} compares runs with each other, so it cannot be applied to one run alone; replay it"
        " on a set of runs with replay simulate"
    )


def refuse_across(policy: Policy) -> None:
    """Raise PolicyError, which says what works instead, for a policy that compares runs with each other."""
    raise PolicyError(_refusal(policy))


def value_rows(batch: CurveBatch, *, oriented: bool = False) -> list[list[float]]:
    """The values of each run as a list, in the metric's own sign or with lower as better."""
    values = batch.oriented if oriented else batch.values
    return [row[:length].tolist() for row, length in zip(values, batch.lengths.tolist(), strict=True)]


def progress_rows(batch: CurveBatch, unit: str) -> list[list[float]]:
    """How far each run is at each of its evals, in a unit, as lists."""
    progress = progress_of(batch, unit)
    return [row[:length].tolist() for row, length in zip(progress, batch.lengths.tolist(), strict=True)]

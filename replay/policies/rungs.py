"""Rungs: what runs have to reach to be compared, and the arithmetic of comparing them with those before."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from replay.data.types import Floats
from replay.errors import PolicyError
from replay.policies.across import CONTINUE, STOP, Scheduler
from replay.policies.param import format_parameter

__all__ = [
    "Brackets",
    "Judge",
    "Ranked",
    "RungScheduler",
    "asked_evals",
    "brackets_up_to",
    "check_rungs",
    "draw_bracket",
    "linear_quantile",
    "milestones_up_to",
    "softmax_of_sizes",
    "visit_all",
    "visit_highest",
]


def linear_quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of ascending numbers by linear interpolation, bit for bit that of numpy; NaN of none."""
    count = len(ordered)
    if not count:
        return math.nan
    at = (count - 1) * share
    below = math.floor(at)
    if at >= count - 1:
        low = high = ordered[-1]
        weight = at + 1
    elif at < 0:
        low = high = ordered[0]
        weight = at
    else:
        low, high = ordered[below], ordered[below + 1]
        weight = at - below
    gap = high - low
    return high - gap * (1 - weight) if weight >= 0.5 else low + gap * weight


class Ranked:
    """Numbers in ascending order, with NaN counted apart; ``arrived`` has all of them as they came."""

    __slots__ = ("arrived", "numbers", "unknown")

    def __init__(self) -> None:
        self.numbers: list[float] = []
        self.arrived: list[float] = []
        self.unknown = 0

    def __len__(self) -> int:
        return len(self.arrived)

    def add(self, value: float) -> None:
        """Add a number."""
        self.arrived.append(value)
        if value == value:
            insort(self.numbers, value)
        else:
            self.unknown += 1

    def below(self, value: float) -> int:
        """How many of the numbers are below a value, with NaN above all."""
        return bisect_left(self.numbers, value) if value == value else len(self.numbers)


def visit_all(progress: Sequence[float], milestones: Sequence[float]) -> dict[int, list[int]]:
    """The rungs that a run comes to where it comes to all: those that it reaches at an eval for the first
    time, lowest first.

    Milestones ascend.
    """
    visits: dict[int, list[int]] = {}
    reached = 0
    for eval, amount in enumerate(progress):
        begin = reached
        while reached < len(milestones) and amount >= milestones[reached]:
            reached += 1
        if reached > begin:
            visits[eval] = list(range(begin, reached))
    return visits


def softmax_of_sizes(sizes: Sequence[int]) -> Floats:
    """The probabilities of brackets with so many rungs, as Ray and Syne Tune draw them."""
    counts = np.array(sizes)
    weights = np.e ** (counts - counts.max())
    shares: Floats = weights / weights.sum()
    return shares


def draw_bracket(rng: np.random.Generator, shares: Floats) -> int:
    """A bracket, drawn with these probabilities; where there is one, nothing is drawn."""
    return int(rng.choice(len(shares), p=shares)) if len(shares) > 1 else 0


#: Decides on a value that reaches a rung, by the values there before, and adds it to them.
Judge = Callable[[Ranked, float], int]


class RungScheduler(Scheduler):
    """Stops runs by what came to the same rung before; runs of different brackets are never compared.

    ``visits`` has, by bracket and run, the rungs that the run comes to at an eval (−1: the rule ends the run
    there, whatever it reports). ``finals`` has the rungs that it comes to when it ends on its own.
    """

    def __init__(
        self,
        values: Sequence[Sequence[float]],
        visits: Sequence[Sequence[Mapping[int, Sequence[int]]]],
        finals: Sequence[Sequence[Sequence[int]]] | None,
        shares: Floats,
        judge: Judge,
        rng: np.random.Generator,
    ) -> None:
        self._values, self._visits, self._finals = values, visits, finals
        self._shares, self._judge, self._rng = shares, judge, rng
        self._rungs: dict[tuple[int, int], Ranked] = {}
        self._bracket = [0] * len(values)

    def start(self, run: int) -> None:
        self._bracket[run] = draw_bracket(self._rng, self._shares)

    def _come(self, bracket: int, rung: int, value: float) -> int:
        ranked = self._rungs.get((bracket, rung))
        if ranked is None:
            ranked = self._rungs[bracket, rung] = Ranked()
        return self._judge(ranked, value)

    def report(self, run: int, eval: int) -> int:
        bracket = self._bracket[run]
        decision = CONTINUE
        for rung in self._visits[bracket][run].get(eval, ()):
            if rung < 0:
                return STOP
            decision = self._come(bracket, rung, self._values[run][eval])
            if decision == STOP:
                break
        return decision

    def end(self, run: int, stopped: bool) -> None:
        if self._finals is not None and not stopped:
            bracket = self._bracket[run]
            for rung in self._finals[bracket][run]:
                self._come(bracket, rung, self._values[run][-1])


def asked_evals(visits: Sequence[Sequence[Mapping[int, Sequence[int]]]], runs: int) -> list[list[int]]:
    """The evals of each run at which it comes to a rung in any bracket."""
    return [sorted(set().union(*(bracket[run] for bracket in visits))) for run in range(runs)]


def visit_highest(
    progress: Sequence[float], milestones: Sequence[float], most: float | None, *, refill: bool = True
) -> tuple[dict[int, list[int]], list[int]]:
    """The rungs that a run comes to in Ray and Syne Tune: at each eval the highest that it reaches and has
    not come to yet.

    Milestones ascend. From the amount ``most`` on, the rule ends the run (None: never). Without ``refill``, a
    rung below one that the run has come to stays empty. The second result is the rung of the last report,
    which both tools evaluate once more when a run has finished.
    """
    come: set[int] = set()
    visits: dict[int, list[int]] = {}

    def next_rung(amount: float) -> int | None:
        for rung in reversed(range(len(milestones))):
            if amount < milestones[rung]:
                continue
            if rung in come:
                if not refill:
                    return None
                continue
            return rung
        return None

    for eval, amount in enumerate(progress):
        if most is not None and amount >= most:
            visits[eval] = [-1]
            continue
        rung = next_rung(amount)
        if rung is not None:
            visits[eval] = [rung]
            come.add(rung)
        elif len(come) == len(milestones) and (most is None or progress[-1] < most):
            break
    last = next_rung(progress[-1]) if len(progress) else None
    return visits, [] if last is None else [last]


class Brackets(NamedTuple):
    """The brackets of a rule: the rungs that each run comes to (see `RungScheduler`), and the probabilities
    with which a run is drawn into each.
    """

    visits: list[list[dict[int, list[int]]]]
    finals: list[list[list[int]]]
    shares: Floats


def brackets_up_to(
    progress: Sequence[Sequence[float]],
    least: float,
    most: float,
    factor: float,
    brackets: int,
    *,
    endless: bool = False,
) -> Brackets:
    """The brackets of Ray and Syne Tune, with rungs from ``least`` up to ``most``, where runs are stopped.

    ``endless`` is Ray without stop_last_trials: no run is stopped there, and a rung below one that a run has
    come to stays empty.
    """
    rungs = [milestones_up_to(least, most, factor, bracket) for bracket in range(brackets)]
    end = None if endless else most
    planned = [
        [visit_highest(row, milestones, end, refill=not endless) for row in progress] for milestones in rungs
    ]
    return Brackets(
        [[visits for visits, _ in bracket] for bracket in planned],
        [[final for _, final in bracket] for bracket in planned],
        softmax_of_sizes([len(milestones) for milestones in rungs]),
    )


def check_rungs(name: str, factor: float, grace: float, most: float) -> None:
    """Raise PolicyError for settings of Ray and Syne Tune that make no rungs."""
    for setting, value, least in (("reduction_factor", factor, 1), ("grace_period", grace, 0)):
        if value <= least:
            raise PolicyError(f"{name}: {setting} must be above {least}, not {format_parameter(value)}")
    if most < grace:
        raise PolicyError(
            f"{name}: max_t must be at least grace_period ({format_parameter(grace)}), not"
            f" {format_parameter(most)}"
        )


def milestones_up_to(least: float, most: float, factor: float, bracket: int) -> list[float]:
    """The milestones of a bracket in Ray and Syne Tune, in ascending order."""
    count = int(np.log(most / least) / np.log(factor) - bracket + 1)
    return [least * factor ** (rung + bracket) for rung in range(count)]

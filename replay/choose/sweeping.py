"""Thousands of policies on many runs: where each stops, and what that gives on average. Only sums over runs are kept.

Policies that differ in their limit share a signal, those that differ in what they are look at share the smoothed curves, and what a
stop at an eval of a run gives is looked up. So a grid costs as much as its distinct signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from replay.choose.summary import FixedBudgets
from replay.policies import Policy
from replay.policies.base import NEVER, REFUSED, alike, stops_of
from replay.run import Bools, Floats, Ints
from replay.simulation import Lane, Setup

__all__ = ["FIGURES", "Figures", "Part", "Sweep", "sweep_in", "walk"]

#: What a stop gives to a run, as it is looked up: of a Profile.
_LOOKED_UP = ("saved", "regret", "relative", "lost")

#: One number a policy: the keys of the summary that a sweep gives to every policy.
FIGURES = (
    "runs", "stopped", "censored", "saved_mean", "regret_mean", "regret_worst", "relative_regret_mean", "lost_mean", "lost_worst",
    "budget_lost", "budget_regret",
)  # fmt: skip


class Figures:
    """What a stop at each eval gives, of some runs of a lane that have the same evals made.

    A run's figures lie together: for REFUSED (not known), for NEVER, then for each of its evals.
    """

    def __init__(self, lane: Lane, places: Sequence[int], made: Bools, censored: Sequence[str]) -> None:
        self.runs = [lane.runs[place].id for place in places]
        profiles = [lane.profile(place, made[row, : len(lane.curves[place])]) for row, place in enumerate(places)]
        lengths = np.array([len(lane.curves[place]) for place in places], dtype=np.int64)
        self._begin = np.cumsum(lengths + 2) - lengths
        self._flat, self._known = {}, {}
        unknown = np.array([np.nan])
        for name in _LOOKED_UP:
            found = [getattr(profile, name) for profile in profiles]
            self._known[name] = not any(np.isnan(values).any() for values in found)
            self._flat[name] = np.concatenate([piece for values in found for piece in (unknown, values[-1:], values[:-1])])
        self.censored = np.isin(self.runs, list(censored))

    def of(self, stops: Ints) -> Outcomes:
        """The figures of stops (policies × runs)."""
        return Outcomes(self, stops, stops + self._begin, not (stops == REFUSED).any())

    def look_up(self, name: str, index: Ints) -> Floats:
        """Figures by their places."""
        return np.take(self._flat[name], index)

    def known(self, name: str) -> bool:
        """Whether a figure is known of every stop."""
        return self._known[name]


class Outcomes(NamedTuple):
    """The stops of some policies (policies × runs) and what they give."""

    figures: Figures
    stops: Ints
    index: Ints
    judged: bool

    def values(self, name: str) -> Floats:
        """``saved``, ``regret``, ``relative`` or ``lost`` of every policy and run; NaN where it is not known."""
        return self.figures.look_up(name, self.index)

    def mean(self, name: str) -> Floats:
        """Mean over the runs of which it is known; NaN where that is none."""
        return _mean(self.values(name), self.judged and self.figures.known(name))


def _mean(values: Floats, known: bool) -> Floats:
    if known:
        return values.mean(axis=1)  # type: ignore[no-any-return]
    here = ~np.isnan(values)
    count = here.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(here, values, 0.0).sum(axis=1) / np.where(count, count, np.nan)


class Part(NamedTuple):
    """Some of the policies of a sweep: their places among all, and their outcomes."""

    members: list[int]
    outcomes: Outcomes


def walk(setup: Setup, policies: Sequence[Policy], *, optional: bool = False) -> Iterator[Part]:
    """The outcomes of policies on runs that are set up, some policies at a time, in an order that shares most.

    With ``optional``, policies that no run has what it takes for are left out, and told; else they are an InputError.
    """
    watched = [tuple(policy.watched().items()) for policy in policies]
    for same_watch in alike(watched):
        lane, _ = setup.lane(policies[same_watch[0]])
        rules = [setup.lane(policies[place])[1] for place in same_watch] if watched[same_watch[0]] != ((None, None),) else None
        own = rules if rules is not None else [policies[place] for place in same_watch]
        for same_needs in alike([rule.needs for rule in own]):
            batch, places = setup.admit(own[same_needs[0]], lane, optional=optional)
            if not places:
                continue
            for same_evals in alike([own[place].thinning for place in same_needs]):
                chosen = [same_needs[place] for place in same_evals]
                for kind in alike([type(own[place]) for place in chosen]):
                    setup.caution(own[chosen[kind[0]]], lane, places[0])
                figures = Figures(lane, places, own[chosen[0]].seen(batch), list(setup.censored))
                for members, stops in stops_of([own[place] for place in chosen], batch):
                    yield Part([same_watch[chosen[member]] for member in members], figures.of(stops))


@dataclass(eq=False)
class Sweep:
    """Policies and what they give over the runs: ``figures`` maps each of FIGURES to one number a policy (NaN: not known).

    A policy that could not be tried on any run has 0 runs. ``setup`` holds the runs and the warnings.
    """

    setup: Setup
    policies: list[Policy]
    figures: dict[str, Floats]


def sweep_in(setup: Setup, policies: Sequence[Policy], *, optional: bool = False) -> Sweep:
    """Sweep policies over runs that are set up; arguments as for `walk`."""
    count = len(policies)
    found = {name: np.full(count, np.nan) for name in FIGURES}
    for name in ("runs", "stopped", "censored"):
        found[name] = np.zeros(count)
    budgets: dict[tuple[str, ...], FixedBudgets] = {}
    profiles = dict(zip((run.id for run in setup.base.runs), range(len(setup.base.runs)), strict=True))
    for members, outcomes in walk(setup, policies, optional=optional):
        figures, stops = outcomes.figures, outcomes.stops
        never = stops == NEVER
        refused = stops == REFUSED
        found["runs"][members] = stops.shape[1] - refused.sum(axis=1)
        found["stopped"][members] = stops.shape[1] - (never | refused).sum(axis=1)
        found["censored"][members] = (never & figures.censored).sum(axis=1)
        saved = outcomes.mean("saved")
        found["saved_mean"][members] = saved
        found["relative_regret_mean"][members] = outcomes.mean("relative")
        for name in ("regret", "lost"):
            values = outcomes.values(name)
            known = outcomes.judged and figures.known(name)
            found[f"{name}_mean"][members] = _mean(values, known)
            found[f"{name}_worst"][members] = values.max(axis=1) if known else np.fmax.reduce(values, axis=1)
        key = tuple(figures.runs)
        if key not in budgets:
            budgets[key] = FixedBudgets([setup.base.whole(profiles[run]) for run in figures.runs])
        shorter = budgets[key].means(saved)
        for name in ("regret", "lost"):  # of the runs that were judged; where some were not there is no fixed budget of the same runs
            found[f"budget_{name}"][members] = np.where(refused.any(axis=1), np.nan, shorter[name])
    return Sweep(setup, list(policies), found)

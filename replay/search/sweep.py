"""Thousands of policies on many runs: where each stops, and what that gives on average. Only sums over runs
are kept.

Policies that differ in their limit share a signal, those that differ in what they are look at share the
smoothed curves, and what a stop at an eval of a run gives is looked up. So a grid costs as much as its
distinct signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import warn

import numpy as np

from replay.data.run import Run
from replay.data.types import Bools, Floats, Ints, Mode
from replay.engine.simulation import Keep, Lane, Setup, parsed, replay_in
from replay.errors import InputError, ReplayWarning
from replay.policies import Policy
from replay.policies.stops import NEVER, REFUSED, find_stops, group_equal
from replay.stats.budgets import FixedBudgets
from replay.stats.summary import KEYS, summarise

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIGURES", "Figures", "Part", "Sweep", "sweep", "sweep_in", "walk"]

#: What a stop gives to a run, as it is looked up: of a Profile.
_LOOKED_UP = ("saved", "regret", "relative", "lost")

#: The summary's keys of the means of these.
_MEANS = {
    "saved": "saved_mean",
    "regret": "regret_mean",
    "relative": "relative_regret_mean",
    "lost": "lost_mean",
}
#: Outcomes (policies times runs) from which sums are compiled: below, loading the compiler takes longer.
COMPILE_FROM = 2_000_000

#: Outcomes (policies times runs) up to which a sweep gives everything of every policy unasked.
_DETAILED = 20_000

#: One number a policy: the keys of the summary that a sweep gives to every policy.
FIGURES = (
    "runs",
    "stopped",
    "censored",
    "saved_mean",
    "regret_mean",
    "regret_worst",
    "relative_regret_mean",
    "lost_mean",
    "lost_worst",
    "budget_lost",
    "budget_regret",
)


class Figures:
    """What a stop at each eval gives, of some runs of a lane that have the same evals made.

    A run's figures lie together: for REFUSED (not known), for NEVER, then for each of its evals; ``begin`` is
    the place of its first eval. ``censored`` marks the runs that are.
    """

    def __init__(self, lane: Lane, places: Sequence[int], made: Bools, censored: Sequence[str]) -> None:
        self.runs = [lane.runs[place].id for place in places]
        profiles = [
            lane.profile(place, made[row, : len(lane.curves[place])]) for row, place in enumerate(places)
        ]
        lengths = np.array([len(lane.curves[place]) for place in places], dtype=np.int64)
        self.begin = np.cumsum(lengths + 2) - lengths
        self._flat, self._known = {}, {}
        unknown = np.array([np.nan])
        for name in _LOOKED_UP:
            found = [getattr(profile, name) for profile in profiles]
            flat = np.concatenate(
                [piece for values in found for piece in (unknown, values[-1:], values[:-1])]
            )
            self._flat[name], self._known[name] = (
                flat,
                int(np.isnan(flat).sum()) == len(profiles),
            )  # those of REFUSED, and no other
        self.censored = np.isin(self.runs, list(censored))

    def of(self, stops: Ints) -> Outcomes:
        """The figures of stops (policies × runs)."""
        return Outcomes(self, stops, not (stops == REFUSED).any())

    def look_up(self, name: str, places: Ints) -> Floats:
        """Figures by their places."""
        return np.take(self._flat[name], places)

    @cached_property
    def rows(self) -> Floats:
        """The figures of each place in a row (places × figures)."""
        return np.stack([self._flat[name] for name in _LOOKED_UP], axis=1)

    def known(self, name: str) -> bool:
        """Whether a figure is known of every stop."""
        return self._known[name]


class Outcomes(NamedTuple):
    """The stops of some policies (policies × runs) and what they give."""

    figures: Figures
    stops: Ints
    judged: bool

    def values(self, name: str) -> Floats:
        """``saved``, ``regret``, ``relative`` or ``lost`` of every policy and run; NaN where it is not
        known.
        """
        return self.figures.look_up(name, self.stops + self.figures.begin)

    def totals(self, compiled: bool = False) -> Totals:
        """Sums over the runs; ``compiled``, where numba is installed, in another order, so that the last
        digit may differ.
        """
        figures, stops = self.figures, self.stops
        if compiled and (summed := _compiled(figures, stops)) is not None:
            return summed
        never, refused = stops == NEVER, stops == REFUSED
        sums, counts, worst = {}, {}, {}
        places = stops + figures.begin
        for name in _LOOKED_UP:
            values = figures.look_up(name, places)
            if self.judged and figures.known(name):
                sums[name], counts[name] = values.sum(axis=1), np.full(len(values), float(values.shape[1]))
                worst[name] = values.max(axis=1)
            else:
                known = ~np.isnan(values)
                sums[name], counts[name] = (
                    np.where(known, values, 0.0).sum(axis=1),
                    known.sum(axis=1).astype(np.float64),
                )
                worst[name] = np.fmax.reduce(values, axis=1)
        stopped = stops.shape[1] - (never | refused).sum(axis=1)
        return Totals(
            stopped, (never & figures.censored).sum(axis=1), refused.sum(axis=1), sums, counts, worst
        )


class Totals(NamedTuple):
    """Of each policy: how many runs it stops, censored runs that it never stops and runs that it cannot
    judge, and sums over the others.

    ``sums`` are by figure over the ``counts`` runs of which it is known, ``worst`` the highest of these (NaN:
    of none).
    """

    stopped: Ints
    censored: Ints
    refused: Ints
    sums: dict[str, Floats]
    counts: dict[str, Floats]
    worst: dict[str, Floats]

    def mean(self, name: str) -> Floats:
        """Mean over the runs of which a figure is known; NaN where that is none."""
        counts = self.counts[name]
        mean: Floats = self.sums[name] / np.where(counts > 0, counts, np.nan)
        return mean


def _compiled(figures: Figures, stops: Ints) -> Totals | None:
    """The sums by a compiled pass, or None where numba is not installed."""
    try:
        from replay.search.compiled import totals_pass
    except (ImportError, RuntimeError):  # no numba, or no folder where it can keep what it compiles
        return None
    stopped, censored, refused = (np.zeros(len(stops), dtype=np.int64) for _ in range(3))
    sums, counts, worst = (np.full((len(stops), len(_LOOKED_UP)), start) for start in (0.0, 0.0, -np.inf))
    by_run = np.ascontiguousarray(stops.T)
    totals_pass(
        by_run, figures.begin, figures.censored, figures.rows, stopped, censored, refused, sums, counts, worst
    )
    return Totals(
        stopped,
        censored,
        refused,
        *(dict(zip(_LOOKED_UP, rows.T, strict=True)) for rows in (sums, counts, worst)),
    )


class Part(NamedTuple):
    """Some of the policies of a sweep: their places among all, and their outcomes."""

    members: list[int]
    outcomes: Outcomes


def walk(setup: Setup, policies: Sequence[Policy], *, optional: bool = False) -> Iterator[Part]:
    """The outcomes of policies on runs that are set up, some policies at a time, in an order that shares
    most.

    With ``optional``, policies that no run has what it takes for are left out, and told; else they are an
    InputError.
    """
    # policies that differ in their limit alone watch, need and thin alike
    kin = group_equal([(type(policy), policy.shape()) for policy in policies])
    watched = [tuple(policies[members[0]].monitors().items()) for members in kin]
    for same_watch in group_equal(watched):
        try:
            lane, _ = setup.lane(policies[kin[same_watch[0]][0]])
        except InputError as error:  # no run has a metric that they insist on
            if not optional:
                raise
            setup.tell(f"{policies[kin[same_watch[0]][0]].spec()} is left out: {error}")
            continue
        modes_known = watched[same_watch[0]] == ((None, None),)
        first = [
            policies[kin[place][0]] if modes_known else setup.lane(policies[kin[place][0]])[1]
            for place in same_watch
        ]
        for same_needs in group_equal([rule.companions for rule in first]):
            batch, places = setup.admit(first[same_needs[0]], lane, optional=optional)
            if not places:
                continue
            for same_evals in group_equal([first[place].thinning for place in same_needs]):
                chosen = [same_needs[place] for place in same_evals]
                for kind in group_equal([type(first[place]) for place in chosen]):
                    setup.caution(first[chosen[kind[0]]], lane, places[0])
                figures = Figures(lane, places, first[chosen[0]].evals_made(batch), list(setup.censored))
                members = [member for place in chosen for member in kin[same_watch[place]]]
                rules = [
                    policies[member] if modes_known else setup.lane(policies[member])[1] for member in members
                ]
                for own, stops in find_stops(rules, batch):
                    outcomes = figures.of(stops)
                    if not outcomes.judged:
                        _tell_refused(setup, [rules[place] for place in own], outcomes)
                    yield Part([members[place] for place in own], outcomes)


def _tell_refused(setup: Setup, rules: Sequence[Policy], outcomes: Outcomes) -> None:
    """Warn of runs that some policies cannot judge; replay simulate tells why."""
    refused = (outcomes.stops == REFUSED).sum(axis=1)
    most = int(refused.max())
    spec = min(rule.spec() for rule, count in zip(rules, refused.tolist(), strict=True) if count == most)
    others = int((refused > 0).sum()) - 1
    more = f" (and {others} more policies like it, some of them)" if others else ""
    setup.tell(
        f"{spec}{more} cannot judge {most} of {outcomes.stops.shape[1]} runs; they are left out for it"
    )


@dataclass(eq=False)
class Sweep:
    """Policies and what they give over the runs: ``figures`` maps each of FIGURES to one number a policy
    (NaN: not known).

    A policy that could not be tried on any run has 0 runs. ``setup`` holds the runs and the warnings.
    """

    setup: Setup
    policies: list[Policy]
    figures: dict[str, Floats]


def sweep_in(
    setup: Setup,
    policies: Sequence[Policy],
    *,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Sweep policies over runs that are set up; arguments as for `walk`, and who is told how many policies
    are done.
    """
    count = len(policies)
    found = {name: np.full(count, np.nan) for name in FIGURES}
    for name in ("runs", "stopped", "censored"):
        found[name] = np.zeros(count)
    budgets: dict[tuple[str, ...], FixedBudgets] = {}
    places = {run.id: place for place, run in enumerate(setup.base.runs)}

    compiled = count * len(setup.runs) >= COMPILE_FROM
    done = 0
    for members, outcomes in walk(setup, policies, optional=optional):
        figures, totals = outcomes.figures, outcomes.totals(compiled)
        own = np.array(members)
        judged = len(figures.runs) - totals.refused
        found["runs"][own], found["stopped"][own], found["censored"][own] = (
            judged,
            totals.stopped,
            totals.censored,
        )
        for name, column in _MEANS.items():
            found[column][own] = totals.mean(name)
        for name in ("regret", "lost"):
            found[f"{name}_worst"][own] = totals.worst[name]
        key = tuple(figures.runs)
        if key not in budgets:
            budgets[key] = FixedBudgets([setup.base.whole(places[run]) for run in figures.runs])
        shorter = budgets[key].means(found["saved_mean"][own])
        for name in (
            "regret",
            "lost",
        ):  # of the runs that were judged; where some were not there is no fixed budget of the same runs
            found[f"budget_{name}"][own] = np.where(totals.refused > 0, np.nan, shorter[name])
        done += len(members)
        if progress is not None:
            progress(done)
    return Sweep(setup, list(policies), found)


def sweep(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    *,
    monitor: str | None = None,
    mode: Mode | None = None,
    objective: str | None = None,
    objective_mode: Mode | None = None,
    unit: str = "steps",
    price: float | None = None,
    keep: Keep = "best",
    intervals: bool | None = None,
) -> pd.DataFrame:
    """Summary of policies over runs, as a DataFrame with one row a policy; arguments and errors as for
    `replay.simulate`.

    With ``intervals`` every key of the summary is given; without, those that need each run's outcome by
    itself (intervals, median, 90th percentile, verdict, within_noise, eval_share) are missing, which is some
    hundred times as fast. By default they are given where there are at most 20,000 outcomes (policies times
    runs).
    """
    import pandas as pd

    rules = list({rule.spec(): rule for rule in parsed(policies)}.values())
    setup = Setup(
        runs,
        rules,
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
    )
    if intervals if intervals is not None else len(rules) * len(setup.runs) <= _DETAILED:
        table: dict[str, Any] = summarise(replay_in(setup, rules))
    else:
        swept = sweep_in(setup, rules)
        table = {"policy": [rule.spec() for rule in rules], **swept.figures, "verdict": None}
    for text in setup.warnings:
        warn(text, ReplayWarning, stacklevel=2)
    frame = pd.DataFrame(table, columns=list(KEYS))
    return frame.astype(dict.fromkeys(("runs", "stopped", "censored"), np.int64))

"""From outcomes to a judgement of each policy: means with intervals, tails, and "train shorter by as much"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from replay.choose.groups import groups_of
from replay.choose.intervals import interval, intervals
from replay.run import Floats, Ints
from replay.simulation import ORACLE, Profile, Simulation

__all__ = ["ENOUGH_EVALS", "ENOUGH_RUNS", "KEYS", "Budget", "FixedBudgets", "summarise", "too_few"]

#: Fewer runs, or runs with fewer evals than this, are too few to rank policies by.
ENOUGH_RUNS = 8
ENOUGH_EVALS = 5

#: Keys of the summary, one row a policy. Those from ``budget_lost`` on belong to the fixed budget of equal mean compute.
KEYS = (
    "policy", "runs", "stopped", "censored", "saved_mean", "saved_low", "saved_high", "regret_mean", "regret_low", "regret_high",
    "regret_worst", "relative_regret_mean", "lost_mean", "lost_low", "lost_high", "lost_median", "lost_p90", "lost_worst", "verdict",
    "budget_lost", "budget_regret", "within_noise", "eval_share",
)  # fmt: skip

_MOST_PLACES = 4_000_000
#: Between which values a figure lies, whatever the run.
_WITHIN = {"saved": (0.0, 1.0), "lost": (0.0, 1.0), "regret": (0.0, math.inf)}


class Budget(NamedTuple):
    """What "train shorter by as much" gives: means over runs, and each run's own loss."""

    regret: float
    lost: float
    lost_by_run: Floats


class FixedBudgets:
    """What stopping every run at the same share of its compute would give: "train shorter by as much".

    Evals make a budget a step function of the share, so the two budgets around a wanted saving are mixed to meet it exactly. A
    run stops at its last eval within the share, and at its first where the share is below it. With very many evals the shares
    looked at are thinned to evenly spaced ones of those that occur.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = list(profiles)
        shares = np.unique(np.concatenate([profile.share for profile in self._profiles]))
        most = max(256, _MOST_PLACES // len(self._profiles))
        if len(shares) > most:
            shares = shares[np.unique(np.linspace(0, len(shares) - 1, most).round().astype(np.int64))]
        self._places = np.stack(
            [np.maximum(np.searchsorted(profile.share, shares, side="right") - 1, 0) for profile in self._profiles]
        ).astype(np.int32)
        self._saved = np.mean([profile.saved[place] for profile, place in zip(self._profiles, self._places, strict=True)], axis=0)

    def matching(self, saved: float) -> Budget:
        """The budget whose mean saving over the runs is ``saved`` (a fraction), or the nearest that there is."""
        before, after, weight = (array[0] for array in self._between(np.array([saved])))
        lost = self._mixed("lost", int(before), int(after), float(weight))
        return Budget(_mean(self._mixed("regret", int(before), int(after), float(weight))), _mean(lost), lost)

    def means(self, saved: Floats) -> dict[str, Floats]:
        """Mean regret and mean lost of the budgets whose mean savings are ``saved``, one or many: as `matching` gives them."""
        before, after, weight = self._between(saved)
        found = {}
        with np.errstate(invalid="ignore"):  # infinite regrets
            for name, (alone, of_both) in self._curves.items():
                low, high = of_both[:, before]  # where there is a weight between, the share after is the next
                found[name] = np.where(weight == 1, alone[after], np.where(weight == 0, alone[before], (1 - weight) * low + weight * high))
        return found

    @cached_property
    def _curves(self) -> dict[str, tuple[Floats, Floats]]:
        """Mean regret and mean lost at each share, of the runs of which they are known; and at it and the next, of those known at both."""
        found = {}
        for name in ("regret", "lost"):
            shares = len(self._saved)
            alone, counted = np.zeros(shares), np.zeros(shares)
            both, counted_both = np.zeros((2, shares)), np.zeros(shares)
            for profile, places in zip(self._profiles, self._places, strict=True):
                values = getattr(profile, name)[places]
                known = ~np.isnan(values)
                values = np.where(known, values, 0.0)
                alone += values
                counted += known
                known[:-1] &= known[1:]
                both[0] += np.where(known, values, 0.0)
                both[1, :-1] += np.where(known[:-1], values[1:], 0.0)
                counted_both += known
            found[name] = alone / np.where(counted, counted, np.nan), both / np.where(counted_both, counted_both, np.nan)
        return found

    def _between(self, saved: Floats) -> tuple[Ints, Ints, Floats]:
        """The shares before and after which each mean saving lies, and the weight of the latter."""
        means = self._saved  # falls as shares rise
        after = np.minimum(np.searchsorted(-means, -saved, side="left"), len(means) - 1)
        before = np.maximum(after - 1, 0)
        span = means[before] - means[after]
        with np.errstate(all="ignore"):
            weight = np.where(span > 0, np.clip((means[before] - saved) / span, 0.0, 1.0), 1.0)
        return before, after, weight

    def _mixed(self, name: str, before: int, after: int, weight: float) -> Floats:
        low, high = (
            np.array([getattr(profile, name)[places[at]] for profile, places in zip(self._profiles, self._places, strict=True)])
            for at in (before, after)
        )
        return high if weight == 1 else low if weight == 0 else (1 - weight) * low + weight * high


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def too_few(evals: Sequence[int]) -> str | None:
    """What there is too little of, in words, to rank policies by runs with these numbers of evals; None where there is enough."""
    if len(evals) < ENOUGH_RUNS:
        return f"{len(evals)} run{'s' * (len(evals) != 1)}"
    middle = float(np.median(evals))
    return f"a median of {middle:g} evals a run" if middle < ENOUGH_EVALS else None


def summarise(simulation: Simulation, groups: Sequence[str] | None = None, level: float = 0.95) -> dict[str, list[Any]]:
    """One row a policy: the keys of KEYS, each with one entry a policy in the simulation's order.

    Fractions for saved, lost and relative regret; None where a figure is undefined. Intervals hold with probability ``level``, by
    bootstrap over runs, drawing whole groups: ``groups`` has one entry a run (default: what the log states). Censored outcomes are
    counted in as the bounds that they are.
    """
    outcomes = simulation.outcomes
    of_run = dict(zip((run.id for run in simulation.runs), groups_of(simulation.runs) if groups is None else groups, strict=True))
    table: dict[str, list[Any]] = {key: [] for key in KEYS}
    columns = {
        name: np.array([np.nan if value is None else float(value) for value in outcomes[name]], dtype=np.float64)
        for name in ("saved", "regret", "relative_regret", "lost", "noise", "used", "eval_used")
    }
    budgets: dict[tuple[str, ...], FixedBudgets] = {}
    places: dict[str, list[int]] = {policy: [] for policy in simulation.policies}
    for place, policy in enumerate(outcomes["policy"]):
        places[policy].append(place)
    of_row = [of_run[run] for run in outcomes["run"]]
    bounds = _bounds(simulation.policies, places, outcomes["run"], columns, of_row, level)
    for policy in simulation.policies:
        rows = np.array(places[policy], dtype=np.int64)
        runs = [outcomes["run"][row] for row in rows]
        own = {name: values[rows] for name, values in columns.items()}
        grouped = [of_row[row] for row in rows]
        saved, lost, regret = own["saved"], own["lost"], own["regret"]
        if tuple(runs) not in budgets:
            budgets[tuple(runs)] = FixedBudgets([simulation.profiles[run] for run in runs])
        budget = budgets[tuple(runs)].matching(float(saved.mean()))
        stopped = sum(outcomes["stopped_eval"][row] is not None for row in rows)
        evals = [outcomes["evals"][row] for row in rows]
        known = lost[~np.isnan(lost)]
        spent = float(own["used"].sum())
        row = {
            "policy": policy,
            "runs": len(rows),
            "stopped": stopped,
            "censored": sum(bool(outcomes["censored"][row]) for row in rows),
            "saved_mean": _mean(saved),
            **bounds[policy, "saved"],
            "regret_mean": _mean(regret),
            **bounds[policy, "regret"],
            "regret_worst": float(np.nanmax(regret)) if not np.isnan(regret).all() else np.nan,
            "relative_regret_mean": _mean(own["relative_regret"]),
            "lost_mean": _mean(lost),
            **bounds[policy, "lost"],
            "lost_median": float(np.median(known)) if len(known) else np.nan,
            "lost_p90": float(np.quantile(known, 0.9)) if len(known) else np.nan,
            "lost_worst": float(known.max()) if len(known) else np.nan,
            "verdict": _verdict(policy, stopped, evals, saved, lost, budget, grouped, regret, own["noise"], level),
            "budget_lost": budget.lost,
            "budget_regret": budget.regret,
            "within_noise": int(np.sum(regret <= own["noise"])),
            "eval_share": float(own["eval_used"].sum()) / spent if spent > 0 else np.nan,
        }
        for key, value in row.items():
            table[key].append(None if isinstance(value, float) and np.isnan(value) else value)
    return table


def _bounds(
    policies: Sequence[str],
    places: Mapping[str, Sequence[int]],
    runs: Sequence[str],
    columns: Mapping[str, Floats],
    groups: Sequence[str],
    level: float,
) -> dict[tuple[str, str], dict[str, float]]:
    """The intervals of every policy's figures, by policy and figure; those of policies on the same runs are drawn at once."""
    alike: dict[tuple[str, tuple[float, float], tuple[str, ...]], list[str]] = {}
    for policy in policies:
        own = tuple(runs[row] for row in places[policy])
        for name, within in _WITHIN.items():
            known = policy == "never" or (policy == ORACLE and name != "saved")  # by what they are, not by what was seen
            alike.setdefault((name, (-math.inf, math.inf) if known else within, own), []).append(policy)
    found = {}
    for (name, within, _), some in alike.items():
        values = np.stack([columns[name][list(places[policy])] for policy in some])
        low, high = intervals(values, [groups[row] for row in places[some[0]]], level, within=within)
        for policy, least, most in zip(some, low.tolist(), high.tolist(), strict=True):
            found[policy, name] = {f"{name}_low": least, f"{name}_high": most}
    return found


def _verdict(
    policy: str,
    stopped: int,
    evals: Sequence[int],
    saved: Floats,
    lost: Floats,
    budget: Budget,
    groups: Sequence[str],
    regret: Floats,
    noise: Floats,
    level: float,
) -> str:
    """One policy's verdict, in words.

    Against the fixed budget of equal mean compute by the paired bootstrap interval of the difference in ``lost``: better where
    the interval is below zero, worse where it is above, and not told apart where it holds zero.
    """
    if policy == "never":
        return "full log"
    if policy == ORACLE:
        return "upper bound"
    if too_few(evals):
        return "too few runs to rank"
    if not stopped:
        return "never fires"
    if not float(saved.mean()) > 0:
        return "saves nothing"
    known = ~np.isnan(lost) & ~np.isnan(budget.lost_by_run)
    if not known.any():
        return "loss unknown"
    if float(np.nanmax(lost)) == 0:
        return "loses nothing"
    low, high = interval(np.where(known, lost - budget.lost_by_run, np.nan), groups, level, within=(-1.0, 1.0))
    if high < 0:
        return "better than training shorter"
    if low > 0:
        return "worse than training shorter"
    within = ~np.isnan(regret) & ~np.isnan(noise)
    if within.any() and bool((regret[within] <= noise[within]).all()) and within.sum() == known.sum():
        return "within noise"
    if low < 0 < high:
        return "not told apart from training shorter"
    return "no better than training shorter"

"""From outcomes to a judgement of each policy: means with intervals, tails, and "train shorter by as
much".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.types import Floats
from replay.engine.simulation import ORACLE, Simulation
from replay.stats.budgets import Budget, FixedBudgets, known_mean
from replay.stats.groups import groups_of
from replay.stats.intervals import interval, intervals

__all__ = ["ENOUGH_EVALS", "ENOUGH_RUNS", "KEYS", "summarise", "too_few"]

#: Fewer runs, or runs with fewer evals than this, are too few to rank policies by.
ENOUGH_RUNS = 8


ENOUGH_EVALS = 5


#: Keys of the summary, one row a policy. Those from ``budget_lost`` on belong to the fixed budget of equal
#: mean compute.
KEYS = (
    "policy",
    "runs",
    "stopped",
    "censored",
    "saved_mean",
    "saved_low",
    "saved_high",
    "regret_mean",
    "regret_low",
    "regret_high",
    "regret_worst",
    "relative_regret_mean",
    "lost_mean",
    "lost_low",
    "lost_high",
    "lost_median",
    "lost_p90",
    "lost_worst",
    "verdict",
    "budget_lost",
    "budget_regret",
    "within_noise",
    "eval_share",
)


#: Between which values a figure lies, whatever the run.
_WITHIN = {"saved": (0.0, 1.0), "lost": (0.0, 1.0), "regret": (0.0, math.inf)}


def too_few(evals: Sequence[int]) -> str | None:
    """What there is too little of, in words, to rank policies by runs with these numbers of evals; None where
    there is enough.
    """
    if len(evals) < ENOUGH_RUNS:
        return f"{len(evals)} run{'s' * (len(evals) != 1)}"
    middle = float(np.median(evals))
    return f"a median of {middle:g} evals a run" if middle < ENOUGH_EVALS else None


def summarise(
    simulation: Simulation, groups: Sequence[str] | None = None, level: float = 0.95
) -> dict[str, list[Any]]:
    """One row a policy: the keys of KEYS, each with one entry a policy in the simulation's order.

    Fractions for saved, lost and relative regret; None where a figure is undefined. Intervals hold with
    probability ``level``, by bootstrap over runs, drawing whole groups: ``groups`` has one entry a run
    (default: what the log states). Censored outcomes are counted in as the bounds that they are.
    """
    outcomes = simulation.outcomes
    of_run = dict(
        zip(
            (run.id for run in simulation.runs),
            groups_of(simulation.runs) if groups is None else groups,
            strict=True,
        )
    )
    table: dict[str, list[Any]] = {key: [] for key in KEYS}
    columns = {
        name: np.array(
            [np.nan if value is None else float(value) for value in outcomes[name]], dtype=np.float64
        )
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
            "saved_mean": known_mean(saved),
            **bounds[policy, "saved"],
            "regret_mean": known_mean(regret),
            **bounds[policy, "regret"],
            "regret_worst": float(np.nanmax(regret)) if not np.isnan(regret).all() else np.nan,
            "relative_regret_mean": known_mean(own["relative_regret"]),
            "lost_mean": known_mean(lost),
            **bounds[policy, "lost"],
            "lost_median": float(np.median(known)) if len(known) else np.nan,
            "lost_p90": float(np.quantile(known, 0.9)) if len(known) else np.nan,
            "lost_worst": float(known.max()) if len(known) else np.nan,
            "verdict": _verdict(
                policy, stopped, evals, saved, lost, budget, grouped, regret, own["noise"], level
            ),
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
    """The intervals of every policy's figures, by policy and figure; those of policies on the same runs are
    drawn at once.
    """
    alike: dict[tuple[str, tuple[float, float], tuple[str, ...]], list[str]] = {}
    for policy in policies:
        own = tuple(runs[row] for row in places[policy])
        for name, within in _WITHIN.items():
            known = policy == "never" or (
                policy == ORACLE and name != "saved"
            )  # by what they are, not by what was seen
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

    Against the fixed budget of equal mean compute by the paired bootstrap interval of the difference in
    ``lost``: better where the interval is below zero, worse where it is above, and not told apart where it
    holds zero.
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
    low, high = interval(
        np.where(known, lost - budget.lost_by_run, np.nan), groups, level, within=(-1.0, 1.0)
    )
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

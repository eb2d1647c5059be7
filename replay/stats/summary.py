"""Summary of outcomes, one row per policy: means with intervals, tails, the equal budget, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from replay.data.types import Floats, Ints
from replay.engine.outcomes import ORACLE, Outcomes
from replay.stats.budgets import Budget, FixedBudgets, known_mean
from replay.stats.groups import groups_of
from replay.stats.intervals import interval, intervals

__all__ = ["ENOUGH_EVALS", "ENOUGH_RUNS", "KEYS", "RANGES", "Rows", "Shortage", "find_shortage", "summarise"]

#: Fewer runs, or runs with fewer evals than this, are too few to rank policies by.
ENOUGH_RUNS = 8
ENOUGH_EVALS = 5

#: Keys of the summary, one row per policy. Those from ``budget_lost`` on belong to the equal budget.
KEYS = tuple(
    """
    policy runs stopped censored saved_mean saved_low saved_high regret_mean regret_low regret_high
    regret_worst relative_regret_mean lost_mean lost_low lost_high lost_median lost_p90 lost_worst verdict
    budget_lost budget_regret within_noise eval_share
    """.split()
)

#: Between which values a figure lies, whatever the run.
RANGES = {
    "saved": (0.0, 1.0),
    "lost": (0.0, 1.0),
    "regret": (0.0, math.inf),
    "relative_regret": (0.0, math.inf),
}

_SUMMARISED = ("saved", "lost", "regret")


class Shortage(NamedTuple):
    """Why runs are too few to rank policies by: the number of ``runs``, or the median number of ``evals``."""

    runs: int | None = None
    evals: float | None = None


def find_shortage(evals: Sequence[int] | Ints) -> Shortage | None:
    """What there is too little of to rank policies by runs with these numbers of evals; None: enough."""
    if len(evals) < ENOUGH_RUNS:
        return Shortage(runs=len(evals))
    middle = float(np.median(evals))
    return Shortage(evals=middle) if middle < ENOUGH_EVALS else None


class Rows(NamedTuple):
    """Some outcomes that are summarised as those of one policy: their indices, and the runs' indices."""

    policy: str
    outcomes: Ints
    runs: Ints


def summarise(
    outcomes: Outcomes,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    rows: Sequence[Rows] | None = None,
) -> dict[str, list[Any]]:
    """One row per policy: the keys of KEYS, each with one entry per policy in the order of the outcomes.

    Fractions for saved, lost and relative regret; None where a figure is undefined. Intervals hold with
    probability ``level``, by bootstrap over runs, drawing whole groups: ``groups`` has one entry per run of
    the study (default: what the log states). Censored outcomes are counted as the bounds that they are.
    ``rows`` are the sets of outcomes to summarise (default: those of each policy).
    """
    study = outcomes.study
    labels = groups_of(study.panel.runs) if groups is None else groups
    if rows is None:
        rows = [
            Rows(name, np.arange(*outcomes.rows_of(index).indices(len(outcomes))), outcomes.runs_of(index))
            for index, name in enumerate(outcomes.policies)
        ]
    table: dict[str, list[Any]] = {key: [] for key in KEYS}
    noise, evals = outcomes.noise, outcomes.evals
    budgets: dict[bytes, FixedBudgets] = {}
    bounds = _bounds(rows, outcomes, labels, level)
    for number, some in enumerate(rows):
        index = some.outcomes
        saved, lost, regret = outcomes.saved[index], outcomes.lost[index], outcomes.regret[index]
        key = some.runs.tobytes()
        if key not in budgets:
            budgets[key] = FixedBudgets.of(study, some.runs)
        budget = budgets[key].matching(float(saved.mean()))
        stopped = int(outcomes.stopped[index].sum())
        known = lost[~np.isnan(lost)]
        spent = float(outcomes.used[index].sum())
        verdict = _verdict(
            some.policy,
            stopped,
            evals[index],
            saved,
            lost,
            budget,
            [labels[run] for run in some.runs.tolist()],
            regret,
            noise[index],
            level,
        )
        row = {
            "policy": some.policy,
            "runs": len(index),
            "stopped": stopped,
            "censored": int(outcomes.censored[index].sum()),
            "saved_mean": known_mean(saved),
            **bounds[number, "saved"],
            "regret_mean": known_mean(regret),
            **bounds[number, "regret"],
            "regret_worst": float(np.nanmax(regret)) if not np.isnan(regret).all() else np.nan,
            "relative_regret_mean": known_mean(outcomes.relative_regret[index]),
            "lost_mean": known_mean(lost),
            **bounds[number, "lost"],
            "lost_median": float(np.median(known)) if len(known) else np.nan,
            "lost_p90": float(np.quantile(known, 0.9)) if len(known) else np.nan,
            "lost_worst": float(known.max()) if len(known) else np.nan,
            "verdict": verdict,
            "budget_lost": budget.lost,
            "budget_regret": budget.regret,
            "within_noise": int(np.sum(regret <= noise[index])),
            "eval_share": float(outcomes.eval_used[index].sum()) / spent if spent > 0 else np.nan,
        }
        for name, value in row.items():
            table[name].append(None if isinstance(value, float) and np.isnan(value) else value)
    return table


def _bounds(
    rows: Sequence[Rows], outcomes: Outcomes, groups: Sequence[str], level: float
) -> dict[tuple[int, str], dict[str, float]]:
    """The intervals of the figures of each set of rows; those of sets on the same runs are drawn at once."""
    alike: dict[tuple[str, tuple[float, float], bytes], list[int]] = {}
    for number, some in enumerate(rows):
        for name in _SUMMARISED:
            # by what they are, not by what was seen
            exact = some.policy == "never" or (some.policy == ORACLE and name != "saved")
            within = (-math.inf, math.inf) if exact else RANGES[name]
            alike.setdefault((name, within, some.runs.tobytes()), []).append(number)
    bounds = {}
    for (name, within, _), numbers in alike.items():
        values = np.stack([getattr(outcomes, name)[rows[number].outcomes] for number in numbers])
        names = [groups[run] for run in rows[numbers[0]].runs.tolist()]
        low, high = intervals(values, names, level, within=within)
        for number, least, most in zip(numbers, low.tolist(), high.tolist(), strict=True):
            bounds[number, name] = {f"{name}_low": least, f"{name}_high": most}
    return bounds


def _verdict(
    policy: str,
    stopped: int,
    evals: Ints,
    saved: Floats,
    lost: Floats,
    budget: Budget,
    groups: Sequence[str],
    regret: Floats,
    noise: Floats,
    level: float,
) -> str:
    """One policy's verdict.

    Against the equal budget by the paired bootstrap interval of the difference in ``lost``: better where the
    interval is below zero, worse where it is above, and not told apart where it holds zero.
    """
    if policy == "never":
        return "full log"
    if policy == ORACLE:
        return "upper bound"
    if find_shortage(evals):
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

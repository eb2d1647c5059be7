"""Summary of outcomes, one row per policy: means with intervals, tails, the equal budget, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from replay.data.types import Ints
from replay.engine.outcomes import ORACLE, Outcomes
from replay.stats.budgets import FixedBudgets, known_mean
from replay.stats.groups import groups_of
from replay.stats.intervals import intervals
from replay.stats.plan import unfinished
from replay.stats.shortage import ENOUGH_EVALS, ENOUGH_RUNS, Shortage, find_shortage
from replay.stats.verdict import Evidence, find_verdict, within_noise

__all__ = ["ENOUGH_EVALS", "ENOUGH_RUNS", "KEYS", "RANGES", "Rows", "Shortage", "find_shortage", "summarise"]

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
    evals, censored = outcomes.evals, unfinished(study)[outcomes.run]
    noisy = within_noise(outcomes.regret, outcomes.noise, outcomes.best)
    budgets: dict[bytes, FixedBudgets] = {}
    bounds = _bounds(rows, outcomes, labels, level)
    for number, some in enumerate(rows):
        index = some.outcomes
        saved, lost, regret = outcomes.saved[index], outcomes.lost[index], outcomes.regret[index]
        key = some.runs.tobytes()
        if key not in budgets:
            budgets[key] = FixedBudgets.of(study, some.runs)
        budget = budgets[key].matching(float(saved.mean()))
        known = lost[~np.isnan(lost)]
        spent = float(outcomes.used[index].sum())
        evidence = Evidence(evals[index], censored[index], outcomes.stopped[index], saved, lost, noisy[index])
        verdict = find_verdict(
            some.policy, evidence, budgets[key], [labels[run] for run in some.runs.tolist()], level
        )
        row = {
            "policy": some.policy,
            "runs": len(index),
            "stopped": int(evidence.stopped.sum()),
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
            "verdict": verdict.value,
            "budget_lost": budget.lost,
            "budget_regret": budget.regret,
            "within_noise": int(noisy[index].sum()),
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

"""Summary of outcomes, one row per policy: means with intervals, tails, the equal budget, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from replay.data.types import Floats, Ints
from replay.engine.outcomes import ORACLE, Outcomes
from replay.stats.budgets import Budget, FixedBudgets, known_mean
from replay.stats.groups import groups_of
from replay.stats.intervals import intervals
from replay.stats.shortage import ENOUGH_EVALS, ENOUGH_RUNS, Shortage, find_shortage
from replay.stats.verdict import PolicyEffects, find_verdict, within_noise

__all__ = [
    "ENOUGH_EVALS",
    "ENOUGH_RUNS",
    "KEYS",
    "RANGES",
    "SAVED_KEYS",
    "Rows",
    "Shortage",
    "Weight",
    "find_shortage",
    "summarise",
]

#: Keys of the summary, one row per policy. ``policy`` is the specification as typed, ``spec`` the canonical
#: one. ``budget_lost`` and ``budget_regret`` belong to the equal budget.
KEYS = tuple(
    """
    policy runs stopped censored saved_mean saved_low saved_high saved_total regret_mean regret_low
    regret_high regret_worst relative_regret_mean lost_mean lost_low lost_high lost_median lost_p90 lost_worst
    verdict spec lost_runs lost_later_mean budget_lost budget_regret within_noise beyond_noise eval_share
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

#: What counts alike in the compute saved: every run, or every unit of compute.
Weight = Literal["runs", "compute"]

#: The key of the summary that has the compute saved, by what counts alike.
SAVED_KEYS: dict[Weight, str] = {"runs": "saved_mean", "compute": "saved_total"}


class Rows(NamedTuple):
    """Some outcomes that are summarised as those of one policy: their indices, and the runs' indices.

    ``policy`` is its canonical specification, ``typed`` the same as the user wrote it (None: alike).
    """

    policy: str
    outcomes: Ints
    runs: Ints
    typed: str | None = None


def summarise(
    outcomes: Outcomes,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    rows: Sequence[Rows] | None = None,
) -> dict[str, list[Any]]:
    """One row per policy: the keys of KEYS, each with one entry per policy in the order of the outcomes.

    All figures and counts of a row are about its ``runs`` judged runs (all of its runs, with unknown losses,
    where none of them can be judged), and those of ``lost``, ``within_noise`` and ``beyond_noise`` about the
    ``lost_runs`` of these of which the share lost is known. Fractions for saved, lost and relative regret;
    None where a figure is undefined. Intervals hold with probability ``level``, by bootstrap over runs,
    drawing whole groups: ``groups`` has one entry per run of the study (default: what the log states).
    Censored outcomes are counted as the bounds that they are. ``rows`` are the sets of outcomes to summarise
    (default: those of each policy).
    """
    study = outcomes.study
    labels = groups_of(study.panel.runs) if groups is None else groups
    if rows is None:
        rows = [
            Rows(
                name,
                np.arange(*outcomes.rows_of(index).indices(len(outcomes))),
                outcomes.runs_of(index),
                outcomes.typed[index],
            )
            for index, name in enumerate(outcomes.policies)
        ]
    parts = [_judged(some, outcomes) for some in rows]
    table: dict[str, list[Any]] = {key: [] for key in KEYS}
    budgets: dict[bytes, FixedBudgets] = {}
    bounds = _bounds(parts, labels, level)
    for number, part in enumerate(parts):
        key = part.runs.tobytes()
        if key not in budgets:
            budgets[key] = FixedBudgets.of(study, part.runs)
        budget = _on_known_runs(budgets[key].matching(float(part.saved.mean())), part)
        for name, value in _row(outcomes, part, budgets[key], budget, labels, level, bounds, number).items():
            table[name].append(None if isinstance(value, float) and np.isnan(value) else value)
    return table


class _Part(NamedTuple):
    """The outcomes that one row of the summary is about, with their figures."""

    policy: str
    typed: str
    outcomes: Ints
    runs: Ints
    saved: Floats
    lost: Floats
    lost_later: Floats
    regret: Floats
    relative_regret: Floats


def _judged(some: Rows, outcomes: Outcomes) -> _Part:
    """The outcomes of judged runs; where there is none, all of them, with unknown losses."""
    judged = outcomes.judged[some.outcomes]
    known = bool(judged.any())
    here = judged if known else np.ones(len(judged), dtype=bool)
    index = some.outcomes[here]

    def loss(values: Floats) -> Floats:
        return values[index] if known else np.full(len(index), np.nan)

    return _Part(
        some.policy,
        some.policy if some.typed is None else some.typed,
        index,
        some.runs[here],
        outcomes.saved[index],
        loss(outcomes.lost),
        loss(outcomes.lost_later),
        loss(outcomes.regret),
        loss(outcomes.relative_regret),
    )


def _on_known_runs(budget: Budget, part: _Part) -> Budget:
    """The budget's losses over the runs of which those of the policy are known."""
    lost = np.where(np.isnan(part.lost), np.nan, budget.lost_by_run)
    regret = np.where(np.isnan(part.regret), np.nan, budget.regret_by_run)
    return Budget(known_mean(regret), known_mean(lost), lost, regret)


def _row(
    outcomes: Outcomes,
    part: _Part,
    budgets: FixedBudgets,
    budget: Budget,
    labels: Sequence[str],
    level: float,
    bounds: Mapping[tuple[int, str], Mapping[str, float]],
    number: int,
) -> dict[str, Any]:
    """One row of the summary, with NaN for what is not known."""
    index, saved, lost, regret = part.outcomes, part.saved, part.lost, part.regret
    evals, scaled = outcomes.evals[index], ~np.isnan(lost)
    noise, best = outcomes.noise[index], outcomes.best[index]
    noisy = scaled & (within_noise(regret, noise, best) | (regret == 0))
    known = lost[scaled]
    used, full = float(outcomes.used[index].sum()), float(outcomes.used_full[index].sum())
    later = np.where(scaled, part.lost_later, np.nan)
    dominated = bool((scaled & outcomes.dominated[index]).any())
    effects = PolicyEffects(
        evals,
        outcomes.study.is_censored[part.runs],
        outcomes.stopped[index],
        saved,
        lost,
        noisy,
    )
    names = [labels[run] for run in part.runs.tolist()]
    verdict = find_verdict(part.policy, effects, budgets, names, level)
    return {
        "policy": part.typed,
        "runs": len(index),
        "stopped": int(effects.stopped.sum()),
        "censored": int(outcomes.censored[index].sum()),
        "saved_mean": known_mean(saved),
        **bounds[number, "saved"],
        "saved_total": 1 - used / full if full > 0 else 0.0,
        "regret_mean": known_mean(regret),
        **bounds[number, "regret"],
        "regret_worst": float(np.nanmax(regret)) if not np.isnan(regret).all() else np.nan,
        "relative_regret_mean": known_mean(part.relative_regret),
        "lost_mean": known_mean(lost),
        **bounds[number, "lost"],
        "lost_median": float(np.median(known)) if len(known) else np.nan,
        "lost_p90": float(np.quantile(known, 0.9)) if len(known) else np.nan,
        "lost_worst": float(known.max()) if len(known) else np.nan,
        "verdict": verdict.value,
        "spec": part.policy,
        "lost_runs": len(known),
        "lost_later_mean": known_mean(later) if dominated else np.nan,
        "budget_lost": budget.lost,
        "budget_regret": budget.regret,
        "within_noise": int(noisy.sum()),
        # a run of which nothing is kept has no regret, and has lost everything
        "beyond_noise": int(np.sum(scaled & ~noisy & ((regret > noise) | (np.isnan(regret) & (lost > 0))))),
        "eval_share": float(outcomes.eval_used[index].sum()) / used if used > 0 else np.nan,
    }


def _bounds(
    parts: Sequence[_Part], groups: Sequence[str], level: float
) -> dict[tuple[int, str], dict[str, float]]:
    """The intervals of the figures of each row; those of rows on the same runs are drawn at once."""
    alike: dict[tuple[str, tuple[float, float], bytes], list[int]] = {}
    for number, some in enumerate(parts):
        for name in _SUMMARISED:
            # by what they are, not by what was seen
            exact = some.policy == "never" or (some.policy == ORACLE and name != "saved")
            within = (-math.inf, math.inf) if exact else RANGES[name]
            alike.setdefault((name, within, some.runs.tobytes()), []).append(number)
    bounds = {}
    for (name, within, _), numbers in alike.items():
        values = np.stack([getattr(parts[number], name) for number in numbers])
        names = [groups[run] for run in parts[numbers[0]].runs.tolist()]
        low, high = intervals(values, names, level, within=within)
        for number, least, most in zip(numbers, low.tolist(), high.tolist(), strict=True):
            bounds[number, name] = {f"{name}_low": least, f"{name}_high": most}
    return bounds

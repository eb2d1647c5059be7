"""Summary of outcomes, one row per policy: means with intervals, tails, the equal budget, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import ORACLE, Outcomes
from replay.stats.budgets import Budget, EqualBudgets, FixedBudgets, known_mean
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
    "Part",
    "Rows",
    "Shortage",
    "Weight",
    "find_shortage",
    "judged_part",
    "parts_of",
    "summarise",
    "summarise_parts",
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
    budgets: dict[bytes, FixedBudgets] = {}

    def budgets_of(number: int) -> FixedBudgets:
        key = parts[number].runs.tobytes()
        if key not in budgets:
            budgets[key] = FixedBudgets.of(study, parts[number].runs)
        return budgets[key]

    parts = [judged_part(part) for part in parts_of(outcomes, rows)]
    return summarise_parts(parts, labels, budgets_of, level)


def parts_of(outcomes: Outcomes, rows: Sequence[Rows] | None = None) -> list[Part]:
    """The outcomes of each row of a summary (default: of each policy), also of runs that are not judged."""
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
    return [_part_of(some, outcomes) for some in rows]


def summarise_parts(
    parts: Sequence[Part],
    labels: Sequence[str],
    budgets_of: Callable[[int], EqualBudgets],
    level: float = 0.95,
) -> dict[str, list[Any]]:
    """The summary of parts, as `summarise` gives it.

    ``labels`` has the group of each run that the parts have indices of. The parts are those of
    `judged_part`, and ``budgets_of`` gives the equal budgets of the runs of one, by its number.
    """
    table: dict[str, list[Any]] = {key: [] for key in KEYS}
    bounds = _bounds(parts, labels, level)
    for number, part in enumerate(parts):
        budgets = budgets_of(number)
        budget = _on_known_runs(budgets.matching(float(part.saved.mean())), part)
        for name, value in _row(part, budgets, budget, labels, level, bounds, number).items():
            table[name].append(None if isinstance(value, float) and np.isnan(value) else value)
    return table


class Part(NamedTuple):
    """Outcomes that are summarised in one row: their policy, as typed too, and arrays with one entry per run.

    ``runs`` are indices of the runs, ``judged`` says which of them count, ``ended`` which are censored, and
    ``censored`` which of the outcomes are bounds.
    """

    policy: str
    typed: str
    runs: Ints
    judged: Bools
    evals: Ints
    ended: Bools
    censored: Bools
    stopped: Bools
    dominated: Bools
    used: Floats
    eval_used: Floats
    used_full: Floats
    saved: Floats
    lost: Floats
    lost_later: Floats
    regret: Floats
    relative_regret: Floats
    noise: Floats
    best: Floats

    def take(self, chosen: Ints | Bools) -> Part:
        """The part with some of its entries."""
        arrays: list[Any] = [array[chosen] for array in self[2:]]
        return Part(self.policy, self.typed, *arrays)


#: The arrays of a part that say what was lost.
_LOSSES = ("lost", "lost_later", "regret", "relative_regret")


def judged_part(part: Part) -> Part:
    """The outcomes of judged runs; where there is none, all of them, with unknown losses."""
    if part.judged.any():
        return part if part.judged.all() else part.take(part.judged)
    unknown: dict[str, Any] = {name: np.full(len(part.runs), np.nan) for name in _LOSSES}
    return part._replace(**unknown)


def _part_of(some: Rows, outcomes: Outcomes) -> Part:
    """The outcomes of one row."""
    index, runs = some.outcomes, some.runs
    return Part(
        policy=some.policy,
        typed=some.policy if some.typed is None else some.typed,
        runs=runs,
        judged=outcomes.judged[index],
        evals=outcomes.evals[index],
        ended=outcomes.study.is_censored[runs],
        **{
            name: getattr(outcomes, name)[index]
            for name in Part._fields
            if name not in ("policy", "typed", "runs", "judged", "evals", "ended")
        },
    )


def _on_known_runs(budget: Budget, part: Part) -> Budget:
    """The budget's losses over the runs of which those of the policy are known."""
    lost = np.where(np.isnan(part.lost), np.nan, budget.lost_by_run)
    regret = np.where(np.isnan(part.regret), np.nan, budget.regret_by_run)
    return Budget(known_mean(regret), known_mean(lost), lost, regret)


def _row(
    part: Part,
    budgets: EqualBudgets,
    budget: Budget,
    labels: Sequence[str],
    level: float,
    bounds: Mapping[tuple[int, str], Mapping[str, float]],
    number: int,
) -> dict[str, Any]:
    """One row of the summary, with NaN for what is not known."""
    saved, lost, regret, noise = part.saved, part.lost, part.regret, part.noise
    scaled = ~np.isnan(lost)
    noisy = scaled & (within_noise(regret, noise, part.best) | (regret == 0))
    known = lost[scaled]
    used, full = float(part.used.sum()), float(part.used_full.sum())
    later = np.where(scaled, part.lost_later, np.nan)
    dominated = bool((scaled & part.dominated).any())
    effects = PolicyEffects(part.evals, part.ended, part.stopped, saved, lost, noisy)
    names = [labels[run] for run in part.runs.tolist()]
    verdict = find_verdict(part.policy, effects, budgets, names, level)
    return {
        "policy": part.typed,
        "runs": len(part.runs),
        "stopped": int(effects.stopped.sum()),
        "censored": int(part.censored.sum()),
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
        "eval_share": float(part.eval_used.sum()) / used if used > 0 else np.nan,
    }


def _bounds(
    parts: Sequence[Part], groups: Sequence[str], level: float
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

"""Sweep: thousands of policies on many runs, where each stops, and what that gives on average.

Only sums over runs are kept. Policies that differ in their threshold share a signal, those that look at the
same evals share the smoothed curves, and what a stop at an eval of a run gives is looked up. So a grid costs
as much as its distinct signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding
from replay.data.types import Bools, Floats, Ints
from replay.engine.payoffs import FIGURES, Payoffs
from replay.engine.stops import Block, StopsFinder
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.policies.stops import NEVER, REFUSED
from replay.stats.budgets import FixedBudgets

__all__ = ["SWEPT", "Sweep", "Totals", "sweep_study", "total_up", "values_of"]

#: One number per policy: the keys of the summary that a sweep gives to every policy.
SWEPT = tuple(
    """
    runs stopped censored saved_mean saved_total regret_mean regret_worst relative_regret_mean lost_mean
    lost_worst lost_runs budget_lost budget_regret
    """.split()
)

#: Figures of which the highest is of interest.
_WORST = ("regret", "lost")


class Totals(NamedTuple):
    """Sums over the judged runs of each policy of a block.

    ``runs`` counts the runs that are summed over, ``stopped`` those of them that the policy stops,
    ``censored`` the outcomes that are bounds (see `Outcomes.censored`) and ``refused`` the runs that it
    cannot judge. ``saved_total`` is the share of all these runs' compute. ``sums`` are by figure over the
    ``counts`` runs of which it is known, ``worst`` the highest of these (NaN: of none). ``gaps`` says, by
    figure, whether it is unknown of some run of which it is known for another stop.
    """

    runs: Ints
    stopped: Ints
    censored: Ints
    refused: Ints
    saved_total: Floats
    sums: dict[str, Floats]
    counts: dict[str, Floats]
    worst: dict[str, Floats]
    gaps: dict[str, Bools]

    def mean(self, figure: str) -> Floats:
        """Mean over the runs of which a figure is known; NaN where that is none."""
        counts = self.counts[figure]
        mean: Floats = self.sums[figure] / np.where(counts > 0, counts, np.nan)
        return mean


def values_of(block: Block, figure: str) -> Floats:
    """A figure of every policy of a block and run (policies × runs); NaN where it is not known."""
    payoffs = block.view.payoffs
    return np.take(getattr(payoffs, figure), block.positions + payoffs.begin)


def total_up(block: Block, study: Study, policies: Sequence[Policy]) -> Totals:
    """The sums of a block over its judged runs; ``policies`` are those that its members are indices of.

    A policy with no judged run has those over all its runs, with unknown losses.
    """
    judged = block.view.judged(study)
    if judged.all():
        return _sum_up(block, study, policies, None)
    totals = _sum_up(block, study, policies, np.flatnonzero(judged))
    if totals.runs.all():
        return totals
    everywhere, without = _sum_up(block, study, policies, None, unknown=True), totals.runs == 0

    def chosen(one: Any, other: Any) -> Any:
        if isinstance(one, dict):
            return {name: np.where(without, other[name], one[name]) for name in one}
        return np.where(without, other, one)

    return Totals(*(chosen(one, other) for one, other in zip(totals, everywhere, strict=True)))


def _sum_up(
    block: Block, study: Study, policies: Sequence[Policy], columns: Ints | None, *, unknown: bool = False
) -> Totals:
    """The sums over some columns of a block (None: all); with ``unknown`` losses count as not known."""
    payoffs = block.view.payoffs
    positions, begin, full, runs = block.positions, payoffs.begin, payoffs.full, block.view.runs
    if columns is not None:
        positions, begin, full, runs = positions[:, columns], begin[columns], full[columns], runs[columns]
    never, refused = positions == NEVER, positions == REFUSED
    some_refused = bool(refused.any())
    entries = positions + begin
    sums, counts, worst, gaps = {}, {}, {}, {}
    saved_total = np.zeros(len(positions))
    for figure in FIGURES:
        values = np.take(getattr(payoffs, figure), entries)
        if unknown and figure != "saved":
            values = np.full(values.shape, np.nan)
        if not some_refused and not unknown and payoffs.known(figure):
            sums[figure] = values.sum(axis=1)
            counts[figure] = np.full(len(values), float(values.shape[1]))
            highest = values.max(axis=1) if figure in _WORST and values.shape[1] else None
            gaps[figure] = np.zeros(len(values), dtype=bool)
        else:
            known = ~np.isnan(values)
            sums[figure] = np.where(known, values, 0.0).sum(axis=1)
            counts[figure] = known.sum(axis=1).astype(np.float64)
            highest = np.fmax.reduce(values, axis=1) if figure in _WORST and values.shape[1] else None
            somewhere = study.payoffs.known_somewhere(figure)[runs]
            gaps[figure] = (somewhere & ~known & ~refused).any(axis=1)
        if figure in _WORST:
            worst[figure] = np.full(len(values), np.nan) if highest is None else highest
        if figure == "saved":
            saved_total = _share_of_total(values, full, refused if some_refused else None)
    left = refused.sum(axis=1)
    stopped = positions.shape[1] - (never | refused).sum(axis=1)
    bound = study.is_censored[runs] & ~refused
    exact = [row for row, member in enumerate(block.members) if isinstance(policies[member], Never)]
    if exact:
        bound[exact] &= np.take(payoffs.regret, entries[exact]) > 0
    return Totals(
        positions.shape[1] - left,
        stopped,
        bound.sum(axis=1),
        left,
        saved_total,
        sums,
        counts,
        worst,
        gaps,
    )


def _share_of_total(saved: Floats, full: Floats, refused: Bools | None) -> Floats:
    """The share of the runs' total compute that each policy saves, without the runs that it refuses; NaN
    where it refuses all.
    """
    amounts, totals = saved * full, np.asarray(full.sum())
    some: Bools = np.full(len(saved), saved.shape[1] > 0)
    if refused is not None:
        amounts, totals = np.where(refused, 0.0, amounts), np.where(refused, 0.0, full).sum(axis=1)
        some = np.asarray((~refused).any(axis=1), dtype=bool)
    with np.errstate(all="ignore"):
        share = np.where(totals > 0, amounts.sum(axis=1) / totals, 0.0)
    return np.where(some, share, np.nan)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Policies and what they give over the runs of a study.

    ``figures`` maps each of SWEPT to one number per policy (NaN: not known). A policy that could not be tried
    on any run has 0 runs.
    """

    study: Study
    policies: list[Policy]
    figures: dict[str, Floats]
    findings: tuple[Finding, ...]


def sweep_study(
    study: Study,
    policies: Sequence[Policy],
    *,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Sweep policies over the runs of a study.

    With ``optional``, policies that no run has what it takes for are skipped and reported; otherwise they are
    an InputError. ``progress`` is called with the number of policies done.
    """
    count = len(policies)
    figures = {name: np.full(count, np.nan) for name in SWEPT}
    for name in ("runs", "stopped", "censored", "lost_runs"):
        figures[name] = np.zeros(count)
    budgets: dict[Payoffs, FixedBudgets] = {}
    finder = StopsFinder(study, policies, optional=optional)
    done = 0
    for block in finder.blocks():
        totals = total_up(block, study, policies)
        members = np.array(block.members)
        payoffs = block.view.payoffs
        figures["runs"][members], figures["saved_total"][members] = totals.runs, totals.saved_total
        figures["stopped"][members], figures["censored"][members] = totals.stopped, totals.censored
        figures["lost_runs"][members] = totals.counts["lost"]
        for name in FIGURES:
            figures[f"{name}_mean"][members] = totals.mean(name)
        for name in _WORST:
            figures[f"{name}_worst"][members] = totals.worst[name]
        judged = block.view.judged(study)
        if judged.any():
            if payoffs not in budgets:
                budgets[payoffs] = FixedBudgets.of(study, block.view.runs[judged])
            saved = figures["saved_mean"][members]
            equal = budgets[payoffs].means(saved)
            for name in ("regret", "lost"):
                figure, gaps = equal[name], np.flatnonzero(totals.gaps[name])
                if len(gaps):  # over the runs of which the policy's own figure is known
                    known = ~np.isnan(values_of(block, name)[np.ix_(gaps, np.flatnonzero(judged))])
                    figure[gaps] = budgets[payoffs].mean_over(name, saved[gaps], known)
                # where the policy refuses some runs there is no equal budget of the same runs
                figures[f"budget_{name}"][members] = np.where(totals.refused > 0, np.nan, figure)
        done += len(members)
        if progress is not None:
            progress(done)
    findings = (*study.findings, *(finding for _, finding in finder.findings))
    return Sweep(study, list(policies), figures, tuple(dict.fromkeys(findings)))

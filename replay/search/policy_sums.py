"""What policies give on some runs, as exact sums that can be added to those of other runs in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.payoffs import FIGURES
from replay.engine.stops import Block
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.policies.stops import NEVER, REFUSED
from replay.stats.exact_sums import ExactSums

__all__ = ["STREAMED", "PolicySums"]

#: The keys of the summary that sums over runs give.
STREAMED = tuple(
    """
    runs stopped censored saved_mean saved_total regret_mean regret_worst relative_regret_mean lost_mean
    lost_worst lost_runs
    """.split()
)

_COUNTS = ("runs", "stopped", "censored")
_WORST = ("regret", "lost")


@dataclass(frozen=True, eq=False)
class PolicySums:
    """Counts and exact sums over the judged runs of each policy; its arrays have one entry per policy.

    ``sums`` and ``counts`` are by figure, over the runs of which it is known; ``worst`` are the highest (NaN:
    of none). ``amounts`` is the compute saved by, and ``totals`` that of, all runs. ``unjudged`` are the same
    over the runs of which none can be judged, with unknown losses.
    """

    runs: Ints
    stopped: Ints
    censored: Ints
    sums: dict[str, ExactSums]
    counts: dict[str, Ints]
    worst: dict[str, Floats]
    amounts: ExactSums
    totals: ExactSums
    unjudged: PolicySums | None = None

    @classmethod
    def zeros(cls, size: int) -> PolicySums:
        """The sums over no run, of so many policies."""
        none = np.zeros(size, dtype=np.int64)
        nothing = ExactSums.zeros(size)
        return cls(
            none,
            none,
            none,
            dict.fromkeys(FIGURES, nothing),
            dict.fromkeys(FIGURES, none),
            {name: np.full(size, np.nan) for name in _WORST},
            nothing,
            nothing,
        )

    @classmethod
    def of_block(cls, block: Block, study: Study, policies: Sequence[Policy]) -> PolicySums:
        """The sums of the policies of a block, spread over all ``policies``."""
        judged = block.view.judged(study)
        here = _sum_up(block, study, policies, judged, unknown=False)
        without = here.runs == 0
        if without.any():
            # as a summary does: a policy that no run can be judged with has its savings over all of its runs
            everywhere = _sum_up(block, study, policies, np.ones(len(judged), dtype=bool), unknown=True)
            here = replace(here, unjudged=everywhere._only(without))
        return here._spread(block.members, len(policies))

    def __add__(self, other: PolicySums) -> PolicySums:
        unjudged = self.unjudged
        if other.unjudged is not None:
            unjudged = other.unjudged if unjudged is None else unjudged + other.unjudged
        return PolicySums(
            self.runs + other.runs,
            self.stopped + other.stopped,
            self.censored + other.censored,
            {name: self.sums[name] + other.sums[name] for name in FIGURES},
            {name: self.counts[name] + other.counts[name] for name in FIGURES},
            {name: np.fmax(self.worst[name], other.worst[name]) for name in _WORST},
            self.amounts + other.amounts,
            self.totals + other.totals,
            unjudged,
        )

    def figures(self) -> dict[str, Floats]:
        """One number per policy for each of STREAMED; NaN where it is not known."""
        every = self
        if self.unjudged is not None:
            every = replace(self, unjudged=None) + self.unjudged._only(self.runs == 0)
        figures = {name: getattr(every, name).astype(np.float64) for name in _COUNTS}
        figures["lost_runs"] = every.counts["lost"].astype(np.float64)
        figures |= {f"{name}_mean": every.sums[name].means(every.counts[name]) for name in FIGURES}
        figures |= {f"{name}_worst": every.worst[name] for name in _WORST}
        totals = every.totals.sums()
        with np.errstate(all="ignore"):
            share = np.where(totals > 0, every.amounts.sums() / totals, 0.0)
        figures["saved_total"] = np.where(every.runs > 0, share, np.nan)
        return {name: figures[name] for name in STREAMED}

    def _only(self, chosen: Bools) -> PolicySums:
        return PolicySums(
            np.where(chosen, self.runs, 0),
            np.where(chosen, self.stopped, 0),
            np.where(chosen, self.censored, 0),
            {name: sums.only(chosen) for name, sums in self.sums.items()},
            {name: np.where(chosen, counts, 0) for name, counts in self.counts.items()},
            {name: np.where(chosen, worst, np.nan) for name, worst in self.worst.items()},
            self.amounts.only(chosen),
            self.totals.only(chosen),
        )

    def _spread(self, members: Sequence[int], size: int) -> PolicySums:
        where = list(members)

        def counts(values: Ints) -> Ints:
            wide = np.zeros(size, dtype=np.int64)
            wide[where] = values
            return wide

        def worst(values: Floats) -> Floats:
            wide = np.full(size, np.nan)
            wide[where] = values
            return wide

        return PolicySums(
            counts(self.runs),
            counts(self.stopped),
            counts(self.censored),
            {name: sums.spread(where, size) for name, sums in self.sums.items()},
            {name: counts(values) for name, values in self.counts.items()},
            {name: worst(values) for name, values in self.worst.items()},
            self.amounts.spread(where, size),
            self.totals.spread(where, size),
            None if self.unjudged is None else self.unjudged._spread(members, size),
        )


def _sum_up(
    block: Block, study: Study, policies: Sequence[Policy], chosen: Bools, *, unknown: bool
) -> PolicySums:
    """The sums over some runs of a block; with ``unknown``, losses count as not known."""
    payoffs = block.view.payoffs
    positions, begin, full, runs = block.positions, payoffs.begin, payoffs.full, block.view.runs
    if not chosen.all():
        columns = np.flatnonzero(chosen)
        positions, begin, full, runs = positions[:, columns], begin[columns], full[columns], runs[columns]
    never, refused = positions == NEVER, positions == REFUSED
    entries = positions + begin
    sums, counts, worst = {}, {}, {}
    size, width = positions.shape
    amounts = totals = ExactSums.zeros(size)
    for figure in FIGURES:
        if unknown and figure != "saved":
            sums[figure], counts[figure] = ExactSums.zeros(size), np.zeros(size, dtype=np.int64)
            if figure in _WORST:
                worst[figure] = np.full(size, np.nan)
            continue
        values = np.take(getattr(payoffs, figure), entries)
        known = ~np.isnan(values)
        sums[figure] = ExactSums.of_rows(np.where(known, values, 0.0))
        counts[figure] = known.sum(axis=1)
        if figure in _WORST:
            worst[figure] = np.fmax.reduce(values, axis=1) if width else np.full(size, np.nan)
        if figure == "saved":
            amounts = ExactSums.of_rows(np.where(refused, 0.0, values * full))
            if refused.any():
                totals = ExactSums.of_rows(np.where(refused, 0.0, full))
            else:
                totals = ExactSums.of_rows(full[None]).repeated(size)
    bound = study.is_censored[runs] & ~refused
    exact = [row for row, member in enumerate(block.members) if isinstance(policies[member], Never)]
    if exact:
        bound[exact] &= np.take(payoffs.regret, entries[exact]) > 0
    return PolicySums(
        (~refused).sum(axis=1),
        width - (never | refused).sum(axis=1),
        bound.sum(axis=1),
        sums,
        counts,
        worst,
        amounts,
        totals,
    )

"""The equal budget: what stopping every run at the same share of its planned compute would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.payoffs import RunPayoff
from replay.engine.study import Study
from replay.stats.budget_curve import BudgetCurve, BudgetSums, merge_shares, most_shares
from replay.stats.exact_sums import ExactSums
from replay.stats.intervals import count_units, interval
from replay.stats.planned import trained_shares
from replay.stats.ties import snap

__all__ = [
    "Budget",
    "EqualBudgets",
    "FixedBudgets",
    "difference_interval",
    "known_mean",
]


class Budget(NamedTuple):
    """What an equal budget gives: mean regret and mean share lost over the runs, and each run's share
    lost and regret.
    """

    regret: float
    lost: float
    lost_by_run: Floats
    regret_by_run: Floats


class EqualBudgets(Protocol):
    """What a summary asks of the equal budgets of some runs; see `FixedBudgets`."""

    def matching(self, saved: float) -> Budget:
        """The budget with a mean saving."""

    def difference(self, saved: Floats, lost: Floats) -> Floats:
        """What each run loses more than under the equal budget."""

    def beyond(self, saved: float) -> Bools:
        """Whether the budget with a mean saving trains each run to the end of its log."""


class FixedBudgets(BudgetCurve):
    """What stopping every run at the same share of its compute would give: the equal-budget baseline.

    Evals make a budget a step function of the share, so the two budgets around a wanted saving are mixed to
    meet it exactly. A run stops at its last eval within the share, and at its first where the share is below
    it. With very many evals the shares looked at are thinned to evenly spaced ones of those that occur.
    Shares that differ by rounding are one share.

    ``payoffs`` has one entry per run. Its ``share`` may be of more compute than the log has: a budget that
    reaches beyond a log is the whole log. ``shares`` are those to look at (default: those that occur).
    """

    def __init__(self, payoffs: Sequence[RunPayoff], shares: Floats | None = None) -> None:
        self._payoffs = list(payoffs)
        if shares is None:
            shares = self.distinct_shares()
            most = most_shares(len(self._payoffs))
            if len(shares) > most:
                shares = shares[np.unique(np.linspace(0, len(shares) - 1, most).round().astype(np.int64))]
        self._positions = np.stack(
            [
                np.maximum(np.searchsorted(payoff.share, shares, side="right") - 1, 0)
                for payoff in self._payoffs
            ]
        ).astype(np.int32)
        lengths = np.array([len(payoff.share) for payoff in self._payoffs])
        self._begins = np.cumsum(lengths) - lengths
        self._flat: dict[str, Floats] = {}
        self._saved: Floats = np.mean(
            [payoff.saved[position] for payoff, position in zip(self._payoffs, self._positions, strict=True)],
            axis=0,
        )

    def distinct_shares(self) -> Floats:
        """The shares at which some run has an eval; those that differ by rounding are one."""
        return merge_shares([payoff.share for payoff in self._payoffs])

    @classmethod
    def of(cls, study: Study, runs: Ints, shares: Floats | None = None) -> FixedBudgets:
        """The equal budgets of some runs of a study, by their indices in its panel.

        Where a run was ended before the training that its log plans, the share is one of the planned compute.
        """
        payoffs = []
        for run, share in zip(runs.tolist(), trained_shares(study)[runs].tolist(), strict=True):
            payoff = study.payoffs.of_run(run)
            payoffs.append(payoff if share == 1 else payoff._replace(share=payoff.share * share))
        return cls(payoffs, shares)

    def matching(self, saved: float) -> Budget:
        """The budget whose mean saving over the runs is ``saved`` (a fraction), or the nearest there is."""
        lost, regret = self.of_runs(("lost", "regret"), *self.place(saved))
        return Budget(known_mean(regret), known_mean(lost), lost, regret)

    def difference(self, saved: Floats, lost: Floats) -> Floats:
        """What each run loses more than under the equal budget, with the budget's matching accounted for.

        ``saved`` and ``lost`` are a policy's, one entry per run of these budgets, as fractions. The result
        has one entry per run: NaN where a loss is not known, and exactly 0 for a tie. Its mean is that of
        ``lost`` less that of the budget with the same mean saving.

        The budget is matched to the mean saving of these very runs, so a run that saves more than the budget
        does also moves the budget. That makes the mean less uncertain than the plain differences say, which
        `replay.stats.intervals.interval` would not know. The entry of a run is
        ``lost − L − slope · (saved − S)``, where L and S are what the budget loses and saves on that run and
        ``slope`` is by how much the budgets' mean loss rises with their mean saving, over 3 points of saving
        on either side. The mean of these entries has the standard error of the matched difference.

        Source: linearisation of a function of means, as of the ratio and the regression estimator, Cochran,
        Sampling Techniques (1977), sections 6.4 and 7.3.
        """
        wanted = float(np.mean(saved))
        budget_lost, budget_saved = self.of_runs(("lost", "saved"), *self.place(wanted))
        return snap(lost - budget_lost - self.slope(wanted) * (saved - budget_saved))

    def beyond(self, saved: float) -> Bools:
        """Whether the budget with this mean saving, or a budget that is mixed into it, trains each run to the
        end of its log.
        """
        return self.reached(*self.place(saved))

    def reached(self, before: int, after: int, weight: float) -> Bools:
        """Whether a budget between two shares trains each run to the end of its log."""
        used = [at for at, share in ((before, 1 - weight), (after, weight)) if share > 0]
        ends = np.array([len(payoff.share) - 1 for payoff in self._payoffs])
        reached: Bools = (self._positions[:, used] == ends[:, None]).any(axis=1)
        return reached

    def mean_over(self, name: str, saved: Floats, known: Bools) -> Floats:
        """Mean regret or mean lost of the budgets with these mean savings, each over some of the runs only.

        ``name`` is ``regret`` or ``lost``, and ``known`` (budgets × runs) says which runs; those of which the
        budget's own figure is not known are left out.
        """
        before, after, weight = (array[:, None] for array in self.between(saved))
        columns = [
            [getattr(payoff, name)[positions[at[:, 0]]] for at in (before, after)]
            for payoff, positions in zip(self._payoffs, self._positions, strict=True)
        ]
        low, high = (np.stack([column[side] for column in columns], axis=1) for side in (0, 1))
        with np.errstate(invalid="ignore"):  # infinite regrets
            mixed = np.where(
                weight == 1, high, np.where(weight == 0, low, (1 - weight) * low + weight * high)
            )
        known = known & ~np.isnan(mixed)
        count = known.sum(axis=1)
        mean: Floats = np.where(known, mixed, 0.0).sum(axis=1) / np.where(count, count, np.nan)
        return mean

    @cached_property
    def curves(self) -> Mapping[str, tuple[Floats, Floats]]:
        """The mean regret and the mean loss at each share."""
        curves = {}
        for name in ("regret", "lost"):
            alone, here, following, known, both = self._at_shares(name)
            counts, counts_both = known.sum(axis=0), both.sum(axis=0)
            curves[name] = (
                alone.sum(axis=0) / np.where(counts, counts, np.nan),
                np.stack([here.sum(axis=0), following.sum(axis=0)])
                / np.where(counts_both, counts_both, np.nan),
            )
        return curves

    def sums(self) -> BudgetSums:
        """Exact sums over the runs, to be added to those of other runs at the same shares."""
        saved = np.stack(
            [
                payoff.saved[positions]
                for payoff, positions in zip(self._payoffs, self._positions, strict=True)
            ]
        )
        sums, counts = {}, {}
        for name in ("regret", "lost"):
            alone, here, following, known, both = self._at_shares(name)
            sums[name] = _exact(alone), _exact(here), _exact(following)
            counts[name] = known.sum(axis=0), both.sum(axis=0)
        return BudgetSums(len(self._payoffs), _exact(saved), sums, counts)

    def _at_shares(self, name: str) -> tuple[Floats, Floats, Floats, Bools, Bools]:
        """A figure of each run at each share, with 0 where it is not known: alone, where it is known at the
        next share too, and at that next share; and where it is known, and known at both.
        """
        values = np.stack(
            [
                getattr(payoff, name)[positions]
                for payoff, positions in zip(self._payoffs, self._positions, strict=True)
            ]
        )
        known = ~np.isnan(values)
        values[~known] = 0.0
        both = known.copy()
        both[:, :-1] &= known[:, 1:]
        following = np.zeros(values.shape)
        following[:, :-1] = np.where(both[:, :-1], values[:, 1:], 0.0)
        return values, np.where(both, values, 0.0), following, known, both

    def of_runs(self, names: Sequence[str], before: int, after: int, weight: float) -> list[Floats]:
        """Figures of each run under the mix of the budgets at two shares."""
        return [self._mix(name, before, after, weight) for name in names]

    def _mix(self, name: str, before: int, after: int, weight: float) -> Floats:
        """A figure of each run under the mix of two budgets."""
        if name not in self._flat:
            self._flat[name] = np.concatenate([getattr(payoff, name) for payoff in self._payoffs])
        flat = self._flat[name]
        low: Floats = flat[self._begins + self._positions[:, before]]
        high: Floats = flat[self._begins + self._positions[:, after]]
        if weight in (0, 1):
            return high if weight == 1 else low
        return (1 - weight) * low + weight * high


def difference_interval(difference: Floats, groups: Sequence[str], level: float) -> tuple[float, float]:
    """Interval of the mean of `FixedBudgets.difference`; (NaN, NaN) with fewer than 2 runs.

    ``difference`` and ``groups`` have one entry per run. It is the `interval` of the entries after each is
    moved away from their mean by the factor 1 + 2 / units, with units the groups or runs that are drawn. The
    budget's level and slope come from the same runs, which makes the entries of few runs too alike: the
    factor is the first order of leaving each unit out in turn, with two quantities that are estimated (HC3 of
    a regression, whose mean leverage is 2 / units).

    The 95 % interval held the truth, with budgets matched anew in each of thousands of simulated samples, as
    often as the docstring of `interval` says.

    Source: MacKinnon & White, Journal of Econometrics 29 (1985) 305, for HC3.
    """
    known = ~np.isnan(difference)
    if known.sum() < 2:
        return np.nan, np.nan
    units = count_units([name for name, here in zip(groups, known.tolist(), strict=True) if here])
    mean = float(difference[known].mean())
    return interval(snap(mean + (1 + 2 / units) * (difference - mean)), groups, level)


def known_mean(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _exact(values: Floats) -> ExactSums:
    """The exact sum of each column."""
    return ExactSums.of_rows(np.ascontiguousarray(values.T))

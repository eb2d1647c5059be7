"""The equal budget: what stopping every run at the same share of its planned compute would give."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.payoffs import RunPayoff
from replay.engine.study import Study
from replay.stats.intervals import count_units, interval
from replay.stats.planned import trained_shares
from replay.stats.ties import TIE, snap, tied

__all__ = ["Budget", "FixedBudgets", "difference_interval", "known_mean"]

#: Most shares times runs that are looked at.
_MOST_POSITIONS = 4_000_000

#: The slope of the baseline is taken over so much saving on either side, as a share of the compute.
_NEAR = 0.03


class Budget(NamedTuple):
    """What an equal budget gives: mean regret and mean share lost over the runs, and each run's share
    lost and regret.
    """

    regret: float
    lost: float
    lost_by_run: Floats
    regret_by_run: Floats


class FixedBudgets:
    """What stopping every run at the same share of its compute would give: the equal-budget baseline.

    Evals make a budget a step function of the share, so the two budgets around a wanted saving are mixed to
    meet it exactly. A run stops at its last eval within the share, and at its first where the share is below
    it. With very many evals the shares looked at are thinned to evenly spaced ones of those that occur.
    Shares that differ by rounding are one share.

    ``payoffs`` has one entry per run. Its ``share`` may be of more compute than the log has: a budget that
    reaches beyond a log is the whole log.
    """

    def __init__(self, payoffs: Sequence[RunPayoff]) -> None:
        self._payoffs = list(payoffs)
        shares = np.unique(np.concatenate([payoff.share for payoff in self._payoffs]))
        shares = shares[np.append(np.diff(shares) > TIE, True)]
        most = max(256, _MOST_POSITIONS // len(self._payoffs))
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
        self._saved = np.mean(
            [payoff.saved[position] for payoff, position in zip(self._payoffs, self._positions, strict=True)],
            axis=0,
        )

    @classmethod
    def of(cls, study: Study, runs: Ints) -> FixedBudgets:
        """The equal budgets of some runs of a study, by their indices in its panel.

        Where a run was ended before the training that its log plans, the share is one of the planned compute.
        """
        payoffs = []
        for run, share in zip(runs.tolist(), trained_shares(study)[runs].tolist(), strict=True):
            payoff = study.payoffs.of_run(run)
            payoffs.append(payoff if share == 1 else payoff._replace(share=payoff.share * share))
        return cls(payoffs)

    def matching(self, saved: float) -> Budget:
        """The budget whose mean saving over the runs is ``saved`` (a fraction), or the nearest there is."""
        before, after, weight = (array[0] for array in self._between(np.array([saved])))
        lost, regret = (
            self._mix(name, int(before), int(after), float(weight)) for name in ("lost", "regret")
        )
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
        before, after, weight = (array[0] for array in self._between(np.array([wanted])))
        budget_lost, budget_saved = (
            self._mix(name, int(before), int(after), float(weight)) for name in ("lost", "saved")
        )
        return snap(lost - budget_lost - self._slope(wanted) * (saved - budget_saved))

    def beyond(self, saved: float) -> Bools:
        """Whether the budget with this mean saving, or a budget that is mixed into it, trains each run to the
        end of its log.
        """
        before, after, weight = (array[0] for array in self._between(np.array([saved])))
        used = [int(at) for at, share in ((before, 1 - weight), (after, weight)) if share > 0]
        ends = np.array([len(payoff.share) - 1 for payoff in self._payoffs])
        reached: Bools = (self._positions[:, used] == ends[:, None]).any(axis=1)
        return reached

    def _slope(self, saved: float) -> float:
        """By how much the mean loss of the budgets rises with their mean saving, around a mean saving."""
        most, least = float(self._saved[0]), float(self._saved[-1])
        middle = min(max(saved, least), most)
        low, high = max(middle - _NEAR, least), min(middle + _NEAR, most)
        if tied(low, high):
            return 0.0
        lost = self.means(np.array([low, high]))["lost"]
        slope = float(lost[1] - lost[0]) / (high - low)
        return slope if np.isfinite(slope) else 0.0

    def means(self, saved: Floats) -> dict[str, Floats]:
        """Mean regret and mean lost of the budgets with these mean savings, as `matching` gives them."""
        before, after, weight = self._between(saved)
        means = {}
        with np.errstate(invalid="ignore"):  # infinite regrets
            for name, (alone, of_both) in self._curves.items():
                low, high = of_both[:, before]  # where there is a weight between, the share after is the next
                means[name] = np.where(
                    weight == 1,
                    alone[after],
                    np.where(weight == 0, alone[before], (1 - weight) * low + weight * high),
                )
        return means

    def mean_over(self, name: str, saved: Floats, known: Bools) -> Floats:
        """Mean regret or mean lost of the budgets with these mean savings, each over some of the runs only.

        ``name`` is ``regret`` or ``lost``, and ``known`` (budgets × runs) says which runs; those of which the
        budget's own figure is not known are left out.
        """
        before, after, weight = (array[:, None] for array in self._between(saved))
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
    def _curves(self) -> dict[str, tuple[Floats, Floats]]:
        """Mean regret and mean lost at each share, over the runs of which they are known.

        Also at each share and the next one, over the runs of which they are known at both.
        """
        curves = {}
        for name in ("regret", "lost"):
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
            here = np.where(both, values, 0.0).sum(axis=0)
            following = np.zeros(values.shape[1])
            following[:-1] = np.where(both[:, :-1], values[:, 1:], 0.0).sum(axis=0)
            counts, counts_both = known.sum(axis=0), both.sum(axis=0)
            curves[name] = (
                values.sum(axis=0) / np.where(counts, counts, np.nan),
                np.stack([here, following]) / np.where(counts_both, counts_both, np.nan),
            )
        return curves

    def _between(self, saved: Floats) -> tuple[Ints, Ints, Floats]:
        """The shares before and after which each mean saving lies, and the weight of the latter."""
        means = self._saved  # falls as shares rise
        after = np.minimum(np.searchsorted(-means, -saved, side="left"), len(means) - 1)
        before = np.maximum(after - 1, 0)
        span = means[before] - means[after]
        with np.errstate(all="ignore"):
            weight = np.where(span > 0, np.clip((means[before] - saved) / span, 0.0, 1.0), 1.0)
        # a saving that a single budget meets but for rounding is that budget's
        weight = np.where(np.abs(means[before] - saved) <= TIE, 0.0, weight)
        return before, after, np.where(np.abs(means[after] - saved) <= TIE, 1.0, weight)

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

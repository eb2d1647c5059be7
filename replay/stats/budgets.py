"""The equal budget: what stopping every run at the same share of its compute would give."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.payoffs import RunPayoff
from replay.engine.study import Study

__all__ = ["Budget", "FixedBudgets", "known_mean"]

#: Most shares times runs that are looked at.
_MOST_POSITIONS = 4_000_000


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
    """

    def __init__(self, payoffs: Sequence[RunPayoff]) -> None:
        self._payoffs = list(payoffs)
        shares = np.unique(np.concatenate([payoff.share for payoff in self._payoffs]))
        most = max(256, _MOST_POSITIONS // len(self._payoffs))
        if len(shares) > most:
            shares = shares[np.unique(np.linspace(0, len(shares) - 1, most).round().astype(np.int64))]
        self._positions = np.stack(
            [
                np.maximum(np.searchsorted(payoff.share, shares, side="right") - 1, 0)
                for payoff in self._payoffs
            ]
        ).astype(np.int32)
        self._saved = np.mean(
            [payoff.saved[position] for payoff, position in zip(self._payoffs, self._positions, strict=True)],
            axis=0,
        )

    @classmethod
    def of(cls, study: Study, runs: Ints) -> FixedBudgets:
        """The equal budgets of some runs of a study, by their indices in its panel."""
        return cls([study.payoffs.of_run(run) for run in runs.tolist()])

    def matching(self, saved: float) -> Budget:
        """The budget whose mean saving over the runs is ``saved`` (a fraction), or the nearest there is."""
        before, after, weight = (array[0] for array in self._between(np.array([saved])))
        lost, regret = (
            self._mix(name, int(before), int(after), float(weight)) for name in ("lost", "regret")
        )
        return Budget(known_mean(regret), known_mean(lost), lost, regret)

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
        return before, after, weight

    def _mix(self, name: str, before: int, after: int, weight: float) -> Floats:
        low, high = (
            np.array(
                [
                    getattr(payoff, name)[positions[at]]
                    for payoff, positions in zip(self._payoffs, self._positions, strict=True)
                ]
            )
            for at in (before, after)
        )
        return high if weight == 1 else low if weight == 0 else (1 - weight) * low + weight * high


def known_mean(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan

"""Equal budgets at rising shares of the compute: what they save and lose on average, and sums to merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.types import Floats, Ints
from replay.stats.exact_sums import ExactSums
from replay.stats.ties import TIE, tied

__all__ = [
    "EVEN_SHARES",
    "BudgetCurve",
    "BudgetSums",
    "are_seen_at_even_shares",
    "merge_shares",
    "most_shares",
]

#: Most shares times runs that are looked at.
_MOST_POSITIONS = 4_000_000

#: The slope of the baseline is taken over so much saving on either side, as a share of the compute.
_NEAR = 0.03

#: Shares at which the budgets of runs that are read part by part are looked up. They lie a little above the
#: fractions, so that shares that differ by rounding fall on the same side.
EVEN_SHARES: Floats = np.arange(1025) / 1024 + 2 * TIE


def most_shares(runs: int) -> int:
    """At how many shares at most the budgets of so many runs are looked up."""
    return max(256, _MOST_POSITIONS // runs)


def merge_shares(shares: Sequence[Floats]) -> Floats:
    """All shares, rising, each once; those that differ by rounding are one."""
    every = np.unique(np.concatenate(shares))
    merged: Floats = every[np.append(np.diff(every) > TIE, True)]
    return merged


def are_seen_at_even_shares(shares: Floats) -> bool:
    """Whether the budgets at some shares are those at `EVEN_SHARES`, as these lie between any two of them."""
    return bool((np.diff(shares) > 1 / (len(EVEN_SHARES) - 1) + TIE).all())


class BudgetCurve:
    """Mean saving, regret and loss of equal budgets over some runs, at rising shares of the compute.

    ``saved`` falls as shares rise. ``curves`` has, for ``regret`` and ``lost``, the mean at each share over
    the runs of which it is known, and the means at each share and the next one over the runs of which it is
    known at both.
    """

    def __init__(self, saved: Floats, curves: Mapping[str, tuple[Floats, Floats]]) -> None:
        self._saved, self._given = saved, curves

    @property
    def curves(self) -> Mapping[str, tuple[Floats, Floats]]:
        """The mean regret and the mean loss at each share."""
        return self._given

    def means(self, saved: Floats) -> dict[str, Floats]:
        """Mean regret and mean lost of the budgets with these mean savings."""
        before, after, weight = self.between(saved)
        means = {}
        with np.errstate(invalid="ignore"):  # infinite regrets
            for name, (alone, of_both) in self.curves.items():
                low, high = of_both[:, before]  # where there is a weight between, the share after is the next
                means[name] = np.where(
                    weight == 1,
                    alone[after],
                    np.where(weight == 0, alone[before], (1 - weight) * low + weight * high),
                )
        return means

    def slope(self, saved: float) -> float:
        """By how much the mean loss of the budgets rises with their mean saving, around a mean saving."""
        most, least = float(self._saved[0]), float(self._saved[-1])
        middle = min(max(saved, least), most)
        low, high = max(middle - _NEAR, least), min(middle + _NEAR, most)
        if tied(low, high):
            return 0.0
        lost = self.means(np.array([low, high]))["lost"]
        slope = float(lost[1] - lost[0]) / (high - low)
        return slope if np.isfinite(slope) else 0.0

    def place(self, saved: float) -> tuple[int, int, float]:
        """The shares before and after which a mean saving lies, and the weight of the latter."""
        before, after, weight = (array[0] for array in self.between(np.array([saved])))
        return int(before), int(after), float(weight)

    def between(self, saved: Floats) -> tuple[Ints, Ints, Floats]:
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


@dataclass(frozen=True, eq=False)
class BudgetSums:
    """Exact sums over some runs of what budgets save and lose at the same shares, to be added up.

    ``sums`` and ``counts`` are by figure: alone at each share, then at each share and at the next one over
    the runs of which the figure is known at both.
    """

    runs: int
    saved: ExactSums
    sums: Mapping[str, tuple[ExactSums, ExactSums, ExactSums]]
    counts: Mapping[str, tuple[Ints, Ints]]

    @classmethod
    def zeros(cls, shares: int) -> BudgetSums:
        """The sums over no run, at so many shares."""
        nothing, none = ExactSums.zeros(shares), np.zeros(shares, dtype=np.int64)
        names = ("regret", "lost")
        return cls(
            0, nothing, dict.fromkeys(names, (nothing, nothing, nothing)), dict.fromkeys(names, (none, none))
        )

    def __add__(self, other: BudgetSums) -> BudgetSums:
        return BudgetSums(
            self.runs + other.runs,
            self.saved + other.saved,
            {
                name: (a + here, b + there, c + following)
                for name, (a, b, c) in self.sums.items()
                for here, there, following in [other.sums[name]]
            },
            {
                name: (alone + other.counts[name][0], both + other.counts[name][1])
                for name, (alone, both) in self.counts.items()
            },
        )

    def curve(self) -> BudgetCurve:
        """The means that the sums give."""
        curves = {}
        for name, (alone, here, following) in self.sums.items():
            count, of_both = self.counts[name]
            curves[name] = alone.means(count), np.stack([here.means(of_both), following.means(of_both)])
        return BudgetCurve(self.saved.means(np.full(self.saved.size, self.runs)), curves)

"""The equal budget: what stopping every run at the same share of its compute would give."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from replay.data.types import Floats, Ints
from replay.engine.simulation import Profile

__all__ = ["Budget", "FixedBudgets"]

_MOST_PLACES = 4_000_000


class Budget(NamedTuple):
    """What "train shorter by as much" gives: means over runs, and each run's own loss."""

    regret: float
    lost: float
    lost_by_run: Floats


class FixedBudgets:
    """What stopping every run at the same share of its compute would give: "train shorter by as much".

    Evals make a budget a step function of the share, so the two budgets around a wanted saving are mixed to
    meet it exactly. A run stops at its last eval within the share, and at its first where the share is below
    it. With very many evals the shares looked at are thinned to evenly spaced ones of those that occur.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = list(profiles)
        shares = np.unique(np.concatenate([profile.share for profile in self._profiles]))
        most = max(256, _MOST_PLACES // len(self._profiles))
        if len(shares) > most:
            shares = shares[np.unique(np.linspace(0, len(shares) - 1, most).round().astype(np.int64))]
        self._places = np.stack(
            [
                np.maximum(np.searchsorted(profile.share, shares, side="right") - 1, 0)
                for profile in self._profiles
            ]
        ).astype(np.int32)
        self._saved = np.mean(
            [profile.saved[place] for profile, place in zip(self._profiles, self._places, strict=True)],
            axis=0,
        )

    def matching(self, saved: float) -> Budget:
        """The budget whose mean saving over the runs is ``saved`` (a fraction), or the nearest that there
        is.
        """
        before, after, weight = (array[0] for array in self._between(np.array([saved])))
        lost = self._mixed("lost", int(before), int(after), float(weight))
        return Budget(
            known_mean(self._mixed("regret", int(before), int(after), float(weight))), known_mean(lost), lost
        )

    def means(self, saved: Floats) -> dict[str, Floats]:
        """Mean regret and mean lost of the budgets whose mean savings are ``saved``, one or many: as
        `matching` gives them.
        """
        before, after, weight = self._between(saved)
        found = {}
        with np.errstate(invalid="ignore"):  # infinite regrets
            for name, (alone, of_both) in self._curves.items():
                low, high = of_both[:, before]  # where there is a weight between, the share after is the next
                found[name] = np.where(
                    weight == 1,
                    alone[after],
                    np.where(weight == 0, alone[before], (1 - weight) * low + weight * high),
                )
        return found

    @cached_property
    def _curves(self) -> dict[str, tuple[Floats, Floats]]:
        """Mean regret and mean lost at each share, of the runs of which they are known; and at it and the
        next, of those known at both.
        """
        found = {}
        for name in ("regret", "lost"):
            shares = len(self._saved)
            alone, counted = np.zeros(shares), np.zeros(shares)
            both, counted_both = np.zeros((2, shares)), np.zeros(shares)
            for profile, places in zip(self._profiles, self._places, strict=True):
                values = getattr(profile, name)[places]
                known = ~np.isnan(values)
                values = np.where(known, values, 0.0)
                alone += values
                counted += known
                known[:-1] &= known[1:]
                both[0] += np.where(known, values, 0.0)
                both[1, :-1] += np.where(known[:-1], values[1:], 0.0)
                counted_both += known
            found[name] = (
                alone / np.where(counted, counted, np.nan),
                both / np.where(counted_both, counted_both, np.nan),
            )
        return found

    def _between(self, saved: Floats) -> tuple[Ints, Ints, Floats]:
        """The shares before and after which each mean saving lies, and the weight of the latter."""
        means = self._saved  # falls as shares rise
        after = np.minimum(np.searchsorted(-means, -saved, side="left"), len(means) - 1)
        before = np.maximum(after - 1, 0)
        span = means[before] - means[after]
        with np.errstate(all="ignore"):
            weight = np.where(span > 0, np.clip((means[before] - saved) / span, 0.0, 1.0), 1.0)
        return before, after, weight

    def _mixed(self, name: str, before: int, after: int, weight: float) -> Floats:
        low, high = (
            np.array(
                [
                    getattr(profile, name)[places[at]]
                    for profile, places in zip(self._profiles, self._places, strict=True)
                ]
            )
            for at in (before, after)
        )
        return high if weight == 1 else low if weight == 0 else (1 - weight) * low + weight * high


def known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan

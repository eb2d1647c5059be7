"""Risk control: which rungs of a ladder of policies keep a tolerance, proven from the losses of some units.

A ladder is an ordered set of policies, the safest first, that was fixed before anybody looked at the losses.
Losses are shares between 0 and 1, units × rungs. The statements hold for units that are exchangeable with
these (for `LearnThenTest`: drawn independently from the same population), whatever the losses' distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.stats.ties import TIE

__all__ = ["ConformalRiskControl", "LearnThenTest", "RiskControl", "resample", "risk_control"]

#: With more units than this, needed units are not searched for.
MOST_UNITS = 100_000

_SEED = 20250101
# permutations of the units that the wealth is averaged over: with very many units fewer do
_PERMUTATIONS = 32
_FEWEST_PERMUTATIONS = 4
_MOST_PERMUTED = 16_000
# the most that is bet, as a share of what could be lost in one bet
_MOST_BET = 0.95
_VALUES_AT_A_TIME = 2_000_000


class RiskControl(Protocol):
    """How the rungs of a ladder are held against a tolerance."""

    def bounds(self, losses: Floats) -> Floats:
        """The smallest tolerance that each rung keeps; it never falls along the ladder."""

    def choose(self, losses: Floats, alpha: float) -> int | None:
        """The greediest rung that keeps the tolerance ``alpha``; None where the safest does not."""

    def needed_units(self, losses: Floats, alpha: float) -> list[int | None]:
        """The least number of units with losses like these with which each rung would keep ``alpha``.

        None where no number would do. It never falls along the ladder.
        """


class ConformalRiskControl:
    """Keeps the mean loss of the next unit within the tolerance.

    Each unit's losses are made monotone along the ladder (their running maximum); then the bound of a rung
    over n units is (sum of the losses + 1) / (n + 1).

    The mean is taken over the units seen as well as the next one, and a sample for which no rung is chosen
    counts with a loss of 0, that of training to the end. The mean over those samples alone for which some
    rung is chosen is not bounded: where the tolerance is out of reach of the true losses, the few samples
    that happen to look good are misleading. `LearnThenTest` bounds how often that happens.

    Source: Angelopoulos, Bates, Fisch, Lei & Schuster, Conformal Risk Control, arXiv:2208.02814, section 2.

    Examples
    --------
    >>> losses = np.zeros((19, 2))
    >>> losses[0, 1] = 0.4
    >>> ConformalRiskControl().bounds(losses)
    array([0.05, 0.07])
    >>> ConformalRiskControl().choose(losses, 0.05), ConformalRiskControl().needed_units(losses, 0.05)
    (0, [19, 33])
    """

    def bounds(self, losses: Floats) -> Floats:
        raised = _raise_along_ladder(_checked(losses))
        # sorted, so that the order of the units cannot change the last digit
        bounds: Floats = (np.sort(raised, axis=0).sum(axis=0) + 1) / (len(raised) + 1)
        return bounds

    def choose(self, losses: Floats, alpha: float) -> int | None:
        return _last(self.bounds(losses) <= alpha + TIE)

    def needed_units(self, losses: Floats, alpha: float) -> list[int | None]:
        raised = _raise_along_ladder(_checked(losses))
        means = np.sort(raised, axis=0).mean(axis=0) if len(raised) else np.zeros(raised.shape[1])
        limit = alpha + TIE
        # (n·mean + 1) / (n + 1) is at most the limit
        return [
            max(math.ceil((1 - limit) / (limit - mean)), 0) if mean < alpha - TIE else None
            for mean in means.tolist()
        ]


@dataclass(frozen=True)
class LearnThenTest:
    """Keeps the mean loss of a rung within the tolerance, with a confidence.

    With a probability of at least ``confidence`` over the units seen, each rung up to the one chosen has a
    true mean loss within the tolerance. The rungs are tested in their fixed order, the safest first, and
    testing stops at the first that fails, so no confidence is spent on how many there are.

    A rung's p-value, for the hypothesis that its mean loss is above the tolerance, is 1 / the final wealth of
    a gambler who bets that losses are below it. Bets are the predictable plug-in of Waudby-Smith & Ramdas,
    λ = √(2 log(1/δ) / (n · variance so far)), at most 0.95 of what one bet can lose. The wealth is averaged
    over fixed random orders of the sorted losses, so the result does not depend on the order of the units.

    This was compared with a mixture over a fixed grid of bets, and with the average of both. At δ = 10 %, of
    samples whose true mean loss is a fifth of the tolerance, the plug-in, the uniform mixture, the best
    mixture (Beta(1, 1/4) over the grid), the average of plug-in and uniform mixture, and Hoeffding–Bentkus
    reject in:

    ==========================================  =======  =======  =======  =======  ==========
    n, tolerance, losses                        plug-in  uniform  best     average  Hoeffding–
                                                         mixture  mixture           Bentkus
    ==========================================  =======  =======  =======  =======  ==========
    12, 20 %, 90 % zeros                        41 %     0 %      29 %     0 %      32 %
    12, 30 %, common (all above 0)              100 %    53 %     100 %    99 %     41 %
    26, 10 %, 90 % zeros                        30 %     0 %      13 %     0 %      14 %
    60, 5 %, 90 % zeros                         51 %     0 %      28 %     9 %      8 %
    60, 5 %, common                             56 %     0 %      2 %      0 %      0 %
    200, 2 %, 90 % zeros                        99 %     5 %      98 %     93 %     21 %
    200, 5 %, 0 or 1                            70 %     86 %     70 %     86 %     95 %
    ==========================================  =======  =======  =======  =======  ==========

    The plug-in is weaker only where losses are 0 or 1 and many of them have been seen.

    Sources: Angelopoulos, Bates, Candès, Jordan & Lei, Learn then Test, arXiv:2110.01052 (fixed-sequence
    testing); Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86 (2024) 1, arXiv:2010.09686 (bets).

    Examples
    --------
    >>> zeros = np.zeros((60, 1))
    >>> LearnThenTest(0.9).choose(zeros, 0.05), LearnThenTest(0.9).needed_units(zeros, 0.05)
    (0, [48])
    """

    confidence: float

    @property
    def delta(self) -> float:
        """The probability of an error that is accepted."""
        return 1 - self.confidence

    def p_values(self, losses: Floats, alpha: float) -> Floats:
        """The p-value of each rung by itself, for the hypothesis that its mean loss is above ``alpha``."""
        if alpha >= 1:
            return np.zeros(np.shape(_checked(losses))[1])  # no mean of shares is above 1
        wealth = [bets.log_wealth(alpha) for bets in self._bets(_checked(losses))]
        p_values: Floats = np.minimum(np.exp(-np.concatenate([*wealth, np.empty(0)])), 1.0)
        return p_values

    def choose(self, losses: Floats, alpha: float) -> int | None:
        return _last(np.logical_and.accumulate(self._passes(losses, alpha)))

    def bounds(self, losses: Floats) -> Floats:
        alone = [bets.smallest_tolerance(self.delta) for bets in self._bets(_checked(losses))]
        along: Floats = np.maximum.accumulate(np.concatenate([*alone, np.empty(0)]))
        return along

    def needed_units(self, losses: Floats, alpha: float) -> list[int | None]:
        """As `RiskControl.needed_units`; the units needed are enough, and one fewer is not.

        A sample of another size has the quantiles of these losses, rounded up (see `resample`). None also
        where more than 100,000 would be needed.
        """
        losses = _checked(losses)
        highest: int | None = 0
        needed = []
        for rung in range(losses.shape[1]):
            if highest is not None:
                alone = self._needed(losses[:, [rung]], alpha)
                highest = None if alone is None else max(highest, alone)
            needed.append(highest)
        return needed

    def _passes(self, losses: Floats, alpha: float) -> Bools:
        return self.p_values(losses, min(alpha + TIE, 1.0)) <= self.delta * (1 + TIE)

    def _needed(self, losses: Floats, alpha: float) -> int | None:
        if alpha <= 0 or (len(losses) and float(losses.mean()) >= alpha - TIE):
            return None

        def enough(units: int) -> bool:
            return bool(self._passes(resample(losses, units), alpha)[0])

        low, high = 0, len(losses)
        while not enough(high):
            low, high = high, max(2 * high, 1)
            if high > MOST_UNITS:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high

    def _bets(self, losses: Floats) -> Iterator[_Bets]:
        """The bets on the losses of some rungs at a time."""
        units, rungs = losses.shape
        step = max(_VALUES_AT_A_TIME // max(units * len(_orders(units)), 1), 1)
        for start in range(0, rungs, step):
            yield _Bets.on(losses[:, start : start + step], self.delta)


class _Bets(NamedTuple):
    """Losses in several orders (orders × units × rungs), and the bet on each, which knows those before it.

    A bet is a share of what a loss of 1 would take: of λ = bet / (1 − tolerance).
    """

    losses: Floats
    bets: Floats

    @classmethod
    def on(cls, losses: Floats, delta: float) -> _Bets:
        units = len(losses)
        ordered = np.sort(losses, axis=0)[_orders(units)]
        count = np.arange(1, units + 1)[None, :, None]
        # mean and variance with one made-up loss of 1/2 and a variance of 1/4 before the first
        mean = (0.5 + np.cumsum(ordered, axis=1)) / (count + 1)
        variance = (0.25 + np.cumsum((ordered - mean) ** 2, axis=1)) / (count + 1)
        before = np.concatenate([np.full_like(variance[:, :1], 0.25), variance[:, :-1]], axis=1)
        return cls(ordered, np.minimum(np.sqrt(2 * math.log(1 / delta) / (units * before)), _MOST_BET))

    def log_wealth(self, alpha: float | Floats) -> Floats:
        """Logarithm of the final wealth on each rung, the mean over the orders.

        It rises with ``alpha``, which is below 1 (one for all rungs, or one for each).
        """
        odds = 1 / (1 - np.asarray(alpha, dtype=np.float64))
        # 1 + λ (alpha − loss)
        total = np.log(1 - self.bets + self.bets * (1 - self.losses) * odds).sum(axis=1)
        most = total.max(axis=0)
        mean: Floats = np.log(np.exp(total - most).mean(axis=0)) + most
        return mean

    def smallest_tolerance(self, delta: float) -> Floats:
        """The smallest tolerance at which each rung passes by itself, by bisection."""
        rungs = self.losses.shape[2]
        low, high = np.zeros(rungs), np.ones(rungs)
        if not self.losses.shape[1]:
            return high
        for _ in range(40):
            middle = (low + high) / 2
            passes = self.log_wealth(middle) >= -math.log(delta)
            low, high = np.where(passes, low, middle), np.where(passes, middle, high)
        return high


@lru_cache(maxsize=64)
def _orders(units: int) -> Ints:
    """Fixed random orders of some units (orders × units)."""
    generator = np.random.Generator(np.random.PCG64(_SEED))
    count = min(max(_MOST_PERMUTED // max(units, 1), _FEWEST_PERMUTATIONS), _PERMUTATIONS)
    return np.stack([generator.permutation(units) for _ in range(count)])


def risk_control(confidence: float | None, parts: int = 1) -> RiskControl:
    """What holds rungs against a tolerance: on average (None), or with a confidence.

    With ``parts``, one of so many equal parts of the accepted error is spent.
    """
    return ConformalRiskControl() if confidence is None else LearnThenTest(1 - (1 - confidence) / parts)


def resample(losses: Floats, units: int) -> Floats:
    """Losses of another number of units, with the quantiles of each rung's losses rounded up.

    With as many units as there are, these are the losses, sorted; their mean is never lower. Where there are
    no losses, they are taken to be 0.

    Examples
    --------
    >>> resample(np.array([[0.0], [0.0], [0.0], [0.3]]), 6).ravel()
    array([0. , 0. , 0. , 0. , 0.3, 0.3])
    """
    if not len(losses):
        return np.zeros((units, losses.shape[1]))
    number = np.arange(1, units + 1)
    return np.sort(losses, axis=0)[-(-number * len(losses) // max(units, 1)) - 1]


def _raise_along_ladder(losses: Floats) -> Floats:
    """Each unit's highest loss up to each rung."""
    return np.maximum.accumulate(losses, axis=1)


def _last(passes: Bools) -> int | None:
    return int(np.flatnonzero(passes)[-1]) if passes.any() else None


def _checked(losses: Floats) -> Floats:
    """The losses as a table of floats; ValueError for what is not a share."""
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"losses are units × rungs, not an array of {table.ndim} dimensions")
    if not bool(((table >= 0) & (table <= 1)).all()):
        raise ValueError("losses are shares between 0 and 1")
    return table

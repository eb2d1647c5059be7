"""The verdict on a policy: how it compares with training every run for the same shorter time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import ORACLE
from replay.stats.budgets import EqualBudgets, difference_interval
from replay.stats.shortage import find_shortage
from replay.stats.ties import above, at_most, below

__all__ = ["PolicyEffects", "Verdict", "find_verdict", "within_noise"]


class Verdict(StrEnum):
    """What is said of a policy; the values are part of the machine formats."""

    FULL_LOG = "full log"
    UPPER_BOUND = "upper bound"
    TOO_FEW = "too few runs to rank"
    NEVER_FIRES = "never fires"
    SAVES_NOTHING = "saves nothing"
    LOSS_UNKNOWN = "loss unknown"
    LOSES_NOTHING = "loses nothing here"
    BETTER = "better than training shorter"
    WORSE = "worse than training shorter"
    WITHIN_NOISE = "within noise"
    NO_DIFFERENCE = "no significant difference"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, eq=False)
class PolicyEffects:
    """What one policy does to some runs; the arrays have one entry per run.

    ``evals`` counts the evals that the policy could look at. ``censored`` says that the log does not show the
    training as it was planned. ``stopped`` says that the policy stopped the run. ``saved`` and ``lost`` are
    fractions, ``within_noise`` whether the regret is within the run's eval noise; ``lost`` is NaN where it is
    not known.
    """

    evals: Ints
    censored: Bools
    stopped: Bools
    saved: Floats
    lost: Floats
    within_noise: Bools


def within_noise(regret: Floats, noise: Floats, best: Floats) -> Bools:
    """Whether each regret is at most the eval noise of its run, but for rounding at the size of ``best``."""
    return at_most(regret, noise, np.abs(best))


def find_verdict(
    policy: str, effects: PolicyEffects, budgets: EqualBudgets, groups: Sequence[str], level: float = 0.95
) -> Verdict:
    """The verdict on a policy, by what it does to some runs and the equal budgets of the same runs.

    ``groups`` has one entry per run. A policy is better or worse than the equal budget where the interval of
    the mean difference in ``lost`` (`difference_interval`, at ``level``) does not hold zero.

    The log of a censored run does not show how good the training would have become, so what it gives is a
    bound. Every verdict must hold for the worst of what it allows, otherwise it is CANNOT_TELL:

    - LOSES_NOTHING and WITHIN_NOISE hold for no policy where a run is censored: the run may have improved by
      any amount after its log.
    - BETTER and WORSE take the entry of a censored run at its worst. Where the policy and the budget both
      stop within the log, the difference of their losses keeps its sign and shrinks towards zero as the
      unseen best improves. Otherwise one of the two losses is unknown, and the difference may be 1.
    - NO_DIFFERENCE takes as many runs that are not censored as a ranking does. Fewer would show no difference
      whatever the policy does.
    """
    plain = _find_plain(policy, effects)
    if plain is not None:
        return plain
    difference = budgets.difference(effects.saved, effects.lost)
    known = ~np.isnan(difference)
    if not known.any():
        return Verdict.LOSS_UNKNOWN
    bound = known & effects.censored
    compared = _compare(difference, groups, level)
    harmless = _find_harmless(effects, known)
    if not bound.any():
        if harmless is Verdict.LOSES_NOTHING or (harmless and compared is Verdict.NO_DIFFERENCE):
            return harmless
        return compared
    if compared is Verdict.NO_DIFFERENCE:
        enough = find_shortage(effects.evals[known & ~bound]) is None
        return compared if enough and harmless is None else Verdict.CANNOT_TELL
    inside = effects.stopped & ~budgets.beyond(float(np.mean(effects.saved)))
    worst = np.where(bound, _worst(difference, inside, compared), difference)
    return compared if _compare(worst, groups, level) is compared else Verdict.CANNOT_TELL


def _find_plain(policy: str, effects: PolicyEffects) -> Verdict | None:
    """The verdict that follows without a look at the losses; None where there is none."""
    if policy == "never":
        return Verdict.FULL_LOG
    if policy == ORACLE:
        return Verdict.CANNOT_TELL if effects.censored.any() else Verdict.UPPER_BOUND
    known = ~np.isnan(effects.lost)
    if find_shortage(effects.evals[known] if known.any() else effects.evals) is not None:
        return Verdict.TOO_FEW
    if not effects.stopped.any():
        return Verdict.NEVER_FIRES
    if not above(effects.saved.mean(), 0.0):
        return Verdict.SAVES_NOTHING
    return None


def _find_harmless(effects: PolicyEffects, known: Bools) -> Verdict | None:
    """Whether the policy loses nothing, or no more than noise, on all runs of which the loss is known."""
    if at_most(effects.lost[known].max(), 0.0):
        return Verdict.LOSES_NOTHING
    return Verdict.WITHIN_NOISE if effects.within_noise[known].all() else None


def _compare(difference: Floats, groups: Sequence[str], level: float) -> Verdict:
    low, high = difference_interval(difference, groups, level)
    if below(high, 0.0):
        return Verdict.BETTER
    return Verdict.WORSE if above(low, 0.0) else Verdict.NO_DIFFERENCE


def _worst(difference: Floats, inside: Bools, verdict: Verdict) -> Floats:
    """The differences of censored runs at their worst for a verdict: better or worse.

    ``inside`` says whether both the policy and the budget stop within the log.
    """
    if verdict is Verdict.BETTER:
        return np.where(inside, np.maximum(difference, 0.0), 1.0)
    return np.where(inside, np.minimum(difference, 0.0), -1.0)

"""The scale of ``lost``: by how much each run improved, and whether that is more than its noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from replay.data.names import canonical
from replay.data.run import Run
from replay.data.types import Bools, Floats, Mode

__all__ = ["Scale", "measure_scale", "share_lost"]

#: A run that improves by less than this many times its eval noise has no scale.
LEAST_NOISES = 2.0
#: The first stretch dominates where it is more than this share of the improvement.
_DOMINATING = 0.5


class Scale(NamedTuple):
    """By how much each run improved; one entry per run, in the unit of the objective.

    Parameters
    ----------
    improvement:
        From the base model's value, where the log has it, otherwise from the first finite eval, to the best.
        NaN where the run has no scale: it improves by less than twice its noise, or the base model is better
        than every eval.
    later:
        The same from the next finite eval on: from the first one after the base model's value, otherwise from
        the second one. NaN where that is no scale.
    of_base:
        Whether the improvement is measured from the base model's value.
    worse_than_base:
        Whether the base model is better than every eval.
    dominated:
        Whether the move to that next eval is more than half of the improvement.
    """

    improvement: Floats
    later: Floats
    of_base: Bools
    worse_than_base: Bools
    dominated: Bools


def measure_scale(
    runs: Sequence[Run],
    names: Sequence[str | None],
    mode: Mode,
    values: Floats,
    best: Floats,
    noise: Floats,
) -> Scale:
    """Measure the scale of runs.

    ``names`` are the runs' spellings of the objective (None: the run does not log it), ``values`` (runs ×
    evals, NaN beyond the end of a run) the objective at the evals that logged it, ``best`` and ``noise`` its
    best value and its eval noise (NaN: not known).
    """
    base = np.array([_base_value(run, name) for run, name in zip(runs, names, strict=True)], dtype=np.float64)
    first, second = _finite_values(values)
    of_base = ~np.isnan(base)
    start, following = np.where(of_base, base, first), np.where(of_base, first, second)
    sign = 1.0 if mode == "min" else -1.0
    with np.errstate(all="ignore"):
        improvement, later = sign * (start - best), sign * (following - best)
        worse_than_base = of_base & (improvement < 0)
        improvement, later = (_exceeding(gain, noise) for gain in (improvement, later))
        dominated = (improvement > 0) & (sign * (start - following) > _DOMINATING * improvement)
    return Scale(improvement, later, of_base, worse_than_base, dominated)


def share_lost(regret: Floats, scale: Floats, total: Bools) -> Floats:
    """Regret as a share of the improvement, at most 1; NaN where it is not known or the run has no scale.

    ``total`` says where a regret that is not a number stands for all that there was to lose. A run that did
    not improve at all has lost nothing where its regret is 0; a larger regret has no share.
    """
    with np.errstate(all="ignore"):
        share = np.minimum(regret / scale, 1.0)
        share = np.where(np.isnan(share) & total, 1.0, share)
        return np.where(scale > 0, share, np.where((scale == 0) & (regret == 0), 0.0, np.nan))


def _exceeding(gain: Floats, noise: Floats) -> Floats:
    """The gain where it is a scale: not negative, and at least twice the noise where that is known."""
    enough = ~(gain < np.where(np.isnan(noise), 0.0, LEAST_NOISES * noise))
    return np.where(enough, gain, np.nan)


def _base_value(run: Run, name: str | None) -> float:
    """The base model's value of the objective; NaN where the log does not have it."""
    reference = run.info.reference
    if name is None or not reference:
        return np.nan
    wanted = canonical(name)
    spellings = [name, *(other for other in reference if canonical(str(other)) == wanted)]
    for spelling in spellings:
        value = reference.get(spelling)
        # logs are untrusted
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    return np.nan


def _finite_values(values: Floats) -> tuple[Floats, Floats]:
    """The first and the second finite value of each run; NaN where there is none."""
    rows = np.arange(len(values))
    if not values.shape[1]:
        return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    finite = np.isfinite(values)
    count = np.cumsum(finite, axis=1)
    return (
        np.where(count[:, -1] >= 1, values[rows, (count == 1).argmax(axis=1)], np.nan),
        np.where(count[:, -1] >= 2, values[rows, (count == 2).argmax(axis=1)], np.nan),
    )

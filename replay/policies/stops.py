"""Stops: the first eval at which a signal reaches a threshold, for one policy or for many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Ints

if TYPE_CHECKING:
    from replay.policies.base import Policy

__all__ = ["NEVER", "REFUSED", "find_stops", "first_reached", "first_reached_each", "group_equal"]

#: Stand for an eval: the policy never stops the run, or cannot judge it (see `Policy.refusals`).
NEVER, REFUSED = -1, -2


def first_reached(signal: Floats, threshold: float) -> Ints:
    """0-based eval of each run at which its signal first reaches the threshold, NEVER where it does not."""
    hit = signal >= threshold
    return (
        np.where(hit.any(axis=1), hit.argmax(axis=1), NEVER).astype(np.int64)
        if signal.shape[1]
        else np.full(len(signal), NEVER, dtype=np.int64)
    )


def first_reached_each(signal: Floats, thresholds: Sequence[float]) -> Ints:
    """0-based eval at which the signal (runs × evals) first reaches each threshold; shape thresholds × runs.

    NEVER where it does not, REFUSED where the signal is not defined (NaN) before it does.
    """
    runs, evals = signal.shape
    unknown = np.isnan(signal)
    begin = np.where(unknown.any(axis=1), unknown.argmax(axis=1), evals) if evals and unknown.any() else None
    wanted = np.asarray(thresholds, dtype=np.float64)
    if not evals:
        return np.full((len(wanted), runs), NEVER, dtype=np.int64)
    if len(wanted) < 4:
        stops = np.stack([first_reached(signal, threshold) for threshold in wanted.tolist()])
    else:
        # How many thresholds the highest signal so far reaches never falls. So the number of evals at which
        # fewer are reached is the index of the first eval at which one more is.
        distinct, which = np.unique(wanted, return_inverse=True)
        highest = np.fmax.accumulate(signal, axis=1)
        reached = np.searchsorted(distinct, np.where(np.isnan(highest), -np.inf, highest), side="right")
        width = len(distinct) + 1
        reached += np.arange(runs)[:, None] * width
        evals_below = (
            np.bincount(reached.ravel(), minlength=runs * width).reshape(runs, width).cumsum(axis=1)[:, :-1].T
        )
        stops = np.where(evals_below == evals, NEVER, evals_below)[which]
    if begin is not None:
        stops = np.where((begin < evals) & ((stops < 0) | (begin < stops)), REFUSED, stops)
    return stops


def find_stops(policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
    """Find where policies of any classes stop the runs of a batch.

    Gives parts, in some order: indices of policies, and their stops as of `Policy.family_stops`.
    """
    for members in group_equal([type(policy) for policy in policies]):
        family = [policies[member] for member in members]
        for indices, stops in type(family[0]).family_stops(family, batch):
            yield [members[index] for index in indices], stops


def group_equal(keys: Sequence[Any]) -> list[list[int]]:
    """The indices of equal keys, in the order in which the keys first occur."""
    groups: dict[Any, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())

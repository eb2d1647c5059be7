"""Views: what a modifier lets the policy inside see of a batch, and the way back to the batch outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from replay.data.curve import CurveBatch, MetricColumn
from replay.data.types import Bools, Floats, Ints, Mode
from replay.policies.companions import LastKnown
from replay.policies.progress import progress_of

__all__ = [
    "LEARNING_RATE",
    "View",
    "after_warm_up",
    "keep_all",
    "keep_evals",
    "rate_drops",
    "select_metric",
    "split_runs",
]

LEARNING_RATE = LastKnown("learning_rate")


class View(NamedTuple):
    """A batch as the policy inside sees it.

    ``back`` brings an array of the shape of ``inside`` to the shape of the batch outside; it fills in a given
    value at evals that the policy does not see.
    """

    inside: CurveBatch
    back: Callable[[Floats, float], Floats]

    def then(self, view: View) -> View:
        """A view of this view's inside, as a view of the batch outside."""
        return View(view.inside, lambda inner, fill: self.back(view.back(inner, fill), fill))

    def positions(self, outside: CurveBatch) -> Ints | None:
        """The eval outside of each eval inside (runs × evals inside); None where they are the same evals.

        For views that keep the runs.
        """
        if self.inside.shape == outside.shape and bool((self.inside.lengths == outside.lengths).all()):
            return None
        seen = self.back(progress_of(self.inside, "evals"), 0.0)
        runs, evals = np.nonzero(seen)
        positions = np.zeros((len(seen), max(self.inside.shape[1], 1)), dtype=np.int64)
        positions[runs, seen[runs, evals].astype(np.int64) - 1] = evals
        return positions


def keep_all(batch: CurveBatch) -> View:
    """The batch as it is."""
    return View(batch, lambda inner, fill: inner)


def keep_evals(batch: CurveBatch, keep: Bools) -> View:
    """The batch with only some of its evals."""
    if bool((keep == batch.mask).all()):
        return keep_all(batch)
    lengths = keep.sum(axis=1)
    width = int(lengths.max(initial=0))
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    inside = np.arange(width)[None, :] < lengths[:, None]

    def forth(array: Floats) -> Floats:
        return np.where(inside, np.take_along_axis(array, order, axis=1), np.nan)

    def back(inner: Floats, fill: float) -> Floats:
        out = np.full(batch.shape, fill)
        rows, columns = np.nonzero(inside)
        out[rows, order[rows, columns]] = inner[rows, columns]
        return out

    return View(_move(batch, lengths, forth), back)


def split_runs(batch: CurveBatch, begins: Bools) -> View:
    """The batch with every run split into several runs, each of which begins at one of these evals."""
    number = np.cumsum(begins & batch.mask, axis=1)
    pieces = number.max(axis=1, initial=0) + 1
    row = number + (np.cumsum(pieces) - pieces)[:, None]
    evals = np.arange(batch.shape[1])
    position = evals - np.maximum.accumulate(np.where(begins, evals, 0), axis=1)
    lengths = np.bincount(row[batch.mask], minlength=int(pieces.sum())).astype(np.int64)
    width = int(lengths.max(initial=0))

    def forth(array: Floats) -> Floats:
        out = np.full((len(lengths), width), np.nan)
        out[row[batch.mask], position[batch.mask]] = array[batch.mask]
        return out

    def back(inner: Floats, fill: float) -> Floats:
        out = np.full(batch.shape, fill)
        out[batch.mask] = inner[row[batch.mask], position[batch.mask]]
        return out

    return View(_move(batch, lengths, forth), back)


def _move(batch: CurveBatch, lengths: Ints, forth: Callable[[Floats], Floats]) -> CurveBatch:
    """The batch with all its arrays moved by a function, which fills in NaN."""
    return CurveBatch(
        forth(batch.values),
        forth(batch.steps),
        lengths,
        batch.mode,
        {name: forth(column) for name, column in batch.columns.items()},
        {
            name: MetricColumn(forth(values), forth(logged.astype(np.float64)) == 1)
            for name, (values, logged) in batch.metrics.items()
        },
    )


def select_metric(batch: CurveBatch, monitor: str | None, mode: Mode | None) -> tuple[CurveBatch, Bools]:
    """The batch with the named metric as its values and the mode that is insisted on, and which evals log it.

    A batch that carries no metrics by name logs its values at all evals.
    """
    column = batch.metrics.get(monitor)
    if column is None:
        return batch.replace(mode=mode or batch.mode), batch.mask
    return batch.replace(values=column.values, mode=mode or batch.mode), batch.mask & column.logged


def after_warm_up(batch: CurveBatch) -> Bools:
    """Which evals come after the learning rate's first rise: all from the first eval whose rate is not above
    that of the eval before.
    """
    rate, before = _rates(batch)
    after: Bools = np.logical_or.accumulate(rate <= before, axis=1)
    return after


def rate_drops(batch: CurveBatch) -> Bools:
    """At which evals the learning rate is at most half of that of the eval before."""
    rate, before = _rates(batch)
    drops: Bools = rate <= before / 2
    return drops


def _rates(batch: CurveBatch) -> tuple[Floats, Floats]:
    """The learning rate at each eval, and at the eval before: NaN where there is none that is finite and
    above 0.
    """
    rate = batch.columns[LEARNING_RATE.name]
    before = np.full(batch.shape, np.nan)
    before[:, 1:] = np.where(np.isfinite(rate[:, :-1]) & (rate[:, :-1] > 0), rate[:, :-1], np.nan)
    return rate, before

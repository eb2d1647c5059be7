"""Series of one log whose steps count different things: a train loss by step, a validation loss by epoch.

The order in which the points arrived tells where an eval belongs: behind the train entries before it. Where
it does not, since all evals were logged at once, the log is counted in epochs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.types import Floats
from replay.readers.points import Points, distinct_steps
from replay.readers.series_names import is_bookkeeping

__all__ = ["OneClock", "place_on_one_clock", "place_within_epochs"]

#: The other clock is this much faster at least.
_FASTER = 1.5
_MOST = 0.9


class OneClock(NamedTuple):
    """Points whose steps count one thing.

    ``epochs`` holds the epochs finished by each eval that was placed, ``by_epoch`` says that steps count
    epochs now, and ``finding`` what was done; both are empty where there was only one clock.
    """

    points: dict[str, Points]
    epochs: Points | None = None
    by_epoch: bool = False
    finding: Finding | None = None


def place_on_one_clock(points: Mapping[str, Points], held_out: Collection[str]) -> OneClock:
    """The points with series that count epochs placed among those that count steps."""
    plain = OneClock(dict(points))
    train = {name: series for name, series in points.items() if name not in held_out and len(series.step)}
    if not train or not held_out:
        return plain
    fast_name = max(train, key=lambda name: len(train[name].step))
    fast = train[fast_name]
    most = float(np.maximum.reduce(fast.step))
    may = {
        key: _may_count_epochs(step, len(fast.step), most)
        for key, step in distinct_steps(points.values()).items()
    }
    reached = {
        name: _reached(series, fast)
        for name, series in points.items()
        if name != fast_name and may[id(series.step)]
    }
    slow = {name for name, at in reached.items() if _counts_epochs(points[name], fast, at)}
    if not slow & set(held_out):
        return plain
    if all(_advances(points[name], reached[name]) for name in slow & set(held_out)):
        slow = {name for name in slow if _advances(points[name], reached[name])}
        placed = {
            name: series._replace(step=reached[name]) if name in slow else series
            for name, series in points.items()
        }
        first = max(sorted(slow & set(held_out)), key=lambda name: len(points[name].step))
        zero = float(points[first].step.min()) == 0
        epochs = Points(points[first].order, reached[first], points[first].step + zero)
        return OneClock(placed, epochs, False, _finding(slow & set(held_out), placed=True))
    metrics = [points[name] for name in slow & set(held_out)]
    zero = min(float(series.step.min()) for series in metrics) == 0
    last = max(float(series.step.max()) for series in metrics) + zero
    scale = last / float(fast.step.max())
    counted = {
        name: series._replace(step=series.step + zero if name in slow else series.step * scale)
        for name, series in points.items()
    }
    return OneClock(counted, None, True, _finding(slow & set(held_out), placed=False))


def _finding(names: Collection[str], *, placed: bool) -> Finding:
    facts = {"metrics": tuple(sorted(names)), "placed": placed}
    return Finding(Kind.TWO_CLOCKS, Severity.NOTE if placed else Severity.WARNING, facts=facts)


def _reached(series: Points, fast: Points) -> Floats:
    """The step of the fast clock when each point arrived, 0 before its first."""
    index = np.searchsorted(fast.order, series.order, side="right") - 1
    return np.where(index >= 0, fast.step[np.maximum(index, 0)], 0.0)


def _may_count_epochs(step: Floats, count: int, most: float) -> bool:
    """Whether a series has few points, and steps as low as numbers of epochs are, where the fast one has
    ``count`` points and goes up to ``most``.
    """
    if len(step) < 2 or count < 2 * len(step):
        return False
    return most + (float(step.min()) == 0) >= 2 * (float(step.max()) + 1)


def _counts_epochs(series: Points, fast: Points, reached: Floats) -> bool:
    """Whether a series counts 0, 1, 2, … while the fast one has come much further."""
    step = series.step
    if not (step == np.floor(step)).all() or float(step.min()) < 0:
        return False
    change = np.diff(step)
    if (change == 1).mean() < _MOST and not (len(change) < 10 and (change == 1).sum() >= len(change) - 1 > 0):
        return False
    later = step >= 1
    return bool(later.any() and (reached[later] >= _FASTER * (step[later] + 1)).mean() >= _MOST)


def _advances(series: Points, reached: Floats) -> bool:
    """Whether the fast clock moved on between the points, as it does where they were logged in turn."""
    forward = np.diff(series.step) > 0
    return bool((np.diff(reached)[forward] > 0).mean() >= _MOST)


def place_within_epochs(
    points: Mapping[str, Points], held_out: Collection[str], *, zero_based: bool
) -> dict[str, Points] | None:
    """Points whose steps are numbers of epochs, several per epoch, with steps that count the epochs trained:
    1.25 after a quarter of the second; None where there is one value per epoch.

    A row's place in its epoch is the share of the epoch's train rows up to it, or of all rows where there is
    no train value. The last epoch may have ended early: it is as long as the others.
    """
    if not any(_repeats(series) for series in points.values()):
        return None
    train = [
        series for name, series in points.items() if name not in held_out and not is_bookkeeping(name)
    ] or list(points.values())
    rows: dict[int, float] = {}
    for series in train:
        rows.update(zip(series.order.tolist(), series.step.tolist(), strict=True))
    order = np.array(sorted(rows))
    epoch = np.array([rows[row] for row in order.tolist()])
    if (np.diff(epoch) < 0).any():
        return None  # a resume or a restart: which rows are of which epoch is not known
    numbers, counts = np.unique(epoch, return_counts=True)
    length = float(np.median(counts[:-1] if len(counts) > 1 else counts))
    lengths = dict(zip(numbers.tolist(), np.maximum(counts, length).tolist(), strict=True))
    placed = {}
    for name, series in points.items():
        until = np.searchsorted(order, series.order, side="right")
        begun = np.searchsorted(epoch, series.step, side="left")
        share = (until - begun) / np.array([lengths.get(number, length) for number in series.step.tolist()])
        finished = series.step - (0 if zero_based else 1)
        placed[name] = series._replace(step=finished + np.clip(share, 0.0, 1.0))
    return placed


def _repeats(series: Points) -> bool:
    """Whether a series has several different values in most epochs."""
    numbers, where = np.unique(series.step, return_inverse=True)
    if len(series.step) < 1.5 * len(numbers):
        return False
    several = [len(np.unique(series.value[where == number])) > 1 for number in range(len(numbers))]
    return 2 * sum(several[:-1]) >= len(several[:-1]) > 0

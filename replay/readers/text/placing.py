"""The step of entries that print a rounded epoch: by the progress bars beside them, or by the steps per
epoch.

Neither is exact by itself. A bar is drawn a few times a second and printed by another stream, so that the one
beside an entry may be far behind or ahead of it: bars count only where they agree with the epochs of all
entries. The steps per epoch follow from the planned steps and epochs, or from the end of the training, and a
rounded epoch leaves a few steps to choose from: the ones that keep to one logging interval are taken, if
there are such. Where there is neither, the steps of the training are its epochs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from replay.data.finding import Finding, Kind, Severity
from replay.readers.interleaved import name_sets
from replay.readers.points import PointsBuilder
from replay.readers.series_names import held_out_of, is_held_out
from replay.readers.text.journal import Row, Training, place_rows
from replay.readers.text.shared_epochs import Spread, roundness, spread

__all__ = ["Epoch", "place"]

#: Logging intervals that fit by chance, up to which one that fits is taken, and is the right one.
_LIKELY, _CERTAIN = 0.5, 0.01

_Bars = Mapping[tuple[str, float], float]


class Epoch(NamedTuple):
    """An epoch as it was printed: its value, its decimals, and its digits where it was cut to digits."""

    value: float
    decimals: int
    digits: int | None

    @classmethod
    def printed(cls, text: str, *, quoted: bool) -> Epoch:
        """The epoch of an entry; ``quoted`` says that it was printed as text of four significant digits."""
        mantissa = text.lower().partition("e")[0]
        return cls(float(text), len(mantissa.partition(".")[2]), 4 if quoted else None)

    def reach(self, decimals: int) -> float:
        """How far the epoch may be from the one printed; ``decimals`` are the most of all entries."""
        if self.digits is None:
            return 0.5 * 10.0 ** -max(decimals, 1)
        exponent = math.floor(math.log10(self.value)) if self.value > 0 else 0
        return 0.5 * 10.0 ** (exponent - self.digits + 1)


@dataclass
class _Entry:
    row: Row
    epoch: float | None
    reach: float
    before: _Bars
    after: _Bars

    def interval(self, per_epoch: float) -> tuple[float, float]:
        """The steps that the printed epoch may stand for."""
        at = self.epoch or 0.0
        return (at - self.reach) * per_epoch - 0.5, (at + self.reach) * per_epoch + 0.5


def place(training: Training) -> None:
    """Give the entries of a training their steps, as far as the text tells them."""
    entries = _entries(training.rows)
    facts = training.facts
    end, last_bars = facts.pop("_end", None), facts.pop("_bars", {})
    ended = facts.pop("_ended", math.inf)
    planned = facts.get("planned_steps")
    notes = list(facts.pop("findings", ()))
    steps, off = _stated(entries), 0.0
    if steps is None and all(entry.epoch is None for entry in entries):
        steps, total, _ = _by_bars(entries, None)
        if steps is None:
            training.placed = None
            return
        planned = planned or total
    elif steps is None:
        if any(entry.epoch is None for entry in entries):
            entries = [entry for entry in entries if entry.epoch is not None]
        per_epoch = _steps_per_epoch(facts, end, last_bars, entries)
        steps, total, interval = _by_bars(entries, per_epoch)
        if per_epoch is not None and (steps is None or interval < 2):
            derived, off = _by_epochs(entries, per_epoch, ended)
            if steps is None or off < 1:
                steps, total = derived, total or _total(last_bars, entries, ended=False)
            else:
                off = 0.0
        planned = planned or total
    if steps is None:
        facts.pop("planned_steps", None)
        if "planned_epochs" in facts:
            facts["planned_steps"] = facts["planned_epochs"]
        epochs, shared = _between_epochs(entries, ended)
        if shared:
            notes.append(Finding(Kind.SHARED_EPOCHS, Severity.NOTE, facts={"count": shared}))
        _finish(training, list(zip(epochs, entries, strict=True)), by_epoch=True)
    else:
        if planned:
            facts["planned_steps"] = planned
            done = max((done for (_, total), done in last_bars.items() if total == planned), default=None)
            if done == planned:
                facts["trained_steps"] = planned
            if end is not None and done is not None and done < planned:
                facts["stopped_by"] = "a callback (should_training_stop)"
        if off >= 1:
            notes.append(Finding(Kind.STEPS_OF_EPOCHS, Severity.NOTE, facts={"off": math.ceil(off)}))
        _finish(training, list(zip(steps, entries, strict=True)), by_epoch=False)
    facts["findings"] = notes


def _finish(training: Training, placed: list[tuple[float, _Entry]], *, by_epoch: bool) -> None:
    rows = []
    for at, entry in placed:
        values = dict(entry.row.values)
        if by_epoch:
            values.pop("epoch", None)
        rows.append((at, entry.row._replace(values=values)))
    names = {name for row in training.rows[:1] for name in row.values}
    first_epochs = [entry.epoch for _, entry in placed if entry.epoch is not None]
    whole = bool(first_epochs) and all(epoch == int(epoch) for epoch in first_epochs if math.isfinite(epoch))
    zero_based = by_epoch and whole and min(first_epochs) == 0 and bool(names & {"loss", "train_loss"})
    zero_based = zero_based and all(at == entry.epoch for at, entry in placed)
    training.placed = place_rows(
        training, rows, by_epoch=by_epoch, zero_based=zero_based, epoch=None if by_epoch else "epoch"
    )


def _entries(rows: Sequence[Row]) -> list[_Entry]:
    epochs = [row.beside[0] for row in rows if row.beside[0] is not None]
    # two decimals at least: shorter ones lost their zeros
    decimals = max([2, *(epoch.decimals for epoch in epochs)])
    return [
        _Entry(
            row,
            None if row.beside[0] is None else row.beside[0].value,
            0.0 if row.beside[0] is None else row.beside[0].reach(decimals),
            row.beside[1].before,
            row.beside[1].after,
        )
        for row in rows
    ]


def _stated(entries: Sequence[_Entry]) -> list[float] | None:
    """The steps that the entries state themselves; one without a step belongs to the entry before."""
    if 2 * sum(entry.row.step is not None for entry in entries) < len(entries):
        return None
    steps, last = [], 0.0
    for entry in entries:
        last = last if entry.row.step is None else entry.row.step
        steps.append(last)
    return steps


def _kinds(entries: Sequence[_Entry]) -> list[list[int]]:
    """The entries that log the same names, which are those of one logging interval."""
    kinds: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        name = next((name for name in entry.row.values if name != "epoch"), "")
        kinds.setdefault(name, []).append(number)
    return list(kinds.values())


def _by_bars(
    entries: Sequence[_Entry], per_epoch: float | None
) -> tuple[list[float] | None, float | None, float]:
    """The steps of the bars beside the entries, their total, and the logging interval that they keep to; None
    where no bar agrees with all entries.
    """
    keys: dict[tuple[str, float], None] = {}
    for entry in entries:
        keys |= dict.fromkeys(entry.before) | dict.fromkeys(entry.after)
    kinds = _kinds(entries)
    few = max(map(len, kinds)) < 3
    best: tuple[tuple[float, ...], list[float], float, float] | None = None
    for key in keys:
        for side in ("before", "after"):
            steps = _side(entries, key, side)
            if steps is None or not _agree(entries, steps, per_epoch):
                continue
            interval = _interval(steps, kinds)
            # without epochs that it agrees with, the longest bar is that of the training
            fit = (interval, key[1]) if entries[0].epoch is not None else (key[1], interval)
            rank = (float(not key[0]), *fit)
            if best is None or rank > best[0]:
                best = (rank, steps, key[1], interval)
            if few:
                break  # which of the two sides keeps to an interval says nothing yet
    return (None, None, 0.0) if best is None else (best[1], best[2], best[3])


def _side(entries: Sequence[_Entry], key: tuple[str, float], side: str) -> list[float] | None:
    """The position of one bar beside each entry. Behind the last one there may be no bar any more."""
    steps = []
    for number, entry in enumerate(entries):
        at = (entry.after if side == "after" else entry.before).get(key)
        if at is None and side == "after" and number >= len(entries) - 2:
            at = entry.before.get(key)
        if at is None and entry.epoch == 0:
            at = 0.0
        if at is None or not math.isfinite(at):
            return None
        steps.append(at)
    return steps


def _agree(entries: Sequence[_Entry], steps: Sequence[float], per_epoch: float | None) -> bool:
    """Whether bars can be the steps of the entries: one number of steps per epoch fits all of them, and no
    two entries of one kind have the same.
    """
    if len(set(steps)) < 2 and len({entry.epoch for entry in entries}) > 1:
        return False
    for kind in _kinds(entries):
        epochs = [entries[number].epoch for number in kind]
        mine = [steps[number] for number in kind]
        for (one, at), (other, then) in pairwise(zip(epochs, mine, strict=True)):
            if at == then and (one is None or one != other):
                return False
    known = [(entry, at) for entry, at in zip(entries, steps, strict=True) if entry.epoch is not None]
    if not known:
        return True
    low, high = 0.0, math.inf
    for entry, at in known:
        least, most = max((entry.epoch or 0.0) - entry.reach, 0.0), (entry.epoch or 0.0) + entry.reach
        low = max(low, (at - 1) / most) if most else low
        high = min(high, (at + 1) / least) if least else high
    if per_epoch is not None:
        low, high = max(low, 0.99 * per_epoch), min(high, 1.01 * per_epoch)
    return high > 0 and low <= high


def _interval(steps: Sequence[float], kinds: Sequence[Sequence[int]]) -> float:
    """The logging interval that the steps keep to, of the kind that keeps to the largest."""
    best = 0
    for kind in kinds:
        whole = [int(steps[number]) for number in kind]
        inner = whole[:-1] if len(whole) > 2 else whole
        best = max(best, math.gcd(*inner)) if inner else best
    return float(best)


def _total(bars: _Bars, entries: Sequence[_Entry], *, ended: bool = True) -> float | None:
    """The total of the bar of the training, if it was drawn to its end, or ``ended`` is false.

    It is the one that goes on from entry to entry. The bars of evals are at their end beside each of them.
    """
    totals = []
    for (before, total), done in bars.items():
        at = [entry.before[before, total] for entry in entries if (before, total) in entry.before]
        goes_on = all(one <= other for one, other in pairwise(at)) and len(set(at)) > 1
        if (done == total or not ended) and (goes_on or (ended and len(at) == 1 and at[0] < total)):
            totals.append(total)
    return max(totals, default=None)


def _steps_per_epoch(
    facts: Mapping[str, Any], end: float | None, bars: _Bars, entries: Sequence[_Entry]
) -> float | None:
    """Steps per epoch, by the plan or by the end of the training."""
    steps, epochs = facts.get("planned_steps"), facts.get("planned_epochs")
    last = max((entry.epoch for entry in entries if entry.epoch is not None), default=None)
    if last is None:
        return None
    if steps and epochs:
        return float(steps / epochs)
    at_end = last if end is None else end
    total = _total(bars, entries)
    if total and (not steps or total == steps) and at_end >= last > 0:
        return total / at_end
    steps = steps or _total(bars, entries, ended=False)
    epochs = epochs or facts.get("_epochs")
    return float(steps / epochs) if steps and epochs and last <= epochs else None


def _by_epochs(entries: Sequence[_Entry], per_epoch: float, ended: float) -> tuple[list[float], float]:
    """Steps from epochs, and by how many those of evals may be off; ``ended`` is the line at which the
    training ended.
    """
    steps = [0.0] * len(entries)
    off = 0.0
    for kind in _kinds(entries):
        intervals = [entries[number].interval(per_epoch) for number in kind]
        width = max(high - low for low, high in intervals)
        chosen = [float(round((entries[number].epoch or 0.0) * per_epoch)) for number in kind]
        whole = all(entries[number].epoch == int(entries[number].epoch or 0.0) for number in kind)
        is_eval = any(is_held_out(name) for name in entries[kind[0]].row.values)
        during = [number for number in kind if entries[number].row.order < ended]
        shared = _spread(entries, during, intervals[: len(during)], whole=True)
        if shared is not None:
            chosen[: len(during)] = shared.places
            if is_eval and shared.off >= 1:
                off = max(off, shared.off)
        elif width > 2 and not whole:  # an eval at the end of each epoch keeps to the epochs
            kept, chance = _multiples(intervals)
            if chance < _LIKELY:
                chosen = kept
            if chance > _CERTAIN and is_eval:
                off = max(off, width / 2)
        for number, step in zip(kind, chosen, strict=True):
            steps[number] = step
    return steps, off


def _between_epochs(entries: Sequence[_Entry], ended: float) -> tuple[list[float], int]:
    """The epochs of entries, and how many evals share theirs with another one and were placed between two."""
    epochs = [entry.epoch or 0.0 for entry in entries]
    count = 0
    for kind in _kinds(entries):
        during = [number for number in kind if entries[number].row.order < ended]
        reaches = [(entries[number], entries[number].reach) for number in during]
        intervals = [((entry.epoch or 0.0) - reach, (entry.epoch or 0.0) + reach) for entry, reach in reaches]
        shared = _spread(entries, during, intervals, whole=False)
        if shared is None:
            continue
        if any(is_held_out(name) for name in entries[kind[0]].row.values):
            printed = Counter(entry.epoch for entry, _ in reaches)
            count += sum(times for times in printed.values() if times > 1)
        for number, place in zip(during, shared.places, strict=True):
            epochs[number] = place
    return epochs, count


def _spread(
    entries: Sequence[_Entry], kind: Sequence[int], intervals: Sequence[tuple[float, float]], *, whole: bool
) -> Spread | None:
    """The places of the entries of one kind where some share an epoch; None where none does, or where they
    are those of several sets.
    """
    shared = spread(intervals, whole=whole)
    if shared is None:
        return None
    points = PointsBuilder()
    for number in kind:
        points.add(entries[number].epoch or 0.0, entries[number].row.values)
    made = points.points()
    return None if name_sets(made, held_out_of(made))[1] else shared


def _multiples(intervals: Sequence[tuple[float, float]]) -> tuple[list[float], float]:
    """The multiples of the largest logging interval that fit all entries, and how many such intervals fit by
    chance. The first entry may be that of step 1, and the last one that of the end.
    """
    inner = intervals[1:-1] if len(intervals) > 3 else intervals
    if len(inner) < 2:
        return [], math.inf
    width = max(high - low for low, high in intervals)
    fitting: list[int] = []
    for every in range(int(inner[0][1]), math.ceil(width), -1):
        if all(math.floor(high / every) * every >= max(low, 1.0) for low, high in inner):
            fitting.append(every)
        elif fitting:
            break
    if not fitting:
        return [], math.inf
    # of neighbours that all fit, somebody chose the roundest, or the one that the epochs are closest to
    every = max(fitting, key=lambda every: (roundness(every), -_distance(inner, every)))
    count = len(inner)
    chance = every / (count - 1) * (width / every) ** count
    steps = [float(math.floor(high / every) * every) for _, high in intervals]
    for at in (0, -1):
        low, high = intervals[at]
        if steps[at] < max(low, 1.0):
            steps[at] = 1.0 if at == 0 and low <= 1 <= high else float(round((low + high) / 2))
    return steps, chance


def _distance(intervals: Sequence[tuple[float, float]], every: int) -> float:
    return sum(abs(math.floor(high / every) * every - (low + high) / 2) for low, high in intervals)

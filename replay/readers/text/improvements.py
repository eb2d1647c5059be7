"""Lines that callbacks print of the checkpoints that they save, or do not save: Lightning's ``Epoch 3, global
step 400: 'val_loss' reached 0.41 (best 0.41), saving model to 'x' as top 1``, Keras' ``Epoch 3: val_loss
improved from 0.5 to 0.4, saving model to x``, and those of early stopping.

They hold the value of an eval only where it is among the best. If each eval was, they are the curve.
Otherwise the other evals are missing, so the metric is not read, and a finding says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from replay.data.finding import Finding, Kind
from replay.readers.series_names import is_held_out
from replay.readers.text.journal import Journal, Row, Training, place_by_either
from replay.readers.text.lines import Number

__all__ = ["Improvements", "drop_improvements", "is_of_best"]

#: Words of a line that is printed where a model got better.
_OF_BEST = re.compile(
    r"\bimprov(?:ed|ement|es)\b|\bnew best\b|\bsav(?:ing|ed|e)\b|\bbest model\b", re.IGNORECASE
)


def is_of_best(text: str) -> bool:
    """Whether a line may be one that is printed only where a model got better."""
    return _OF_BEST.search(text) is not None


def drop_improvements(training: Training, lines: set[int]) -> None:
    """Drop metrics that only ``lines`` hold, which are printed where a model got better: each value is better
    than the one before, and evals are missing between them or after them.
    """
    by_name: dict[str, list[Row]] = {}
    for row in training.rows:
        for name in row.values:
            if is_held_out(name):
                by_name.setdefault(name, []).append(row)
    ends = [place for row in training.rows if (place := _place(row)) is not None]
    dropped = {
        name: len(rows)
        for name, rows in by_name.items()
        if len(rows) > 1
        and all(row.order in lines for row in rows)
        and _is_monotone([row.values[name] for row in rows])
        and _are_some_missing([_place(row) for row in rows], max(ends, default=0.0))
    }
    if not dropped:
        return
    rows = []
    for row in training.rows:
        values = {name: value for name, value in row.values.items() if name not in dropped}
        if values:
            rows.append(row._replace(values=values))
    training.rows = rows
    found = [_finding(name, count, None) for name, count in dropped.items()]
    training.facts["findings"] = [*training.facts.get("findings", ()), *found]


def _place(row: Row) -> float | None:
    return row.step if row.step is not None else row.epoch


def _is_monotone(values: Sequence[float]) -> bool:
    gains = [other - one for one, other in pairwise(values)]
    return all(gain > 0 for gain in gains) or all(gain < 0 for gain in gains)


def _are_some_missing(places: Sequence[float | None], end: float) -> bool:
    known = [place for place in places if place is not None]
    gaps = [other - one for one, other in pairwise(known)]
    return bool(gaps) and (max(gaps) > 1.5 * min(gaps) or end >= known[-1] + max(gaps))


def _finding(metric: str, shown: int, total: int | None) -> Finding:
    return Finding(Kind.ONLY_IMPROVEMENTS, facts={"metric": metric, "shown": shown, "of": total})


class Improvements:
    """Lines about checkpoints. Other dialects may take those that they know."""

    specific = True
    _WORDS = (" reached ", " in top ", "improve", "creased (")
    _LIGHTNING = re.compile(
        r"(?:^|\s)Epoch (\d{1,9})(?:, (?:global )?step (\d{1,12}))?: '?([^\s']{1,80})'?"
        r" (?:reached (" + Number + r") \(best |was not in top \d)"
    )
    _KERAS = re.compile(
        r"(?:^|\s)Epoch (\d{1,9}): ([^\s']{1,80}) (?:improved from \S{1,30} to ("
        + Number
        + r"),|did not improve from )"
    )
    #: Lines of early stopping, which name no place.
    _STOPPING = re.compile(
        r"(?:^|\s)Metric ([^\s']{1,80}) improved(?: by \S{1,30} >= min_delta = \S{1,30})?\. New best score: "
        r"|(?:^|\s)(Validation \w{1,20}) (?:de|in)creased \(\S{1,30} --> \S{1,30}\)",
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        #: Metrics of which only improvements are printed, where nothing else holds their evals.
        self.findings: list[Finding] = []
        self._journal = Journal("checkpoints")
        #: Of each training, metrics with evals whose values are not printed.
        self._missing: list[set[str]] = []
        self._counts: dict[str, list[int]] = {}  # by metric: values that are printed, and all evals
        self._stopping: dict[str, int] = {}

    def take(self, text: str, order: int) -> bool:
        """Take a line about a checkpoint."""
        if not any(word in text for word in self._WORDS):
            return False
        match = self._LIGHTNING.search(text)
        if match is not None:
            self._add(order, match[3], float(match[1]), match[2], match[4])
            return True
        match = self._KERAS.search(text)
        if match is not None:
            self._add(order, match[2], float(match[1]), None, match[3])
            return False
        match = self._STOPPING.search(text)
        if match is None:
            return False
        name = match[1] or match[2].lower().replace(" ", "_")
        self._stopping[name] = self._stopping.get(name, 0) + 1
        if self._stopping[name] > 1:
            self.seen[:] = ["a line of early stopping"]
        return match[1] is not None

    def _add(self, order: int, name: str, epoch: float, step: str | None, value: str | None) -> None:
        counts = self._counts.setdefault(name, [0, 0])
        counts[1] += 1
        if sum(total for _, total in self._counts.values()) > 1:
            self.seen[:] = ["lines about checkpoints"]
        values = {name: float("nan") if value is None else float(value)}
        at = None if step is None else float(step)
        self._journal.begin_if_back(epoch if at is None else at, values, or_stays=True)
        current = self._journal.current
        training = self._journal.add(order, at, epoch, values)
        if training is not current:
            self._missing.append(set())
        if value is None:
            self._missing[-1].add(name)
        else:
            counts[0] += 1

    def finish(self) -> list[Training]:
        """The trainings of which each eval is printed."""
        found = []
        for training, missing in zip(self._journal, self._missing, strict=True):
            rows = [row for row in training.rows if missing.isdisjoint(row.values)]
            rows = [row for row in rows if any(map(is_held_out, row.values))]
            if not rows:
                continue
            training.rows = rows
            place_by_either(training)
            found.append(training)
        self.findings = list(self._left_out(set[str]().union(*self._missing)))
        return found

    def _left_out(self, missing: set[str]) -> Iterable[Finding]:
        for name in sorted(missing):
            yield _finding(name, *self._counts[name])
        for name, count in self._stopping.items():
            if not self._counts and count > 1:
                yield _finding(name, count, None)

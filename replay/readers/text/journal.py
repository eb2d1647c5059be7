"""Journal: the rows that a dialect finds in a text, as trainings with points."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.types import Mode
from replay.readers.points import Points, PointsBuilder
from replay.readers.series_names import held_out_of, is_bookkeeping, is_metric

__all__ = [
    "ByStep",
    "Dialect",
    "Journal",
    "Placed",
    "Row",
    "Training",
    "place_by_either",
    "place_by_epoch",
    "place_by_step",
    "place_counted",
    "place_rows",
]

_RUNTIME = re.compile(r"(?:eval|test)_(?:.*_)?runtime")
#: Names that count something, and are of use beside the values.
_KEPT = {"epoch", "elapsed_time", "num_tokens", "num_input_tokens_seen"}
#: Rows without an eval that one training keeps; of more, every second one is dropped, again and again.
_MOST_ROWS = 200_000


class Dialect(Protocol):
    """What one tool prints: takes the lines that are its own, and gives the trainings that they tell of."""

    #: Whether a line of this dialect can be told from prose and from other dialects.
    specific: bool
    #: What was seen of a training that is no row, for the refusal of a text without rows.
    seen: list[str]

    def take(self, text: str, order: int) -> bool:
        """Whether a line belongs to the dialect; ``order`` counts the lines."""
        ...

    def finish(self) -> list[Training]:
        """The trainings, after the last line."""
        ...


class Row(NamedTuple):
    """What one line logs: the place in the order of lines, step and epoch as far as they are printed, and the
    values by name. ``beside`` is what a dialect keeps of the place besides.
    """

    order: int
    step: float | None
    epoch: float | None
    values: dict[str, float]
    beside: Any = None


class Placed(NamedTuple):
    """The points of a training, as `replay.readers.assemble.assemble` takes them."""

    points: dict[str, Points]
    held_out: set[str]
    by_epoch: bool
    zero_based: bool = False
    epoch: str | None = None
    #: Rows at which a process is known to begin.
    starts: tuple[int, ...] = ()


@dataclass
class Training:
    """One training in a text: its rows in the order of the lines, and what is known beside them."""

    tool: str
    rows: list[Row] = field(default_factory=list)
    #: Names that are metrics on held-out data, although their name does not say so.
    held_out: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, Mode] = field(default_factory=dict)
    #: Orders of the lines at which a process began.
    starts: list[int] = field(default_factory=list)
    #: What the points are, once they are placed; None while that is left to the default.
    placed: Placed | None = None
    #: The place of the last row.
    reached: float = -math.inf
    _last: dict[str, float] = field(default_factory=dict)
    _dropped: int = 0

    @property
    def first_line(self) -> int:
        """Order of the first line."""
        return self.rows[0].order

    @property
    def last_line(self) -> int:
        """Order of the last line."""
        return self.rows[-1].order

    def add(self, row: Row) -> None:
        """Add a row."""
        self.rows.append(row)
        if len(self.rows) > _MOST_ROWS and len(self.rows) > 2 * self._dropped:
            held_out = held_out_of({name for row in self.rows for name in row.values}) | self.held_out
            self.rows = [
                row for at, row in enumerate(self.rows) if at % 2 or not held_out.isdisjoint(row.values)
            ]
            self._dropped = len(self.rows)

    def goes_back(self, place: float, values: Mapping[str, float], *, or_stays: bool = False) -> bool:
        """Whether a name was logged at a later place already; with ``or_stays``, at this one as well."""
        last = self._last
        for name in values:
            before = last.get(name)
            if before is not None and (before > place or (or_stays and before == place)):
                return True
        return False

    def note(self, place: float, values: Mapping[str, float]) -> None:
        """Remember the place of the names of a row."""
        self._last.update(dict.fromkeys(values, place))
        self.reached = place

    def names(self) -> set[str]:
        """All names that were logged."""
        return {name for row in self.rows for name in row.values}

    def has_evals(self) -> bool:
        """Whether a held-out metric was logged."""
        names = self.names()
        return bool(held_out_of(names)) or not self.held_out.isdisjoint(names)

    def evidence(self) -> int:
        """At how many places a metric was logged."""
        if self.placed is None:
            return 0
        metrics = [
            series.step
            for name, series in self.placed.points.items()
            if "loss" in name.lower() or is_metric(name) or name in self.held_out
        ]
        return len(np.unique(np.concatenate(metrics))) if metrics else 0


class Journal:
    """Collects the rows of a dialect, and begins a new training where the dialect says so."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.trainings: list[Training] = []
        self._anew = False
        self._ended = False
        self._starts = False

    @property
    def current(self) -> Training | None:
        """The training that rows are added to."""
        return self.trainings[-1] if self.trainings and not self._anew else None

    def begin(self) -> None:
        """The next row begins a new training."""
        self._anew = True

    def begin_if_back(self, place: float, values: Mapping[str, float], *, or_stays: bool = False) -> None:
        """A row at this place begins a new training where it `goes_back`."""
        if self.current is not None and self.current.goes_back(place, values, or_stays=or_stays):
            self.begin()

    def end(self) -> None:
        """The training has ended: a row that goes back begins a new one."""
        self._ended = True

    def start(self) -> None:
        """A process begins with the next row: a training, or one that is resumed."""
        self._starts = True

    def resume(self) -> None:
        """The next row goes on with the training before."""
        self._ended, self._starts = False, True

    def add(
        self,
        order: int,
        step: float | None,
        epoch: float | None,
        values: dict[str, float],
        beside: Any = None,
        *,
        strict: bool = False,
    ) -> Training:
        """Add a row. With ``strict``, a row that does not go on beyond the last one begins a new training."""
        place = step if step is not None else epoch
        training = self.current
        if training is None or (
            place is not None
            and (
                (strict and place <= training.reached) or (self._ended and training.goes_back(place, values))
            )
        ):
            training = Training(self.tool)
            self.trainings.append(training)
            self._anew = self._ended = self._starts = False
        if self._starts:
            training.starts.append(order)
            self._starts = False
        training.add(Row(order, step, epoch, values, beside))
        if place is not None:
            training.note(place, values)
        return training

    def __iter__(self) -> Iterator[Training]:
        return iter(self.trainings)


def place_rows(
    training: Training, rows: Iterable[tuple[float, Row]], *, by_epoch: bool, **more: Any
) -> Placed:
    """The points of rows with their places."""
    points = PointsBuilder()
    starts: dict[int, None] = {}
    waiting = list(training.starts)
    for place, row in rows:
        values, runtimes = {}, {}
        for name, value in row.values.items():
            if _RUNTIME.fullmatch(name):
                runtimes[name] = value
            elif name in _KEPT or not (is_bookkeeping(name) or name.endswith("num_tokens")):
                values[name] = value
        if values.keys() - _KEPT:
            points.add(place, values)
        if runtimes:
            points.add_parts(place, "eval runtime", runtimes)
        while waiting and waiting[0] <= row.order:
            starts[points.row] = None
            waiting.pop(0)
    made = points.points()
    held_out = held_out_of(made) | (training.held_out & made.keys())
    held_out -= {*_KEPT, "eval runtime"}
    return Placed(made, held_out, by_epoch, starts=tuple(starts), **more)


def place_by_step(journal: Journal, epoch: str | None = "epoch") -> list[Training]:
    """The trainings of a dialect that prints a step with all its values; ``epoch`` is the name that the epoch
    has among these, if it has one.
    """
    for training in journal:
        rows = [(row.step, row) for row in training.rows if row.step is not None]
        training.placed = place_rows(training, rows, by_epoch=False, epoch=epoch)
    return journal.trainings


def place_by_epoch(training: Training) -> None:
    """Place the rows of a training by their epochs."""
    rows = [(row.epoch or 0.0, row) for row in training.rows]
    training.placed = place_rows(training, rows, by_epoch=True)


def place_by_either(training: Training) -> None:
    """Place the rows of a training by their steps, or by their epochs where one has no step."""
    by_epoch = any(row.step is None for row in training.rows)
    rows = [(row.epoch or 0.0 if by_epoch else row.step or 0.0, row) for row in training.rows]
    zero_based = by_epoch and min(place for place, _ in rows) == 0
    training.placed = place_rows(training, rows, by_epoch=by_epoch, zero_based=zero_based)


def place_counted(training: Training, count: int) -> None:
    """Place the rows of a training by their epochs, which are ``count`` evals that were counted."""
    place_by_epoch(training)
    training.facts["findings"] = [Finding(Kind.COUNTED_EPOCHS, Severity.NOTE, facts={"count": count})]


class ByStep:
    """What dialects have in common that print a step with all its values."""

    specific = True
    #: The tool, as a `Training` names it.
    tool = "text"
    #: The name of the epoch among the values.
    epoch: str | None = "epoch"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal(self.tool)

    def finish(self) -> list[Training]:
        """The trainings."""
        return place_by_step(self._journal, self.epoch)

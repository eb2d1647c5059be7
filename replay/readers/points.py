"""Points: the logged values of one name in the order in which they arrived, and how text becomes numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding
from replay.readers.limits import MOST_NAMES, over_limit
from replay.readers.series_names import is_held_out
from replay.readers.shared_arrays import Known, shared
from replay.readers.text_files import open_text, unzip_head

__all__ = [
    "Points",
    "PointsBuilder",
    "RowBlock",
    "StepOrder",
    "count",
    "distinct_steps",
    "finite_points",
    "number",
    "open_text",
    "round_interval",
    "unzip_head",
]

_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
#: Rows that differ in their names from all rows before are kept together with their like up to so many kinds.
_MOST_TABLES = 256
_DIGITS = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
#: A number with commas between its thousands, or with a percent sign.
_SHOWN = re.compile(r"([-+]?)(?:([1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?)|(\d+\.?\d*|\.\d+)\s?%)")
_COUNT = re.compile(
    r"(?P<thousands>\d{1,3}(?:_\d{3})+)|(?P<digits>\d{1,9}(?:\.\d{1,6})?)\s?(?P<unit>[kKmM]|[eE]\+?\d{1,2})"
)
_POWERS = {"k": 3, "m": 6}
#: How str() shows a number of torch, numpy or jax.
_WRAPPED = re.compile(r"(?:\w+\.)?(?:tensor|array|float\d+|int\d+)\(\s*([^\s,()\[\]]+)\s*(?:,[^()]*)?\)")


def number(value: Any) -> float | None:
    """A logged number, also where it was written as text (``"0.51"``, ``"tensor(0.51)"``, ``"NaN"``,
    ``"51.2%"``, ``"1,000"``); null, booleans and other text are none (None). A percentage stays one.
    """
    if type(value) is float:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        wrapped = _WRAPPED.fullmatch(value.strip())
        text = (wrapped[1] if wrapped else value).strip().lower()
        if _DIGITS.fullmatch(text):
            return float(text)
        shown = _SHOWN.fullmatch(text)
        if shown is not None:
            return float(shown[1] + (shown[2] or shown[3]).replace(",", ""))
        word = _WORDS.get(text.lstrip("+-"))
        return None if word is None else -word if text.startswith("-") else word
    return None


def count(text: str) -> float | None:
    """A whole number that is written short, such as ``1_000``, ``10k``, ``1.5K`` and ``2e3``; None for any
    other text, also for plain digits.
    """
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return None
    if match["thousands"]:
        return float(match["thousands"].replace("_", ""))
    power = _POWERS.get(match["unit"].lower(), 0) or int(match["unit"].lstrip("eE+") or 0)
    value = round(float(match["digits"]) * 10.0**power, 6)
    return value if value.is_integer() else None


def round_interval(steps: float) -> int:
    """An interval of 1, 2 or 5 times a power of ten that gives about 20 evals over ``steps``: for hints."""
    wanted = max(steps / 20, 1.0)
    power = 10 ** math.floor(math.log10(wanted))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= wanted))


class Points(NamedTuple):
    """One logged name: arrival order within the source (shared by all its names), step and value of every
    point. Names that are logged in the same rows may share the arrays of order and step.
    """

    order: npt.NDArray[np.int64]
    step: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]

    def at(self, which: slice | npt.NDArray[np.bool_]) -> Points:
        """Some of the points."""
        return Points(self.order[which], self.step[which], self.value[which])


class _Table(NamedTuple):
    """Rows with the same names: their places in the arrival order, their steps, and their values in turn."""

    rows: list[int]
    steps: list[float]
    cells: list[float]
    take: Callable[[Mapping[str, float]], Iterable[float]]


class RowBlock(NamedTuple):
    """Rows with the same names that came at once: their places, their steps, and one line of values per
    name.
    """

    names: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


class PointsBuilder:
    """Collects points row by row, for sources that are read as rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._tables: dict[tuple[str, ...], _Table] = {}
        self._blocks: list[RowBlock] = []
        self._points: dict[str, tuple[list[int], list[float], list[float]]] = {}
        self._parts: dict[str, set[str]] = {}
        self._held_out = 0
        self._skipped = False

    def add(self, step: float, values: Mapping[str, float], names: tuple[str, ...] | None = None) -> None:
        """Add one row, or those of its values that have one of the ``names``; all get the same position in
        the arrival order.
        """
        self._rows += 1
        if names is None:
            names = tuple(values)
        table = self._tables.get(names)
        if table is None and (table := self._begin_table(names)) is None:
            self._add_one_by_one(self._rows, step, {name: values[name] for name in names})
            return
        table.rows.append(self._rows)
        table.steps.append(step)
        table.cells.extend(table.take(values))

    def add_rows(self, block: RowBlock) -> None:
        """Add several rows at once. Their places are those behind the rows that are counted so far, from 1
        on: call `count_rows` when all of them were added.
        """
        names, rows, steps, values = block
        for name in names:
            if name not in self._points:
                self._begin(name)
        if self._skipped:
            kept = [at for at, name in enumerate(names) if name in self._points]
            names, values = tuple(names[at] for at in kept), values[kept]
        self._blocks.append(RowBlock(names, rows + self._rows if self._rows else rows, steps, values))

    def count_rows(self, count: int) -> None:
        """Count the rows of `add_rows`."""
        self._rows += count

    def _begin_table(self, names: tuple[str, ...]) -> _Table | None:
        """A table for rows with these names; None where they cannot all be kept, or where there are many
        tables.
        """
        if not names or len(self._tables) >= _MOST_TABLES or self._skipped:
            return None
        for name in names:
            if name not in self._points:
                self._begin(name)
        return None if self._skipped else self._tables.setdefault(names, _Table([], [], [], _getter(names)))

    def _add_one_by_one(self, row: int, step: float, values: Mapping[str, float]) -> None:
        points = self._points
        for name, value in values.items():
            known = points.get(name)
            if known is None:
                known = self._begin(name)
            orders, steps, column = known
            orders.append(row)
            steps.append(step)
            column.append(value)

    def _begin(self, name: str) -> tuple[list[int], list[float], list[float]]:
        """Add a name. The number of names is limited, and held-out metrics are counted apart."""
        held_out = is_held_out(name)
        if (self._held_out if held_out else len(self._points) - self._held_out) >= MOST_NAMES:
            self._skipped = True
            return [], [], []
        self._held_out += held_out
        return self._points.setdefault(name, ([], [], []))

    def findings(self, path: Path) -> list[Finding]:
        """What was not kept of the rows so far."""
        return [over_limit(path, "name", MOST_NAMES)] if self._skipped else []

    def begin_parts(self, name: str) -> None:
        """Add the name of a sum of parts."""
        self._points.setdefault(name, ([], [], []))

    def add_all_parts(self, name: str, blocks: Sequence[tuple[Sequence[int], RowBlock]]) -> None:
        """Add to the sum of parts all rows that log some: what `add_parts` does with each of them. Each block
        has the numbers of its rows, which say in which order they came.
        """
        if len(blocks) == 1 and len(blocks[0][1].values) == 1 and not self._points[name][0]:
            ((_, one),) = blocks
            if np.logical_and.reduce(one.steps[1:] != one.steps[:-1]):  # one part per step
                self.add_rows(RowBlock((name,), one.rows, one.steps, one.values + 0.0))
                return
        each = [
            (number, row, step, dict(zip(one.names, cells, strict=True)))
            for numbers, one in blocks
            for number, row, step, cells in zip(
                numbers, one.rows.tolist(), one.steps.tolist(), one.values.T.tolist(), strict=True
            )
        ]
        for _, row, step, parts in sorted(each, key=lambda part: part[0]):
            self.add_parts(step, name, parts, self._rows + row)

    def add_parts(self, step: float, name: str, parts: Mapping[str, float], row: int | None = None) -> None:
        """Add to the sum of what rows of one step log in parts: the runtimes of several eval sets. A part
        counts once per step. They belong to the last row, or to another place in the arrival order.
        """
        orders, steps, column = self._points.setdefault(name, ([], [], []))
        seen = self._parts.setdefault(name, set())
        if not steps or steps[-1] != step:
            seen.clear()
            orders.append(self._rows if row is None else row)
            steps.append(step)
            column.append(0.0)
        for part in parts.keys() - seen:
            column[-1] += parts[part]
        seen.update(parts)

    @property
    def row(self) -> int:
        """Place in the arrival order of the last row."""
        return self._rows

    def points(self) -> dict[str, Points]:
        """The points of every name, in arrival order. The arrays cannot be written to."""
        parts: dict[str, list[Points]] = {name: [] for name in self._points}
        for block in self._merged_blocks():
            order, step = shared(block.rows), shared(block.steps)
            block.values.flags.writeable = False
            for name, column in zip(block.names, block.values, strict=True):
                parts[name].append(Points(order, step, column))
        for name, (rows, steps, cells) in self._points.items():
            if rows or not parts[name]:
                order, step = np.array(rows, dtype=np.int64), np.array(steps, dtype=np.float64)
                parts[name].append(Points(shared(order), shared(step), np.array(cells, dtype=np.float64)))
        return {name: _in_order(pieces) for name, pieces in parts.items()}

    def _merged_blocks(self) -> Iterable[RowBlock]:
        """All rows that have the same names as one block, in arrival order."""
        pieces: dict[tuple[str, ...], list[RowBlock]] = {}
        for names, (rows, steps, cells, _) in self._tables.items():
            values = np.array(cells, dtype=np.float64).reshape(len(rows), len(names)).T.copy()
            block = RowBlock(names, np.array(rows, dtype=np.int64), np.array(steps, dtype=np.float64), values)
            pieces[names] = [block]
        for block in self._blocks:
            pieces.setdefault(block.names, []).append(block)
        for names, blocks in pieces.items():
            if len(blocks) == 1:
                yield blocks[0]
                continue
            order = np.concatenate([block.rows for block in blocks])
            arrival = np.argsort(order, kind="stable")
            at_step = np.concatenate([block.steps for block in blocks])[arrival]
            values = np.concatenate([block.values for block in blocks], axis=1)[:, arrival]
            yield RowBlock(names, order[arrival], at_step, values)


def _getter(names: tuple[str, ...]) -> Callable[[Mapping[str, float]], Iterable[float]]:
    """A function that takes the values of some names out of a row."""
    take = itemgetter(*names)
    return take if len(names) > 1 else lambda values: (take(values),)


_ARRIVALS: Known[tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = Known(256)


def _in_order(parts: Sequence[Points]) -> Points:
    """One series from its parts."""
    if len(parts) == 1:
        return parts[0]
    arrays = [array for part in parts for array in part[:2]]
    arrival, order, step = _ARRIVALS.get(arrays, (), lambda: _arrival(parts))
    return Points(order, step, np.concatenate([part.value for part in parts])[arrival])


def _arrival(
    parts: Sequence[Points],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where the points of parts are in arrival order, and their order and steps then."""
    order = np.concatenate([part.order for part in parts])
    arrival = np.argsort(order, kind="stable")
    step = np.concatenate([part.step for part in parts])[arrival]
    return arrival, shared(order[arrival]), shared(step)


class StepOrder:
    """Whether arrays of steps ascend strictly. Series share arrays, and each array is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[npt.NDArray[np.float64], bool]] = {}  # the array keeps its id

    def ascends(self, step: npt.NDArray[np.float64]) -> bool:
        """Whether steps are finite and each is larger than the one before."""
        known = self._known.get(id(step))
        if known is None:
            ascends = not len(step) or (math.isfinite(step[0]) and math.isfinite(step[-1]))
            ascends = ascends and bool(np.logical_and.reduce(step[1:] > step[:-1]))
            known = self._known[id(step)] = step, ascends
        return known[1]


def finite_points(points: Mapping[str, Points], order: StepOrder) -> dict[str, Points]:
    """The points of each name whose steps are finite."""
    good = {
        key: np.isfinite(step)
        for key, step in distinct_steps(points.values()).items()
        if not order.ascends(step)
    }
    if not good:
        return dict(points)
    whole = {key for key, finite in good.items() if finite.all()}
    return {
        name: series.at(good[id(series.step)])
        if id(series.step) in good and id(series.step) not in whole
        else series
        for name, series in points.items()
    }


def distinct_steps(points: Iterable[Points]) -> dict[int, npt.NDArray[np.float64]]:
    """The arrays of steps by their `id`, each once although several names may share it."""
    return {id(series.step): series.step for series in points}

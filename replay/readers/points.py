"""Points: the logged values of one name in the order in which they arrived, and how text becomes numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding
from replay.readers.limits import MOST_NAMES, over_limit
from replay.readers.series_names import is_held_out
from replay.readers.text_files import open_text, unzip_head

__all__ = [
    "Points",
    "PointsBuilder",
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


class PointsBuilder:
    """Collects points row by row, for sources that are read as rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._tables: dict[tuple[str, ...], _Table] = {}
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
            self._add_one_by_one(step, {name: values[name] for name in names})
            return
        table.rows.append(self._rows)
        table.steps.append(step)
        table.cells.extend([values[name] for name in names])

    def _begin_table(self, names: tuple[str, ...]) -> _Table | None:
        """A table for rows with these names; None where they cannot all be kept, or where there are many
        tables.
        """
        if not names or len(self._tables) >= _MOST_TABLES or self._skipped:
            return None
        for name in names:
            if name not in self._points:
                self._begin(name)
        return None if self._skipped else self._tables.setdefault(names, _Table([], [], []))

    def _add_one_by_one(self, step: float, values: Mapping[str, float]) -> None:
        row, points = self._rows, self._points
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

    def add_parts(self, step: float, name: str, parts: Mapping[str, float]) -> None:
        """Add to the sum of what rows of one step log in parts: the runtimes of several eval sets. A part
        counts once per step.
        """
        orders, steps, column = self._points.setdefault(name, ([], [], []))
        seen = self._parts.setdefault(name, set())
        if not steps or steps[-1] != step:
            seen.clear()
            orders.append(self._rows)
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
        for names, (rows, steps, cells) in self._tables.items():
            order, step = np.array(rows, dtype=np.int64), np.array(steps, dtype=np.float64)
            values = np.array(cells, dtype=np.float64).reshape(len(rows), len(names)).T.copy()
            for array in (order, step, values):
                array.flags.writeable = False
            for name, column in zip(names, values, strict=True):
                parts[name].append(Points(order, step, column))
        for name, (rows, steps, cells) in self._points.items():
            if rows or not parts[name]:
                order, step = np.array(rows, dtype=np.int64), np.array(steps, dtype=np.float64)
                parts[name].append(Points(order, step, np.array(cells, dtype=np.float64)))
        return {name: _in_order(pieces) for name, pieces in parts.items()}


def _in_order(parts: Sequence[Points]) -> Points:
    """One series from its parts."""
    if len(parts) == 1:
        return parts[0]
    order, step, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    arrival = np.argsort(order, kind="stable")
    return Points(order[arrival], step[arrival], value[arrival])


def finite_points(points: Mapping[str, Points]) -> dict[str, Points]:
    """The points of each name whose steps are finite."""
    good = {key: np.isfinite(step) for key, step in distinct_steps(points.values()).items()}
    whole = {key for key, finite in good.items() if finite.all()}
    return {
        name: series if id(series.step) in whole else series.at(good[id(series.step)])
        for name, series in points.items()
    }


def distinct_steps(points: Iterable[Points]) -> dict[int, npt.NDArray[np.float64]]:
    """The arrays of steps by their `id`, each once although several names may share it."""
    return {id(series.step): series.step for series in points}

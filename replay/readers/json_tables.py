"""JSON in which a table is kept in other shapes than one list per column, as such lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from replay.readers.flatten import flat_numbers
from replay.readers.points import number
from replay.readers.series_names import step_name

__all__ = ["columns_of"]

_Columns = dict[str, list[Any]]
#: A key that numbers a row: ``3``, ``epoch_3``, ``step 300``.
_NUMBERED = re.compile(r"(?:(epoch|step|iter|iteration|round)[ _-]?)?(\d{1,12})", re.IGNORECASE)


def columns_of(item: Any) -> _Columns | None:
    """The columns of a table as lists, by name; None for anything else.

    A table is a list of rows with a step or an epoch, an object with one row per epoch (``{"epoch_1":
    {...}}``), pandas' ``to_json`` in its orientations "columns", "index" and "split", or pairs of step and
    value per metric (``{"val_loss": [[100, 0.7], [200, 0.6]]}``).
    """
    if isinstance(item, list):
        return _of_rows(item)
    if not isinstance(item, dict) or not item:
        return None
    return _of_split(item) or _of_numbered_rows(item) or _of_numbered_cells(item) or _of_pairs(item)


def _of_rows(items: list[Any]) -> _Columns | None:
    rows = [row for row in items if isinstance(row, dict)]
    if not rows or len(rows) < len(items) or step_name(list(rows[0])) is None:
        return None
    return _joined(rows)


def _joined(rows: list[dict[str, Any]]) -> _Columns:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _of_split(item: Mapping[str, Any]) -> _Columns | None:
    names, data = item.get("columns"), item.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not data:
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return {str(name): [row[at] for row in data] for at, name in enumerate(names)}


def _of_numbered_rows(item: Mapping[str, Any]) -> _Columns | None:
    keys = [_NUMBERED.fullmatch(str(key)) for key in item]
    rows = list(item.values())
    if len(rows) < 2 or not all(isinstance(row, dict) and row for row in rows):
        return None
    if any(isinstance(value, list) for row in rows for value in row.values()):
        return None
    numbered = [(float(key[2]), flat_numbers(row)) for key, row in zip(keys, rows, strict=True) if key]
    if len(numbered) < len(rows):
        return None
    numbered.sort(key=lambda pair: pair[0])
    table = _joined([row for _, row in numbered])
    if step_name(list(table)) is None:
        words = {key[1].lower() for key in keys if key is not None and key[1]}
        table["epoch" if not words or words == {"epoch"} else "step"] = [place for place, _ in numbered]
    return table


def _of_numbered_cells(item: Mapping[str, Any]) -> _Columns | None:
    keys = list(next(iter(item.values()))) if isinstance(next(iter(item.values())), dict) else []
    if len(keys) < 2 or not all(str(key).isdecimal() for key in keys):
        return None
    if not all(isinstance(column, dict) and list(column) == keys for column in item.values()):
        return None
    if any(isinstance(cell, dict | list) for column in item.values() for cell in column.values()):
        return None
    return {str(name): list(column.values()) for name, column in item.items()}


def _of_pairs(item: Mapping[str, Any]) -> _Columns | None:
    series: dict[str, dict[float, Any]] = {}
    for name, pairs in item.items():
        if not isinstance(pairs, list) or not pairs:
            continue
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            continue
        steps = [number(step) for step, _ in pairs]
        known = [step for step in steps if step is not None]
        if len(known) == len(pairs) and all(a < b for a, b in pairwise(known)):
            series[str(name)] = {step: value for step, (_, value) in zip(known, pairs, strict=True)}
    if not series or any(isinstance(value, list | dict) for one in series.values() for value in one.values()):
        return None
    steps_of_all = sorted({step for one in series.values() for step in one})
    columns: _Columns = {name: [one.get(step) for step in steps_of_all] for name, one in series.items()}
    return {**columns, "step": list(steps_of_all)}

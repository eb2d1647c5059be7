"""JSON in which a table is kept in other shapes than one list per column, as such lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from replay.readers.flatten import flat_numbers
from replay.readers.points import number
from replay.readers.series_names import is_held_out, split_of, step_name, words
from replay.readers.splits import parse_set

__all__ = ["columns_of", "join_sets"]

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
    return _joined(list(map(_with_inner, rows)))


def _with_inner(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the numbers of its objects and lists among its own, without the name of one that only
    groups them (``{"epoch": 1, "metrics": {"val_loss": 2}}``).
    """
    inlined: dict[str, Any] = {}
    for name, item in row.items():
        if not isinstance(item, dict | list) or (isinstance(item, list) and split_of(str(name)) is not None):
            inlined[name] = item  # CatBoost's "test" has a list of the values of its metrics
            continue
        group = f"{name}/" if _NOUNS.issuperset(words(str(name))) else ""
        inlined |= {one.removeprefix(group): value for one, value in flat_numbers({name: item}).items()}
    return inlined


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
    if any(map(_has_list, rows)):
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


def _has_list(item: Any) -> bool:
    return isinstance(item, list) or (isinstance(item, dict) and any(map(_has_list, item.values())))


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


def join_sets(document: Mapping[str, Any]) -> _Columns | None:
    """The columns of an object that keeps its curves apart by set: ``{"train": {"loss": [...]}, "val":
    {...}}``, lists of rows in place of these lists, or sets below metrics (``{"loss": {"train": [...]}}``).

    A set may have steps or epochs of its own. None where there is no such set, where something else is beside
    them, and for what boosting libraries write, whose metrics have names of their own.
    """
    parts: dict[str, _Columns] = {}
    shared: _Columns = {}
    for name, item in document.items():
        table = _table_of(item)
        set_name = _set_of(str(name))
        if table is None:
            if isinstance(item, list) and any(number(value) is not None for value in item):
                shared[str(name)] = item
            elif isinstance(item, list | dict) and item:
                return None
        elif set_name is not None:
            parts.setdefault(set_name, {}).update(table)
        elif all(_set_of(one) is not None for one in table):
            for one, values in table.items():
                parts.setdefault(str(_set_of(one)), {})[str(name)] = values
        else:
            return None
    if not any(is_held_out(name) for name in parts) or not all(map(_is_table, parts.values())):
        return None
    if any(_AXES & table.keys() for table in parts.values()):
        return None  # curves with lists of steps and of values
    axis = step_name(list(shared))
    tables = [(name, table, step_name(list(table)) or None) for name, table in parts.items()]
    own = any(key is not None for _, _, key in tables)
    if (
        not own
        and axis is None
        and not any(_BY_HAND & set(words(name)) for _, table, _ in tables for name in table)
    ):
        return None
    rows: dict[float, dict[str, Any]] = {}
    kinds = {key[1] for _, _, key in tables if key is not None} | {
        axis[1] for axis in [axis] if axis is not None
    }
    for name, table, key in tables:
        steps = table[key[0]] if key is not None else shared[axis[0]] if axis is not None else None
        for metric, values in table.items():
            if key is not None and metric == key[0]:
                continue
            for at, value in enumerate(values):
                step = float(at + 1) if steps is None else number(steps[at]) if at < len(steps) else None
                if step is not None:
                    rows.setdefault(step, {})[f"{name}/{metric}"] = value
    for metric, values in shared.items():
        if axis is not None and metric != axis[0]:
            for step, value in zip(map(number, shared[axis[0]]), values, strict=False):
                if step is not None:
                    rows.setdefault(step, {})[metric] = value
    if len(kinds) > 1 or not rows:
        return None
    columns = _joined([rows[step] for step in sorted(rows)])
    return {**columns, "step" if kinds == {False} else "epoch": sorted(rows)}


_AXES = frozenset({"values", "value", "timestamps", "x", "y"})
#: Words of metrics that no boosting library uses.
_BY_HAND = frozenset({"loss", "losses", "acc", "accuracy", "f1"})


def _table_of(item: Any) -> _Columns | None:
    """The lists of an object of lists, or those of a list of rows; None for anything else."""
    if isinstance(item, dict) and item and all(isinstance(value, list) for value in item.values()):
        return {str(name): value for name, value in item.items()}
    if isinstance(item, list) and item and all(isinstance(row, dict) and row for row in item):
        return _joined(item)
    return None


def _is_table(table: _Columns) -> bool:
    return all(not isinstance(value, list | dict) for values in table.values() for value in values)


def _set_of(name: str) -> str | None:
    """The set that a key names, also as ``val_metrics`` and ``train_history``."""
    parts = [word for word in words(name) if word not in _NOUNS]
    found = parse_set("_".join(parts)) if len(parts) == 1 else None
    return None if found is None else found.name if found.held_out else "train"


_NOUNS = frozenset(
    {"metrics", "metric", "history", "losses", "loss", "log", "logs", "results", "curve", "stats"}
)

"""The numbers of a row of JSON, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from replay.readers.points import number
from replay.readers.splits import find_set, name_in_set, names_a_set

__all__ = ["NAME_FIELDS", "are_plain", "cells_of", "flat_numbers", "flat_rows", "is_plain", "rows_by_names"]

_LONGEST_LIST = 32
_DEEPEST = 4
_PLAIN = frozenset({float, int})
#: Fields that hold the name of a value, in objects such as ``{"metric": "val_loss", "value": 0.5}``.
NAME_FIELDS = ("name", "metric", "metric_name", "key", "tag")
#: What a metric is called in an object that also says over how many it is a mean, and how far they spread.
_FIGURES = frozenset({"value", "mean", "avg", "average"})
_BESIDE = frozenset(
    """
    n count counts num num_samples num_examples samples examples size total sum min max std stdv stdev stddev
    var variance sem stderr step epoch time timestamp wall_time
    """.split()
)


def is_plain(record: Mapping[str, Any]) -> bool:
    """Whether all values of a row are numbers that have a float."""
    return _have_floats(record.values())


def are_plain(records: Iterable[dict[str, Any]]) -> bool:
    """Whether all values of some rows are numbers that have a float."""
    return _have_floats(list(chain.from_iterable(map(dict.values, records))))


def _have_floats(values: Collection[Any]) -> bool:
    if not _PLAIN.issuperset(map(type, values)):
        return False
    try:
        sum(values, 0.0)
    except OverflowError:  # an integer beyond all floats is left out
        return False
    return True


def flat_numbers(record: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, float]:
    """The numbers of a row: those of nested objects as ``eval/loss``, those of short lists by position.

    An object that is one figure (``{"mean": 0.4, "n": 128}``) and a list of one number count as that number,
    and a list of objects with a name and a value as an object of these. Text that is not a number is left
    out, and so are lists of more than a few elements.
    """
    if not before and _PLAIN.issuperset(map(type, record.values())):
        try:
            return dict(zip(record, map(float, record.values())))  # noqa: B905 - called for every row
        except OverflowError:  # an integer beyond all floats is left out
            pass
    values: dict[str, float] = {}
    for key, item in record.items():
        name = f"{before}{key}"
        if isinstance(item, dict) and depth < _DEEPEST:
            figure = None if _FIGURES.isdisjoint(item) else _figure(item)
            if figure is None:
                values |= flat_numbers(item, f"{name}/", depth + 1)
            elif (value := number(item[figure])) is not None:
                values[name] = value
        elif isinstance(item, list) and len(item) <= _LONGEST_LIST:
            if item and isinstance(item[0], dict):
                for key, value in _named_values(item).items():
                    values[f"{name}/{key}"] = value
            for index, element in enumerate(item):
                if (value := number(element)) is not None:
                    values[name if len(item) == 1 else f"{name}/{index}"] = value
        elif (value := number(item)) is not None:
            values[name] = value
    return values


def _figure(item: Mapping[str, Any]) -> str | None:
    """The name of the figure in an object that has its counts and its spread beside it; None for others."""
    names = item.keys() - _BESIDE
    return next(iter(names)) if len(names) == 1 and names <= _FIGURES else None


def _named_values(items: Sequence[Any]) -> dict[str, float]:
    """The values of a list of objects with a name and a value each, those of a set under such names; nothing
    where there are other objects, and where two have the same name.
    """
    values: dict[str, float] = {}
    for item in items:
        key = next((key for key in NAME_FIELDS if key in item), None) if isinstance(item, dict) else None
        if key is None or not isinstance(item[key], str) or "value" not in item:
            return {}
        value = number(item["value"])
        row_set = find_set(
            (field, cell) for field, cell in item.items() if field != key and names_a_set(field, cell)
        )
        name = item[key] if row_set is None else name_in_set(item[key], row_set)
        if name in values:
            return {}
        if value is not None:
            values[name] = value
    return values


def flat_rows(rows: Iterable[Any]) -> list[dict[str, float]]:
    """`flat_numbers` of those rows that are objects, which may be the rows themselves where all their values
    are numbers.
    """
    objects = [row for row in rows if isinstance(row, dict)]
    return objects if are_plain(objects) else list(map(flat_numbers, objects))


def rows_by_names(rows: Iterable[Iterable[str]]) -> dict[tuple[str, ...], list[int]]:
    """The places of the rows that have the same names in the same order, from 0 on."""
    places: dict[tuple[str, ...], list[int]] = {}
    for at, names in enumerate(map(tuple, rows)):
        if names in places:
            places[names].append(at)
        else:
            places[names] = [at]
    return places


def cells_of(rows: Sequence[Mapping[str, float]], names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """The values of rows under some names that all of them have, one line per name."""
    if not names:
        return np.empty((0, len(rows)))
    return np.array([list(map(itemgetter(name), rows)) for name in names], dtype=np.float64)

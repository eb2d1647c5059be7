"""The numbers of a row of JSON, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from replay.readers.points import number

__all__ = ["are_plain", "cells_of", "flat_numbers", "flat_rows", "is_plain", "rows_by_names"]

_LONGEST_LIST = 32
_DEEPEST = 4
_PLAIN = frozenset({float, int})


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

    Text that is not a number is left out, and so are lists of more than a few elements.
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
            values |= flat_numbers(item, f"{name}/", depth + 1)
        elif isinstance(item, list) and len(item) <= _LONGEST_LIST:
            for index, element in enumerate(item):
                if (value := number(element)) is not None:
                    values[f"{name}/{index}"] = value
        elif (value := number(item)) is not None:
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

"""The numbers of a row of JSON, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from replay.readers.points import number

__all__ = ["flat_numbers", "flat_rows"]

_LONGEST_LIST = 32
_DEEPEST = 4
_PLAIN = frozenset({float, int})


def flat_numbers(record: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, float]:
    """The numbers of a row: those of nested objects as ``eval/loss``, those of short lists by position.

    Text that is not a number is left out, and so are lists of more than a few elements.
    """
    if not before and _PLAIN.issuperset(map(type, record.values())):
        try:
            return dict(zip(record, map(float, record.values()), strict=True))
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


def flat_rows(rows: Iterable[Any]) -> Iterable[Mapping[str, float]]:
    """`flat_numbers` of those rows that are objects, which may be the rows themselves where all their values
    are numbers.
    """
    objects = [row for row in rows if isinstance(row, dict)]
    cells = list(chain.from_iterable(map(dict.values, objects)))
    if _PLAIN.issuperset(map(type, cells)):
        try:
            sum(map(float, cells))
        except OverflowError:  # an integer beyond all floats is left out
            pass
        else:
            return objects
    return map(flat_numbers, objects)

"""Templates over the columns of a row, and how the values of a column are written as text."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["ALLOWED", "Field", "Template", "describe_type", "is_empty", "is_writable", "shorten"]

#: What the columns of a template may hold, in words.
ALLOWED = "text, numbers, booleans and dates"
_WRITABLE = (str, bool, int, float, decimal.Decimal, datetime.date, datetime.time)
#: A brace that is written twice, or a column in braces and how many words of it.
_PART = re.compile(r"(\{\{|\}\})|\{([^{}]+?)(?::(\d+))?\}")
_TYPES = {list: "a list", tuple: "a list", dict: "a table of keys and values", bytes: "binary data"}


class Field(NamedTuple):
    """A column in a template; ``words`` limits it to its first words."""

    column: str
    words: int | None = None

    def __str__(self) -> str:
        return "{" + self.column + ("" if self.words is None else f":{self.words}") + "}"


class Template:
    """A column's name, or a text with columns in braces; ``{column:50}`` is the column's first 50 words, and
    ``{{`` and ``}}`` are braces. An empty template renders as an empty text.

    Examples
    --------
    >>> Template("{left-hand} plus {right:1}").render({"left-hand": 1, "right": "2 or 3"})
    '1 plus 2'
    >>> Template("label-coarse").fields
    [Field(column='label-coarse', words=None)]
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts: list[str | Field] = []
        if "{" not in text:
            self.parts += [Field(text)] if text else []
            return
        end = 0
        for match in _PART.finditer(text):
            self.parts.append(text[end : match.start()])
            end = match.end()
            if match[1]:
                self.parts.append(match[1][0])
            else:
                self.parts.append(Field(match[2], None if match[3] is None else int(match[3])))
        self.parts.append(text[end:])

    @property
    def fields(self) -> list[Field]:
        """The columns in their order."""
        return [part for part in self.parts if isinstance(part, Field)]

    def render(self, row: Mapping[str, Any]) -> str:
        """The text of a row that has all of the columns."""
        return "".join(part if isinstance(part, str) else _write(part, row) for part in self.parts)


def is_empty(value: Any) -> bool:
    """Whether a value is missing: null, NaN, or white space."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()


def is_writable(value: Any) -> bool:
    """Whether a value can be written as text: text as it is, a number or a date as Python writes it, a
    boolean as ``True`` or ``False``.
    """
    return isinstance(value, _WRITABLE)


def describe_type(value: Any) -> str:
    """The type of a value that cannot be written, in words."""
    words = (words for kind, words in _TYPES.items() if isinstance(value, kind))
    return next(words, f"a value of type {type(value).__name__}")


def shorten(value: Any, most: int = 60) -> str:
    """A value as Python shows it, cut after so many characters."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _write(field: Field, row: Mapping[str, Any]) -> str:
    text = str(row[field.column])
    return text if field.words is None else " ".join(text.split()[: field.words])

"""Tables as aligned text of at most 80 columns, markdown and CSV; strict JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replay.errors import printable

__all__ = [
    "WIDTH",
    "cell",
    "command",
    "csv_text",
    "json_text",
    "lines",
    "markdown",
    "number",
    "percent",
    "suggested",
    "wrapped",
]

WIDTH = 80


def percent(share: float | None) -> str:
    """A share as a short percentage: ``0%``, ``<0.1%``, ``4.2%``, ``31%``; ``?`` where it is unknown."""
    if share is None or math.isnan(share):
        return "?"
    value = 100 * share
    if value == 0:
        return "0%"
    if abs(value) < 0.05:
        return "<0.1%"
    return f"{value:.1f}%" if abs(value) < 9.95 else f"{value:.0f}%"


def cell(mean: float | None, low: float | None, high: float | None) -> str:
    """A mean share with its interval: ``39% 33-58``."""
    if mean is None:
        return "?"
    if low is None or high is None or low == high:
        return percent(mean)
    digits = 0 if 100 * high >= 9.95 else 1
    return f"{percent(mean)} {100 * low:.{digits}f}-{100 * high:.{digits}f}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with a few significant digits; ``-`` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, int) or (math.isfinite(value) and float(value).is_integer() and abs(value) < 1e9):
        return str(int(value))
    return f"{value:.{digits}g}"


def lines(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), width: int = WIDTH
) -> list[str]:
    """An aligned table, at most ``width`` columns wide.

    Columns in ``left`` are flush left, the others flush right. Where a row is too wide, its first cell gets a
    line of its own, and the last cell is wrapped under itself.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    sizes = [
        max((len(row[column]) for row in [list(head), *cells]), default=0) for column in range(len(head))
    ]
    rest = sum(sizes[1:]) + 2 * (len(head) - 1)
    if sizes[0] + rest > width:
        sizes[0] = max(len(head[0]), min(sizes[0], width - rest))
    last = max(width - sum(sizes[:-1]) - 2 * (len(head) - 1), 12)
    out = []
    for row in [list(head), *cells]:
        first, *others = row
        if len(first) > sizes[0]:
            out.append(first if len(first) <= width else first[: width - 1] + "~")
            first = ""
        tail = textwrap.wrap(others[-1], last) or [""] if others and len(head) - 1 in left else others[-1:]
        shown = [first, *others[:-1], tail[0]] if others else [first]
        out.append(
            "  ".join(
                _aligned(cell, size, column in left)
                for column, (cell, size) in enumerate(zip(shown, sizes, strict=True))
            ).rstrip()
        )
        out += [" " * (sum(sizes[:-1]) + 2 * (len(head) - 1)) + more for more in tail[1:]]
    return out


def _aligned(cell: str, size: int, left: bool) -> str:
    return cell.ljust(size) if left else cell.rjust(size)


def wrapped(text: str, width: int = WIDTH, indent: str = "") -> list[str]:
    """A paragraph of at most ``width`` columns."""
    return textwrap.wrap(printable(text), width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def command(words: Sequence[str], width: int = WIDTH, indent: str = "") -> list[str]:
    """A shell command to paste, broken before its options where it is too long; ``indent`` goes before the
    first line.
    """
    quoted = [shlex.quote(word) for word in words]
    if len(indent) + len(" ".join(quoted)) <= width:
        return [printable(indent + " ".join(quoted))]
    out = [indent]
    for word in quoted:
        if word.startswith("--") and out[-1].strip():
            out[-1] += " \\"
            out.append(" " * (len(indent) + 2) + word)
        else:
            out[-1] += ("" if out[-1] == indent else " ") + word
    return [printable(line) for line in out]


def suggested(steps: Iterable[Sequence[str]]) -> list[str]:
    """The commands that come next, one below the other."""
    return [
        line
        for place, words in enumerate(steps)
        for line in command(words, indent="      " if place else "next: ")
    ]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A markdown table; cells are escaped."""
    shown = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join(" :-- " if column in left else " --: " for column in range(len(head))) + "|",
    ]
    for row in rows:
        shown.append("| " + " | ".join(_escaped(cell) for cell in row) + " |")
    return "\n".join(shown) + "\n"


def _escaped(cell: str) -> str:
    text = printable(cell)
    for char in "\\|<>*_`[]~&$":
        text = text.replace(char, "\\" + char)
    return text


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """CSV with a header; numbers in full precision, nothing for what is unknown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [
                "" if row[name] is None else repr(row[name]) if isinstance(row[name], float) else row[name]
                for name in columns
            ]
        )
    return buffer.getvalue()


def json_text(document: Any) -> str:
    """Strict JSON: what is unknown or NaN is null, an infinity the string ``"Infinity"`` or
    ``"-Infinity"``.
    """
    return json.dumps(_strict(document), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value

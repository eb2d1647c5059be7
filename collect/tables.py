"""From the bytes of a file to rows: JSONL, JSON, CSV, TSV, Orange's .tab and Parquet, compressed or not."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replay.errors import InputError

__all__ = ["Row", "parse", "with_nested"]

Row = dict[str, Any]

_DECOMPRESS = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
#: The separators of tables without types.
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
#: What the second and the third header line of Orange's .tab hold: types, and roles beside options such as
#: ``include=True``.
_TYPES = frozenset("continuous c numeric n discrete d categorical string s text time t basket b".split())
_ROLES = frozenset("class c ignore i meta m weight w".split())


#: Items of a list that have a column of their own.
_MOST_ITEMS = 10


def with_nested(row: Row) -> Row:
    """A row in which each value of a nested table, and each of the first items of a list, is a column too.

    Such a column is named with a dot, as in ``answers.text``, or with a place in brackets, as in
    ``answers[0]``.

    Examples
    --------
    >>> with_nested({"id": 3, "translation": {"en": "dog", "fr": "chien"}})
    {'id': 3, 'translation': {'en': 'dog', 'fr': 'chien'}, 'translation.en': 'dog', 'translation.fr': 'chien'}
    >>> with_nested({"answers": ["a dog", "dogs"]})
    {'answers': ['a dog', 'dogs'], 'answers[0]': 'a dog', 'answers[1]': 'dogs'}
    """
    outer = {key: value for key, value in row.items() if isinstance(value, dict | list)}
    nested: Row = {}
    while outer:
        key, value = outer.popitem()
        if isinstance(value, dict):
            inner = {f"{key}.{name}": item for name, item in value.items()}
        else:
            inner = {f"{key}[{place}]": item for place, item in enumerate(value[:_MOST_ITEMS])}
        nested |= inner
        outer |= {name: item for name, item in inner.items() if isinstance(item, dict | list)}
    return row | {name: value for name, value in nested.items() if name not in row}


def parse(content: bytes, name: str, columns: Sequence[str] = ()) -> list[Row]:
    """The rows of a file; the end of its ``name`` says its format.

    ``columns`` names the columns of a CSV or TSV file that has no header. Raises InputError where the file
    cannot be read, with the line where that is known.
    """
    path = Path(name)
    if (decompress := _DECOMPRESS.get(path.suffix.lower())) is not None:
        try:
            content = decompress(content)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{name}: not readable as {path.suffix[1:]} ({error})") from None
        path = path.with_suffix("")
    suffix = path.suffix.lower()
    if columns and suffix not in (".csv", ".tsv"):
        raise InputError(
            f"{name}: columns = {list(columns)!r} names the columns of a CSV or TSV file without a header;"
            " remove it, since this file names its columns itself"
        )
    try:
        if suffix in (".jsonl", ".ndjson"):
            return _lines(content)
        if suffix == ".json":
            return _objects(json.loads(content))
        if suffix in _SEPARATORS:
            return _table(content, suffix, columns)
        if suffix == ".parquet":
            return _parquet(content, name)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{name}: not readable as {suffix[1:]} ({error})") from None
    raise InputError(
        f"{name}: the format is unknown; it must end in .jsonl, .json, .csv, .tsv, .tab or .parquet, or in"
        " one of these and .gz, .bz2 or .xz"
    )


def _lines(content: bytes) -> list[Row]:
    rows = []
    for number, line in enumerate(content.decode().split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: every line must be a JSON object")
        rows.append(row)
    return rows


def _objects(rows: Any) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it must be a list of JSON objects; one object per line is .jsonl")
    return rows


def _table(content: bytes, suffix: str, columns: Sequence[str]) -> list[Row]:
    # strict where quotes are rare: in a file that does not quote, a lone quote would swallow rows
    reader = csv.reader(
        io.StringIO(content.decode("utf-8-sig"), newline=""),
        delimiter=_SEPARATORS[suffix],
        strict=suffix == ".tsv",
    )
    cells = [(reader.line_num, row) for row in reader if row]
    if not columns and cells:
        columns, cells = _orange(cells) if suffix == ".tab" else (cells[0][1], cells[1:])
    elif cells and len(cells[0][1]) != len(columns):
        raise ValueError(
            f"line {cells[0][0]} has {len(cells[0][1])} fields, and columns names {len(columns)}"
        )
    rows = []
    for line, row in cells:
        if any(cell.strip() for cell in row[len(columns) :]):
            raise ValueError(
                f"line {line} has {len(row)} fields, and there are {len(columns)} columns; a field that holds"
                " the separator must be in quotes"
            )
        rows.append(dict(zip(columns, [*row, *[None] * (len(columns) - len(row))], strict=False)))
    return rows


def _orange(cells: list[tuple[int, list[str]]]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names and the data of Orange's .tab: three lines of header, or one, whose names may begin with
    role and type (``mS#text``).
    """
    head = [row for _, row in cells[:3]]
    if len(head) == 3 and _are_types(head[1]) and _are_roles(head[2]):
        return head[0], cells[3:]
    return [re.sub(r"^[a-zA-Z]{1,2}#", "", column) for column in head[0]], cells[1:]


def _are_types(row: Sequence[str]) -> bool:
    """Whether these are types of columns; a discrete one may list its values (``ham spam``)."""
    cells = [cell.strip() for cell in row if cell.strip()]
    return any(cell in _TYPES for cell in cells) and all(cell in _TYPES or " " in cell for cell in cells)


def _are_roles(row: Sequence[str]) -> bool:
    return all(word in _ROLES or "=" in word[1:] for cell in row for word in cell.split())


def _parquet(content: bytes, name: str) -> list[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(f"{name}: reading Parquet needs pyarrow (pip install 'stop-replay[hub]')") from None
    try:
        # not by pandas, where a whole number beside a missing value becomes a fraction
        rows: list[Row] = parquet.read_table(io.BytesIO(content)).to_pylist()
    except ArrowException as error:
        raise ValueError(str(error)) from None
    return rows

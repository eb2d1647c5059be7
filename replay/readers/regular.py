"""Regular files as rows: CSV, TSV, JSON, JSON lines and Parquet, whatever their columns are called."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.csv_table import ABSENT, cell_number, csv_rows, delimiter_of, is_aside
from replay.readers.json_parser import parse_json
from replay.readers.parquet_files import parquet_rows
from replay.readers.points import number, open_text, unzip_head

__all__ = ["PARQUET", "Sheet", "read_sheet"]

#: What a Parquet file begins with.
PARQUET = b"PAR1"
#: Characters of a JSON file that are looked at; a table of metrics is far below.
_MOST_JSON = 256 * 1024 * 1024


@dataclass
class Sheet:
    """The rows of a file: each maps the names of its columns to numbers, texts and booleans.

    ``columns`` are the names in the order of the file. An empty cell is not in its row.
    """

    columns: list[str]
    rows: list[dict[str, Any]]
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], findings: Sequence[Finding] = ()) -> Sheet:
        """A sheet of rows that may be nested; nested names are joined by ``/``."""
        flat = [dict(_flat(row)) for row in rows]
        names = dict.fromkeys(name for row in flat for name in row)
        return cls(list(names), flat, list(findings))

    def numbers(self, name: str) -> list[float]:
        """The numbers of a column, without the rows that lack it."""
        values = (number(row.get(name)) for row in self.rows)
        return [value for value in values if value is not None]

    def texts(self, name: str) -> list[str]:
        """The texts of a column that are not numbers."""
        return [
            row[name] for row in self.rows if isinstance(row.get(name), str) and number(row[name]) is None
        ]


def read_sheet(path: Path, head: bytes, most_rows: int | None = None) -> Sheet | None:
    """The rows of a file, or None where it is not a regular file.

    ``head`` are its first bytes, and ``most_rows`` limits the rows of a text table and of JSON lines. Raises
    UnusableLog where a Parquet file cannot be read for lack of a package, and OSError.
    """
    if head.startswith(PARQUET):
        return _parquet(path)
    head = unzip_head(head)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text or (b"\0" in text.split(b"\n", 1)[0] and head[:2] not in (b"\xff\xfe", b"\xfe\xff")):
        return None
    if text[:1] in (b"{", b"["):
        return _json_lines(path, most_rows) or _json(path)
    return _text_table(path, most_rows)


def _parquet(path: Path) -> Sheet:
    findings: list[Finding] = []
    return Sheet.of(list(parquet_rows(path, findings)), findings)


def _json_lines(path: Path, most_rows: int | None) -> Sheet | None:
    """The rows of JSON lines; None where the first line is not an object of its own."""
    rows: list[dict[str, Any]] = []
    bad, count, line = 0, 0, ""
    with open_text(path) as lines:
        for line in lines:
            count += 1
            if not line.strip("\0 \t\r\n"):
                continue
            try:
                record = parse_json(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                rows.append(record)
            elif not rows:
                return None
            else:
                bad += 1
            if most_rows is not None and len(rows) >= most_rows:
                break
        findings = lines.findings(path)
    if len(rows) < 2 and count < 2:
        return None  # one object in one line may be anything
    if bad and not line.endswith("\n"):
        bad -= 1
        facts: dict[str, Any] = {"part": "line", "number": count}
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
    if bad:
        findings.append(Finding(Kind.INVALID_JSON, log=str(path), facts={"lines": bad, "of": count}))
    return Sheet.of(rows, findings)


def _json(path: Path) -> Sheet | None:
    """The rows of a JSON file: a list of objects, or an object of lists, at the top or one level below."""
    with open_text(path) as file:
        text = file.read(_MOST_JSON)
        findings = file.findings(path)
    try:
        data = parse_json(text)
    except RecursionError:
        return None
    except ValueError:
        rows, end = _objects(text)
        facts = {"character": end, "kept": len(rows)}
        cut = Finding(Kind.CUT_OFF, log=str(path), facts=facts)
        return Sheet.of(rows, [cut, *findings]) if rows else None
    rows = _rows_of(data)
    if not rows and isinstance(data, dict):
        inner = [rows for value in data.values() if len(rows := _rows_of(value)) > 1]
        rows = max(inner, key=len, default=[])
    return Sheet.of(rows, findings) if rows else None


def _rows_of(data: Any) -> list[dict[str, Any]]:
    """Rows as a list of objects, as an object of equally long lists, or as an object of such objects."""
    if isinstance(data, list):
        return [row for row in data if isinstance(row, dict)]
    if not isinstance(data, dict) or not data:
        return []
    lists = {name: value for name, value in data.items() if isinstance(value, list)}
    if lists and len(lists) == len(data) and len({len(value) for value in lists.values()}) == 1:
        return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    columns = [value for value in data.values() if isinstance(value, dict)]
    if (
        len(columns) == len(data) > 1
        and len({tuple(value) for value in columns}) == 1
        and len(columns[0]) > 1
    ):
        return [  # as pandas writes a frame: by column, then by index
            {"index": number(index), **{name: data[name][index] for name in data}} for index in columns[0]
        ]
    return []


def _objects(text: str) -> tuple[list[dict[str, Any]], int]:
    """The complete objects of a list that is cut off, and where it ends."""
    decoder, rows = json.JSONDecoder(), list[dict[str, Any]]()
    at = text.find("[") + 1
    while at:
        while text[at : at + 1] in (" ", "\t", "\r", "\n", ","):
            at += 1
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows, at


def _flat(record: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, item in record.items():
        if isinstance(item, dict) and depth < 4:
            yield from _flat(item, f"{before}{key}/", depth + 1)
        elif item is not None and item != "":
            yield f"{before}{key}", item


def _text_table(path: Path, most_rows: int | None) -> Sheet | None:
    """The rows of a table of text; None where its lines have no columns."""
    findings: list[Finding] = []
    rows: list[dict[str, Any]] = []
    long, cells, line = 0, list[str](), ""

    def lines(file: Iterator[str]) -> Iterator[str]:
        nonlocal line
        for line in file:
            if not is_aside(line) and line.strip("\0 \t\r\n"):
                yield line.replace("\0", "")

    with open_text(path) as file:
        content = lines(iter(file))
        header = next(content, "")
        sign = delimiter_of(header) if any(sign in header for sign in ",;\t|") else None
        try:
            split = header.split() if sign is None else next(csv_rows([header], sign), [])
            names = [name.strip() for name in split]
            numeric = sum(number(name) is not None for name in names)
            most = 0 if sign is None else len(names) - 1
            if len(names) < 2 or len(set(names)) < len(names) or numeric > most:
                return None
            for cells in (text.split() for text in content) if sign is None else csv_rows(content, sign):
                if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                    long += 1
                    continue
                rows.append(_cells(names, cells, sign or " "))
                if most_rows is not None and len(rows) >= most_rows:
                    break
        except csv.Error as error:
            facts = {"row": len(rows) + 2, "error": str(error)}
            findings.append(Finding(Kind.INVALID_ROW, log=str(path), facts=facts))
        findings += file.findings(path)
    if rows and not line.endswith(("\n", "\r")) and len(cells) < len(names):
        rows.pop()
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "row"}))
    if long:
        if sign is None and long > len(rows):
            return None  # words, not columns
        findings.append(Finding(Kind.LONG_ROWS, log=str(path), facts={"rows": long}))
    return Sheet(names, rows, findings)


def _cells(names: Sequence[str], cells: Sequence[str], sign: str) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=False):
        text = cell.strip()
        if text.lower() not in ABSENT:
            value = cell_number(text, sign)
            row[name] = text if value is None else value
    return row

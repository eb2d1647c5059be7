"""The objects of JSON lines, or of a JSON list of objects; those that hold one named value are turned into
rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from replay.data.finding import Finding, Kind
from replay.readers.growing import read_open_text
from replay.readers.json_lines import first_lines
from replay.readers.json_parser import parse_json, parser
from replay.readers.limits import LONGEST_TEXT, over_limit
from replay.readers.points import number, open_text

__all__ = ["Rows", "head_records", "read_records"]

#: Fields that hold the name of a value, in rows such as ``{"metric": "val_loss", "step": 10, "value": 0.5}``.
_NAME_FIELDS = ("name", "metric", "metric_name", "key", "tag")
_NAMES = frozenset(_NAME_FIELDS)
_HEAD_ROWS = 20
#: How an object begins.
_FIRST_KEY = re.compile(r'\{\s*"[^"]*"\s*:')


def head_records(head: bytes) -> Iterator[dict[str, Any]]:
    """The objects of the first complete lines, or the first ones of a list."""
    encoding = "utf-8-sig"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif head.startswith(b"{"):
        head = first_lines(head, _HEAD_ROWS)
    text = head.decode(encoding, "replace")
    if text.lstrip().startswith("["):
        listed = list(islice(_listed(text), _HEAD_ROWS))
        rest = text[listed[-1][1] :].lstrip() if listed else ""
        if rest.startswith("]") and rest[1:].strip():
            return  # a list in each line
        yield from (_as_row(row) for row, _ in listed)
        return
    for line in text.splitlines()[:_HEAD_ROWS]:
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield _as_row(record)


class Rows(Protocol):
    """What a format makes of the objects of a file."""

    def add(self, record: dict[str, Any]) -> None:
        """One more object."""

    def add_all(self, records: Sequence[dict[str, Any]]) -> None:
        """What `add` does with each of some objects."""

    def copy(self) -> Self:
        """A copy that shares nothing that changes."""


_Rows = TypeVar("_Rows", bound=Rows)


def read_records(path: Path, begin: Callable[[], _Rows]) -> tuple[_Rows, list[Finding]]:
    """What a format makes of the objects of a file, and findings on what is not an object or is cut off.
    Raises OSError.
    """
    with open_text(path) as file:
        first = next((line.strip("\0 \t\r\n") for line in file if line.strip("\0 \t\r\n")), "")
        if first == "[" or (first.startswith("[") and first[1:].lstrip().startswith("{")):
            file.seek(0)
            records, findings = _read_list(path, file.read(LONGEST_TEXT))
            rows = begin()
            rows.add_all(records)
            more = [over_limit(path, "text", LONGEST_TEXT)] if file.read(1) else []
            return rows, [*more, *findings, *file.findings(path)]
        file.seek(0)
        lines, findings = read_open_text(path, file, "records", lambda: _Lines(path, begin()))
    found = [*lines.findings, *findings]
    if lines.unreadable:
        facts = {"lines": lines.unreadable, "of": lines.count}
        found.append(Finding(Kind.INVALID_JSON, log=str(path), facts=facts))
    return lines.rows, found


@dataclass
class _Lines(Generic[_Rows]):
    """The objects of lines, and what is wrong with the others."""

    path: Path
    rows: _Rows
    count: int = 0
    unreadable: int = 0
    findings: list[Finding] = field(default_factory=list)
    parse: Callable[[str], Any] = field(default_factory=parser)

    def take(self, line: str) -> None:
        self.count += 1
        text = line.strip("\0 \t\r\n")  # a crash may leave zero bytes before the next row
        if not text:
            return
        try:
            record = self.parse(text)
        except (ValueError, RecursionError):
            whole, lost = _objects_in(text)
            for one in whole:
                self.rows.add(_as_row(one))
            if line.endswith("\n") or whole:
                self.unreadable += lost
            else:
                cut = {"part": "line", "number": self.count}
                self.findings.append(Finding(Kind.CUT_OFF, log=str(self.path), facts=cut))
            return
        if isinstance(record, dict):
            self.rows.add(_as_row(record))
        else:
            self.unreadable += 1

    def take_all(self, lines: Sequence[str]) -> None:
        texts = [text for line in lines if (text := line.strip("\0 \t\r\n"))]
        try:
            records = list(map(self.parse, texts))
        except (ValueError, RecursionError):
            records = []
        if not records or {*map(type, records)} != {dict}:
            for line in lines:
                self.take(line)
            return
        self.count += len(lines)
        self.rows.add_all(list(map(_as_row, records)))

    def copy(self) -> _Lines[_Rows]:
        return replace(self, rows=self.rows.copy(), findings=list(self.findings))


def _objects_in(text: str) -> tuple[list[dict[str, Any]], bool]:
    """The objects of a line that holds several, and whether a part of it is lost.

    A killed process left a part of a row, or no end of line, and the next process wrote behind it.
    """
    decoder, objects, at, lost = json.JSONDecoder(), list[dict[str, Any]](), 0, False
    first = _FIRST_KEY.match(text)
    while first is not None and at >= 0:
        try:
            record, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            lost = True
            at = text.find(first[0], at + 1)  # rows of one writer begin alike, and the objects in them do not
            continue
        if not isinstance(record, dict):
            break
        objects.append(record)
        at = text.find(first[0], end)
        lost |= bool(text[end : at if at >= 0 else None].strip())
    return objects, lost or not objects


def _read_list(path: Path, text: str) -> tuple[list[dict[str, Any]], list[Finding]]:
    listed = list(_listed(text))
    records = [_as_row(record) for record, _ in listed]
    end = listed[-1][1] if listed else text.find("[") + 1
    rest = text[end:].lstrip(" \t\r\n,")
    if rest.startswith("]"):
        return records, []
    facts = {"character": end, "kept": len(records)}
    kind = Kind.INVALID_JSON if rest.rstrip().endswith("]") else Kind.CUT_OFF
    return records, [Finding(kind, log=str(path), facts=facts)]


def _listed(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """The complete objects of the list that a text begins with, each with its end."""
    decoder, at = json.JSONDecoder(), text.find("[") + 1
    while True:
        while text[at : at + 1] and text[at] in " \t\r\n,":
            at += 1
        try:
            record, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict):
            return
        yield record, at


def _as_row(record: dict[str, Any]) -> dict[str, Any]:
    """A record of one named value as a row with that name; all others as they are.

    ``{"name": "validation_loss", "data": {"step": 10, "value": 0.5}}`` is what IBM's fms-hf-tuning writes.
    """
    if _NAMES.isdisjoint(record):
        return record
    for key in _NAME_FIELDS:
        name = record.get(key) if "variant" not in record else None  # half of ClearML's names
        if not isinstance(name, str) or not name:
            continue
        inner = record.get("data")
        fields = {**record, **inner} if isinstance(inner, dict) else record
        if number(fields.get("value")) is not None:
            rest = {one: item for one, item in fields.items() if one not in (key, "data", "value")}
            return {**rest, name: fields["value"]}
    return record

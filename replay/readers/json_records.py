"""The objects of JSON lines, of a JSON list, or of a file in which each fills several lines; those that hold
one named value are turned into rows.
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
from replay.readers.flatten import NAME_FIELDS
from replay.readers.growing import read_open_text
from replay.readers.json_lines import first_lines
from replay.readers.json_parser import parse_json, parser
from replay.readers.limits import LONGEST_TEXT, over_limit
from replay.readers.points import number, open_text

__all__ = ["Rows", "are_blocks", "head_records", "read_records"]

_NAMES = frozenset(NAME_FIELDS)
_HEAD_ROWS = 20
#: How an object begins.
_FIRST_KEY = re.compile(r'\{\s*"[^"]*"\s*:')
#: How an object over several lines begins, and how another one follows it.
_BLOCK = re.compile(r"^\{", re.MULTILINE)
_NEXT_BLOCK = re.compile(rb"^\}[\s,]{0,100}\{", re.MULTILINE)
_BETWEEN = re.compile(r"[\s\0,]*")
#: Broken objects in which the next one is looked for from their begin on, which takes quadratic time.
_LOOKED_INTO = 20


def are_blocks(head: bytes) -> bool:
    """Whether a file begins with objects over several lines each, as ``json.dump`` with an indent writes them
    into one file.
    """
    return _begins_block(head[:200].decode("utf-8-sig", "replace")) and _NEXT_BLOCK.search(head) is not None


def _begins_block(text: str) -> bool:
    """Whether the first line of a text opens an object and does not close it."""
    first = text.lstrip("\ufeff\0 \t\r\n").partition("\n")[0].rstrip()
    return first.startswith("{") and first.endswith(("{", "[", ","))


def head_records(head: bytes) -> Iterator[dict[str, Any]]:
    """The objects of the first complete lines, or the first ones of a list or of a file of blocks."""
    encoding = "utf-8-sig"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif are_blocks(head):
        blocks = _Blocks(head.decode(encoding, "replace"))
        yield from (_as_row(row) for row in islice(blocks, _HEAD_ROWS))
        return
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
            record = parse_json(line.rstrip(" \t\r,"))
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
        is_list = first == "[" or (first.startswith("[") and first[1:].lstrip().startswith("{"))
        if is_list or _begins_block(first):
            file.seek(0)
            records, findings = (_read_list if is_list else _read_blocks)(path, file.read(LONGEST_TEXT))
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
        lost |= bool(text[end : at if at >= 0 else None].strip(", \t\r\n"))
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


class _Blocks:
    """The complete objects of a text, which may have any white space or commas between them.

    An object that is broken, as a killed process leaves it, is left out: the next one begins a line. ``lost``
    counts these, and ``is_cut_off`` says whether the text ends within one. Both are known at the end.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.lost = 0
        self.is_cut_off = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        decoder, at = json.JSONDecoder(), self._begin(0)
        while at < len(self._text):
            try:
                record, end = decoder.raw_decode(self._text, at)
            except (ValueError, RecursionError) as error:
                broken = getattr(error, "pos", len(self._text))
                record, end = None, at + 1 if self.lost < _LOOKED_INTO else max(broken, at + 1)
            if isinstance(record, dict):
                yield record
                at = self._begin(end)
                continue
            following = _BLOCK.search(self._text, end)
            if following is None:
                self.is_cut_off = True
                return
            self.lost += 1
            at = following.start()

    def _begin(self, at: int) -> int:
        between = _BETWEEN.match(self._text, at)
        return at if between is None else between.end()


def _read_blocks(path: Path, text: str) -> tuple[list[dict[str, Any]], list[Finding]]:
    blocks, findings = _Blocks(text), list[Finding]()
    records = list(map(_as_row, blocks))
    if blocks.lost:
        facts = {"parts": blocks.lost, "of": len(records) + blocks.lost + blocks.is_cut_off}
        findings.append(Finding(Kind.INVALID_JSON, log=str(path), facts=facts))
    if blocks.is_cut_off:
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "object"}))
    return records, findings


def _as_row(record: dict[str, Any]) -> dict[str, Any]:
    """A record of one named value as a row with that name; all others as they are.

    ``{"name": "validation_loss", "data": {"step": 10, "value": 0.5}}`` is what IBM's fms-hf-tuning writes.
    """
    if _NAMES.isdisjoint(record):
        return record
    for key in NAME_FIELDS:
        name = record.get(key) if "variant" not in record else None  # half of ClearML's names
        if not isinstance(name, str) or not name:
            continue
        inner = record.get("data")
        fields = {**record, **inner} if isinstance(inner, dict) else record
        if number(fields.get("value")) is not None:
            rest = {one: item for one, item in fields.items() if one not in (key, "data", "value")}
            return {**rest, name: fields["value"]}
    return record

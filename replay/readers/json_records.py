"""The objects of JSON lines, or of a JSON list of objects; those that hold one named value are turned into
rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.limits import LONGEST_TEXT, over_limit
from replay.readers.points import number, open_text
from replay.readers.text_files import TextLines

__all__ = ["head_records", "read_records"]

#: Fields that hold the name of a value, in rows such as ``{"metric": "val_loss", "step": 10, "value": 0.5}``.
_NAME_FIELDS = ("name", "metric", "metric_name", "key", "tag")
_NAMES = frozenset(_NAME_FIELDS)
_HEAD_ROWS = 20


def head_records(head: bytes) -> list[dict[str, Any]]:
    """The objects of the first complete lines, or the first ones of a list."""
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    if text.lstrip().startswith("["):
        listed = list(islice(_listed(text), _HEAD_ROWS))
        rest = text[listed[-1][1] :].lstrip() if listed else ""
        if rest.startswith("]") and rest[1:].strip():
            return []  # a list in each line
        return [_as_row(row) for row, _ in listed]
    found = []
    for line in text.splitlines()[:_HEAD_ROWS]:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.append(_as_row(record))
    return found


def read_records(
    path: Path, open_file: Callable[[Path], TextLines] = open_text
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The objects of a file, and findings on what is not an object or is cut off. Raises OSError."""
    with open_file(path) as file:
        first = next((line.strip("\0 \t\r\n") for line in file if line.strip("\0 \t\r\n")), "")
        if first == "[" or (first.startswith("[") and first[1:].lstrip().startswith("{")):
            file.seek(0)
            records, findings = _read_list(path, file.read(LONGEST_TEXT))
            return records, [*([over_limit(path, "text", LONGEST_TEXT)] if file.read(1) else []), *findings]
        file.seek(0)
        return _read_lines(path, file)


def _read_lines(path: Path, lines: TextLines) -> tuple[list[dict[str, Any]], list[Finding]]:
    records, findings = list[dict[str, Any]](), list[Finding]()
    unreadable, count, decoder = 0, 0, json.JSONDecoder()
    for line in lines:
        count += 1
        text = line.strip("\0 \t\r\n")  # a crash may leave zero bytes before the next row
        if not text:
            continue
        try:
            record, end = decoder.raw_decode(text)
            if end < len(text):
                raise ValueError("more than one value in a line")
        except (ValueError, RecursionError):
            if line.endswith("\n"):
                unreadable += 1
            else:
                cut = {"part": "line", "number": count}
                findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=cut))
            continue
        if isinstance(record, dict):
            records.append(_as_row(record))
        else:
            unreadable += 1
    findings += lines.findings(path)
    if unreadable:
        facts = {"lines": unreadable, "of": count}
        findings.append(Finding(Kind.INVALID_JSON, log=str(path), facts=facts))
    return records, findings


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
    for field in _NAME_FIELDS:
        name = record.get(field) if "variant" not in record else None  # half of ClearML's names
        if not isinstance(name, str) or not name:
            continue
        inner = record.get("data")
        fields = {**record, **inner} if isinstance(inner, dict) else record
        if number(fields.get("value")) is not None:
            rest = {key: item for key, item in fields.items() if key not in (field, "data", "value")}
            return {**rest, name: fields["value"]}
    return record

"""JSON lines as trackers write them: one value per line, of which the last may be cut off."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.json_parser import parser

__all__ = ["JsonLines", "complete_elements", "first_lines", "parse_lines"]

_DECODER = json.JSONDecoder()


class JsonLines:
    """The values of the lines of one file, in order.

    ``findings`` say what could not be read; they are complete when the lines are used up.
    """

    def __init__(self, lines: Iterable[str], log: str) -> None:
        self._lines = lines
        self.log = log
        self.findings: list[Finding] = []

    def __iter__(self) -> Iterator[Any]:
        parse = parser()
        invalid = count = 0
        for count, line in enumerate(self._lines, 1):
            if not line.strip("\0 \t\r\n"):
                continue
            try:
                value = parse(line)
            except (ValueError, RecursionError):
                if line.endswith("\n"):
                    invalid += 1
                else:
                    facts = {"part": "line", "number": count}
                    self.findings.append(Finding(Kind.CUT_OFF, log=self.log, facts=facts))
                yield from complete_elements(line)
                continue
            yield value
        if invalid:
            facts = {"lines": invalid, "of": count}
            self.findings.append(Finding(Kind.INVALID_JSON, log=self.log, facts=facts))


def complete_elements(text: str) -> list[list[Any]]:
    """The complete elements of a JSON list that is cut off or broken, as one list; nothing where there are
    none, and of other text.
    """
    text = text.lstrip()
    if not text.startswith("["):
        return []
    elements, at = [], 1
    while True:
        while text[at : at + 1] in (" ", "\t", ","):
            at += 1
        if text[at : at + 1] not in ("{", "["):  # a number may lack its last digits
            break
        try:
            element, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        elements.append(element)
    return [elements] if elements else []


def first_lines(head: bytes, limit: int) -> bytes:
    """The first lines of a file's head, so that no more is decoded than these."""
    end = -1
    for _ in range(limit):
        end = head.find(b"\n", end + 1)
        if end < 0:
            return head
    return head[: end + 1]


def parse_lines(head: bytes, limit: int = 20) -> list[Any]:
    """The values of the first complete lines of a file's head, for telling its format."""
    parse, values = parser(), []
    for line in first_lines(head, limit).decode("utf-8-sig", "replace").splitlines()[:limit]:
        try:
            values.append(parse(line))
        except (ValueError, RecursionError):
            continue
    return values

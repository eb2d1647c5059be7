"""JSON of which the end may be missing: what there is before the end."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, NamedTuple

from replay.readers.json_parser import parse_json

__all__ = ["Parsed", "parse_partly"]

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d*)?|Infinity)|NaN|null|true|false")
_DEPTH = 100
_DECODER = json.JSONDecoder(strict=False)


class Parsed(NamedTuple):
    """A value, the character at which the text broke (None where it is whole), and the containers that were
    open there: the last element of each of them may lack a part.
    """

    value: Any
    broken: int | None
    open: tuple[Any, ...]


def parse_partly(text: str) -> Parsed:
    """The value that a JSON text begins with.

    Of an object or a list that ends too early, or that is broken in the middle, what stands before that point
    counts; a number at the very end is left out, since it may lack digits. A comma behind the last element
    breaks nothing.
    """
    try:
        return Parsed(parse_json(text), None, ())
    except (ValueError, RecursionError):
        pass
    parser = _Parser(text.removeprefix("\ufeff"))
    holder: list[Any] = []
    with suppress(_BrokenError):
        parser.into(holder)
        if not parser.text[parser.at :].strip("\0 \t\r\n"):
            return Parsed(holder[0], None, ())
    return Parsed(holder[0] if holder else None, parser.at, tuple(parser.open))


class _BrokenError(Exception):
    """The text ends, or is not JSON, at the parser's place."""


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open: list[Any] = []

    def _sign(self) -> str:
        """The next sign that is not a blank."""
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank is not None else self.at
        return self.text[self.at : self.at + 1]

    def _string(self) -> str:
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except ValueError:
            raise _BrokenError from None
        return str(value)

    def into(self, target: list[Any] | dict[str, Any], key: str = "") -> None:
        """Put the next value into a list, or into an object under a key."""

        def put(value: Any) -> None:
            if isinstance(target, list):
                target.append(value)
            else:
                target[key] = value

        sign = self._sign()
        if sign in ("{", "["):
            if len(self.open) >= _DEPTH:
                raise _BrokenError
            container: Any = {} if sign == "{" else []
            put(container)
            self.open.append(container)
            self.at += 1
            self._fill(container, "}" if sign == "{" else "]")
            self.open.pop()
        elif sign == '"':
            put(self._string())
        else:
            number = _NUMBER.match(self.text, self.at)
            if number is None or number.end() == len(self.text):
                raise _BrokenError
            try:
                put(json.loads(number[0]))
            except ValueError:
                raise _BrokenError from None
            self.at = number.end()

    def _fill(self, container: Any, end: str) -> None:
        first = True
        while True:
            sign = self._sign()
            if sign == end:
                self.at += 1
                return
            if not first:
                if sign != ",":
                    raise _BrokenError
                self.at += 1
                sign = self._sign()
                if sign == end:
                    continue
            first = False
            if isinstance(container, list):
                self.into(container)
                continue
            if sign != '"':
                raise _BrokenError
            key = self._string()
            if self._sign() != ":":
                raise _BrokenError
            self.at += 1
            self.into(container, key)

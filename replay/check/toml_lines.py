"""The lines of a TOML file at which its keys stand, which Python's own parser does not give."""

from __future__ import annotations

import contextlib
import tomllib

__all__ = ["KeyPath", "key_lines"]

#: Keys and indices of arrays, from the top of a document down.
KeyPath = tuple[str | int, ...]

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of each table, key and item of an array in a valid TOML document.

    A table that is opened by several keys is at the first of them.

    Examples
    --------
    >>> key_lines("a.b = 1\\n[[c]]\\nd = [\\n  {e = 2}]")
    {('a',): 1, ('a', 'b'): 1, ('c',): 2, ('c', 0): 2, ('c', 0, 'd'): 3, ('c', 0, 'd', 0): 4, \
('c', 0, 'd', 0, 'e'): 4}
    """
    scan = _Scan(text)
    # of what is not a document that Python's parser takes, the lines so far are right
    with contextlib.suppress(IndexError, ValueError, RecursionError):
        scan.document()
    return scan.lines


class _Scan:
    """A walk through a document that passes over values and remembers where keys are."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.tables: dict[KeyPath, int] = {}
        self._line, self._counted = 1, 0

    def document(self) -> None:
        table: KeyPath = ()
        while self.more():
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)

    def more(self) -> bool:
        """Pass over spaces, line ends and comments; whether anything follows."""
        text = self.text
        while self.at < len(text):
            if text[self.at] == "#":
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif text[self.at] in " \t\r\n":
                self.at += 1
            else:
                return True
        return False

    def remember(self, path: KeyPath, start: int) -> None:
        self._line += self.text.count("\n", self._counted, start)
        self._counted = start
        self.lines.setdefault(path, self._line)

    def header(self, brackets: int) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``: the path that the keys after it belong to."""
        start = self.at
        self.at += brackets
        parts = self.key()
        self.at += brackets
        path: KeyPath = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self.remember(path, start)
            if number == len(parts) and brackets == 2:
                self.tables[path] = self.tables.get(path, 0) + 1
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
                self.remember(path, start)
        return path

    def pair(self, table: KeyPath) -> None:
        start, path = self.at, table
        for part in self.key():
            path = (*path, part)
            self.remember(path, start)
        self.at += 1  # the equals sign
        self.value(path)

    def key(self) -> list[str]:
        """The parts of a dotted key; what follows it is next."""
        parts = []
        while True:
            self.spaces()
            start = self.at
            if self.text[start] in "\"'":
                self.quoted()
                parts.append(str(tomllib.loads("key = " + self.text[start : self.at])["key"]))
            else:
                while self.text[self.at] in _BARE:
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.spaces()
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def spaces(self) -> None:
        while self.text[self.at] in " \t":
            self.at += 1

    def quoted(self) -> None:
        """Pass over a string of any of the four kinds."""
        mark = self.text[self.at]
        triple = self.text.startswith(mark * 3, self.at)
        end = mark * 3 if triple else mark
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if mark == '"' and self.text[self.at] == "\\" else 1
            if self.at >= len(self.text):
                raise ValueError
        self.at += len(end)
        if triple:  # up to two quotation marks more belong to the text
            self.at += min(len(self.text) - self.at - len(self.text[self.at :].lstrip(mark)), 2)

    def value(self, path: KeyPath) -> None:
        self.spaces()
        first = self.text[self.at]
        if first in "\"'":
            self.quoted()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self.more() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.remember((*path, index), self.at)
            self.value((*path, index))
            index += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self.more() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self.pair(path)
        self.at += 1

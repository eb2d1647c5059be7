"""Text files of any size and state, read line by line with bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from replay.data.finding import Finding, Kind
from replay.readers.limits import LONGEST_LINE, LONGEST_TEXT, over_limit

__all__ = ["BLOCK", "SmallText", "TextLines", "open_text", "parse_whole_lines", "read_whole", "unzip_head"]

#: The part of a compressed file that a finding names where the file is cut off.
BLOCK = "compressed block"

_GZIP = b"\x1f\x8b"
_BUFFER, _PAGE = 1 << 20, 4096
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _File(io.FileIO):
    """A file whose holes are skipped: a log on a full disk or after a power cut may have one of 100 GB."""

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        data = bytes(memoryview(buffer)[:count])
        if count >= _PAGE and data[:8] == bytes(8) and hasattr(os, "SEEK_DATA") and not data.strip(b"\0"):
            try:
                self.seek(self.tell(), os.SEEK_DATA)
            except OSError:  # nothing but the hole follows
                self.seek(0, os.SEEK_END)
        return count


class _Inflated(io.RawIOBase):
    """A decompressed gzip file, up to a limit: a small file may hold any number of zeros. Of one that is cut
    off, as a killed process leaves it, the part before that. Raises gzip.BadGzipFile where it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115 - closed by close
        self._left = LONGEST_TEXT
        self.is_too_long = self.is_cut_off = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            raise io.UnsupportedOperation("the end of a compressed file is not known")
        at = self._file.seek(offset, whence)
        self._left = LONGEST_TEXT - at
        self.is_cut_off = False
        return at

    def readinto(self, buffer: Any) -> int:
        if self.is_cut_off:
            return 0
        try:  # read1, as read loses what comes before an error
            data = self._file.read1(min(len(buffer), max(self._left, 1)))
        except EOFError:
            self.is_cut_off = True
            return 0
        except zlib.error as error:
            raise gzip.BadGzipFile(str(error)) from None
        if self._left <= 0:
            self.is_too_long = bool(data)
            return 0
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class TextLines(io.TextIOWrapper):
    """A text file that skips lines longer than `LONGEST_LINE` where it is read line by line, and the last
    line of several where a compressed file is cut off within it.
    """

    def __init__(self, raw: io.RawIOBase, encoding: str) -> None:
        super().__init__(io.BufferedReader(raw, _BUFFER), encoding=encoding, errors="replace", newline="")
        self._raw = raw
        self._long = 0
        self._is_first = True

    def __next__(self) -> str:  # type: ignore[override]
        while True:
            line = self.readline(LONGEST_LINE)
            is_whole = line.endswith(("\n", "\r"))
            if not line or not (is_whole or self._is_first or not self.is_cut_off):
                raise StopIteration
            self._is_first = False
            if is_whole or len(line) < LONGEST_LINE:
                return line
            self._long += bool(line.strip("\0"))
            while line and not line.endswith(("\n", "\r")):
                line = self.readline(_BUFFER)

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset == 0 and whence == 0:
            self._long, self._is_first = 0, True
        return super().seek(offset, whence)

    @property
    def is_cut_off(self) -> bool:
        """Whether the file is a compressed one that was read up to where it is cut off."""
        return isinstance(self._raw, _Inflated) and self._raw.is_cut_off

    def findings(self, path: Path) -> list[Finding]:
        """What was not read of the file so far."""
        findings = []
        if self._long:
            findings.append(over_limit(path, "line", LONGEST_LINE, self._long))
        if isinstance(self._raw, _Inflated) and self._raw.is_too_long:
            findings.append(over_limit(path, "text", LONGEST_TEXT))
        if self.is_cut_off:
            findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": BLOCK}))
        return findings


class SmallText(io.StringIO):
    """The text of a small file, of which nothing is left out."""

    def findings(self, path: Path) -> list[Finding]:
        """What was not read of the file: nothing."""
        return []


def unzip_head(head: bytes) -> bytes:
    """The first bytes of a file, at most as many as given, decompressed where it is a gzip file."""
    if not head.startswith(_GZIP):
        return head
    try:
        text = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head, max(len(head), 64 * 1024))
        return text.removeprefix(codecs.BOM_UTF8)
    except zlib.error:
        return b""


def open_text(path: Path) -> TextLines | SmallText:
    """The file as text, decompressed where it is a gzip file: UTF-8 unless a byte order mark says UTF-16;
    bytes that are not text become U+FFFD. Raises OSError, also when a damaged gzip file is read. One that is
    cut off ends there, and ``findings`` say so.
    """
    file = _File(path)
    text = _small_text(file)
    return _open_large(file, path) if text is None else SmallText(text, newline="")


def read_whole(path: Path) -> tuple[str, list[Finding]]:
    """The text of a file, as `open_text` gives it, up to a limit, and what was not read of it."""
    file = _File(path)
    text = _small_text(file)
    if text is not None:
        return text, []
    with _open_large(file, path) as lines:
        text = lines.read(LONGEST_TEXT)
        return text, [over_limit(path, "text", LONGEST_TEXT)] if lines.read(1) else lines.findings(path)


def _small_text(file: _File) -> str | None:
    """The text of a file that is too small for a line beyond the limit, not compressed, and without zero
    bytes; the file is closed then. Else None.
    """
    size = os.fstat(file.fileno()).st_size
    data = file.read(size + 1) if 2 < size < LONGEST_LINE else b""
    if len(data) != size or not data or data[:2] in (_GZIP, *_WIDE) or b"\0" in data:
        return None
    file.close()
    return str(data.removeprefix(codecs.BOM_UTF8), "utf-8", "replace")


def _open_large(file: _File, path: Path) -> TextLines:
    """A file of any size and encoding."""
    file.seek(0)
    mark = file.read(2)
    if mark == _GZIP:
        file.close()
        return TextLines(_Inflated(path), "utf-8-sig")
    file.seek(0)
    return TextLines(file, "utf-16" if mark in _WIDE else "utf-8-sig")


_Parsed = TypeVar("_Parsed")


def parse_whole_lines(
    path: Path,
    parse: Callable[[str], _Parsed],
    findings: list[Finding],
    invalid: Kind = Kind.INVALID_JSON,
    **facts: Any,
) -> Iterator[_Parsed]:
    """What ``parse`` makes of each line that is not blank.

    A last line without its end may lack digits: it is left out and reported. Lines for which ``parse`` raises
    ValueError or RecursionError are counted in a finding of the kind ``invalid``, with the ``facts``. Raises
    OSError.
    """
    count = bad = 0
    line = "\n"
    with open_text(path) as lines:
        for line in lines:
            count += 1
            if not line.strip() or not line.endswith("\n"):
                continue
            try:
                parsed = parse(line)
            except (ValueError, RecursionError):
                bad += 1
            else:
                yield parsed
    if not line.endswith("\n"):
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "line", "number": count}))
    if bad:
        findings.append(Finding(invalid, log=str(path), facts={"lines": bad, "of": count, **facts}))

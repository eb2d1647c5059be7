"""What was read of logs that grow, kept between one reading and the next.

A group of files that has not changed is not read again. Of a text file that has only grown, only the new
lines are read. Files count as unchanged by what the system says of them, and as grown by a sample of their
bytes; whatever is in doubt is read anew.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, TypeVar, cast

from replay.data.finding import Finding, Kind
from replay.readers.format import Loaded
from replay.readers.load import load_group, load_groups
from replay.readers.naming import Group
from replay.readers.step_signals import StepSignalsFile
from replay.readers.text_files import BLOCK, SmallText, TextLines, open_text

__all__ = ["Collected", "Growing", "Prefix", "known_prefix", "read_text", "sample_of", "status_of"]

#: Seconds after which a file that was written is known to have another time of change when it is written
#: again: the clocks of file systems are coarse.
_SETTLED_S = 2.0
#: A text file of which more is new is read line by line, and nothing of it is kept.
_MOST_BYTES = 256 * 1024 * 1024
#: Bytes that are compared at the begin and the end of what was read, and at places between them.
_EDGE, _BETWEEN, _PLACES = 4096, 512, 16

_Signature = tuple[tuple[int, ...], ...]


class Collected(Protocol):
    """What is collected from the lines of a file. A copy may take more lines and leave the original as it
    is.
    """

    def take(self, line: str) -> None:
        """One more line."""

    def take_all(self, lines: Sequence[str]) -> None:
        """What `take` does with each of some lines."""

    def copy(self) -> Self:
        """A copy that shares nothing that changes."""


@dataclass(frozen=True)
class Prefix:
    """What was made of the first ``end`` bytes of a file, and how these are known again.

    ``status`` are device, inode, size and times of the file when it was read.
    """

    made: Any
    end: int
    status: tuple[int, ...]
    sample: bytes

    def fits(self, file: BinaryIO, status: tuple[int, ...]) -> bool:
        """Whether a file still begins with these bytes."""
        if status[:2] != self.status[:2] or status[2] < self.end:
            return False
        has_grown = status[2] > self.status[2]
        return (has_grown or status == self.status) and sample_of(file, self.end) == self.sample


class Growing:
    """What was read of the logs below some paths, for the next time that they are read.

    ``bytes_read`` counts the bytes of text and event files that were read while this was in use, apart from
    samples.
    """

    def __init__(self, settled_s: float = _SETTLED_S) -> None:
        self.bytes_read = 0
        self._settled_ns = int(settled_s * 1e9)
        self._loaded: dict[tuple[object, ...], tuple[_Signature, Loaded]] = {}
        self._prefixes: dict[tuple[Path, str], Prefix] = {}

    def load(self, groups: Sequence[Group]) -> Iterator[Loaded]:
        """What is loaded of each group, in order, as `replay.readers.load.load_groups` gives it."""
        loaded: dict[tuple[object, ...], tuple[_Signature, Loaded]] = {}
        for group in groups:
            if not group.format.only_its_files or group.whole_folder:
                yield from load_groups([group])
                continue
            key = (group.format.name, group.name, *group.files)
            signature = self._signature(group)
            known = self._loaded.get(key)
            if known is None or signature is None or known[0] != signature:
                with _in_use(self):
                    made = load_group(group)
            else:
                made = known[1]
            if signature is not None:
                loaded[key] = signature, made
            yield made
        self._loaded = loaded
        files = {file for group in groups for file in group.files}
        self._prefixes = {key: one for key, one in self._prefixes.items() if key[0] in files}

    def prefix(self, path: Path, kind: str) -> Prefix | None:
        """What a kind of reader has made of the beginning of a file."""
        return self._prefixes.get((path, kind))

    def keep(self, path: Path, kind: str, prefix: Prefix | None) -> None:
        """Keep what a kind of reader made of the beginning of a file, for the next time; None: nothing."""
        if prefix is None:
            self._prefixes.pop((path, kind), None)
        else:
            self._prefixes[path, kind] = prefix

    def _signature(self, group: Group) -> _Signature | None:
        """What changes where a file of the group does; None where that cannot be told."""
        now = time.time_ns()
        try:
            parts = [status_of(file.stat()) for file in group.files]
        except OSError:
            return None
        if any(max(part[3:]) > now - self._settled_ns for part in parts):
            return None
        beside = group.file is not None and StepSignalsFile.beside(group.file) is not None
        return (*parts, (int(beside),))


_USED: ContextVar[Growing | None] = ContextVar("growing", default=None)


@contextmanager
def _in_use(growing: Growing) -> Iterator[None]:
    token = _USED.set(growing)
    try:
        yield
    finally:
        _USED.reset(token)


def known_prefix(path: Path, kind: str) -> tuple[Growing | None, Prefix | None]:
    """Where a reader keeps what it made of a growing file (None: nowhere), and what it kept."""
    growing = _USED.get()
    return growing, None if growing is None else growing.prefix(path, kind)


def status_of(status: os.stat_result) -> tuple[int, ...]:
    """Device, inode, size and the times of the last changes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def sample_of(file: BinaryIO, end: int) -> bytes:
    """A digest of bytes of the first ``end`` ones of a file: all of few, of many some that lie apart."""
    made = hashlib.blake2b(digest_size=16)
    if end <= 2 * _EDGE + _BETWEEN * _PLACES:
        pieces = [(0, end)]
    else:
        gap = (end - 2 * _EDGE) // (_PLACES + 1)
        pieces = [(0, _EDGE), (end - _EDGE, _EDGE)]
        pieces += [(_EDGE + gap * place, _BETWEEN) for place in range(1, _PLACES + 1)]
    for begin, length in pieces:
        file.seek(begin)
        made.update(file.read(length))
    return made.digest()


_State = TypeVar("_State", bound=Collected)


def read_text(path: Path, kind: str, begin: Callable[[], _State]) -> tuple[_State, list[Finding]]:
    """What is collected from all lines of a text file, and what was not read of it: also the rest of a gzip
    file that is cut off or damaged. ``kind`` names the reader.
    """
    growing = _USED.get()
    if growing is not None and (made := _continue(growing, path, kind, begin)) is not None:
        return made, []
    with open_text(path) as lines:
        return _collect(path, lines, begin)


def read_open_text(
    path: Path, lines: TextLines | SmallText, kind: str, begin: Callable[[], _State]
) -> tuple[_State, list[Finding]]:
    """What `read_text` gives of a file that is open, at its begin."""
    if _USED.get() is not None:
        return read_text(path, kind, begin)
    return _collect(path, lines, begin)


def _collect(
    path: Path, lines: TextLines | SmallText, begin: Callable[[], _State]
) -> tuple[_State, list[Finding]]:
    state, findings = begin(), list[Finding]()
    if isinstance(lines, SmallText):
        state.take_all(list(lines))
        return state, []
    try:
        for line in lines:
            state.take(line)
    except gzip.BadGzipFile:
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": BLOCK}))
    return state, [*findings, *lines.findings(path)]


def _continue(growing: Growing, path: Path, kind: str, begin: Callable[[], _State]) -> _State | None:
    """What is collected from a file of plain text, of which only what is new is read.

    None for files that are compressed, in another encoding, or damaged.
    """
    with path.open("rb", buffering=0) as opened:
        file = cast("BinaryIO", opened)
        status = status_of(os.fstat(opened.fileno()))
        known = growing.prefix(path, kind)
        growing.keep(path, kind, None)  # also where a line cannot be taken
        if known is not None and not known.fits(file, status):
            known = None
        start = 0 if known is None else known.end
        if status[2] - start > _MOST_BYTES or _has_holes(os.fstat(opened.fileno())):
            return None
        file.seek(start)
        data = _read_all(file, status[2] - start)
        growing.bytes_read += len(data)
        marks = (b"\x1f\x8b", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        if b"\0" in data or (start == 0 and data[:2] in marks):
            return None
        end = data.rfind(b"\n") + 1
        state: _State = begin() if known is None else known.made
        lines = _text(data[:end], first=start == 0)
        for line in lines:
            state.take(line)
        if lines.findings(path):
            return None  # what is not read is counted over the whole file
        # the file may have been written anew while it was read
        if status_of(os.fstat(opened.fileno())) == status:
            growing.keep(path, kind, Prefix(state, start + end, status, sample_of(file, start + end)))
    whole = state.copy()
    rest = _text(data[end:], first=start + end == 0)
    for line in rest:
        whole.take(line)
    return None if rest.findings(path) else whole


def _has_holes(status: os.stat_result) -> bool:
    blocks = getattr(status, "st_blocks", None)
    return blocks is not None and status.st_size > 1024 * 1024 and blocks * 512 < status.st_size // 2


def _read_all(file: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes; fewer where the file ends before."""
    pieces, left = [], size
    while left > 0 and (piece := file.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _text(data: bytes, *, first: bool) -> TextLines:
    return TextLines(cast("io.RawIOBase", io.BytesIO(data)), "utf-8-sig" if first else "utf-8")

"""Members of zip archives, read from the front of the file.

The list of members at the end of an archive is not needed, so the good part of an archive that is cut off can
be read. How much is unpacked is bounded, since a small archive may hold any amount of zeros.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["EMPTY", "Member", "MemberText", "is_archive", "list_members", "read_small"]

#: What an archive without members begins with.
EMPTY = b"PK\x05\x06"
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MAGIC = b"PK\x03\x04"
_MOST_MEMBERS = 1000
_CHUNK = 1 << 16
#: The most that is unpacked of one member.
_MOST_BYTES = 1 << 30
_LONGEST_LINE = 1 << 26


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive with members."""
    return head.startswith(_MAGIC)


@dataclass(frozen=True)
class Member:
    """One file in an archive: its name, where its data begin, how they are packed, and their packed size,
    which is None where the archive's writer did not know it in advance.
    """

    name: str
    offset: int
    deflated: bool
    size: int | None


def list_members(path: Path) -> list[Member]:
    """The first thousand members of an archive that can be unpacked. Raises OSError."""
    members = []
    with path.open("rb") as file:
        at = 0
        for _ in range(_MOST_MEMBERS):
            file.seek(at)
            header = file.read(_LOCAL.size)
            if len(header) < _LOCAL.size or not header.startswith(_MAGIC):
                break
            _, _, flags, method, _, _, _, packed, _, name_length, extra_length = _LOCAL.unpack(header)
            name = file.read(name_length)
            extra = file.read(extra_length)
            if len(name) + len(extra) < name_length + extra_length:
                break
            offset = file.tell()
            size = None if flags & 8 else _long_size(extra) if packed == 0xFFFFFFFF else packed
            if not flags & 1 and method in (0, 8) and (size is not None or method == 8):
                member = Member(name.decode("utf-8", "replace"), offset, method == 8, size)
                members.append(member)
                if size is None:
                    size = _packed_size(file, member)
            if size is None:
                break
            at = offset + size
            if flags & 8:
                file.seek(at)
                at += 16 if file.read(4) == b"PK\x07\x08" else 12
    return members


def _long_size(extra: bytes) -> int | None:
    """The packed size in the extra field of an archive with sizes beyond 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):
            (size,) = struct.unpack_from("<Q", extra, at + 12)
            return int(size)
        at += 4 + length
    return None


def _packed_size(file: BinaryIO, member: Member) -> int | None:
    """The packed size of a member by unpacking it; None where it is cut off or too large."""
    unpacked = _Unpacked(file, member)
    while unpacked.read(_CHUNK):
        pass
    return None if unpacked.cut else unpacked.used


class _Unpacked(io.RawIOBase):
    """The bytes of one member. ``cut`` says, at the end, whether they stop before the member does."""

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file = file
        self._unpacker = zlib.decompressobj(-15) if member.deflated else None
        self._at = member.offset
        self._packed = member.size
        self._given = 0
        self._ended = False
        self.used = 0
        self.cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._next(min(len(view), _CHUNK))
        view[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        while not self._ended:
            if self._given >= _MOST_BYTES:
                self._ended = self.cut = True
                break
            left = _CHUNK if self._packed is None else self._packed - self.used
            waiting = self._unpacker.unconsumed_tail if self._unpacker is not None else b""
            if not waiting:
                self._file.seek(self._at + self.used)
                waiting = self._file.read(min(_CHUNK if self._unpacker is not None else size, max(left, 0)))
            if self._unpacker is None:
                self.used += len(waiting)
                self._ended = self.used == self._packed
                self.cut = not self._ended and not waiting
                data = waiting
            else:
                try:
                    data = self._unpacker.decompress(waiting, size)
                except zlib.error:
                    self._ended = self.cut = True
                    break
                over = len(self._unpacker.unconsumed_tail) + len(self._unpacker.unused_data)
                self.used += len(waiting) - over
                self._ended = self._unpacker.eof
                self.cut = not self._ended and not data and not waiting
            self._ended |= self.cut
            if data:
                self._given += len(data)
                return data
        return b""


class MemberText:
    """The lines of a member as text. ``cut`` says, at the end, whether the archive ends before the member
    does, or whether it is too large to be read whole.
    """

    def __init__(self, path: Path, member: Member) -> None:
        self._path = path
        self._member = member
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            unpacked = _Unpacked(file, self._member)
            text = io.TextIOWrapper(
                io.BufferedReader(unpacked, _CHUNK), encoding="utf-8-sig", errors="replace"
            )
            while line := text.readline(_LONGEST_LINE):
                yield line
            self.cut = unpacked.cut


def read_small(path: Path, member: Member, limit: int = 1 << 20) -> bytes | None:
    """A member of up to ``limit`` bytes; None where it is larger or cut off. Raises OSError."""
    with path.open("rb") as file:
        unpacked = _Unpacked(file, member)
        data = b""
        while len(data) <= limit and (chunk := unpacked.read(_CHUNK)):
            data += chunk
        return None if unpacked.cut or len(data) > limit else data

"""TFRecord framing: how TensorBoard's event files are cut into records, with the checksums verified.

A record is its length (8 bytes), the masked CRC-32C of these, the data, and the masked CRC-32C of the data.
The first record that is cut off or that does not match its checksum ends the file: neither it nor anything
after it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from google_crc32c import value as crc32c

__all__ = ["BLOCK", "Damage", "RecordReader", "first_record", "mask_crc"]

_LENGTH = Struct("<Q")
_CRC = Struct("<I")
_FRAME = 16
BLOCK = 32 * 1024 * 1024


class Damage(NamedTuple):
    """Where the usable part of a file ends, whether the file is cut off there or corrupt, and more facts."""

    offset: int
    cut_off: bool
    facts: dict[str, Any]


def mask_crc(data: bytes) -> int:
    """The CRC-32C of the data in the form in which a record stores it."""
    crc: int = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def first_record(head: bytes) -> bytes | None:
    """Data of the first record as far as it lies in ``head``, or None where ``head`` does not begin with
    a record.
    """
    if len(head) < 12 or mask_crc(head[:8]) != _CRC.unpack_from(head, 8)[0]:
        return None
    return head[12 : 12 + _LENGTH.unpack_from(head)[0]]


class RecordReader:
    """Iterates over the data of the good records of a file. After that, ``damage`` says what ended them, or
    is None where the whole file is good.

    ``block`` is how many bytes are read and checked at a time.
    """

    def __init__(self, path: Path, *, block: int = BLOCK) -> None:
        self.path = path
        self.block = block
        self.damage: Damage | None = None

    def __iter__(self) -> Iterator[memoryview]:
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            rest, offset = b"", 0
            while True:
                more = file.read(self.block)
                block = rest + more if rest else more
                starts, lengths, at = self._walk(block)
                good = _count_verified(block, starts, lengths)
                view = memoryview(block)
                for start, length in zip(starts[:good], lengths[:good], strict=True):
                    yield view[start + 12 : start + 12 + length]
                if good < len(starts):
                    self.damage = _damage(block[starts[good] :], offset + starts[good], size, whole=True)
                    return
                rest, offset = block[at:], offset + at
                if not more:
                    break
                # a record that cannot end inside the file is not waited for: its length is wrong, or the file
                # is cut off
                if len(rest) >= 12 and offset + _LENGTH.unpack_from(rest)[0] + _FRAME > size:
                    rest += file.read(self.block)
                    break
            if rest:
                self.damage = _damage(rest, offset, size, whole=False)

    @staticmethod
    def _walk(block: bytes) -> tuple[list[int], list[int], int]:
        starts, lengths = list[int](), list[int]()
        at, end, unpack = 0, len(block), _LENGTH.unpack_from
        while at + _FRAME <= end:
            (length,) = unpack(block, at)
            after = at + _FRAME + length
            if after > end:
                break
            starts.append(at)
            lengths.append(length)
            at = after
        return starts, lengths, at


def _count_verified(block: bytes, starts: Sequence[int], lengths: Sequence[int]) -> int:
    """How many of the records, from the first on, match their checksums."""
    unpack = _CRC.unpack_from
    for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        data = start + 12
        if mask_crc(block[start : start + 8]) != unpack(block, start + 8)[0]:
            return number
        if mask_crc(block[data : data + length]) != unpack(block, data + length)[0]:
            return number
    return len(starts)


def _damage(rest: bytes, offset: int, size: int, *, whole: bool) -> Damage:
    """What is wrong with the record that begins at ``offset``; ``whole`` where all its bytes are there."""
    if not rest[:1024].strip(b"\0") and not rest.strip(b"\0"):
        return Damage(offset, True, {"byte": offset, "zeros": True})
    if len(rest) >= 12 and mask_crc(rest[:8]) != _CRC.unpack_from(rest, 8)[0]:
        return Damage(offset, False, {"byte": offset, "part": "length"})
    if whole:
        return Damage(offset, False, {"byte": offset, "part": "data"})
    return Damage(offset, True, {"byte": size, "zeros": False})

"""TFRecord framing: how TensorBoard's event files are cut into records, with the checksums verified.

A record is its length (8 bytes), the masked CRC-32C of these, the data, and the masked CRC-32C of the data.
Nothing is kept of a file from the first record on that is cut off or does not fit its checksum.

CRC-32C is computed for many records at once, a byte column at a time; where ``google_crc32c`` is installed,
it is used instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "Damage", "RecordReader", "crc32c", "framed", "masked"]

_LENGTH = Struct("<Q")
_CRC = Struct("<I")
_FRAME = 16
BLOCK = 32 * 1024 * 1024
_POLYNOMIAL = 0x82F63B78
_ROW = 256  # bytes that are taken together in long records
_U32 = npt.NDArray[np.uint32]


class Damage(NamedTuple):
    """Where the usable part of a file ends, whether the file is cut off there or corrupt, and more facts."""

    offset: int
    cut_off: bool
    facts: dict[str, Any]


@cache
def _table() -> _U32:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


@cache
def _shift() -> tuple[tuple[int, ...], ...]:
    """For each byte of a checksum, what it becomes when ``_ROW`` zero bytes follow: the operation is linear
    over GF(2).
    """
    crc = (np.arange(256, dtype=np.uint32)[None, :] << (8 * np.arange(4, dtype=np.uint32))[:, None]).ravel()
    table = _table()
    for _ in range(_ROW):
        crc = table[crc & 0xFF] ^ (crc >> 8)
    return tuple(tuple(row) for row in crc.reshape(4, 256).tolist())


def _raw(rows: npt.NDArray[np.uint8], crc: _U32) -> _U32:
    """The register after the bytes of every row, without the final inversion."""
    table = _table()
    for column in np.ascontiguousarray(rows.T):
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    return crc


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C of one piece of data."""
    array = np.frombuffer(data, dtype=np.uint8)
    head = array[: len(array) % _ROW]
    table = _table().tolist() if len(head) < 64 else None
    register = 0xFFFFFFFF
    if table is not None:
        for byte in head.tolist():
            register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    else:
        register = int(_raw(head[None, :], np.full(1, register, dtype=np.uint32))[0])
    rows = array[len(head) :].reshape(-1, _ROW)
    if len(rows):
        first, second, third, fourth = _shift()
        for own in _raw(rows, np.zeros(len(rows), dtype=np.uint32)).tolist():
            register = (
                first[register & 0xFF]
                ^ second[register >> 8 & 0xFF]
                ^ third[register >> 16 & 0xFF]
                ^ fourth[register >> 24]
                ^ own
            )
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The checksum as it is stored."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(head: bytes) -> bytes | None:
    """Data of the first record as far as it lies in ``head``, or None where ``head`` does not begin with
    one.
    """
    if len(head) < 12 or masked(crc32c(head[:8])) != _CRC.unpack_from(head, 8)[0]:
        return None
    return head[12 : 12 + _LENGTH.unpack_from(head)[0]]


def _fast() -> Callable[[bytes], int] | None:
    try:
        from google_crc32c import value
    except ImportError:
        return None
    found: Callable[[bytes], int] = value
    return found


class RecordReader:
    """Iterates over the data of the good records of a file; ``damage`` then says what ended them, if anything
    did.

    ``fast`` computes the CRC-32C of one piece; ``block`` is how many bytes are read and checked at a time.
    """

    def __init__(self, path: Path, fast: Callable[[bytes], int] | None = None, *, block: int = BLOCK) -> None:
        self.path = path
        self.block = block
        self.damage: Damage | None = None
        self._fast = fast or _fast()

    def __iter__(self) -> Iterator[memoryview]:
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            rest, offset = b"", 0
            while True:
                more = file.read(self.block)
                block = rest + more if rest else more
                starts, lengths, at = self._walk(block)
                good = self._verified(block, starts, lengths)
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

    def _verified(self, block: bytes, starts: Sequence[int], lengths: Sequence[int]) -> int:
        """How many of the records, from the first on, fit their checksums."""
        if self._fast is not None:
            value, unpack, view = self._fast, _CRC.unpack_from, block
            for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
                data = start + 12
                if masked(value(view[start : start + 8])) != unpack(block, start + 8)[0]:
                    return number
                if masked(value(view[data : data + length])) != unpack(block, data + length)[0]:
                    return number
            return len(starts)
        if not starts:
            return 0
        array = np.frombuffer(block, dtype=np.uint8)
        at, size = np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64)
        bad = _unfit(array, at, np.full(len(at), 8))
        bad |= _unfit(array, at + 12, size)
        return int(np.argmax(bad)) if bad.any() else len(starts)


def _unfit(
    array: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which pieces do not fit the masked checksum behind them."""
    crc = np.empty(len(starts), dtype=np.uint32)
    width = np.minimum(2 ** np.ceil(np.log2(np.maximum(lengths, 8))), _ROW).astype(np.int64)
    for size in np.unique(width).tolist():
        group = np.flatnonzero(width == size)
        total = (
            np.cumsum(lengths[group]) // 2**20
        )  # so many bytes at a time, for the memory that the work takes
        for part in np.split(group, np.flatnonzero(np.diff(total)) + 1):
            crc[part] = _crcs(array, starts[part], lengths[part], size)
    stored = array[(starts + lengths)[:, None] + np.arange(4)].copy().view("<u4")[:, 0]
    mask: npt.NDArray[np.bool_] = stored != ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(
        0xA282EAD8
    )
    return mask


def _crcs(
    array: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], width: int
) -> _U32:
    """CRC-32C of pieces, as rows of ``width`` bytes; only rows of ``_ROW`` bytes may be several to a piece.

    Pieces are aligned at their ends, with zeros in front: these leave a register of zero as it is, and a
    register of ones is the same as one of zero and the first four bytes inverted.
    """
    count = np.maximum(-(-lengths // width), 1)
    piece = np.repeat(np.arange(len(starts)), count)
    first = np.cumsum(count) - count
    inside = (np.arange(len(piece)) - first[piece]) * width - (count * width - lengths)[piece]
    place = inside[:, None] + np.arange(width)[None, :]
    rows = np.where(place >= 0, array[np.maximum(starts[piece][:, None] + place, 0)], 0).astype(np.uint8)
    rows ^= np.where((place >= 0) & (place < 4), 0xFF, 0).astype(np.uint8)
    own = _raw(rows, np.zeros(len(rows), dtype=np.uint32))
    register: _U32 = own[first]
    zero, one, two, three = (np.array(table, dtype=np.uint32) for table in _shift())
    for row in range(1, int(count.max())):
        longer = np.flatnonzero(count > row)
        crc = register[longer]
        moved = zero[crc & 0xFF] ^ one[crc >> 8 & 0xFF] ^ two[crc >> 16 & 0xFF] ^ three[crc >> 24]
        register[longer] = moved ^ own[first[longer] + row]
    short = lengths < 4  # fewer bytes than the register has: the inversion does not fit in
    register ^= np.uint32(0xFFFFFFFF)
    for number in np.flatnonzero(short).tolist():
        start = int(starts[number])
        register[number] = crc32c(array[start : start + int(lengths[number])].tobytes())
    return register


def _damage(rest: bytes, offset: int, size: int, *, whole: bool) -> Damage:
    """What is wrong with the record that begins at ``offset``; ``whole`` where all its bytes are there."""
    if not rest[:1024].strip(b"\0") and not rest.strip(b"\0"):
        return Damage(offset, True, {"byte": offset, "zeros": True})
    if len(rest) >= 12 and masked(crc32c(rest[:8])) != _CRC.unpack_from(rest, 8)[0]:
        return Damage(offset, False, {"byte": offset, "part": "length"})
    if whole:
        return Damage(offset, False, {"byte": offset, "part": "data"})
    return Damage(offset, True, {"byte": size, "zeros": False})

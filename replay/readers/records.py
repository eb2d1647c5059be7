"""TFRecord framing: how TensorBoard's event files are cut into records, with the checksums verified.

A record is its length (8 bytes), the masked CRC-32C of these, the data, and the masked CRC-32C of the data.
The first record that is cut off or that does not match its checksum ends the file: neither it nor anything
after it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.readers.checksums import (
    CHUNK,
    advance,
    crc_of_pieces,
    crc_of_rows,
    crc_of_short,
    mask_crc,
    masked,
    rows_at,
)
from replay.readers.framing import FRAME, HEAD, WIDEST, Alike, Cut, Repeats, find_records, length_crcs

__all__ = ["LONGEST", "Damage", "RecordReader", "Records", "Rows", "first_record"]

_LENGTH = Struct("<Q")
_CRC = Struct("<I")
#: Bytes of the longest record that is held, with its frame. A longer one is checked piece by piece.
LONGEST = 4 * 1024 * 1024
#: Bytes that are read and checked at a time: a share of the file between two bounds. Small blocks take
#: longer, and a block takes several times its size of memory.
_SHARE, _SMALLEST, _LARGEST = 6, 256 * 1024, 1536 * 1024
_FEW_BYTES = 1024  # faster one by one
_ROWS = 24  # so many records of one length are worth a table
#: So many short records, as in the log of a short training, are checked at once instead of table by table.
_SEVERAL = 8_000

Indices = npt.NDArray[np.int64]


class Damage(NamedTuple):
    """Where the usable part of a file ends, whether the file is cut off there or corrupt, and more facts."""

    offset: int
    cut_off: bool
    facts: dict[str, Any]


class Rows(NamedTuple):
    """Records of one length as the rows of a table.

    ``place`` is the number of each record in its block, ``cells`` holds the data (a few more bytes follow in
    each row), and ``spread`` has, for each column, the bits in which some row differs from the first.
    """

    place: Indices
    cells: npt.NDArray[np.uint8]
    spread: npt.NDArray[np.uint8]
    length: int


class Records(NamedTuple):
    """Verified records of one block of a file: the bytes, and where the data of each record lie in them.

    ``tables`` hold those records that are many of one length; ``others`` are the numbers of the rest. Of few
    records there are no tables: `in_tables` makes them.
    ``repeats`` is whether lengths repeat, so that tables are of one kind.
    ``long`` is the length, and the first bytes, of a record after these that is longer than a block and not
    held.
    """

    data: npt.NDArray[np.uint8]
    starts: Indices
    lengths: Indices
    tables: list[Rows]
    others: Indices
    repeats: bool = False
    long: tuple[int, bytes] | None = None

    def in_tables(self) -> Records:
        """The same records in tables, where they are in none."""
        if self.tables or not len(self.others):
            return self
        tables, others = _tables_of_lengths(self.data, self.starts, self.lengths, self.others, None)
        return self._replace(tables=tables, others=others)

    def views(self) -> Iterator[memoryview]:
        """The data of each record."""
        data = self.data.data
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield data[start : start + length]


def first_record(head: bytes) -> bytes | None:
    """Data of the first record as far as it lies in ``head``, or None where ``head`` does not begin with
    a record.
    """
    if len(head) < 12 or mask_crc(head[:8]) != _CRC.unpack_from(head, 8)[0]:
        return None
    return head[12 : 12 + _LENGTH.unpack_from(head)[0]]


class RecordReader:
    """Iterates over the good records of a file, block by block. After that, ``damage`` says what ended them,
    or is None where the whole file is good.

    A record with more bytes than ``longest`` is not held. ``limit`` is how many records are wanted.
    ``start`` is the offset of the first record that is wanted, ``end`` that behind the last good one so far.
    ``alike`` says whether two records, given their data, are of one kind; with it, records are put into
    tables of one kind where they come in turns.
    """

    def __init__(
        self,
        path: Path,
        *,
        longest: int = LONGEST,
        limit: int | None = None,
        alike: Alike | None = None,
        start: int = 0,
    ) -> None:
        self.path = path
        self.longest = max(longest, 2 * FRAME)
        self.limit = limit
        self.alike = alike
        self.start = self.end = start
        self.damage: Damage | None = None

    def __iter__(self) -> Iterator[Records]:
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            unread = max(size - self.start, 0)
            block = min(max(unread // _SHARE, _SMALLEST), _LARGEST, self.longest, unread + 1)
            buffer, room = _buffer(block)
            filled, offset, left = 0, self.start, self.limit
            due = list[int]()
            file.seek(self.start)
            while left is None or left > 0:
                more = file.readinto(room[filled:])
                filled += more
                if not filled:
                    return
                cut = find_records(buffer[CHUNK : CHUNK + filled], self.alike, left, due)
                at, due = cut.end, cut.due
                records, good = _verify(buffer, cut)
                if left is not None:
                    left -= len(cut.starts)
                long = None
                rest = bytes(room[at : min(at + 1024, filled)])
                if good < len(cut.starts):
                    begin = int(cut.starts[good]) - HEAD
                    tail = bytes(room[begin:filled]) + file.read(self.longest)
                    self.damage = _damage(tail, offset + begin, size, whole=True)
                elif at == 0 and filled == len(room) and len(rest) >= 12:
                    # the record is longer than the block
                    if filled < self.longest and not _goes_beyond(rest, offset, size):
                        held = bytes(room)
                        buffer, room = _buffer(min(_size(rest), self.longest))
                        room[:filled] = held
                        continue
                    self.damage = _check_long(file, offset, rest, size)
                    if self.damage is None:
                        long = (int(_LENGTH.unpack_from(rest)[0]), rest[12:])
                elif at < filled and (not more or _goes_beyond(rest, offset + at, size)):
                    tail = bytes(room[at:filled]) + (file.read(self.longest) if more else b"")
                    self.damage = _damage(tail, offset + at, size, whole=False)
                self.end = offset + at if long is None else file.tell()
                if good or long is not None:
                    yield records._replace(long=long)
                if self.damage is not None or not more:
                    return
                if long is not None:
                    offset, filled = file.tell(), 0
                else:
                    offset, filled = offset + at, filled - at
                    room[:filled] = bytes(room[at : at + filled])


def _buffer(size: int) -> tuple[npt.NDArray[np.uint8], memoryview]:
    """Room for so many bytes, and that part of it: a checksum reads up to a chunk before its data, a table up
    to a word after.
    """
    buffer = np.zeros(CHUNK + size + 2 * CHUNK, dtype=np.uint8)
    return buffer, buffer.data[CHUNK : CHUNK + size]


def _size(head: bytes) -> int:
    """Bytes of the record that begins here."""
    return int(_LENGTH.unpack_from(head)[0]) + FRAME


def _goes_beyond(rest: bytes, offset: int, size: int) -> bool:
    """Whether a record that begins here cannot end inside the file: its length is wrong, or the file is
    cut off.
    """
    return len(rest) >= 12 and offset + _size(rest) > size


def _verify(data: npt.NDArray[np.uint8], cut: Cut) -> tuple[Records, int]:
    """The records up to the first that does not match its checksums, and how many these are. Places are those
    behind the first `CHUNK` bytes.
    """
    starts, lengths = cut.starts + CHUNK, cut.lengths
    good = np.ones(len(starts), dtype=bool)
    plain = np.ones(len(starts), dtype=bool)
    tables: list[Rows] = []
    for repeats in cut.repeats:
        plain[repeats.first : repeats.first + len(repeats.lengths) * repeats.times] = False
        tables += _tables_of_repeats(data, repeats, good)
    rest = np.flatnonzero(plain)
    good[rest] = _crcs_of_lengths(data, starts[rest], lengths[rest]) == _stored(data, starts[rest] - 4)
    if not cut.repeats and 0 < len(rest) <= _SEVERAL and 0 < lengths.min() <= lengths.max() <= CHUNK:
        others = rest
        good &= masked(crc_of_short(data, starts, lengths)) == _stored(data, starts + lengths)
    else:
        made, others = _tables_of_lengths(data, starts, lengths, rest, good)
        tables += made
        good[others] &= _crcs(data, starts[others], lengths[others]) == _stored(
            data, starts[others] + lengths[others]
        )
    if good.all():
        return Records(data, starts, lengths, tables, others, bool(cut.repeats)), len(starts)
    first = int(np.argmin(good))
    cut = cut._replace(starts=cut.starts[:first], lengths=lengths[:first], repeats=[])
    return _verify(data, cut)[0], first


def _tables_of_lengths(
    data: npt.NDArray[np.uint8],
    starts: Indices,
    lengths: Indices,
    which: Indices,
    good: npt.NDArray[np.bool_] | None,
) -> tuple[list[Rows], Indices]:
    """A table for each length that many records have, and the numbers of the other records; their checksums
    are looked at where ``good`` is given.
    """
    key = np.where(lengths[which] <= WIDEST, lengths[which], 0).astype(np.uint16)
    counts = np.bincount(key, minlength=WIDEST + 1)
    many = counts >= _ROWS
    many[0] = False
    order, bounds = which[np.argsort(key, kind="stable")], np.cumsum(counts)
    tables = []
    for length in np.flatnonzero(many).tolist():
        index = order[bounds[length] - counts[length] : bounds[length]]
        width = _table_width(length)
        tables.append(_table(rows_at(data, starts[index], width), index, length, good))
    return tables, which[~many[key]]


def _tables_of_repeats(
    data: npt.NDArray[np.uint8], repeats: Repeats, good: npt.NDArray[np.bool_]
) -> Iterator[Rows]:
    """A table for each of the records that repeat."""
    size = sum(repeats.lengths) + FRAME * len(repeats.lengths)
    begin = repeats.begin + CHUNK + HEAD
    last = repeats.first + len(repeats.lengths) * repeats.times
    for number, length in enumerate(repeats.lengths):
        index = np.arange(repeats.first + number, last, len(repeats.lengths))
        good[index] = np.ndarray((repeats.times,), "<u4", data, begin - 4, (size,)) == length_crcs()[length]
        rows = np.ndarray((repeats.times,), f"V{_table_width(length)}", data, begin, (size,))
        yield _table(rows.copy(), index, length, good)
        begin += length + FRAME


def _crcs(data: npt.NDArray[np.uint8], starts: Indices, lengths: Indices) -> npt.NDArray[np.uint32]:
    """The checksums of data of any length."""
    if int(lengths.sum()) > _FEW_BYTES:
        return masked(crc_of_pieces(data, starts, lengths))
    ends = (starts + lengths).tolist()
    pieces = zip(starts.tolist(), ends, strict=True)
    return np.array([mask_crc(data[start:end].tobytes()) for start, end in pieces], dtype=np.uint32)


def _stored(data: npt.NDArray[np.uint8], places: Indices) -> npt.NDArray[np.uint32]:
    """The checksums at these places."""
    return rows_at(data, places, 4).view("<u4")[:, 0]


def _crcs_of_lengths(
    data: npt.NDArray[np.uint8], starts: Indices, lengths: Indices
) -> npt.NDArray[np.uint32]:
    """What the checksum of each length should be."""
    known = length_crcs()
    crcs = known[np.minimum(lengths, len(known) - 1)]
    long = np.flatnonzero(lengths >= len(known))
    crcs[long] = masked(crc_of_pieces(data, starts[long] - HEAD, np.full(len(long), 8)))
    return crcs


def _table_width(length: int) -> int:
    """Bytes of a row that holds a record and its checksum, in whole words."""
    return (length + 4 + 7) // 8 * 8


def _table(rows: npt.NDArray[Any], index: Indices, length: int, good: npt.NDArray[np.bool_] | None) -> Rows:
    """Records of one length as a table. Those that do not match their checksums are no longer ``good``."""
    words = rows.view(np.uint64).reshape(len(rows), -1)
    spread = np.bitwise_or.reduce(words ^ words[0], axis=0).view(np.uint8)
    cells = words.view(np.uint8)
    if good is not None:
        stored = np.ndarray((len(rows),), "<u4", cells, length, cells.strides[:1])
        good[index] &= masked(crc_of_rows(cells, np.flatnonzero(spread[:length]), length)) == stored
    return Rows(index, cells, spread, length)


def _check_long(file: BinaryIO, offset: int, head: bytes, size: int) -> Damage | None:
    """Check a record that is longer than a block piece by piece, and return its damage, if there is any. The
    file is then at the end of the record.
    """
    (length,) = _LENGTH.unpack_from(head)
    if mask_crc(head[:8]) != _CRC.unpack_from(head, 8)[0] or _goes_beyond(head, offset, size):
        return _damage(head, offset, size, whole=False)
    file.seek(offset + 12)
    crc, left = np.zeros(1, dtype=np.uint32), length
    while left:
        piece = file.read(min(left, _LARGEST))
        if not piece:  # the file has become shorter
            return Damage(offset, True, {"byte": size, "zeros": False})
        padded = np.frombuffer(bytes(CHUNK) + piece, dtype=np.uint8)
        count = np.array([len(piece)])
        crc = advance(crc, count) ^ crc_of_pieces(padded, np.array([CHUNK]), count)
        left -= len(piece)
    stored = file.read(4)
    if len(stored) < 4 or int(masked(crc)[0]) != _CRC.unpack(stored)[0]:
        return Damage(offset, False, {"byte": offset, "part": "data"})
    return None


def _damage(rest: bytes, offset: int, size: int, *, whole: bool) -> Damage:
    """What is wrong with the record that begins at ``offset``; ``whole`` where all its bytes are there."""
    if not rest[:1024].strip(b"\0") and not rest.strip(b"\0"):
        return Damage(offset, True, {"byte": offset, "zeros": True})
    if len(rest) >= 12 and mask_crc(rest[:8]) != _CRC.unpack_from(rest, 8)[0]:
        return Damage(offset, False, {"byte": offset, "part": "length"})
    if whole:
        return Damage(offset, False, {"byte": offset, "part": "data"})
    return Damage(offset, True, {"byte": size, "zeros": False})

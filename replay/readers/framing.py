"""Where the records of a block of a TFRecord file lie, without a look at each. Only lengths are read here,
and no checksum is verified.

Trainings log the same tags in the same order, so the lengths of records repeat. Where they do, all repeats
are found at once. Where they do not, every place that looks like the begin of a record is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.readers.checksums import crc_of_rows, masked

__all__ = ["FRAME", "HEAD", "WIDEST", "Cut", "Repeats", "find_records", "length_crcs"]

Indices = npt.NDArray[np.int64]

HEAD, FRAME = 12, 16  # bytes before the data of a record, and before and after
_LENGTH = Struct("<Q")
_SHORT = 65536  # only lengths below can be told by their zero bytes
_FEW, _MOST = 64, 1024  # records that are looked at one by one, to find out how their lengths repeat
_LONG = 512  # records that are longer on average are found as fast one by one
WIDEST = 512  # bytes of a record that is worth a table
_ROWS = 200  # so many repeats are worth a table for each record that repeats
_TRIES = 4

#: Whether two records, given their data, are of one kind.
Alike = Callable[[bytes, bytes], bool]


class Repeats(NamedTuple):
    """Records whose lengths repeat: the number of the first in the block, where it begins, the lengths of one
    repeat, and how many times they occur.
    """

    first: int
    begin: int
    lengths: list[int]
    times: int


class Cut(NamedTuple):
    """The whole records of a block: where the data of each begin, and how long they are. ``repeats`` are some
    of them, and ``end`` is where the last ends. ``due`` are the lengths of the next records if the last
    repeats go on.
    """

    starts: Indices
    lengths: Indices
    repeats: list[Repeats]
    end: int
    due: list[int]


def find_records(data: npt.NDArray[np.uint8], alike: Alike | None, limit: int | None, due: list[int]) -> Cut:
    """The whole records of a block, or the first ``limit`` of them. Repeats are looked for if ``alike`` is
    given; those of the block before may go on with the lengths ``due``.
    """
    starts, lengths = list[int](), list[int]()
    parts: list[tuple[Indices, Indices]] = []
    repeats: list[Repeats] = []
    number, at, end, unpack = 0, 0, len(data), _LENGTH.unpack_from
    pause, tries, view = _FEW, 0, data.data
    known: _Known | None = None
    count = _count_repeats(data, at, due) if due else 0
    due = due if count >= _TRIES else []
    if due:
        parts.append(_repeat(at, due, count))
        if _is_worth_tables(due, count):
            repeats.append(Repeats(number, at, due, count))
        number, at = count * len(due), count * _size(due)
    add_start, add_length, last = starts.append, lengths.append, end - FRAME
    while at <= last and (limit is None or number < limit):
        before = len(starts)
        wanted = 1 if known is not None else max(pause - before, 1) if alike is not None else end
        wanted = wanted if limit is None else min(wanted, limit - number)
        for _ in range(wanted):  # as short as it can be: there may be no repeats
            if at > last:
                break
            (length,) = unpack(view, at)
            if length > last - at:
                break
            add_start(at + HEAD)
            add_length(length)
            at += FRAME + length
        number += len(starts) - before
        if len(starts) - before < wanted:
            break
        if known is None and (alike is None or len(starts) < pause):
            continue
        found: tuple[Indices, Indices] | None = None
        if known is not None:
            found = known.follow(at)
        elif at - starts[0] > _LONG * len(starts):
            pause += _FEW
        elif tries < _TRIES and (repeat := _find_repeat(data, starts, lengths, at, alike)) is not None:
            due, count = repeat
            found = _repeat(at, due, count)
            if _is_worth_tables(due, count):
                repeats.append(Repeats(number, at, due, count))
            tries, pause = 0, _FEW
        elif tries < _TRIES and 2 * pause <= _MOST:
            tries, pause = tries + 1, 2 * pause
        else:
            known = _Known(data, at)
            found = known.follow(at)
            due = []
        if found is not None:
            parts += [(np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64)), found]
            starts, lengths = [], []
            add_start, add_length = starts.append, lengths.append
            number += len(found[0])
            at = int(found[0][-1] + found[1][-1]) + FRAME - HEAD
    parts.append((np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64)))
    all_starts, all_lengths = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    due = due[len(lengths) :] + lengths if lengths == due[: len(lengths)] else []
    return Cut(all_starts, all_lengths, repeats, at, due)


def _is_worth_tables(lengths: list[int], count: int) -> bool:
    return count >= _ROWS and 0 < min(lengths) <= max(lengths) <= WIDEST


def _size(lengths: list[int]) -> int:
    """Bytes of records of these lengths."""
    return sum(lengths) + FRAME * len(lengths)


def _find_repeat(
    data: npt.NDArray[np.uint8], starts: list[int], lengths: list[int], at: int, alike: Alike | None
) -> tuple[list[int], int] | None:
    """The lengths of the last records if they repeat from ``at`` on, and how often; None where they do not,
    or not often enough.
    """

    def record(back: int) -> bytes:
        return data[starts[-back] : starts[-back] + lengths[-back]].tobytes()

    for period in range(1, len(lengths) // 2 + 1):
        if lengths[-period:] != lengths[-2 * period : -period]:
            continue
        one = lengths[-period:]
        if (
            (len(data) - at) // _size(one) >= _ROWS
            and alike is not None
            and not all(alike(record(back), record(back + period)) for back in range(1, period + 1))
        ):
            continue  # records of other kinds happen to have the same lengths
        count = _count_repeats(data, at, one)
        return (one, count) if count >= _TRIES else None
    return None


def _count_repeats(data: npt.NDArray[np.uint8], at: int, lengths: list[int]) -> int:
    """How many times records of these lengths follow from ``at`` on."""
    size = _size(lengths)
    count, begin = (len(data) - at) // size, at
    for length in lengths:
        if not count:
            break
        stored = np.ndarray((count,), "<i8", data, begin, (size,))
        same = stored == length
        if not same.all():
            count = int(np.argmin(same))
        begin += length + FRAME
    return count


def _repeat(at: int, lengths: list[int], count: int) -> tuple[Indices, Indices]:
    """Where the data of repeated records begin, and how long they are."""
    one = np.array(lengths, dtype=np.int64)
    ends = np.cumsum(one + FRAME)
    begins = at + HEAD + np.arange(count)[:, None] * ends[-1] + (ends - one - FRAME)
    return begins.ravel(), np.tile(one, count)


class _Known:
    """Every place from ``begin`` on that looks like the begin of a short record: six zero bytes in the
    length, and the length's checksum. Records that follow each other are a chain of such places.
    """

    def __init__(self, data: npt.NDArray[np.uint8], begin: int) -> None:
        zero = data[begin:] == 0
        two = zero[:-1] & zero[1:]
        six = two[:-4] & two[2:-2] & two[4:]
        begins = begin + np.flatnonzero(six[2 : len(zero) - FRAME + 1])
        heads = np.ndarray((max(len(data) - 11, 0),), "V12", data, strides=(1,))[begins].view("<u4")
        words = heads.reshape(-1, 3)
        good = length_crcs()[words[:, 0]] == words[:, 2]
        self.begins = begins[good]
        self.lengths = words[good, 0].astype(np.int64)
        self.after = self.begins + self.lengths + FRAME
        self.ends = np.flatnonzero(np.append(self.after[:-1] != self.begins[1:], True))
        self.size = len(data)

    def follow(self, at: int) -> tuple[Indices, Indices] | None:
        """Starts and lengths of the records that follow each other from ``at`` on; None where no record is
        known there.
        """
        low = int(np.searchsorted(self.begins, at))
        if low == len(self.begins) or int(self.begins[low]) != at:
            return None
        high = int(self.ends[np.searchsorted(self.ends, low)])
        if int(self.after[high]) <= self.size:
            high += 1
        return (self.begins[low:high] + HEAD, self.lengths[low:high]) if high > low else None


@cache
def length_crcs() -> npt.NDArray[np.uint32]:
    """The checksum of each length below 65,536."""
    lengths = np.arange(_SHORT, dtype="<u8").view(np.uint8).reshape(-1, 8)
    return masked(crc_of_rows(lengths, np.arange(2), 8))

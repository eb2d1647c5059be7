"""Events of one scalar each, read all at once, whatever their lengths: those that differ in nothing but time,
step and number share what follows the step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.readers.checksums import rows_at
from replay.readers.event_layouts import Value, find_layout
from replay.readers.records import Records

__all__ = ["PlainEvents", "PlainTag", "read_plain"]

_STEP = 10  # where the step of an event begins, behind its time and the key
_NUMBER = 4  # bytes of the number, which comes last
_LONGEST = 192
_LONGEST_STEP = 9  # bytes
_MULTIPLIERS = np.random.default_rng(1).integers(0, 1 << 63, _LONGEST // 8 + 2, dtype=np.uint64) * 2 + 1
_RARE = 4  # so many events of each kind, on average, are worth it
#: What follows the step, and the value that it describes; kept from file to file.
_known: dict[bytes, Value | None] = {}
_MOST_KNOWN = 10_000

Indices = npt.NDArray[np.int64]


class PlainTag(NamedTuple):
    """The events of one kind in the order of the file, by their numbers in the block."""

    value: Value
    place: Indices
    step: Indices
    wall: npt.NDArray[np.float64]
    number: npt.NDArray[np.float64]


class PlainEvents(NamedTuple):
    """Events of one scalar each, and the numbers of the others."""

    tags: list[PlainTag]
    others: Indices


def read_plain(block: Records) -> PlainEvents | None:
    """The plain events of a block; None where they have too little in common."""
    data = block.data
    place = np.flatnonzero((block.lengths > _STEP + _NUMBER) & (block.lengths <= _LONGEST))
    if not len(place):
        return None
    starts, lengths = block.starts[place], block.lengths[place]
    cells = rows_at(data, starts, _STEP + _LONGEST_STEP + 5)
    later = cells[:, _STEP : _STEP + _LONGEST_STEP] >= 0x80
    size = later.argmin(axis=1) + 1  # of the step
    fixed = lengths - (_STEP + _NUMBER) - size
    plain = (cells[:, 0] == 0x09) & (cells[:, _STEP - 1] == 0x10) & (fixed > 0)
    plain &= ~(later.all(axis=1))
    if not plain.all():
        place, starts, lengths, cells, size, fixed = (
            column[plain] for column in (place, starts, lengths, cells, size, fixed)
        )
        if not len(place):
            return None
    width = (int(fixed.max()) + 7) // 8 * 8
    bytes_of = np.arange(width) < np.arange(width + 1)[:, None]
    masks = (bytes_of * np.uint8(255)).view(np.uint64)
    words = rows_at(data, starts + _STEP + size, width).view(np.uint64) & masks[fixed]
    keys = words @ _MULTIPLIERS[: words.shape[1]] + fixed.astype(np.uint64) * _MULTIPLIERS[-1]
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    begins = np.flatnonzero(np.append(True, sorted_keys[1:] != sorted_keys[:-1]))
    if len(begins) * _RARE > len(place):
        return None
    first = np.repeat(order[begins], np.diff(np.append(begins, len(order))))
    if (words[order] != words[first]).any() or (fixed[order] != fixed[first]).any():
        return None  # two kinds have the same key
    step = np.zeros(len(place), dtype=np.int64)
    for column in range(int(size.max())):
        bits = (cells[:, _STEP + column] & 0x7F).astype(np.int64) << 7 * column
        step |= np.where(column < size, bits, 0)
    wall = np.ndarray((len(cells),), "<f8", cells, 1, cells.strides[:1])
    number = rows_at(data, starts + lengths - _NUMBER, _NUMBER).view("<f4")[:, 0].astype(np.float64)
    tags, others = list[PlainTag](), [np.setdiff1d(np.arange(len(block.starts)), place, assume_unique=True)]
    for rows in np.split(order, begins[1:]):
        one = int(rows[0])
        begin = int(starts[one])
        value = _value(data[begin : begin + int(lengths[one])].tobytes(), _STEP + int(size[one]))
        if value is None:
            others.append(place[rows])
        else:
            tags.append(PlainTag(value, place[rows], step[rows], wall[rows], number[rows]))
    return PlainEvents(tags, np.concatenate(others))


def _value(event: bytes, end: int) -> Value | None:
    """The one value of an event whose step ends at ``end``, if its number is all that comes last."""
    key = event[end:-_NUMBER]
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _plain_value(event, end)
    return _known[key]


def _plain_value(event: bytes, end: int) -> Value | None:
    layout = find_layout(event)
    if layout is None or layout.step != (_STEP, end) or len(layout.values) != 1:
        return None
    (value,) = layout.values
    if value.dtype != "<f4" or value.column != len(event) - _NUMBER:
        return None
    return value if not layout.mask[end:-_NUMBER].strip(b"\xff") else None

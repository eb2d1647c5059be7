"""Tables of TensorBoard events of one length, read as columns: all events that differ in nothing but time,
step and numbers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.readers.event_layouts import Layout, Value, find_layout
from replay.readers.records import Rows

__all__ = ["Part", "alike", "read_table"]

_MULTIPLIERS = np.random.default_rng(0).integers(0, 1 << 63, 64, dtype=np.uint64) * 2 + 1
_TRIES = 4  # events of one length that are not plain, one after the other, before the rest is given up
_MOST_PARTS = 32
_RARE = 4  # a shape is worth a place of its own if there are so many events of each, on average


class Part(NamedTuple):
    """Events of a table that have their numbers in the same columns.

    ``place`` are their numbers in the block. ``layouts`` are the shapes, and ``shape`` says which each has.
    """

    place: npt.NDArray[np.int64]
    layouts: list[Layout]
    shape: npt.NDArray[np.int64]
    wall: npt.NDArray[np.float64]
    step: npt.NDArray[np.int64]
    numbers: list[npt.NDArray[np.float64] | None]  # one for each value of an event

    def of_shape(self) -> Sequence[npt.NDArray[np.int64] | slice]:
        """The places of the events of each shape, in the order of the file."""
        if len(self.layouts) == 1:
            return [slice(None)]
        order = np.argsort(self.shape.astype(np.uint16), kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.shape, minlength=len(self.layouts)))[:-1])


def alike(one: bytes, other: bytes) -> bool:
    """Whether two events of one length have the same shape, values and all."""
    layout = find_layout(one)
    if layout is None:
        return find_layout(other) is None
    first, second, mask = (int.from_bytes(part, "little") for part in (one, other, layout.mask))
    return (first ^ second) & mask == 0


#: Shapes by their length, fixed bytes and the bytes that are fixed; kept from file to file.
_known: dict[tuple[int, bytes, bytes], Layout | None] = {}
_MOST_KNOWN = 10_000


def read_table(table: Rows) -> tuple[list[Part], npt.NDArray[np.int64]]:
    """The parts of a table, and the numbers of the events that are left to protobuf."""
    parts: list[Part] = []
    left: list[npt.NDArray[np.int64]] = []
    index, cells, spread = table.place, table.cells, table.spread
    misses = 0
    while len(index) and len(parts) < _MOST_PARTS:
        layout = find_layout(cells[0, : table.length].tobytes())
        if layout is None:
            misses += 1
            if misses == _TRIES:
                break
            left.append(index[:1])
            index, cells = index[1:], cells[1:]
            continue
        layouts, shape = _shapes(cells, spread, layout, table.length)
        if layouts is None:
            break
        rows = np.flatnonzero(shape >= 0)
        whole = len(rows) == len(index)
        parts.append(
            _part(index, cells, layouts, shape)
            if whole
            else _part(index[rows], cells[rows], layouts, shape[rows])
        )
        others = np.flatnonzero(shape < 0)
        index, cells = index[others], cells[others]
    left.append(index)
    return parts, np.concatenate(left)


def _shapes(
    cells: npt.NDArray[np.uint8], spread: npt.NDArray[np.uint8], layout: Layout, length: int
) -> tuple[list[Layout] | None, npt.NDArray[np.int64]]:
    """The shapes with the numbers in the columns of ``layout``, and which of them each row has, −1 for
    none; no list where nearly every row has a shape of its own.
    """
    mask = np.zeros(cells.shape[1], dtype=np.uint8)
    mask[:length] = np.frombuffer(layout.mask, dtype=np.uint8)
    shape = np.zeros(len(cells), dtype=np.int64)
    if not (spread & mask).any():
        return [layout], shape
    words = cells.view(np.uint64) & mask.view(np.uint64)
    multipliers = np.resize(_MULTIPLIERS, words.shape[1])
    keys = words @ multipliers
    order = np.argsort(keys)
    keys = keys[order]
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    if len(begins) > _TRIES and len(begins) * _RARE > len(cells):
        return None, shape
    words = words[order]
    equal = words[1:] == words[:-1]
    equal[begins[1:] - 1] = True
    if not equal.all():  # two shapes have the same key
        return None, shape
    layouts: list[Layout] = []
    numbers = np.full(len(begins), -1)
    for number, begin in enumerate(begins.tolist()):
        other = _layout_of(words[begin].tobytes(), layout.mask, cells[order[begin], :length])
        if other is not None and other.same_place(layout):
            numbers[number] = len(layouts)
            layouts.append(other)
    shape[order] = np.repeat(numbers, np.diff(np.append(begins, len(cells))))
    return layouts, shape


def _layout_of(fixed: bytes, mask: bytes, cells: npt.NDArray[np.uint8]) -> Layout | None:
    known = (len(cells), fixed, mask)
    if known not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[known] = find_layout(cells.tobytes())
    return _known[known]


def _part(
    index: npt.NDArray[np.int64],
    cells: npt.NDArray[np.uint8],
    layouts: list[Layout],
    shape: npt.NDArray[np.int64],
) -> Part:
    layout = layouts[0]
    low, high = layout.step
    step = np.zeros(len(index), dtype=np.int64)
    for place, column in enumerate(range(low, high)):
        step |= (cells[:, column] & 0x7F).astype(np.int64) << 7 * place
    numbers = [_numbers(cells, value) for value in layout.values]
    return Part(index, layouts, shape, _column(cells, 1, "<f8").copy(), step, numbers)


def _numbers(cells: npt.NDArray[np.uint8], value: Value) -> npt.NDArray[np.float64] | None:
    if value.dtype is None:
        return None
    if value.dtype == "bfloat16":
        half = _column(cells, value.column, "<u2").astype(np.uint32) << 16
        return half.view(np.float32).astype(np.float64)
    return _column(cells, value.column, value.dtype).astype(np.float64)


def _column(cells: npt.NDArray[np.uint8], column: int, dtype: str) -> npt.NDArray[Any]:
    """The numbers that begin in a column."""
    return np.ndarray((len(cells),), dtype, cells, column, cells.strides[:1])

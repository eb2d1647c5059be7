"""Where the parts of one serialised TensorBoard event lie, so that all events of the same shape can be read
as columns of a table.

Only the plain shape is understood: each field once, in the order of the numbers. Whatever else protobuf
allows is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["ELEMENT_TYPES", "Layout", "Value", "find_layout", "is_payload"]

#: numpy's name of a tensor's element type (DT_FLOAT …), and the field that holds its values where
#: tensor_content is empty.
ELEMENT_TYPES = {
    1: ("<f4", "float_val"),
    2: ("<f8", "double_val"),
    3: ("<i4", "int_val"),
    4: ("u1", "int_val"),
    5: ("<i2", "int_val"),
    6: ("i1", "int_val"),
    9: ("<i8", "int64_val"),
    10: ("?", "bool_val"),
    14: ("bfloat16", "half_val"),
    17: ("<u2", "int_val"),
    19: ("<f2", "half_val"),
    22: ("<u4", "uint32_val"),
    23: ("<u8", "uint64_val"),
}
_WALL = 9  # bytes: the key and a double
_BYTES, _FIXED32, _FIXED64 = 2, 5, 1
# keys: the number of a field and the kind of its value
_STEP, _SUMMARY, _FILE_VERSION, _GRAPH, _META_GRAPH = 0x10, 0x2A, 0x1A, 0x22, 0x4A
_TAG, _SIMPLE, _IMAGE, _HISTOGRAM, _AUDIO, _TENSOR, _METADATA = 0x0A, 0x15, 0x22, 0x2A, 0x32, 0x42, 0x4A
_TYPE, _SHAPE, _CONTENT, _FLOATS, _DOUBLES = 0x08, 0x12, 0x22, 0x2A, 0x32
_FIRST, _SECOND, _SIZE = 0x0A, 0x12, 0x08


class Value(NamedTuple):
    """One value of an event.

    ``column`` and ``dtype`` say where the number lies, and are None for what is not a number. ``plugin`` is
    the one that the value itself names, ``tensor`` whether it is a tensor: those are scalars only if their
    plugin says so.
    """

    tag: str
    plugin: str
    tensor: bool
    column: int
    dtype: str | None


class Layout(NamedTuple):
    """The shape of an event: where its step and values lie.

    ``mask`` has the bits that all events of the shape share; the rest is time, step, numbers and payload.
    """

    step: tuple[int, int]
    values: tuple[Value, ...]
    mask: bytes

    def same_place(self, other: Layout) -> bool:
        """Whether events of the other shape have their numbers in the same columns."""
        return (
            self.mask == other.mask
            and self.step == other.step
            and [value[2:] for value in self.values] == [value[2:] for value in other.values]
        )


class _NotPlain(Exception):
    """The event has a shape that is left to protobuf."""


def find_layout(data: bytes) -> Layout | None:
    """The shape of an event, None where it is not plain."""
    if len(data) < _WALL or data[0] != 0x09:
        return None
    mask = bytearray(b"\xff" * len(data))
    mask[1:_WALL] = bytes(_WALL - 1)
    try:
        at, step = _WALL, (_WALL, _WALL)
        if data[at : at + 1] == bytes([_STEP]):
            end = _varint(data, at + 1)[1]
            step = (at + 1, end)
            mask[at + 1 : end] = b"\x80" * (end - at - 1)
            at = end
        values = []
        for key, begin, end in _fields(data, at, len(data)):
            if end < len(data):
                return None
            if key == _SUMMARY:
                values = [_value(data, *place, mask) for place in _entries(data, begin, end, _FIRST)]
            elif key in (_FILE_VERSION, _GRAPH, _META_GRAPH):
                mask[begin:end] = bytes(end - begin)
            else:
                return None
        return Layout(step, tuple(values), bytes(mask))
    except (_NotPlain, IndexError, UnicodeDecodeError):
        return None


def is_payload(head: bytes, length: int) -> bool:
    """Whether an event, by its first bytes and its length, holds a graph or one image, histogram or other
    value, and no scalar beside it.
    """
    at = _WALL
    try:
        if head[at] == _STEP:
            at = _varint(head, at + 1)[1]
        key, at = _varint(head, at)
        size, at = _varint(head, at)
        if at + size != length or key != _SUMMARY:
            return at + size == length and key in (_GRAPH, _META_GRAPH)
        key, at = _varint(head, at)
        size, at = _varint(head, at)
        return key == _FIRST and at + size == length
    except (_NotPlain, IndexError):
        return False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer at a place, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _NotPlain


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Key, begin and end of each field; their numbers ascend."""
    last = 0
    while at < end:
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind == 0:
            length = _varint(data, at)[1] - at
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise _NotPlain
        if field <= last or at + length > end:
            raise _NotPlain
        yield key, at, at + length
        last, at = field, at + length


def _entries(data: bytes, at: int, end: int, key: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each entry of a message that has one repeated field and nothing else."""
    while at < end:
        if data[at] != key:
            raise _NotPlain
        length, at = _varint(data, at + 1)
        if at + length > end:
            raise _NotPlain
        yield at, at + length
        at += length


def _value(data: bytes, begin: int, end: int, mask: bytearray) -> Value:
    tag, plugin, kind, column, dtype = "", "", 0, 0, None
    for key, low, high in _fields(data, begin, end):
        if key == _TAG:
            tag = data[low:high].decode()
        elif key == _METADATA:
            plugin = _plugin(data, low, high)
        elif kind:
            raise _NotPlain
        else:
            kind = key
            if key == _SIMPLE:
                column, dtype = low, "<f4"
                mask[low:high] = bytes(4)
            elif key == _TENSOR:
                column, dtype = _element(data, low, high, mask)
            elif key in (_IMAGE, _HISTOGRAM, _AUDIO):
                mask[low:high] = bytes(high - low)
            else:
                raise _NotPlain
    if plugin in ("text", "hparams"):
        raise _NotPlain
    return Value(tag, plugin, kind == _TENSOR, column, dtype)


def _plugin(data: bytes, begin: int, end: int) -> str:
    """The name of the plugin in the metadata of a value."""
    for key, low, high in _fields(data, begin, end):
        if key == _FIRST:
            for inner, first, last in _fields(data, low, high):
                if inner == _FIRST:
                    return data[first:last].decode()
    return ""


def _element(data: bytes, begin: int, end: int, mask: bytearray) -> tuple[int, str | None]:
    """Column and type of the number in a tensor; the type is None where it is not one number."""
    at, kind, count = begin, 0, 1
    if data[at : at + 1] == bytes([_TYPE]):
        kind, at = _varint(data, at + 1)
    if data[at : at + 1] == bytes([_SHAPE]):
        length, at = _varint(data, at + 1)
        for low, high in _entries(data, at, at + length, _SECOND):
            size = 0
            for key, first, _ in _fields(data, low, high):
                if key != _SIZE:
                    raise _NotPlain
                size = _varint(data, first)[0]
            if size >= 1 << 62:
                raise _NotPlain
            count *= size
        at += length
    if kind not in ELEMENT_TYPES or count != 1:
        if at > end:
            raise _NotPlain
        mask[at:end] = bytes(end - at)
        return 0, None
    dtype, _ = ELEMENT_TYPES[kind]
    width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    ((key, low, high),) = list(_fields(data, at, end))[:1] or [(0, 0, 0)]
    fits = key == _CONTENT or (key, dtype) in ((_FLOATS, "<f4"), (_DOUBLES, "<f8"))
    if not fits or high != end or high - low != width or dtype == "?":
        raise _NotPlain
    mask[low:high] = bytes(width)
    return low, dtype

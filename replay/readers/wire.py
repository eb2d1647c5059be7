"""Protobuf's wire format: the fields of one message by number, without a definition of the message."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["Value", "first", "floating", "message_fields", "text"]

#: A field's value: an integer (varint), or the bytes of everything else.
Value = int | bytes

_FIXED = {1: 8, 5: 4}


def message_fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in the order of the message. Raises ValueError where the bytes are not
    a message.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("field number 0")
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError("a field that ends beyond its message")
        yield number, data[at : at + size]
        at += size


def first(data: bytes, number: int) -> Value | None:
    """The value of the first field of a number, None where the message has none. Raises ValueError."""
    return next((value for found, value in message_fields(data) if found == number), None)


def text(value: Value | None) -> str | None:
    """The value as text; None where it is not of that type."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None


def floating(value: Value | None) -> float | None:
    """The value as a floating-point number of 4 or 8 bytes; None where it is not of that type."""
    if not isinstance(value, bytes) or len(value) not in (4, 8):
        return None
    unpacked: float = struct.unpack("<d" if len(value) == 8 else "<f", value)[0]
    return unpacked


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number that does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7

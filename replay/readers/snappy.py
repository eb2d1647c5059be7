"""Snappy's raw format, decompressed without a library: RocksDB packs the blocks of its tables so."""

from __future__ import annotations

__all__ = ["decompress"]


def decompress(data: bytes, largest: int) -> bytes:
    """The bytes that were compressed, up to ``largest`` of them. Raises ValueError where the data are damaged
    or hold more.
    """
    size, at = _length(data)
    if size > largest:
        raise ValueError("too large")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, upper = tag & 3, tag >> 2
        if kind == 0:
            length = upper + 1
            if length > 60:
                extra = length - 60
                length = int.from_bytes(_take(data, at, extra), "little") + 1
                at += extra
            out += _take(data, at, length)
            at += length
        else:
            if kind == 1:
                length, width = 4 + (upper & 7), 1
                offset = (upper >> 3) << 8 | _take(data, at, 1)[0]
            else:
                length, width = upper + 1, 2 if kind == 2 else 4
                offset = int.from_bytes(_take(data, at, width), "little")
            at += width
            start = len(out) - offset
            if not 0 <= start < len(out):
                raise ValueError("a copy from before the beginning")
            if offset >= length:
                out += out[start : start + length]
            else:  # the copy overlaps itself: a pattern that repeats
                pattern = bytes(out[start:])
                out += (pattern * (length // offset + 1))[:length]
        if len(out) > size:
            raise ValueError("longer than stated")
    if len(out) != size:
        raise ValueError("shorter than stated")
    return bytes(out)


def _length(data: bytes) -> tuple[int, int]:
    """The stated length, and where the data begin."""
    size = shift = 0
    for at, byte in enumerate(data[:5], 1):
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
        shift += 7
    raise ValueError("no length")


def _take(data: bytes, at: int, count: int) -> bytes:
    taken = data[at : at + count]
    if len(taken) < count:
        raise ValueError("cut off")
    return taken

"""Snappy's raw format, by streams written by hand."""

import pytest

from replay.readers.snappy import decompress
from tests.readers.blocks import varint


def literal(data):
    length = len(data) - 1
    if length < 60:
        return bytes([length << 2]) + data
    width = (length.bit_length() + 7) // 8
    return bytes([59 + width << 2]) + length.to_bytes(width, "little") + data


def stream(size, *parts):
    return varint(size) + b"".join(parts)


@pytest.mark.parametrize("size", [1, 59, 60, 61, 255, 256, 257, 70_000])
def test_literals_of_any_length(size):
    data = bytes(number * 31 % 251 for number in range(size))
    assert decompress(stream(size, literal(data)), 1 << 20) == data


def test_copies():
    data = b"abcdefgh"
    short = bytes([1 | (5 - 4) << 2, 8])
    middle = bytes([2 | (6 - 1) << 2]) + (13).to_bytes(2, "little")
    long = bytes([3 | (3 - 1) << 2]) + (19).to_bytes(4, "little")
    assert (
        decompress(stream(22, literal(data), short, middle, long), 100)
        == data + b"abcde" + b"abcdef" + b"abc"
    )


def test_copies_that_overlap_themselves():
    again = bytes([2 | (10 - 1) << 2]) + (3).to_bytes(2, "little")
    assert decompress(stream(13, literal(b"abc"), again), 100) == b"abcabcabcabca"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff\xff\xff",
        stream(101, literal(b"a" * 101)),  # more than allowed
        stream(3, literal(b"ab")),
        stream(1, literal(b"ab")),
        stream(9, b"\x20ab"),
        stream(9, b"\xf0"),
        stream(9, literal(b"ab"), b"\x0d\x09"),  # from before the beginning
        stream(9, literal(b"ab"), b"\x0d\x00"),
        stream(9, b"\x0d\x01"),
        stream(9, literal(b"ab"), b"\x0e\x01"),
    ],
)
def test_damaged_streams(data):
    with pytest.raises(ValueError, match=r"."):
        decompress(data, 100)

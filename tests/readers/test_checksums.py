"""CRC-32C of many pieces at once, against TensorBoard's own."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c, masked_crc32c

from replay.readers.checksums import (
    CHUNK,
    MULTIPLES,
    crc_of_pieces,
    crc_of_rows,
    crc_of_short,
    mask_crc,
    masked,
)


def of_pieces(pieces):
    data = np.frombuffer(bytes(CHUNK) + b"".join(pieces), dtype=np.uint8)
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    return crc_of_pieces(data, CHUNK + np.cumsum(lengths) - lengths, lengths)


@given(st.lists(st.binary(min_size=1, max_size=CHUNK), min_size=1, max_size=20))
def test_short_pieces(pieces):
    data = np.frombuffer(bytes(CHUNK) + b"".join(pieces), dtype=np.uint8)
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    found = crc_of_short(data, CHUNK + np.cumsum(lengths) - lengths, lengths)
    assert found.tolist() == [crc32c(piece) for piece in pieces]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_pieces(pieces):
    assert of_pieces(pieces).tolist() == [crc32c(piece) for piece in pieces]
    assert masked(of_pieces(pieces)).tolist() == [masked_crc32c(piece) for piece in pieces]


def test_long_pieces():
    chance = random.Random(0)
    pieces = [chance.randbytes(size) for size in (0, 70_000, 1, 63, 64, 65, 4096, 1_000_001, 1024, 1025)]
    assert of_pieces(pieces).tolist() == [crc32c(piece) for piece in pieces]
    assert mask_crc(pieces[1]) == masked_crc32c(pieces[1])


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 255)), max_size=8), st.randoms())
def test_pieces_that_are_made_short_first(pieces, chance):
    data = [chance.randbytes(min(size, 200)) + bytes([byte]) * max(size - 200, 0) for size, byte in pieces]
    data += [b"x" * size for size in (2048, 2049, 5684, 5685, 5686, 11_369, 11_370, 11_371, 22_740)]
    assert of_pieces(data).tolist() == [crc32c(piece) for piece in data]


@pytest.mark.parametrize("exponents", MULTIPLES)
def test_multiples_of_the_polynomial(exponents):
    remainder = 0
    for exponent in (*exponents, 0):
        power = 1
        for _ in range(8 * exponent):
            power = power << 1 ^ (0x11EDC6F41 if power & 0x80000000 else 0)
        remainder ^= power
    assert remainder == 0


@pytest.mark.parametrize("length", [1, 3, 4, 5, 40, 512, 1024])
def test_rows(length):
    chance = np.random.default_rng(length)
    rows = np.tile(chance.integers(0, 256, length + 9, dtype=np.uint8), (30, 1))
    varying = np.sort(chance.choice(length, min(length, 12), replace=False))
    rows[:, varying] = chance.integers(0, 256, (30, len(varying)), dtype=np.uint8)
    expected = [crc32c(row[:length].tobytes()) for row in rows]
    assert crc_of_rows(rows, varying, length).tolist() == expected

"""CRC-32C of many pieces of data at once, in numpy.

The CRC of a piece is linear over GF(2): without its start value it is the exclusive or of one table entry for
each byte, chosen by the byte and its distance from the end. So a table of rows is checked column by column,
and a column in which all rows agree is looked up once.

Long pieces are made short first. As a polynomial, a piece may be changed by multiples of the CRC's own: those
of ``MULTIPLES`` have few terms, so a byte at the front is put into few places further back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHUNK",
    "MULTIPLES",
    "advance",
    "crc_of_pieces",
    "crc_of_rows",
    "crc_of_short",
    "mask_crc",
    "masked",
    "rows_at",
]

Words = npt.NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
#: Pieces of any length are cut into chunks of so many bytes. `crc_of_pieces` reads up to so many bytes before
#: a piece.
CHUNK = 128
#: Exponents of multiples of the CRC's polynomial, in bytes: x^(8 * 5685) + x^(8 * 1362) + x^(8 * 426) + 1.
MULTIPLES = ((5685, 1362, 426), (563, 109, 58, 53, 31))
_LONG = 2048  # shorter pieces are cut into chunks as they are
_CACHED = 1 << 18  # bytes that are folded at a time
_PIECES = 256  # long pieces at a time
_BATCH = 4096  # chunks at a time, few enough for the processor's cache
_WORDS_OF_CHUNK = CHUNK // 4


@cache
def _zero_byte() -> list[int]:
    """The classic table: what a register with this low byte becomes after 8 zero bits."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ _POLYNOMIAL * (value & 1)
        table.append(value)
    return table


@cache
def _by_distance(count: int) -> Words:
    """For each distance from the end up to ``count``, what each byte there contributes to the CRC."""
    first = np.array(_zero_byte(), dtype=np.uint32)
    tables = np.empty((count, 256), dtype=np.uint32)
    tables[0] = first
    for distance in range(1, count):
        tables[distance] = first[tables[distance - 1] & 0xFF] ^ tables[distance - 1] >> 8
    return tables


@cache
def _halves() -> tuple[Words, Words]:
    """What a register with these low 16 bits, and with these high ones, becomes after 32 zero bits."""
    first, word = np.array(_zero_byte(), dtype=np.uint32), np.arange(65536, dtype=np.uint32)
    for _ in range(2):
        word = first[word & 0xFF] ^ word >> 8
    high = word
    return word[word & 0xFFFF] ^ word >> 16, high


@cache
def _shift_tables(power: int) -> Words:
    """The operator "2 ** power more bytes of zeros", one table for each byte of the register."""
    register = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    if power == 0:
        shifted: Words = np.array(_zero_byte(), dtype=np.uint32)[register & 0xFF] ^ register >> 8
        return shifted
    return _shift(_shift(register, power - 1), power - 1)


def _shift(crc: Words, power: int) -> Words:
    low, second, third, high = _shift_tables(power)
    shifted: Words = low[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ high[crc >> 24]
    return shifted


def advance(crc: Words, lengths: npt.NDArray[np.int64]) -> Words:
    """Registers after so many zero bytes each."""
    crc = crc.copy()
    for power in range(int(lengths.max(initial=0)).bit_length()):
        there = np.flatnonzero(lengths >> power & 1)
        crc[there] = _shift(crc[there], power)
    return crc


@cache
def _start_values() -> Words:
    """What the start value has become after 0, 1, 2, … bytes, up to `_LONG`."""
    count = _LONG + 1
    return advance(np.full(count, 0xFFFFFFFF, dtype=np.uint32), np.arange(count))


def masked(crc: Words) -> Words:
    """CRCs in the form in which a record stores them."""
    stored: Words = np.add(crc >> 15 | crc << 17, np.uint32(_MASK_DELTA), dtype=np.uint32)
    return stored


def mask_crc(data: bytes | memoryview) -> int:
    """The CRC-32C of a few bytes in the form in which a record stores it."""
    if len(data) > 256:
        padded = np.frombuffer(bytes(CHUNK) + bytes(data), dtype=np.uint8)
        return int(masked(crc_of_pieces(padded, np.array([CHUNK]), np.array([len(data)])))[0])
    crc, table = 0xFFFFFFFF, _zero_byte()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def rows_at(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """So many bytes from each place on, as rows."""
    rows = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))[places]
    return rows.view(np.uint8).reshape(len(places), width)


def crc_of_rows(rows: npt.NDArray[np.uint8], varying: npt.NDArray[np.intp], length: int) -> Words:
    """The CRC-32C of the first ``length`` bytes of each row, at most 1024; ``varying`` are those columns
    among them in which not all rows agree.
    """
    tables = _by_distance(1024)
    first = rows[0, :length].copy()
    first[varying] = 0  # contributes nothing
    common = np.bitwise_xor.reduce(tables[np.arange(length - 1, -1, -1), first])
    crc = np.full(len(rows), common ^ _start_values()[length] ^ np.uint32(0xFFFFFFFF), dtype=np.uint32)
    for column in varying.tolist():
        crc ^= tables[length - 1 - column].take(rows[:, column])
    return crc


def crc_of_short(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Words:
    """The CRC-32C of pieces of 1 to `CHUNK` bytes; there are `CHUNK` bytes of data before the first, and the
    longest of them lies inside.

    Zero bytes before a piece change nothing without a start value, so all are made equally long.
    """
    width = int(lengths.max())
    columns = np.ascontiguousarray(rows_at(data, starts + lengths - width, width).T)
    blank, tables = width - lengths, _by_distance(1024)
    crc = _start_values()[lengths] ^ np.uint32(0xFFFFFFFF)
    most = int(blank.max())
    for number, column in enumerate(columns):
        there = tables[width - 1 - number].take(column)
        if number < most:
            there *= blank <= number
        crc ^= there
    return crc


def crc_of_pieces(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Words:
    """The CRC-32C of pieces of any length; there are `CHUNK` bytes of data before the first."""
    if not len(starts):
        return np.empty(0, dtype=np.uint32)
    crc = np.empty(len(starts), dtype=np.uint32)
    is_long = lengths > _LONG
    short, long = np.flatnonzero(~is_long), np.flatnonzero(is_long)
    if len(short):
        crc[short] = _linear(data, starts[short], lengths[short]) ^ _start_values()[lengths[short]]
    long = long[np.argsort(lengths[long], kind="stable")]
    for low in range(0, len(long), _PIECES):
        some = long[low : low + _PIECES]
        crc[some] = _of_long(data, starts[some], lengths[some])
    return crc ^ np.uint32(0xFFFFFFFF)


def _of_long(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Words:
    """The CRCs of pieces of more than 4 bytes, not yet inverted; their lengths ascend."""
    first, second = MULTIPLES
    rows = np.empty((len(starts), first[0]), dtype=np.uint8)
    for group in _groups(lengths):
        width = max(int(lengths[group][-1]), first[0])
        pieces = np.empty((group.stop - group.start, width), dtype=np.uint8)
        begins = (width - lengths[group]).tolist()
        for piece, begin, start in zip(pieces, begins, starts[group].tolist(), strict=True):
            piece[:begin] = 0
            piece[begin:] = data[start : start + width - begin]
            piece[begin : begin + 4] ^= 0xFF  # the start value
        rows[group] = _fold(pieces, first)
    _fold(rows, second)
    ends = first[0] * np.arange(1, len(rows) + 1)
    return _linear(rows.ravel(), ends - second[0], np.full(len(rows), second[0]))


def _groups(lengths: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Ascending lengths in groups of nearly one length, few enough bytes for the processor's cache."""
    begin = 0
    while begin < len(lengths):
        length = max(int(lengths[begin]), MULTIPLES[0][0])
        end = int(np.searchsorted(lengths, length + length // 8, side="right"))
        end = min(end, begin + max(_CACHED // length, 1))
        yield slice(begin, end)
        begin = end


def _fold(rows: npt.NDArray[np.uint8], exponents: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Pieces with the CRC, without start value, of longer ones: of as many bytes as the first of the
    ``exponents``. The ``rows`` are changed.
    """
    at, size = 0, rows.shape[-1]
    # of the multiple's square the exponents are twice as large, so that more bytes are moved at a time
    scale = 1 << max((size // (2 * exponents[0])).bit_length() - 1, 0)
    while scale:
        first, *others = (scale * exponent for exponent in exponents)
        while (beyond := size - at - first) > 0:
            count = min(first - others[0], beyond)
            moved = rows[..., at : at + count]
            for further in (*others, 0):
                place = at + first - further
                rows[..., place : place + count] ^= moved
            at += count
        scale >>= 1
    return rows[..., at:]


def _linear(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Words:
    """The CRCs of pieces without start value; there are `CHUNK` bytes of data before the first.

    Each piece is cut into chunks from its end. The CRCs of chunks are joined in pairs, then those of pairs,
    and so on.
    """
    counts = np.maximum((lengths + CHUNK - 1) // CHUNK, 1)
    firsts = np.cumsum(counts) - counts
    place = np.repeat(firsts + counts - 1, counts) - np.arange(int(counts.sum()))  # of a chunk, from the end
    last = np.repeat(counts - 1, counts)
    begins = np.repeat(starts + lengths, counts) - CHUNK * (place + 1)
    crc = np.empty(len(begins), dtype=np.uint32)
    blanks = CHUNK * counts - lengths
    for low in range(0, len(begins), _BATCH):
        high = min(low + _BATCH, len(begins))
        inside = slice(*np.searchsorted(firsts, [low, high]))
        crc[low:high] = _crc_of_chunks(data, begins[low:high], firsts[inside] - low, blanks[inside])
    power = CHUNK.bit_length() - 1
    while last.any():
        even = np.flatnonzero(place & 1 == 0)
        joined = crc[even]
        pairs = np.flatnonzero(place[even] < last[even])
        joined[pairs] ^= _shift(crc[even[pairs] - 1], power)
        crc, place, last = joined, place[even] >> 1, last[even] >> 1
        power += 1
    return crc


def _crc_of_chunks(
    data: npt.NDArray[np.uint8],
    begins: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    blanks: npt.NDArray[np.int64],
) -> Words:
    """CRCs of chunks without start value. The first chunks of pieces, ``firsts``, begin with ``blanks`` bytes
    that do not count.
    """
    rows = rows_at(data, begins, CHUNK)
    rows[firsts] *= np.arange(CHUNK) >= blanks[:, None]
    words = rows.view("<u4")
    low_half, high_half = _halves()
    crc = np.zeros(len(begins), dtype=np.uint32)
    for column in range(_WORDS_OF_CHUNK):
        crc ^= words[:, column]
        low = low_half.take(crc.astype(np.uint16))
        crc >>= np.uint32(16)
        crc = high_half.take(crc)
        crc ^= low
    return crc

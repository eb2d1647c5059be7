"""LevelDB's log framing: whole files, files that are cut off, and damaged ones."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.readers.block_records import BLOCK, BlockRecords
from tests.readers.blocks import framed

HEADER = b":XYZ\0\0\0"


def read(path, **settings):
    reader = BlockRecords(path, **settings)
    return list(reader), reader.damage


def write(path, records, begin=HEADER):
    path.write_bytes(framed(records, begin))
    return path


@given(st.lists(st.one_of(st.binary(max_size=700), st.integers(0, 100_000).map(bytes)), max_size=20))
def test_records_come_back(tmp_path_factory, records):
    path = write(tmp_path_factory.mktemp("records") / "file", records)
    assert read(path, begin=len(HEADER)) == (records, None)


@pytest.mark.parametrize("room", range(10))
def test_the_end_of_a_block(tmp_path, room):
    """A record that leaves 0 to 9 bytes of the first block: fewer than 7 are padding."""
    records = [os.urandom(BLOCK - len(HEADER) - 7 - room), b"second", b"third"]
    assert read(write(tmp_path / "file", records), begin=len(HEADER)) == (records, None)


def test_cut_off_at_every_byte(tmp_path):
    records = [b"one", b"", b"three" * 30, os.urandom(BLOCK), b"last"]
    whole = framed(records, HEADER)
    path = tmp_path / "file"
    cuts = [*range(len(HEADER), 400), *range(BLOCK - 60, BLOCK + 60), *range(len(whole) - 60, len(whole))]
    for size in cuts:
        path.write_bytes(whole[:size])
        found, damage = read(path, begin=len(HEADER))
        assert found == records[: len(found)]
        assert len(found) < len(records)
        # a file that ends with a record shows nothing; only then there is no damage
        assert (damage is None) == (framed(found, HEADER) == whole[:size])
        assert damage is None or damage.cut_off


def test_every_flipped_bit_is_noticed(tmp_path):
    records = [b"first record", b"second", b"the third one", b"x" * 300]
    whole = framed(records, HEADER)
    for at in range(len(HEADER), len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 1 << at % 8
        (tmp_path / "file").write_bytes(broken)
        found, damage = read(tmp_path / "file", begin=len(HEADER))
        assert found == records[: len(found)]
        assert len(found) < len(records)
        assert damage is not None


def test_zeros_after_the_last_record_are_an_end_that_was_cut_off(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(framed([b"one"]) + bytes(5000))
    found, damage = read(path)
    assert found == [b"one"]
    assert damage.cut_off
    assert damage.facts["zeros"]
    path.write_bytes(framed([b"one"]) + bytes(100) + b"more")
    found, damage = read(path)
    assert found == [b"one"]
    assert not damage.cut_off


@pytest.mark.parametrize("kinds", [(2, 1), (3,), (4,), (1, 4), (2, 2), (9,)])
def test_fragments_in_an_impossible_order_end_the_file(tmp_path, kinds):
    import struct
    from zlib import crc32

    parts = [struct.pack("<IHB", crc32(bytes([kind]) + b"data"), 4, kind) + b"data" for kind in (1, *kinds)]
    path = tmp_path / "file"
    path.write_bytes(b"".join(parts))
    found, damage = read(path)
    assert found == [b"data"] * (2 if kinds[0] == 1 else 1)
    assert not damage.cut_off


def test_another_checksum(tmp_path):
    def checksum(data):
        return len(data)

    path = tmp_path / "file"
    path.write_bytes(framed([b"one", b"two"], checksum=checksum))
    assert read(path, checksum=checksum) == ([b"one", b"two"], None)
    assert read(path)[0] == []

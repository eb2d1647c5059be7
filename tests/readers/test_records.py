"""TFRecord framing and its checksums, against TensorBoard's own code."""

import os
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.readers.checksums import mask_crc
from replay.readers.records import LONGEST, RecordReader, first_record


def write(path, records):
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)
    return path


def read(path):
    reader = RecordReader(path)
    return [bytes(data) for block in reader for data in block.views()], reader.damage


@pytest.mark.parametrize("size", [0, 1, 3, 4, 8, 63, 64, 65, 255, 256, 257, 511, 512, 513, 5000])
def test_checksums_are_those_of_tensorboard(size):
    data = os.urandom(size)
    assert mask_crc(data) == masked_crc32c(data)


@given(st.lists(st.binary(max_size=700), max_size=30))
def test_records_come_back(tmp_path_factory, records):
    path = write(tmp_path_factory.mktemp("records") / "file", records)
    assert read(path) == (records, None)


SIZES = (0, 1, 30, 30, 30, 900, 1000, 1001, 5000, 7, 256, 257, 64, 64, 70_000, 90_000)


@pytest.mark.parametrize("block", [100_000, 1 << 20])
def test_records_of_many_lengths_and_more_than_one_block(tmp_path, block):
    records = [os.urandom(size) for size in SIZES] * 3
    reader = RecordReader(write(tmp_path / "file", records), longest=block)
    assert [bytes(data) for block in reader for data in block.views()] == records
    assert reader.damage is None


@pytest.mark.parametrize("block", [32, 100, 1000])
def test_a_record_longer_than_a_block_is_verified_but_not_held(tmp_path, block):
    records = [os.urandom(size) for size in SIZES]
    path = write(tmp_path / "file", records)
    reader, held, long = RecordReader(path, longest=block), [], []
    for read in reader:
        held += [bytes(data) for data in read.views()]
        if read.long is not None:
            length, head = read.long
            assert any(data.startswith(head[:16]) for data in records if len(data) == length)
            long.append(length)
    assert reader.damage is None
    assert held == [data for data in records if len(data) + 16 <= block]
    assert long == [len(data) for data in records if len(data) + 16 > block]
    whole = bytearray(path.read_bytes())
    whole[-40_000] ^= 1  # inside the last record
    path.write_bytes(whole)
    reader = RecordReader(path, longest=block)
    assert sum(read.long is not None for read in reader) == len(long) - 1
    assert reader.damage.facts == {"byte": len(whole) - 90_016, "part": "data"}
    path.write_bytes(whole[:-20])
    reader = RecordReader(path, longest=block)
    assert sum(read.long is not None for read in reader) == len(long) - 1
    assert reader.damage.cut_off


def test_records_longer_than_a_block_are_held_up_to_a_limit(tmp_path):
    sizes = (30, 30, 300_000, 30, 700_000, 2_000_000, 40, LONGEST - 16, LONGEST - 15, 30, 300_000, 5)
    records = [random.Random(size).randbytes(size) for size in sizes]
    path = write(tmp_path / "file", records)
    reader, held, long = RecordReader(path), [], []
    for block in reader:
        held += [bytes(data) for data in block.views()]
        long += [] if block.long is None else [block.long[0]]
    assert held == [data for data in records if len(data) <= LONGEST - 16]
    assert long == [LONGEST - 15]
    assert reader.damage is None
    whole = path.read_bytes()
    for cut in (100_000, 500_000, 1_100_000, len(whole) - 1):
        path.write_bytes(whole[:cut])
        good, damage = read(path)
        assert good == held[: len(good)]
        assert damage.cut_off
    path.write_bytes(whole[:500_000] + b"\0" * 500_000 + whole[1_000_000:])
    good, damage = read(path)
    assert good == records[:4]
    assert damage.facts["part"] == "data"


def make_kinds(name):
    """Records as trainings write them: kinds in turns, in any order, of many lengths, and with odd ones
    between."""
    chance = random.Random(name)
    kinds = [bytes([number]) * chance.randrange(20, 60) for number in range(7)]
    if name == "in turns":
        return [kind + chance.randbytes(5) for _ in range(900) for kind in kinds]
    if name == "of one length":
        return [bytes([number % 3]) * 30 + chance.randbytes(8) for number in range(5000)]
    if name == "in turns with others":
        return [
            chance.randbytes(3000) if chance.random() < 0.002 else kinds[number % 7] + chance.randbytes(5)
            for number in range(6000)
        ]
    if name == "that hold records":
        inner = struct.pack("<Q", 20) + struct.pack("<I", mask_crc(struct.pack("<Q", 20)))
        return [inner + chance.randbytes(chance.randrange(10, 90)) for _ in range(3000)]
    return [chance.choice(kinds) + chance.randbytes(chance.randrange(9)) for _ in range(5000)]


@pytest.mark.parametrize("block", [20_000, 1 << 22])
@pytest.mark.parametrize(
    "name", ["in turns", "of one length", "in turns with others", "that hold records", "in any order"]
)
def test_records_are_found_whatever_their_order(tmp_path, name, block):
    records = make_kinds(name)
    path = write(tmp_path / "file", records)
    size = path.stat().st_size
    for alike in (None, lambda one, other: one[0] == other[0]):
        reader, found = RecordReader(path, longest=block, alike=alike), []
        for read in reader:
            views = [bytes(data) for data in read.views()]
            for one in (read, read.in_tables()):
                places = list(one.others)
                for table in one.tables:
                    places += list(table.place)
                    assert [row[: table.length].tobytes() for row in table.cells] == [
                        views[at] for at in table.place
                    ]
                    changed = np.bitwise_or.reduce(table.cells ^ table.cells[0], axis=0)
                    assert changed[: table.length].tolist() == table.spread[: table.length].tolist()
                assert sorted(places) == list(range(len(views)))
            found += views
        assert found == records
        assert reader.damage is None
    # one bit anywhere ends the file there
    whole = path.read_bytes()
    ends = np.cumsum([len(data) + 16 for data in records])
    for at in random.Random(0).sample(range(size), 25):
        broken = bytearray(whole)
        broken[at] ^= 1 << at % 8
        path.write_bytes(broken)
        reader = RecordReader(path, longest=block, alike=alike)
        good = [bytes(data) for read in reader for data in read.views()]
        assert good == records[: int(np.searchsorted(ends, at, side="right"))]
        assert reader.damage.offset == (ends[len(good) - 1] if good else 0)


def test_every_flipped_bit_is_noticed(tmp_path):
    records = [b"first record", b"second", b"the third one", b"x" * 300]
    whole = write(tmp_path / "file", records).read_bytes()
    for at in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[at] ^= 1 << at % 8
        (tmp_path / "file").write_bytes(broken)
        found, damage = read(tmp_path / "file")
        assert found == records[: len(found)]
        assert len(found) < len(records)
        assert damage is not None


def test_cut_off_and_corrupt_are_told_apart(tmp_path):
    records = [b"first record", b"second", b"the third one"]
    whole = write(tmp_path / "file", records).read_bytes()
    ends = [0, 28, 50, len(whole)]
    for size in range(len(whole)):
        (tmp_path / "file").write_bytes(whole[:size])
        found, damage = read(tmp_path / "file")
        assert found == records[: sum(end <= size for end in ends[1:])]
        if size in ends:
            assert damage is None
        else:
            assert damage.cut_off
            assert damage.facts.keys() == {"byte", "zeros"}
    broken = bytearray(whole)
    broken[28 + 14] ^= 1
    (tmp_path / "file").write_bytes(broken)
    found, damage = read(tmp_path / "file")
    assert found == records[:1]
    assert not damage.cut_off
    assert damage.facts == {"byte": 28, "part": "data"}


def test_a_tail_of_zeros_counts_as_cut_off(tmp_path):
    path = write(tmp_path / "file", [b"first record"])
    path.write_bytes(path.read_bytes() + bytes(4096))
    found, damage = read(path)
    assert found == [b"first record"]
    assert damage.cut_off
    assert damage.facts["zeros"]


def test_a_wrong_length_never_makes_it_wait_for_more_than_there_is(tmp_path):
    path = write(tmp_path / "file", [b"first record", b"second"])
    data = bytearray(path.read_bytes())
    data[28:36] = (1 << 62).to_bytes(8, "little")
    path.write_bytes(data)
    found, damage = read(path)
    assert found == [b"first record"]
    assert not damage.cut_off


def test_the_first_record_of_a_head(tmp_path):
    data = write(tmp_path / "file", [b"first record", b"second"]).read_bytes()
    assert first_record(data) == b"first record"
    assert first_record(data[:15]) == b"fir"
    assert first_record(data[:11]) is None
    assert first_record(b"text that is longer than a header") is None

"""TFRecord framing and its checksums, against TensorBoard's own code."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.readers.records import RecordReader, first_record, mask_crc


def write(path, records):
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)
    return path


def read(path):
    reader = RecordReader(path)
    return [bytes(data) for data in reader], reader.damage


@pytest.mark.parametrize("size", [0, 1, 3, 4, 8, 63, 64, 65, 255, 256, 257, 511, 512, 513, 5000])
def test_checksums_are_those_of_tensorboard(size):
    data = os.urandom(size)
    assert mask_crc(data) == masked_crc32c(data)


@given(st.lists(st.binary(max_size=700), max_size=30))
def test_records_come_back(tmp_path_factory, records):
    path = write(tmp_path_factory.mktemp("records") / "file", records)
    assert read(path) == (records, None)


@pytest.mark.parametrize("block", [1, 100, 1000])
def test_records_of_many_lengths_and_more_than_one_block(tmp_path, block):
    records = [
        os.urandom(size) for size in (0, 1, 30, 30, 30, 900, 1000, 1001, 5000, 7, 256, 257, 64, 64)
    ] * 3
    reader = RecordReader(write(tmp_path / "file", records), block=block)
    assert [bytes(data) for data in reader] == records
    assert reader.damage is None


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

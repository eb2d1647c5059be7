"""Aim's repositories and the RocksDB files in them."""

import math
import shutil
import struct
import zlib

import pytest

from replay.readers import read
from replay.readers.checksums import mask_crc
from replay.readers.formats.aim import FORMAT, _path_of, _value_of
from replay.readers.rocksdb_files import read_database
from replay.report.sentences import sentences
from tests.readers.aim_files import DELETE, PUT, RANGE_DELETE, key, log, repository, value
from tests.readers.blocks import framed, varint
from tests.readers.columns import curve
from tests.readers.reading import load_if_usable, refusal
from tests.readers.tracked import TRACKERS, accuracies, losses

WHOLE, KILLED = TRACKERS / "aim" / "whole", TRACKERS / "aim" / "killed"


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def points(steps, context=1, metric="loss", wall=0, more=0):
    return [(context, metric, step, more + 1 / step, 1700000000.0 + wall + step, None) for step in steps]


def load(folder):
    (run,), findings = FORMAT.load([folder], "run")
    return run, sentences(findings)


def test_what_the_library_wrote_as_tables():
    found = read(WHOLE)
    (run,) = found.runs
    assert not found.findings
    got = curve(run, "val/loss")
    assert math.isnan(got.pop(200.0))
    assert got == {step: loss for step, loss in losses(5).items() if step < 200}
    assert curve(run, "val/accuracy") == accuracies(5)
    assert set(run.train) == {"train/loss"}
    assert dict(run.info.hyperparameters) == {"lr": 5e-4, "rank": 8}
    assert run.columns["epoch"].values.tolist() == [0, 1, 1, 2, 2, 3, 3, 4]
    assert run.info.complete is None
    assert run.columns["wall_time"].present.all()


def test_what_a_kill_leaves_in_the_logs():
    found = read(KILLED)
    (run,) = found.runs
    assert curve(run, "val/loss") == {step: loss for step, loss in losses(5).items() if step < 150}
    assert run.info.complete is False


def test_every_run_of_a_repository_is_found_in_the_hidden_folder(tmp_path):
    for number in range(3):
        steps = range(1, 5 + number)
        put(
            tmp_path / ".aim",
            repository(points(steps, more=number), {1: {"subset": "val"}}, name=f"{number}" * 24),
        )
    found = read(tmp_path)
    assert sorted(len(run) for run in found.runs) == [4, 5, 6]
    assert len({run.id for run in found.runs}) == 3


def test_names_by_context(tmp_path):
    contexts = {1: {"subset": "val"}, 2: {"subset": "val", "fold": 3}, 3: {}}
    tracked = [point for context in (1, 2, 3, 4) for point in points((1, 2), context)]
    tracked += points((1, 2), 1, "__system__cpu")
    run, _ = load(put(tmp_path / ".aim", repository(tracked, contexts)))
    assert set(run.metrics) == {"val/loss", "val/fold=3/loss"}
    assert set(run.train) == {"loss", "context=4/loss"}  # of the last one, the context is not known


def test_the_order_is_that_of_the_times(tmp_path):
    tracked = points(range(1, 8)) + points((4.5, 5.5, 6.5, 8), wall=100)  # resumed with other steps
    run, _ = load(put(tmp_path / ".aim", repository(tracked, {1: {"subset": "val"}})))
    assert run.steps.tolist() == [1, 2, 3, 4, 4.5, 5.5, 6.5, 8]
    assert run.info.resumes == (4.5,)


def test_without_its_settings_a_run_keeps_its_values(tmp_path):
    folder = put(tmp_path / ".aim", repository(points((1, 2)), {1: {"subset": "val"}}))
    shutil.rmtree(folder / "meta" / "chunks")
    run, _ = load(folder)
    assert set(run.train) == {"context=1/loss"}
    assert run.info.complete is None


def test_nothing_to_use(tmp_path):
    folder = put(tmp_path / ".aim", {"VERSION": b"4", "seqs/x": b"", "meta/x": b""})
    assert "no row holds a number" in refusal(FORMAT, folder)


def test_parts_of_keys():
    assert _path_of(key("a", 0xFEFE, "b", -1)) == ("a", 0xFEFE, "b", -1)
    for damaged in (b"a", b"\xfe123", b"\xfe12345678", b"\xfe12345678x"):
        with pytest.raises(ValueError, match=r"."):
            _path_of(damaged)


@pytest.mark.parametrize("folder", [WHOLE, KILLED], ids=["tables", "logs"])
def test_files_of_the_library_cut_off(tmp_path, folder):
    copy = shutil.copytree(folder / ".aim", tmp_path / ".aim")
    expected = losses(5)
    for path in [*copy.rglob("*.sst"), *copy.rglob("*.log")]:
        whole = path.read_bytes()
        for size in range(0, len(whole), max(len(whole) // 40, 1)):
            path.write_bytes(whole[:size])
            runs, problems = load_if_usable(FORMAT, copy)
            for run in runs:
                if "val/loss" in run.metrics:
                    got = curve(run, "val/loss")
                    assert all(math.isnan(loss) or expected[step] == loss for step, loss in got.items())
            assert problems or path.suffix == ".log"
        path.write_bytes(whole)


# RocksDB


def entries(pairs, restarts=1):
    """A block of keys and values, none of which share anything."""
    out = b"".join(
        varint(0) + varint(len(name)) + varint(len(content)) + name + content for name, content in pairs
    )
    return out + struct.pack("<I", 0) * restarts + struct.pack("<I", restarts)


def table(blocks, *, compression=0, levels=1, ranges=(), packed=lambda block: block):
    """A table of blocks of (key, sequence, kind, value)."""
    data = bytearray()

    def add(block, kind=0):
        stored = packed(block) if kind else block
        at = len(data)
        data.extend(stored + bytes([kind]))
        data.extend(struct.pack("<I", mask_crc(bytes(data[at:]))))
        return varint(at) + varint(len(stored))

    def internal(items):
        return [
            (name + struct.pack("<Q", number << 8 | kind), content) for name, number, kind, content in items
        ]

    index = entries([(b"k", add(entries(internal(block)), compression)) for block in blocks])
    for _ in range(levels - 1):
        index = entries([(b"k", add(index))])
    properties = [(b"rocksdb.block.based.table.index.type", struct.pack("<I", 2 * (levels - 1)))]
    meta = [(b"rocksdb.properties", add(entries(properties)))]
    if ranges:
        meta.append((b"rocksdb.range_del", add(entries(internal(ranges)))))
    handles = add(entries(meta)) + add(index)
    return bytes(data) + b"\1" + handles.ljust(40, b"\0") + struct.pack("<IQ", 5, 0x88E241B785F4CFF7)


def test_the_last_operation_on_a_key_counts(tmp_path):
    files = {
        "000004.sst": table([[(b"a", 5, 1, b"old"), (b"b", 6, 1, b"gone")], [(b"c", 9, 1, b"kept")]]),
        "000007.log": log([[(PUT, b"a", b"new")] * 8, [(DELETE, b"b"), (PUT, b"c", b"older")]]),
        "LOG": b"text",
        "LOG.old.1": b"text",
        "MANIFEST-000004": b"\0",
    }
    folder = put(tmp_path, files)
    contents = read_database(folder)
    assert contents.values == {b"a": b"new", b"c": b"older"}
    assert [path.name for path in contents.files] == ["000004.sst", "000007.log"]
    assert not contents.findings


def test_deleted_ranges(tmp_path):
    rows = [(name, number, 1, b"x") for number, name in enumerate((b"a", b"b", b"c", b"d"), 1)]
    put(tmp_path, {"1.sst": table([rows], ranges=[(b"b", 9, 15, b"d")]), "2.log": log([[(PUT, b"e", b"x")]])})
    assert sorted(read_database(tmp_path).values) == [b"a", b"d", b"e"]
    put(tmp_path, {"2.log": log([[(PUT, b"c", b"again")] * 20, [(RANGE_DELETE, b"d", b"z")]])})
    assert sorted(read_database(tmp_path).values) == [b"a", b"c"]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    ("compression", "packed"),
    [
        (1, lambda block: varint(len(block)) + bytes([61 << 2]) + struct.pack("<H", len(block) - 1) + block),
        (2, lambda block: varint(len(block)) + zlib.compress(block, wbits=-15)),
    ],
    ids=["snappy", "zlib"],
)
def test_compressed_blocks_and_an_index_in_parts(tmp_path, levels, compression, packed):
    rows = [(f"{number:03}".encode(), number, 1, b"v" * number) for number in range(80)]
    data = table([rows[:40], rows[40:]], compression=compression, packed=packed, levels=levels)
    put(tmp_path, {"1.sst": data})
    contents = read_database(tmp_path)
    assert not contents.findings
    assert contents.values == {name: content for name, _, _, content in rows}


def test_a_method_that_is_not_read(tmp_path):
    put(tmp_path, {"1.sst": table([[(b"a", 1, 1, b"x")]], compression=7, packed=lambda block: block)})
    contents = read_database(tmp_path)
    assert not contents.values
    assert "compressed by a method that is not read (7)" in sentences(contents.findings)[0]


def test_a_damaged_block_keeps_the_blocks_before(tmp_path):
    data = bytearray(table([[(b"a", 1, 1, b"x")], [(b"b", 2, 1, b"y")]]))
    data[data.index(b"b\1\2")] ^= 1
    put(tmp_path, {"1.sst": bytes(data)})
    contents = read_database(tmp_path)
    assert contents.values == {b"a": b"x"}
    assert "does not match its checksum" in sentences(contents.findings)[0]


def test_operations_of_column_families(tmp_path):
    family = b"".join(
        bytes([tag, 0]) + varint(len(name)) + name + rest
        for tag, name, rest in ((5, b"a", b"\1x"), (5, b"b", b"\1y"), (4, b"a", b""))
    )
    record = struct.pack("<QI", 1, 3) + family
    put(tmp_path, {"1.log": framed([record], checksum=mask_crc)})
    assert read_database(tmp_path).values == {b"b": b"y"}
    put(tmp_path, {"1.log": framed([record, struct.pack("<QI", 4, 1) + b"\x63"], checksum=mask_crc)})
    contents = read_database(tmp_path)
    assert contents.values == {b"b": b"y"}
    assert "corrupt" in sentences(contents.findings)[0]


def test_values():
    for item in (True, False, 3, -3, 0.5, "text"):
        assert _value_of(value(item)) == item
    for data in (value(None), value({}), b"", b"\3ab"):
        assert _value_of(data) is None

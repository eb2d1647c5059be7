"""Logs that are read again and again: the result is that of reading them for the first time."""

import gzip
import io
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from replay.data.digest import digest_of_run
from replay.readers import Growing, NothingFound, read
from replay.readers.growing import sample_of
from tests.readers import events, golden

#: Longer than a tick of the clock that file systems take the time from.
TICK_S = 0.02


def contents(paths, growing=None):
    """All that a reading gives, for comparisons."""
    try:
        result = read(paths, growing=growing)
    except NothingFound as error:
        return str(error), error.findings
    runs = [
        (
            run.id,
            digest_of_run(run),
            run.info,
            [
                (name, column.values.tobytes(), column.present.tobytes())
                for name, column in run.columns.items()
            ],
            [(name, np.asarray(values).tobytes()) for name, (_, values) in run.train.items()],
        )
        for run in result.runs
    ]
    return runs, result.findings, result.duplicates, result.files, result.skipped


def jsonl(number, value):
    return (
        json.dumps({"step": 10 * number, "loss": value + 1, "epoch": number / 4, "eval_loss": value}) + "\n"
    )


HEADER = {"format": "replay-eval-log", "version": 1, "run": "x", "modes": {"eval_loss": "min"}}


def eval_log(number, value):
    if number == 1:
        return json.dumps(HEADER) + "\n"
    kinds = ("eval", "train", "checkpoint", "eval", "segment", "reference", "end", "extended")
    kind = kinds[int(value * 1000) % len(kinds)]
    record = {
        "kind": kind,
        "step": 10 * number,
        "epoch": number / 4,
        "metrics": {"eval_loss": value},
        "loss": value,
        "resumed_from": 10 * (number - 1),
        "planned_steps": 500,
        "compute": {"steps": 10 * number},
    }
    more = {**record, "continues": True, "metrics": {"eval_other_loss": value, "eval_third": value / 2}}
    return "".join(json.dumps(one) + "\n" for one in ([record, more] if kind == "eval" else [record]))


def csv_row(number, value):
    return (
        "step,epoch,loss,eval_loss\n" if number == 1 else f"{10 * number},{number / 4},{value + 1},{value}\n"
    )


def event(number, value):
    file = io.BytesIO()
    writer = RecordWriter(file)
    made = [events.header()] if number == 1 else events.series("eval/loss", [value], number)
    made += events.series("train/loss", [value + 1], number)
    if value > 0.5:
        made.append(events.tensor(f"eval/score_{int(value * 8)}", number, make_tensor_proto(value)))
    for one in made:
        writer.write(one.SerializeToString())
    return file.getvalue()


EVENTS = f"f/{events.name()}"
KINDS = {
    EVENTS: event,
    "a.jsonl": jsonl,
    "b/eval_log.jsonl": eval_log,
    "b/c.jsonl": jsonl,
    "d.csv": csv_row,
    "e.log": jsonl,
}

NUMBERS = st.integers(0, 1000).map(lambda number: number / 1000)
#: Mostly three of them, so that much happens to one file.
NAMES = st.sampled_from([*["a.jsonl", "b/eval_log.jsonl", EVENTS] * 4, *KINDS])
STEPS = st.one_of(
    st.tuples(st.just("append"), NAMES, st.lists(NUMBERS, min_size=1, max_size=4)),
    st.tuples(st.just("append"), NAMES, st.lists(NUMBERS, min_size=1, max_size=4)),
    st.tuples(st.just("part"), NAMES, st.integers(1, 200)),
    st.tuples(st.just("cut"), NAMES, st.integers(0, 400)),
    st.tuples(st.just("rewrite"), NAMES, st.lists(NUMBERS, max_size=8)),
    st.tuples(st.just("replace"), NAMES, st.lists(NUMBERS, max_size=8)),
    st.tuples(st.just("change"), NAMES, st.integers(0, 400)),
    st.tuples(
        st.just("noise"), NAMES, st.sampled_from([b"\0" * 5, b"\xff\xfe", b"\r", b"{]\n", b"[\n", b"\n\n"])
    ),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("nothing"), NAMES, st.none()),
)


class Folder:
    """Logs in which things happen."""

    def __init__(self, root):
        self.root, self.rows = root, dict.fromkeys(KINDS, 0)

    def text(self, name, values):
        made = []
        for value in values:
            self.rows[name] += 1
            text = KINDS[name](self.rows[name], value)
            made.append(text if isinstance(text, bytes) else text.encode())
        return b"".join(made)

    def happen(self, what, name, more):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "append":
            with path.open("ab") as file:
                file.write(self.text(name, more))
        elif what == "part":
            with path.open("ab") as file:
                file.write(self.text(name, [0.5])[:more])
        elif what in ("rewrite", "replace"):
            self.rows[name] = 0
            new = path.with_name("new") if what == "replace" else path
            new.write_bytes(self.text(name, more))
            new.replace(path)
        elif what == "noise":
            with path.open("ab") as file:
                file.write(more)
        elif path.exists() and what == "cut":
            os.truncate(path, min(more, path.stat().st_size))
        elif path.exists() and what == "change":
            data = bytearray(path.read_bytes())
            if data:
                data[more % len(data)] = ord("7")
                path.write_bytes(data)
        elif path.exists() and what == "delete":
            path.unlink()
            self.rows[name] = 0
        elif path.exists() and what == "rename":
            (self.root / more).parent.mkdir(parents=True, exist_ok=True)
            path.replace(self.root / more)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 3), st.booleans()), min_size=1, max_size=14))
def test_whatever_happens_to_the_files_the_result_is_that_of_a_first_reading(steps, tmp_path_factory):
    root = tmp_path_factory.mktemp("logs")
    folder, growing = Folder(root), Growing(settled_s=TICK_S)
    try:
        for step, is_read, is_late in steps:
            folder.happen(*step)
            if is_late:
                time.sleep(1.5 * TICK_S)
            if is_read:
                assert contents(root, growing) == contents(root)
        assert contents(root, growing) == contents(root)
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("name", ["a.jsonl", "b/eval_log.jsonl", EVENTS])
@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("rewrite", 30),
        ("rewrite", 8),
        ("replace", 30),
        ("change", 5),
        ("cut", 90),
        ("part", 20),
        ("delete", None),
    ],
)
def test_a_file_that_has_not_only_grown_is_read_anew(what, more, name, tmp_path):
    folder, growing = Folder(tmp_path), Growing(settled_s=TICK_S)
    values = np.random.default_rng(3).random(60).round(3).tolist()
    for late in (0.0, 1.5 * TICK_S):
        folder.happen("append", name, values[:12])
        folder.happen("append", "e.log", [0.5, 0.25])
        assert contents(tmp_path, growing) == contents(tmp_path)
        time.sleep(late)
        folder.happen(what, name, values[-more:] if what in ("rewrite", "replace") else more)
        assert contents(tmp_path, growing) == contents(tmp_path)
        folder.happen("append", name, values[12:15])
        assert contents(tmp_path, growing) == contents(tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "b/eval_log.jsonl", EVENTS])
def test_only_what_is_new_is_read(name, tmp_path):
    folder, growing = Folder(tmp_path), Growing(settled_s=TICK_S)
    values = (np.arange(3000) % 997 / 1000).tolist()
    folder.happen("append", name, values)
    contents(tmp_path, growing)
    assert growing.bytes_read == (tmp_path / name).stat().st_size
    for _ in range(3):
        before, size = growing.bytes_read, (tmp_path / name).stat().st_size
        folder.happen("append", name, [0.25, 0.5])
        assert contents(tmp_path, growing) == contents(tmp_path)
        assert growing.bytes_read - before == (tmp_path / name).stat().st_size - size
    time.sleep(2 * TICK_S)
    contents(tmp_path, growing)
    before = growing.bytes_read
    assert contents(tmp_path, growing) == contents(tmp_path)
    assert growing.bytes_read == before


def test_a_group_that_has_not_changed_gives_the_same_runs(tmp_path):
    folder, growing = Folder(tmp_path), Growing(settled_s=TICK_S)
    for name in KINDS:
        folder.happen("append", name, np.random.default_rng(len(name)).random(6).round(3).tolist())
    time.sleep(2 * TICK_S)
    first = {run.id: run.columns for run in read(tmp_path, growing=growing).runs}
    folder.happen("append", "a.jsonl", [0.123])
    again = {run.id: run.columns for run in read(tmp_path, growing=growing).runs}
    changed = [name for name in first if first[name] is not again[name]]
    assert len(first) >= 4
    assert len(changed) == 1


def test_step_signals_that_appear_beside_a_log_are_seen(tmp_path):
    folder, growing = Folder(tmp_path), Growing(settled_s=TICK_S)
    folder.happen("append", "a.jsonl", [0.5, 0.4, 0.3])
    time.sleep(2 * TICK_S)
    assert contents(tmp_path, growing) == contents(tmp_path)
    (tmp_path / "step_signals.bin").write_bytes(b"{}\n")
    (run,) = read(tmp_path, growing=growing).runs
    assert run.info.step_signals is not None


@pytest.mark.parametrize("damage", ["gzip", "utf-16", "bom", "zeros", "hole"])
def test_files_of_other_kinds_are_read_as_ever(damage, tmp_path):
    text = "".join(jsonl(number, 1 / number) for number in range(1, 9))
    rest = "".join(jsonl(number, 1 / number) for number in range(9, 12))
    encode = {
        "gzip": lambda text, first: gzip.compress(text.encode()),
        "utf-16": lambda text, first: text.encode("utf-16" if first else "utf-16-le"),
        "bom": lambda text, first: text.encode("utf-8-sig" if first else "utf-8"),
        "zeros": lambda text, first: text.encode() + b"\0" * 100,
        "hole": lambda text, first: text.encode(),
    }[damage]
    path, growing = tmp_path / "a.jsonl", Growing(settled_s=TICK_S)
    path.write_bytes(encode(text, True))
    assert contents(path, growing) == contents(path)
    with path.open("ab") as file:
        if damage == "hole":
            file.truncate(file.tell() + 4 * 1024 * 1024)
            file.seek(0, os.SEEK_END)
        file.write(encode(rest, False))
    for _ in range(2):
        assert contents(path, growing) == contents(path)


@pytest.mark.parametrize("name", sorted(golden.FILES))
def test_every_format_gives_the_same_when_it_is_read_again(name, tmp_path):
    original = golden.golden(name)
    here = tmp_path / original.name
    if original.is_dir():
        shutil.copytree(original, here)
    else:
        shutil.copy(original, here)
    growing = Growing(settled_s=TICK_S)
    for _ in range(3):
        assert contents(tmp_path, growing) == contents(tmp_path)
        time.sleep(1.5 * TICK_S)


def test_a_sample_notices_changes_at_both_ends_and_long_ones_between(tmp_path):
    path = tmp_path / "file"
    data = bytes(np.random.default_rng(1).integers(0, 256, 300_000, dtype=np.uint8))
    path.write_bytes(data)

    def sample():
        with Path(path).open("rb") as file:
            return sample_of(file, len(data))

    first = sample()
    for begin, length in ((0, 1), (len(data) - 1, 1), (100_000, 40_000)):
        path.write_bytes(data[:begin] + bytes(length) + data[begin + length :])
        assert sample() != first
    path.write_bytes(data + b"more")
    assert sample() == first

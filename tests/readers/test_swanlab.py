"""SwanLab's three forms on disk, and what may be wrong with them."""

import json
import math
import sqlite3

import pytest

from replay.readers import read, sniff
from replay.readers.formats.swanlab import FORMAT
from replay.report.sentences import sentences
from tests.readers.blocks import framed, message
from tests.readers.columns import curve
from tests.readers.reading import refusal

MESSAGES, LINES = b":SWL\xd6\xe1\x02", b":SWL\xd6\xe1\x01"


def scalar(name, step, value):
    # a step of 0 and a value of 0 are left out
    parts = [(1, name), *([(2, step)] if step else []), (5, message((1, value)) if value else b"")]
    return message((1, 9), (13, message(*parts)))


def line(kind, **data):
    return json.dumps({"model_type": kind, "data": data}).encode() + b"\n"


def line_scalar(name, step, value):
    metric = {"data": value, "create_time": "2026-01-02T03:04:05.000001+00:00"}
    return line("Scalar", key=name, step=step, epoch=1, metric=metric)


def put(path, records, begin=MESSAGES):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(framed(records, begin))
    return path


def test_messages(tmp_path):
    records = [
        message((10, message((1, "project"), (4, "shown"), (10, "a")))),
        message((12, message((1, 2), (3, "gpu.val_load")))),
        *(scalar("gpu.val_load", step, 5.0) for step in (0, 1)),
        *(scalar("__swanlab__.cpu.val", step, 5.0) for step in (0, 1)),
        scalar("val_loss", 0, 2.0),
        scalar("val_loss", 10, 0.0),
        scalar("val_loss", 20, math.nan),
    ]
    path = put(tmp_path / "run-a.swanlab", records)
    (run,) = read(path).runs
    values = curve(run)
    assert (values[0], values[10]) == (2.0, 0.0)
    assert math.isnan(values[20])
    assert run.metrics == ("val_loss",)
    assert (run.info.group, run.info.extra["run_name"], run.info.complete) == ("project", "shown", False)
    for state, complete in ((1, True), (2, False), (3, False)):
        put(path, [*records, message((11, message((1, state))))])
        assert read(path).runs[0].info.complete is complete


def test_lines(tmp_path):
    records = [
        line("Header", version="0.7"),
        line("Project", name="project"),
        line("Experiment", name="shown"),
        line("Column", key="val_loss"),
        line_scalar("__swanlab__.gpu", 1, 5.0),
        line_scalar("val_loss", 10, 0.5),
        line_scalar("val_loss", 20, "NaN"),
        line_scalar("val_loss", 30, {"image": 1}),
    ]
    path = put(tmp_path / "run-20260102_030405-a" / "backup.swanlab", records, LINES)
    (run,) = read(path).runs
    assert list(curve(run)) == [10, 20]
    assert (run.info.group, run.info.complete) == ("project", False)
    put(path, [*records, line("Footer", success=True)], LINES)
    assert read(path).runs[0].info.complete


def test_values_of_one_call_are_one_row(tmp_path):
    """SwanLab numbers calls, where no step is given."""
    records = []
    for call in range(6):
        names = ("val_loss", "val_f1") if call % 2 else ("loss",)
        records += [scalar(name, call, 1.0 + call) for name in names]
    (run,) = read(put(tmp_path / "run-a.swanlab", records)).runs
    assert list(curve(run)) == [1, 3, 5]


def test_the_settings_beside_a_run(tmp_path):
    path = put(tmp_path / "run-20260102_030405-a" / "run-a.swanlab", [scalar("val_loss", 1, 1.0)])
    (path.parent / "files").mkdir()
    (path.parent / "files" / "config.yaml").write_text(
        "lr:\n  desc: ''\n  value: 0.1\nmax_steps:\n  desc: ''\n  value: 70\nnone:\n  value: null\n"
    )
    info = read(tmp_path).runs[0].info
    assert (info.planned_steps, dict(info.hyperparameters)) == (70, {"lr": "0.1", "max_steps": "70"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (MESSAGES, "no scalars in it, only other data"),
        (framed([message((11, b""))], MESSAGES), "no scalars in it, only its header"),
        (framed([b"no json"], LINES), "corrupt: record 1 is no event; nothing before it is usable"),
        (framed([b"[1]"], LINES), "corrupt: record 1 is no event; nothing before it is usable"),
        (framed([b"\x0f"], MESSAGES), "corrupt: record 1 is no event; nothing before it is usable"),
    ],
)
def test_files_without_a_value(tmp_path, content, reason):
    path = tmp_path / "run-a.swanlab"
    path.write_bytes(content)
    assert sniff(path) is FORMAT
    assert refusal(FORMAT, path) == f"{path}: {reason}"


def board(folder, experiments, tags):
    folder.mkdir(exist_ok=True)
    connection = sqlite3.connect(folder / "runs.swanlab")
    connection.execute("CREATE TABLE project (id INTEGER, name TEXT)")
    connection.execute(
        "CREATE TABLE experiment (id INTEGER, run_id TEXT, name TEXT, status INTEGER, project_id INTEGER)"
    )
    connection.execute(
        "CREATE TABLE tag (experiment_id INTEGER, name TEXT, folder TEXT, type TEXT, system INTEGER)"
    )
    connection.execute("INSERT INTO project VALUES (1, 'project')")
    connection.executemany("INSERT INTO experiment VALUES (?, ?, ?, ?, 1)", experiments)
    connection.executemany("INSERT INTO tag VALUES (?, ?, ?, 'line', ?)", tags)
    connection.commit()
    connection.close()


def log(folder, run, place, rows, name="1000.log"):
    path = folder / run / "logs" / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"index": step, "data": value}) + "\n" for step, value in rows))
    return path


RUNS = ("run-20260102_030405-a", "run-20260102_030406-b", "run-20260102_030407-c")


def test_the_local_board(tmp_path):
    experiments = [(1, RUNS[0], "same", 1), (2, RUNS[1], "same", 0), (3, "run-that-was-removed", "gone", 1)]
    board(tmp_path, experiments, [(1, "val_loss", "0", 0), (1, "gpu_val", "1", 1), (2, "val_loss", "0", 0)])
    log(tmp_path, RUNS[0], "0", [(1, 1.0), (2, "NaN"), (3, 0.5)])
    log(tmp_path, RUNS[0], "0", [(1001, 0.25)], "2000.log")
    log(tmp_path, RUNS[0], "0", [(10001, 0.125)], "11000.log")
    log(tmp_path, RUNS[0], "1", [(1, 9.0)])
    path = log(tmp_path, RUNS[1], "0", [(1, 3.0), (2, 2.0)])
    with path.open("a") as file:
        file.write('junk\n{"index": 3, "da')
    # the backup is the same run once more; a run that has nothing else counts
    put(tmp_path / RUNS[1] / "backup.swanlab", [line_scalar("val_loss", 1, 3.0)], LINES)
    put(tmp_path / RUNS[2] / "backup.swanlab", [line_scalar("val_loss", 1, 7.0)], LINES)
    found = read(tmp_path)
    top = tmp_path.name
    first, second, third = found.runs
    assert [run.id for run in found.runs] == [
        f"{top}/{RUNS[2]}",
        f"{top}/same run-2026",
        f"{top}/same run-2026 (2)",
    ]
    assert curve(first) == {1: 7.0}
    assert list(curve(second)) == [1, 2, 3, 1001, 10001]
    assert second.metrics == ("val_loss",)
    assert curve(third) == {1: 3.0, 2: 2.0}
    assert (second.info.complete, third.info.complete, second.info.group) == (True, False, "project")
    cut, bad = sentences(found.findings)
    assert cut == f"{path}: its last line (4) is cut off; it is left out"
    assert bad.startswith(f"{path}: 1 of 4 lines is not")


def test_a_board_that_names_other_folders_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    log(tmp_path, "secret", "0", [(1, 1.0)])
    home = tmp_path / "swanlog"
    names = ["../secret", str(secret), "..", "", RUNS[0]]
    board(
        home,
        [(number, name, name, 1) for number, name in enumerate(names)],
        [(number, "val_loss", place, 0) for number in range(5) for place in ("0", "../../../secret/logs/0")],
    )
    log(home, RUNS[0], "0", [(1, 0.5), (2, 0.25)])
    (run,) = read(home).runs
    assert curve(run) == {1: 0.5, 2: 0.25}
    assert all(source.startswith(str(home)) for source in run.info.sources)


def test_a_damaged_board_leaves_the_backups(tmp_path):
    (tmp_path / "runs.swanlab").write_bytes(b"SQLite format 3\0" + b"\xff" * 3000)
    put(tmp_path / RUNS[0] / "backup.swanlab", [line_scalar("val_loss", 1, 7.0)], LINES)
    found = read(tmp_path)
    assert curve(found.runs[0]) == {1: 7.0}
    assert "the SQLite database cannot be read" in sentences(found.findings)[0]

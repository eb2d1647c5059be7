"""What neptune-scale keeps on disk."""

import shutil
import sqlite3
from contextlib import closing

from replay.readers import read, sniff
from replay.readers.formats.neptune_scale import FORMAT
from tests.readers.blocks import message
from tests.readers.columns import curve
from tests.readers.golden import golden
from tests.readers.reading import refusal
from tests.readers.tracked import TRACKERS, accuracies, losses

WHOLE, KILLED = TRACKERS / "neptune-scale" / "whole", TRACKERS / "neptune-scale" / "killed"


def update(step, values, *more, wall=1):
    appended = [(8, message((1, name), (2, message((1, float(value)))))) for name, value in values.items()]
    return message((1, message(*step)), (2, message((1, wall))), *appended, *more)


def put(folder, updates, run="r", began=1):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run_operations.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE metadata (id INTEGER PRIMARY KEY, version, project, run_id)")
        database.execute(
            "INSERT INTO metadata (version, project, run_id) VALUES ('v5', 'team/demo', ?)", (run,)
        )
        database.execute(
            "CREATE TABLE run_operations"
            " (sequence_id INTEGER PRIMARY KEY, timestamp, operation_type, operation)"
        )
        rows = [(began, 1, b"a new run"), *((began + number, 0, one) for number, one in enumerate(updates))]
        database.executemany(
            "INSERT INTO run_operations (timestamp, operation_type, operation) VALUES (?, ?, ?)", rows
        )
        database.commit()
    return path


def load(path):
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    assert not findings
    return run


def test_what_the_library_wrote():
    (run,) = read(WHOLE).runs
    assert curve(run, "val/loss") == losses(4)
    assert curve(run, "val/accuracy") == accuracies(4)
    assert set(run.train) == {"train/loss"}
    assert dict(run.info.hyperparameters) == {"lr": 5e-4}
    assert run.columns["wall_time"].present.all()


def test_what_a_kill_leaves_is_in_the_write_ahead_log_and_stays_there(tmp_path):
    folder = shutil.copytree(KILLED, tmp_path / "logs")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (run,) = read(folder).runs
    assert curve(run, "val/loss") == {step: loss for step, loss in losses(4).items() if step < 150}
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert len(run.info.sources) == 2


def test_databases_of_one_run_are_joined_by_time(tmp_path):
    first = [update([(1, step)], {"val/loss": 10 - step}) for step in range(1, 6)]
    second = [update([(1, step)], {"val/loss": 10.5 - step}) for step in range(4, 9)]
    put(tmp_path / "z", first, began=100)
    put(tmp_path / "a", second, began=200)
    put(tmp_path / "other", first[:3], run="s", began=50)
    runs = {len(run): run for run in read(tmp_path).runs}
    joined = runs[8]
    assert curve(joined, "val/loss") == {1: 9, 2: 8, 3: 7, 4: 6.5, 5: 5.5, 6: 4.5, 7: 3.5, 8: 2.5}
    assert joined.info.resumes == (4.0,)


def test_steps_settings_and_previews(tmp_path):
    settings = [
        (4, message((1, "parameters/rank"), (2, message((3, 8))))),
        (4, message((1, "parameters/name"), (2, message((6, "demo"))))),
        (4, message((1, "flag"), (2, message((5, 1))))),
    ]
    updates = [
        message(*settings),
        update([(1, 1), (2, 500_000)], {"val/loss": 0.5, "monitoring/gpu/test": 3.0}),
        update([(1, 2)], {"val/loss": 9.0}, (10, message((1, 1)))),  # an estimate
        update([(1, 2)], {"val/loss": 0.4}),
        message((8, message((1, "val/loss"), (2, message((1, 7.0)))))),  # without a step
        message((1, message((1, 3))), (8, message((2, message((1, 7.0)))))),  # without a name
        message((1, message((1, 3))), (8, message((1, "val/loss"), (2, message((6, "x")))))),  # text
        b"\xff\xff",
    ]
    run = load(put(tmp_path, updates))
    assert curve(run, "val/loss") == {1.5: 0.5, 2: 0.4}
    assert dict(run.info.hyperparameters) == {"rank": 8, "name": "demo"}
    assert not run.train


def test_nothing_to_use(tmp_path):
    assert "no row holds a number" in refusal(FORMAT, put(tmp_path, [b""]))
    cut = tmp_path / "cut.sqlite3"
    cut.write_bytes(golden("neptune-scale").read_bytes()[:600])
    assert "database" in refusal(FORMAT, cut)
    other = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE metadata (project, run_id)")
    assert sniff(other) is None

"""MLflow's file store and SQLite store, written as MLflow does."""

import contextlib
import math
import sqlite3

import pytest

from replay.readers import NothingFound, read, sniff
from replay.readers.formats.mlflow import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal

RUNS = [f"{number:032x}" for number in range(10, 20)]
LOSS = [1.5, 1.25, 1.0, 1.125]
RESTORE = "Restore a run in MLflow to have it read"


def lines(values, steps, *, width=3, start=1_700_000_000_000):
    rest = {2: "", 3: " {}", 5: " {} texts abc"}[width]
    return "".join(
        f"{start + 1000 * place} {value!r}{rest.format(step)}\n"
        for place, (value, step) in enumerate(zip(values, steps, strict=True))
    )


def put(folder, metrics, **meta):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in metrics.items():
        path = folder / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    facts = {"lifecycle_stage": "active", "status": 3, "run_name": "'a run'", **meta}
    (folder / "meta.yaml").write_text("".join(f"{name}: {value}\n" for name, value in facts.items()))
    return folder


@pytest.mark.parametrize("width", [3, 5])
def test_a_run_of_the_file_store(tmp_path, width):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "meta.yaml").write_text("experiment_id: '1'\nname: \"my sweep\"\n")
    steps = [10, 20, 30, 40]
    put(
        tmp_path / "1" / RUNS[0],
        {"val/loss": lines([*LOSS[:3], math.nan], steps, width=width), "train/loss": lines(LOSS, steps)},
    )
    params = tmp_path / "1" / RUNS[0] / "params"
    params.mkdir()
    (params / "max_steps").write_text("80")
    found = read(tmp_path)
    (run,) = found.runs
    assert not found.findings
    assert list(curve(run, "val/loss").items())[:3] == list(zip(steps, LOSS[:3], strict=False))
    assert math.isnan(curve(run, "val/loss")[40])
    assert run.id == f"1/{RUNS[0]}"
    info = run.info
    assert (info.group, info.complete, info.planned_steps) == ("my sweep", True, 80)
    assert (info.extra["run_name"], info.extra["status"]) == ("a run", "FINISHED")
    assert run.columns["wall_seconds"].values.tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(("status", "complete"), [(1, False), (2, False), (3, True), (4, False), (5, False)])
def test_the_status_says_whether_the_training_ended(tmp_path, status, complete):
    put(tmp_path / RUNS[0], {"val_loss": lines(LOSS, [1, 2, 3, 4])}, status=status)
    assert read(tmp_path).runs[0].info.complete is complete


def test_times_that_the_user_has_logged(tmp_path):
    """MLflow takes any whole number for a time, as one in seconds."""
    text = "".join(f"{1_700_000_000 + 5 * place} {value} {place}\n" for place, value in enumerate(LOSS, 1))
    put(tmp_path / RUNS[0], {"val_loss": text, "val_acc": "0 0.5 1\n-1 0.75 2\n"})
    found = read(tmp_path)
    (run,) = found.runs
    assert not found.findings
    assert curve(run, "val_loss") == dict(enumerate(LOSS, 1))
    assert curve(run, "val_acc") == {1: 0.5, 2: 0.75}
    (tmp_path / "alone").write_text(text)
    assert sniff(tmp_path / "alone") is None


def test_deleted_runs_and_the_copies_of_logged_models_do_not_count(tmp_path):
    store = tmp_path / "mlruns" / "7"
    put(store / RUNS[0], {"val_loss": lines(LOSS, [1, 2, 3, 4])})
    put(
        store / RUNS[1],
        {"val_loss": lines(LOSS[::-1], [1, 2, 3, 4])},
        lifecycle_stage="deleted",
        run_name="gone",
    )
    model = put(store / "models" / f"m-{RUNS[2]}", {"val_loss": lines([9.0], [4])})
    (model / "metrics" / "val_loss").write_text(f"1700000000000 9.0 4 {RUNS[0]}\n")
    found = read(tmp_path)
    assert [run.id for run in found.runs] == [f"mlruns/7/{RUNS[0]}"]
    assert sentences(found.findings) == [
        f"{store / RUNS[1]}: 1 run was deleted in MLflow and not read: gone. {RESTORE}"
    ]


def test_a_run_without_metrics_says_so(tmp_path):
    put(tmp_path / RUNS[0], {})
    (tmp_path / RUNS[0] / "tags").mkdir()
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert sentences(caught.value.findings) == [f"{tmp_path / RUNS[0]}: the run has logged no metric"]


def test_a_resumed_run_has_its_later_values(tmp_path):
    steps = [10, 20, 30, 20, 30, 40]
    values = [3.0, 2.0, 9.0, 2.5, 1.5, 1.0]
    put(tmp_path / RUNS[0], {"val_loss": lines(values, steps)})
    (run,) = read(tmp_path).runs
    assert curve(run) == {10: 3.0, 20: 2.5, 30: 1.5, 40: 1.0}
    assert run.info.resumes == (20.0,)


def test_values_without_a_step(tmp_path):
    """Step 0 is what MLflow stores where none is given."""
    put(
        tmp_path / RUNS[0],
        {
            "val_loss": lines(LOSS, [10, 20, 30, 40]),
            "validation_loss": lines(LOSS, [0, 0, 0, 0]),
            "test_accuracy": lines([0.75], [0], start=1_700_000_100_000),
            "val_base": lines([3.0], [0], start=1_600_000_000_000),
        },
    )
    (run,) = read(tmp_path).runs
    assert curve(run, "test_accuracy") == {40: 0.75}  # once, after the training
    assert curve(run, "val_base") == {0: 3.0}
    assert "validation_loss" not in run.metrics
    (note,) = sentences(run.info.findings)
    assert note.endswith("logged without a step while other metrics have steps: validation_loss")


def test_files_without_any_step(tmp_path):
    put(
        tmp_path / RUNS[0], {"val_loss": lines(LOSS, [0] * 4, width=2), "loss": lines(LOSS, [0] * 4, width=2)}
    )
    (run,) = read(tmp_path).runs
    assert curve(run) == dict(zip([1, 2, 3, 4], LOSS, strict=True))
    assert "no step was logged, so the values of the longest series are numbered instead" in sentences(
        run.info.findings
    )


def test_evals_without_a_step_share_one_even_if_their_times_differ(tmp_path):
    folder = tmp_path / "mlruns" / "1" / RUNS[0]
    start = 1_700_000_000_000
    put(
        folder,
        {
            "loss": "".join(f"{start + 10 * n} {1 / (n + 1)} 0\n" for n in range(12)),
            "val_loss": "".join(f"{start + 10 * n + 1} {2.0 - n} 0\n" for n in (3, 7, 11)),
            "val_f1": "".join(f"{start + 10 * n + 2} {n / 20} 0\n" for n in (3, 7, 11)),
        },
    )
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == [4, 8, 12]
    assert curve(run, "val_f1") == {4: 0.15, 8: 0.35, 12: 0.55}


def test_the_metrics_folder_of_a_run_alone(tmp_path):
    folder = tmp_path / "somebody__metrics"
    folder.mkdir()
    for name in ("loss", "val_loss"):
        (folder / name).write_text(lines(LOSS, [0, 1, 2, 3]))
    (run,) = read(tmp_path).runs
    assert curve(run) == dict(zip([1, 2, 3, 4], LOSS, strict=True))
    assert run.id == "somebody__metrics"
    assert sniff(folder / "loss") is FORMAT


def test_lines_that_are_cut_off_or_damaged(tmp_path):
    folder = put(tmp_path / RUNS[0], {"val_loss": lines(LOSS, [1, 2, 3, 4])[:-1]})
    found = read(tmp_path)
    assert curve(found.runs[0]) == {1: 1.5, 2: 1.25, 3: 1.0}
    assert "its last line (4) is cut off" in sentences(found.findings)[0]
    (folder / "metrics" / "val_loss").write_text("junk\n" + lines(LOSS, [1, 2, 3, 4]))
    (folder / "metrics" / "empty").write_text("")
    found = read(tmp_path)
    assert len(found.runs[0]) == 4
    (text,) = sentences(found.findings)
    assert text.endswith("val_loss: 1 of 5 lines is not of the form 'timestamp value step'; it is left out")


def test_links_below_a_run_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(lines(LOSS, [1, 2, 3, 4]))
    folder = put(tmp_path / "store" / RUNS[0], {"loss": lines(LOSS, [1, 2, 3, 4])})
    (folder / "metrics" / "val_loss").symlink_to(secret)
    (run,) = read(tmp_path / "store").runs
    assert not run.metrics


def database(path, *, wal=False):
    """A store with the tables of MLflow 3 that are read, and two others."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 512")
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        """
        CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, lifecycle_stage TEXT);
        CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT,
                           lifecycle_stage TEXT, experiment_id INTEGER);
        CREATE TABLE metrics (key TEXT, value DOUBLE, timestamp BIGINT, run_uuid TEXT, step BIGINT,
                              is_nan BOOLEAN,
                              PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
        CREATE TABLE latest_metrics (key TEXT, value DOUBLE, timestamp BIGINT, step BIGINT, is_nan BOOLEAN,
                                     run_uuid TEXT);
        CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
        CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
        INSERT INTO experiments VALUES (0, 'Default', 'active'), (1, 'first/try', 'active'),
                                       (2, 'old', 'deleted');
        """
    )
    return connection


def add(connection, run, values, *, name="a", experiment=1, status="FINISHED", stage="active", steps=None):
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, 1700000000000, ?, ?)", (run, name, status, stage, experiment)
    )
    for key, column in values.items():
        for place, value in enumerate(column):
            step = 10 * (place + 1) if steps is None else steps[place]
            stored = (
                0.0 if math.isnan(value) else max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)
            )
            row = (key, stored, 1700000000000 + 1000 * place, run, step, math.isnan(value))
            connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.commit()


def test_the_sqlite_store(tmp_path):
    path = tmp_path / "mlflow.db"
    connection = database(path)
    add(connection, RUNS[0], {"eval_loss": [*LOSS, math.nan, math.inf], "system/gpu": [1.0]})
    add(connection, RUNS[1], {"eval_loss": [3.0, *LOSS]}, name="same", status="RUNNING")
    add(connection, RUNS[2], {"eval_loss": LOSS[::-1]}, name="same")
    add(connection, RUNS[3], {"eval_loss": LOSS}, name="gone", stage="deleted")
    add(connection, RUNS[4], {"eval_loss": LOSS}, name="old", experiment=2)
    add(connection, RUNS[5], {}, name="parent")
    connection.execute("INSERT INTO params VALUES ('max_steps', '200', ?)", (RUNS[0],))
    connection.execute("INSERT INTO tags VALUES ('mlflow.runName', 'named', ?)", (RUNS[0],))
    connection.commit()
    connection.close()
    found = read(path)
    # the first parts of the ids are equal here, so that a number tells the runs apart
    assert [run.id for run in found.runs] == [
        f"{tmp_path.name}/first/try/{name}" for name in ("named", "same 00000000", "same 00000000 (2)")
    ]
    first = found.runs[0]
    values = list(curve(first, "eval_loss").values())
    assert values[:4] == LOSS
    assert math.isnan(values[4])
    assert values[5] == math.inf
    assert (first.info.group, first.info.planned_steps, first.info.complete) == ("first/try", 200, True)
    assert {run.info.complete for run in found.runs} == {True, False}
    assert sentences(found.findings) == [
        f"{path}: 2 runs were deleted in MLflow and not read: gone, old. {RESTORE}"
    ]


def test_a_store_that_is_open_elsewhere_is_read_with_its_newest_rows(tmp_path):
    path = tmp_path / "mlflow.db"
    connection = database(path, wal=True)
    add(connection, RUNS[0], {"eval_loss": LOSS})
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    (run,) = read(tmp_path).runs
    assert len(run) == 4
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert [source.rsplit("/", 1)[-1] for source in run.info.sources] == ["mlflow.db", "mlflow.db-wal"]
    connection.close()


def test_a_store_without_values(tmp_path):
    path = tmp_path / "mlflow.db"
    database(path).close()
    assert refusal(FORMAT, path) == f"{path}: the run has logged no metric"


def test_a_damaged_store_gives_rows_or_a_reason(tmp_path):
    path = tmp_path / "mlflow.db"
    connection = database(path)
    add(connection, RUNS[0], {"val_loss": [1 / (n + 1) for n in range(40)]})
    connection.close()
    whole = path.read_bytes()
    expected = curve(read(path).runs[0])
    counts, found = set(), None
    for size in range(0, len(whole), 211):
        path.write_bytes(whole[:size])
        with contextlib.suppress(NothingFound):
            found = read(path)
        for run in found.runs if found else ():
            assert curve(run).items() <= expected.items()
            counts.add(len(run))
            assert len(run) == 40 or found.findings
    assert len(counts) > 3

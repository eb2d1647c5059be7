"""trackio's databases of old and new versions, its inbox, and both at once."""

import json
import sqlite3

import pytest

from replay.readers import NothingFound, read, sniff
from replay.readers.formats.trackio import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve

OLD = "id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT"
NEW = f"{OLD}, run_id TEXT, log_id TEXT"


def time(step):
    return f"2026-01-02T03:04:{step % 60:02}.500000+00:00"


def database(path, rows, *, schema=NEW, config=None):
    """``rows`` are (run id, run name, step, metrics, log id)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE metrics ({schema})")
    connection.execute("CREATE TABLE configs (run_id TEXT, run_name TEXT, config TEXT, created_at TEXT)")
    names = [name.split()[0] for name in schema.split(", ")[1:]]
    for run, name, step, metrics, log in rows:
        cells = {
            "run_id": run,
            "timestamp": time(step),
            "run_name": name,
            "step": step,
            "metrics": json.dumps(metrics).encode(),
            "log_id": log,
        }
        places = ", ".join("?" * len(names))
        connection.execute(
            f"INSERT INTO metrics ({', '.join(names)}) VALUES ({places})", [cells[n] for n in names]
        )
    for run, name, values in config or ():
        connection.execute("INSERT INTO configs VALUES (?, ?, ?, '')", (run, name, json.dumps(values)))
    connection.commit()
    return connection


def lines(path, rows, project="first"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ""
    for run, name, step, metrics, log in rows:
        line = {"v": 1, "kind": "metric", "project": project, "run": name, "run_id": run, "metrics": metrics}
        text += json.dumps(
            {**line, "step": step, "timestamp": time(step), "log_id": log}, separators=(",", ":")
        )
        text += "\n"
    path.write_text(text)


def evals(run="r1", name="a", steps=(10, 20, 30), scale=1.0):
    return [(run, name, step, {"val_loss": scale / step}, f"{run}-{step}") for step in steps]


def test_runs_of_one_name_are_told_apart_by_their_ids(tmp_path):
    rows = evals() + evals("r2", scale=2.0) + evals("r3", "b", scale=3.0)
    database(tmp_path / "first.db", rows, config=[("r3", "b", {"max_steps": 60, "_Group": "g"})]).close()
    runs = {run.id: run for run in read(tmp_path).runs}
    top = tmp_path.name
    assert set(runs) == {f"{top}/first/a r1", f"{top}/first/a r2", f"{top}/first/b"}
    assert curve(runs[f"{top}/first/b"]) == {10: 0.3, 20: 0.15, 30: 0.1}
    assert {run.info.group for run in runs.values()} == {"first"}
    assert runs[f"{top}/first/b"].info.planned_steps == 60


def test_old_versions_know_a_run_by_its_name(tmp_path):
    rows = evals(None, "a") + evals(None, "b", scale=2.0)
    database(tmp_path / "old.db", rows, schema=OLD).close()
    assert [run.id.rsplit("/", 1)[-1] for run in read(tmp_path).runs] == ["a", "b"]


def test_the_numbers_of_a_row(tmp_path):
    metrics = {
        "val_loss": "NaN",
        "val": {"f1": 0.5, "best": "-Infinity"},
        "val_table": {"_type": "trackio.table", "rows": 5},
        "note": "text",
    }
    database(tmp_path / "a.db", [("r", "a", 1, metrics, "x"), ("r", "a", 3, metrics, "y")]).close()
    (run,) = read(tmp_path).runs
    assert set(run.metrics) == {"val_loss", "val/f1", "val/best"}
    assert curve(run, "val/best") == {1: float("-inf"), 3: float("-inf")}


def test_a_log_call_in_the_database_and_in_the_inbox_counts_once(tmp_path):
    database(tmp_path / "first.db", evals(steps=(10, 20))).close()
    lines(tmp_path / "inbox" / "0123456789abcdef" / "00000000.jsonl", evals(steps=(20, 30)))
    (run,) = read(tmp_path).runs
    assert curve(run) == {10: 0.1, 20: 0.05, 30: 1 / 30}
    assert run.info.resumes == ()
    assert len(run.info.sources) == 2


def test_two_writers_of_the_inbox_are_two_processes(tmp_path):
    inbox = tmp_path / "inbox"
    lines(inbox / "00000000000000aa" / "00000000.jsonl", evals(steps=(10, 20)))
    lines(
        inbox / "00000000000000bb" / "00000000.jsonl",
        [("r1", "a", s, {"val_loss": -1.0}, f"x{s}") for s in (20, 30)],
    )
    (run,) = read(tmp_path).runs
    assert curve(run) == {10: 0.1, 20: -1.0, 30: -1.0}


def test_lines_of_other_kinds_and_damaged_lines(tmp_path):
    path = tmp_path / "inbox" / "0123456789abcdef" / "00000000.jsonl"
    lines(path, evals())
    with path.open("a") as file:
        file.write(
            '{"v":1,"kind":"system_metric","project":"first","run":"a","run_id":"r1","metrics":{"gpu":1}}\n'
        )
        file.write('junk\n{"v":1,"kind":"met')
    found = read(tmp_path)
    assert curve(found.runs[0]) == {10: 0.1, 20: 0.05, 30: 1 / 30}
    cut, bad = sentences(found.findings)
    assert cut == f"{path}: its last line (6) is cut off; it is left out"
    assert bad.startswith(f"{path}: 1 of 6 lines is not")


def test_rows_that_are_only_in_the_write_ahead_log(tmp_path):
    connection = database(tmp_path / "live" / "first.db", [])
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "INSERT INTO metrics VALUES (1, ?, 'a', 10, '{\"val_loss\": 0.5}', 'r', 'x')", (time(10),)
    )
    connection.commit()
    before = {path.name: path.read_bytes() for path in (tmp_path / "live").iterdir()}
    (run,) = read(tmp_path / "live").runs
    assert curve(run) == {10: 0.5}
    assert {path.name: path.read_bytes() for path in (tmp_path / "live").iterdir()} == before
    connection.close()


def test_databases_of_others_are_passed_over(tmp_path):
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE metrics (name TEXT, value REAL)")
    connection.execute("CREATE TABLE configs (x)")
    connection.commit()
    connection.close()
    assert sniff(tmp_path / "shop.db") is None
    with pytest.raises(NothingFound):
        read(tmp_path)


def test_a_missing_pyarrow_is_named(tmp_path, monkeypatch):
    import sys

    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"run_name": ["a"], "step": [10], "timestamp": [time(10)], "log_id": ["x"], "val_loss": [0.5]}
    path = tmp_path / "first.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    (run,) = read(tmp_path).runs
    assert curve(run) == {10: 0.5}
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    (text,) = sentences(caught.value.findings)
    assert text.startswith(f"{path}: Parquet files are read with pyarrow, which is not installed")


def test_parquet_files_of_others_are_passed_over(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": ["a"], "step": [1]}), tmp_path / "data.parquet")
    assert sniff(tmp_path / "data.parquet") is None
    assert FORMAT.endings == {".db", ".parquet"}

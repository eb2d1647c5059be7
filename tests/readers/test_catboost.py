"""CatBoost's catboost_training.json, and the files beside it."""

import json
import shutil

import pytest

from replay.data.censoring import censoring
from replay.data.finding import Kind
from replay.engine.metrics import resolve_metric
from replay.readers import read, sniff
from replay.readers.formats.catboost import FORMAT
from tests.readers.columns import curve
from tests.readers.reading import refusal
from tests.readers.tracked import TRACKERS

CATBOOST = TRACKERS / "catboost"


def put(path, meta, rows):
    path.write_text(json.dumps({"meta": meta, "iterations": rows}))
    return path


META = {
    "test_sets": ["test"],
    "test_metrics": [{"best_value": "Max", "name": "AUC"}, {"best_value": "Min", "name": "Logloss"}],
    "learn_metrics": [{"best_value": "Min", "name": "Logloss"}],
    "iteration_count": 3,
    "learn_sets": ["learn"],
}


@pytest.mark.parametrize("name", ["plain", "period", "stopped"])
def test_what_the_library_wrote_is_one_run_with_modes_and_a_plan(name):
    found = read(CATBOOST / name)
    (run,) = found.runs
    assert not found.findings
    assert len(found.duplicates) >= 2  # its tables and event files hold the same
    modes = {"Logloss": "min", "AUC": "max"}
    for metric, mode in run.info.modes.items():
        assert modes[metric.rpartition("/")[2]] == mode
    assert run.info.modes
    assert run.info.planned_steps == (60 if name == "stopped" else 12)
    assert (censoring(run) is None) == (name != "stopped")
    rows = json.loads(next((CATBOOST / name).rglob("catboost_training.json")).read_text())["iterations"]
    assert run.steps.tolist() == [row["iteration"] for row in rows]


@pytest.mark.parametrize(
    "place",
    ["", "catboost_training.json", "test_error.tsv", "train.log"],
)
def test_what_it_calls_test_is_what_it_stops_on(place, tmp_path):
    folder = tmp_path / "catboost_info"
    shutil.copytree(CATBOOST / "stopped", folder)
    lines = [f"{n}:\ttest: 0.{9 - n}\tbest: 0.{9 - n} ({n})\ttotal: {n + 1}s\n" for n in range(5)]
    (folder / "train.log").write_text("".join(lines))
    found = read(next(folder.rglob(place)) if place else folder)
    assert not found.find_tables()
    runs = [run for run in found.runs if run.info.format != "text" or place]
    metric = next(name for name in runs[0].metrics if name.startswith("test"))
    metric, findings = resolve_metric(runs, metric, "min")
    assert not [one for one in findings if one.kind is Kind.TEST_SET_MONITOR]


def test_its_own_reading_of_two_test_sets():
    path = CATBOOST / "plain" / "catboost_training.json"
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    assert not findings
    rows = json.loads(path.read_text())["iterations"]
    for data in ("test", "test1"):
        for place, metric in enumerate(("Logloss", "AUC")):
            expected = {row["iteration"]: row[data][place] for row in rows}
            assert curve(run, f"{data}/{metric}") == expected
    assert set(run.train) == {"learn/Logloss"}
    assert run.columns["wall_seconds"].present.all()


def test_odd_rows(tmp_path):
    rows = [
        {"iteration": 0, "test": [0.5, None], "learn": ["NaN"], "passed_time": None},
        {"iteration": 1, "test": [0.6, 0.4, 9.0]},
        {"iteration": "x", "test": [0.7, 0.3]},
        {"test": [0.7, 0.3]},
        {"iteration": 2, "test": None},
        3,
    ]
    path = put(tmp_path / "catboost_training.json", META, rows)
    (run,), _ = FORMAT.load([path], "run")
    assert curve(run, "test/AUC") == {0: 0.5, 1: 0.6}
    assert curve(run, "test/Logloss") == {1: 0.4}
    assert dict(run.info.modes) == {"test/AUC": "max", "test/Logloss": "min"}


@pytest.mark.parametrize("meta", [{}, {**META, "test_metrics": 3}, {**META, "iteration_count": "many"}])
def test_odd_settings(tmp_path, meta):
    path = put(tmp_path / "x.json", meta, [{"iteration": 0, "learn": [0.5], "passed_time": 1}])
    if not meta:
        assert "no row holds a number" in refusal(FORMAT, path)
    else:
        (run,), _ = FORMAT.load([path], "run")
        assert not len(run)
        assert run.info.eval_hint


def test_a_killed_training_beside_its_tables(tmp_path):
    folder = shutil.copytree(CATBOOST / "plain", tmp_path / "run")
    path = folder / "catboost_training.json"
    path.write_text(path.read_text()[:-200])
    found = read(folder)
    (run,) = found.runs
    assert len(run) == 12
    assert "cut off" in str(found.findings[0].kind.value).replace("-", " ")

"""What is said of the runs that were read, before any policy is tried."""

import pytest

from replay.engine.inspect import inspect
from replay.engine.metrics import ModeSource
from replay.errors import ReplayError
from replay.readers import ReadResult

from .runs import run


def test_a_run_by_hand():
    made = run(
        "a",
        {"format": "csv", "sources": ["a.csv"], "planned_steps": 700, "group": "g", "stopped_by": None},
        eval_loss=[1.0, 0.6, float("nan"), 0.4, 0.5, 0.6],
        eval_f1=[0.1, None, 0.2, 0.2, 0.3, 0.3],
    )
    found = inspect(ReadResult([made]))
    assert (found.monitor.name, found.monitor.mode, found.trouble) == ("eval_loss", "min", None)
    (row,) = found.rows
    assert (row["run"], row["format"], row["source"], row["evals"]) == ("a", "csv", ["a.csv"], 6)
    assert (row["planned_steps"], row["group"], row["hint"]) == (700, "g", None)
    assert (row["monitor"], row["mode"], row["best"], row["best_step"]) == ("eval_loss", "min", 0.4, 400)
    assert row["metrics"]["eval_loss"] == {
        "mode": "min",
        "source": ModeSource.NAME,
        "word": "loss",
        "evals": 6,
        "nonfinite": 1,
    }
    f1 = row["metrics"]["eval_f1"]
    assert (f1["mode"], f1["evals"], f1["nonfinite"]) == ("max", 5, 0)
    assert row["units"] == ["steps"]
    assert row["censored"].kind == "cut-short"


def test_a_mode_that_the_log_states_comes_before_that_of_the_name():
    made = run("a", {"modes": {"eval_loss": "max"}}, eval_loss=[1.0, 2.0, 3.0], eval_odd=[1.0, 2.0, 3.0])
    (row,) = inspect(ReadResult([made]), "eval_loss").rows
    assert (row["metrics"]["eval_loss"]["mode"], row["metrics"]["eval_loss"]["source"]) == (
        "max",
        ModeSource.STATED,
    )
    odd = row["metrics"]["eval_odd"]
    assert (odd["mode"], odd["source"], odd["word"]) == (None, None, None)
    assert (row["best"], row["best_step"]) == (3.0, 300)


def test_runs_without_evals_or_without_the_monitor_have_no_best():
    runs = [run("a", eval_loss=[1.0, 0.5]), run("b", eval_f1=[0.5, 0.6]), run("c", eval_loss=[])]
    rows = inspect(ReadResult(runs), "eval_loss").rows
    assert [row["best"] for row in rows] == [0.5, None, None]
    assert [row["monitor"] for row in rows] == ["eval_loss", None, "eval_loss"]
    assert [row["evals"] for row in rows] == [2, 2, 0]


def test_what_cannot_be_decided_is_shown_and_raised_only_where_it_was_asked_for():
    runs = [run("a", eval_odd=[1.0, 0.5])]
    found = inspect(ReadResult(runs))
    assert found.monitor is None
    assert isinstance(found.trouble, ReplayError)
    assert found.rows[0]["best"] is None
    with pytest.raises(ReplayError):
        inspect(ReadResult(runs), "eval_odd")
    assert inspect(ReadResult(runs), "eval_odd", "min").rows[0]["best"] == 0.5
    empty = inspect(ReadResult([run("a", eval_loss=[])]))
    assert (empty.monitor, empty.trouble) == (None, None)

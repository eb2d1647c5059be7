"""Outcomes as rows, columns and a DataFrame."""

import numpy as np
import pytest

import replay
from replay.data.finding import Kind, Severity
from replay.engine.outcomes import COLUMNS, ORACLE
from replay.engine.scoring import simulate_policies
from replay.policies.spec import parse_policy
from replay.stats.summary import summarise

from .runs import outcome_of, run


def test_an_outcome_by_hand():
    row = outcome_of(run(eval_loss=[1.0, 0.8, 0.9, 0.85, 0.6, 0.7]), "patience=2")
    assert (row.stopped_eval, row.stopped_step, row.evals) == (4, 400, 6)
    assert (row.used, row.used_full) == (400, 600)
    assert row.saved == pytest.approx(1 / 3)
    assert (row.best, row.best_step) == (0.6, 500)
    assert (row.kept, row.kept_step, row["last"]) == (0.8, 200, 0.85)
    assert row.regret == pytest.approx(0.2)
    assert row.relative_regret == pytest.approx(0.2 / 0.6)
    assert row.lost == pytest.approx(0.5)
    assert row.reason == "no gain over 0.8 for 2 evals"
    assert not row.censored


def test_max_mode_mirrors():
    row = outcome_of(run(eval_accuracy=[0.1, 0.5, 0.4, 0.45, 0.9, 0.8]), "patience=2")
    assert row["mode"] == "max"
    assert (row.stopped_eval, row.kept, row.best) == (4, 0.5, 0.9)
    assert row.regret == pytest.approx(0.4)
    assert row.lost == pytest.approx(0.5)


def test_a_policy_that_never_fires():
    row = outcome_of(run(meta={"trained_steps": 350}, eval_loss=[1.0, 0.8, 0.9]), "patience=3")
    assert row.stopped_eval is None or row.isna().stopped_eval
    assert row.used == row.used_full == 350
    assert row.saved == 0
    assert row.regret == 0


#: The first stops at an eval, the second at none.
BOUNDS = ["budget=100", "patience=9"]


@pytest.mark.parametrize(
    ("meta", "values", "censored"),
    [
        ({"planned_steps": 900}, [1.0, 0.5, 0.6], True),
        ({"stopped_by": "a rule", "planned_steps": 900}, [1.0, 0.5, 0.6], True),
        ({"stopped_by": "a rule"}, [1.0, 0.5, 0.6], True),
        ({}, [1.0, 0.9, 0.8], False),
        ({"planned_steps": 300}, [1.0, 0.9, 0.8], False),
        ({}, [1.0, 0.5, 0.6], False),
    ],
)
def test_on_a_censored_run_all_outcomes_but_that_of_never_are_bounds(meta, values, censored):
    outcomes = simulate_policies([run(meta=meta, eval_loss=values)], BOUNDS, baselines=True)
    found = {row["policy"]: row["censored"] for row in outcomes.rows()}
    assert found.pop("never") is False
    assert found == dict.fromkeys([*BOUNDS, ORACLE], censored)
    assert outcomes.frame().censored.tolist() == [False, *[censored] * len(found)]


def test_never_is_a_bound_where_it_loses_something():
    """The last checkpoint of a log that was cut short is not the last one of the training."""
    made = run(meta={"planned_steps": 900}, eval_loss=[1.0, 0.5, 0.6])
    for keep, censored in (("best", False), ("last", True)):
        row = outcome_of(made, "never", keep=keep)
        assert (row.lost > 0, row.censored) == (censored, censored)


def stopped_by_patience(evals, patience=8, count=30, sigma=0.02):
    """Runs of which each ends where patience stopped it, beside the same runs to their planned end."""
    rng = np.random.default_rng(5)
    policy = parse_policy(f"patience={patience}")
    stopped, whole = [], []
    for number in range(count):
        turn = rng.integers(10, 30)
        values = np.abs(np.arange(evals) - turn) / turn + sigma * rng.standard_normal(evals)
        end = policy.stop_eval(values.tolist(), "min")
        assert end is not None, "the curve turns"
        meta = {"planned_steps": 100 * evals}
        whole.append(run(f"w{number}", meta, eval_loss=values.tolist()))
        meta |= {"stopped_by": f"EarlyStoppingCallback (patience {patience})"}
        stopped.append(run(f"s{number}", meta, eval_loss=values[:end].tolist()))
    return stopped, whole


def test_all_outcomes_of_a_shorter_patience_are_bounds_where_a_real_rule_ended_the_logs():
    stopped, whole = stopped_by_patience(60)
    for policy in ("patience=1", "patience=8", "patience=20"):
        outcomes = simulate_policies(stopped, [policy])
        assert outcomes.censored.tolist() == [True] * 30
        assert not simulate_policies(whole, [policy]).censored.any()
    assert simulate_policies(stopped, ["patience=1"]).stopped.all(), "bounds, though each of them stopped"
    summary = summarise(simulate_policies(stopped, ["patience=1"], baselines=True))
    found = dict(zip(summary["policy"], summary["censored"], strict=True))
    assert found == {"never": 0, "patience=1": 30, ORACLE: 30}


def test_outcomes_of_completed_runs_whose_best_eval_is_the_last_are_exact():
    falls = [
        run(f"r{number}", {"planned_steps": 2000}, eval_loss=np.linspace(1, 0.1 + number / 90, 20))
        for number in range(30)
    ]
    outcomes = simulate_policies(falls, ["patience=1", "budget=900"], baselines=True)
    assert not outcomes.censored.any()
    assert outcomes.study.censored == {}
    (ending,) = outcomes.study.endings
    assert (ending.kind, ending.severity, len(ending.runs)) == (Kind.STILL_IMPROVING, Severity.NOTE, 30)


def test_baselines_first_and_last():
    made = run(epoch=[0.5, 1.0, 1.5], eval_loss=[1.0, 0.5, 0.6])
    outcomes = simulate_policies([made], ["patience=1", "never"], baselines=True)
    assert outcomes.policies == ("never", "one-epoch", "patience=1", ORACLE)
    oracle = outcomes.rows()[-1]
    assert (oracle["stopped_eval"], oracle["regret"], oracle["used"]) == (2, 0, 200)


def test_no_policies_have_no_outcomes():
    frame = replay.simulate([run(eval_loss=[1.0, 0.5])], [])
    assert list(frame.columns) == list(COLUMNS)
    assert frame.empty


def test_outcomes_are_a_table_in_a_notebook():
    outcomes = simulate_policies([run(id="<b>r", eval_loss=[1.0, 0.8, 0.9, 0.95])], ["patience=2"])
    html = outcomes._repr_html_()
    assert "<table" in html
    assert "&lt;b&gt;r" in html
    assert "no gain over 0.8 for 2 evals" in html

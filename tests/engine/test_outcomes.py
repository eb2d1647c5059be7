"""Outcomes as rows, columns and a DataFrame."""

import pytest

import replay
from replay.engine.outcomes import COLUMNS, ORACLE
from replay.engine.scoring import simulate_policies

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


@pytest.mark.parametrize(
    ("meta", "values", "censored"),
    [
        ({"planned_steps": 900}, [1.0, 0.5, 0.6], True),
        ({}, [1.0, 0.9, 0.8], True),
        ({}, [1.0, 0.5, 0.6], False),
        ({"stopped_by": "a rule", "planned_steps": 900}, [1.0, 0.5, 0.6], True),
    ],
)
def test_censored_only_where_the_policy_never_fires(meta, values, censored):
    made = run(meta=meta, eval_loss=values)
    assert bool(outcome_of(made, "never").censored) is censored
    assert not outcome_of(made, "budget=100").censored


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

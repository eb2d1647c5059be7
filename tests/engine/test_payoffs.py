"""What a stop at each eval saves and loses: which checkpoint is kept, and what it is worth."""

import math

import pytest

from replay.errors import InputError, ReplayWarning

from .runs import outcome_of, run

NAN = math.nan


def test_keep_last_and_best_saved():
    made = run(eval_loss=[1.0, 0.5, 0.9, 0.9, 0.9, 0.9], saved=[0, 0, 1, 0, 0, 1])
    assert outcome_of(made, "patience=2", keep="last").kept == 0.9
    row = outcome_of(made, "patience=2", keep="best-saved")
    assert (row.kept, row.kept_step) == (0.9, 300)
    with pytest.raises(InputError, match="--keep best"):
        outcome_of(run(eval_loss=[1.0, 0.5, 0.9]), "patience=1", keep="best-saved")


def test_keep_what_transformers_loads():
    """The best has no checkpoint of its own, and at the next save an older one stays noted: worse than the
    best that was saved."""
    made = run(eval_loss=[1.0, 0.9, 0.5, 0.6, 0.7, 0.7], saved=[0, 1, 0, 1, 0, 1])
    assert outcome_of(made, "patience=2", keep="best-saved").kept == 0.6
    row = outcome_of(made, "patience=2", keep="transformers")
    assert (row.kept, row.kept_step) == (0.9, 200)
    # before any best was saved, the last weights stay
    row = outcome_of(
        run(eval_loss=[1.0, 0.5, 0.6, 0.7], saved=[0, 0, 0, 1]), "patience=2", keep="transformers"
    )
    assert (row.kept, row.kept_step) == (0.7, 400)
    with pytest.raises(InputError, match="keep is best, best-saved, transformers or last, not 'first'"):
        outcome_of(made, "patience=2", keep="first")


def test_judged_by_another_metric():
    """Loss turns while accuracy still rises: stopping on the loss gives accuracy away."""
    made = run(eval_loss=[1.0, 0.5, 0.6, 0.7, 0.8], test_accuracy=[0.1, 0.5, 0.6, 0.8, 0.9])
    row = outcome_of(made, "patience=2", monitor="eval_loss", objective="test_accuracy")
    assert (row.stopped_eval, row.kept_step) == (4, 200)
    assert (row.kept, row.best) == (0.5, 0.9)
    assert row.regret == pytest.approx(0.4)
    assert row.lost == pytest.approx(0.5)


def test_an_objective_that_is_not_logged_at_the_kept_eval_is_unknown():
    made = run(eval_loss=[1.0, 0.5, 0.6, 0.7], eval_bleu=[0.1, None, None, 0.4])
    with pytest.warns(ReplayWarning, match="not logged at the kept eval of 1"):
        row = outcome_of(made, "patience=2", monitor="eval_loss", objective="eval_bleu")
    assert row.isna().kept
    assert row.isna().regret
    assert row.isna().lost


def test_thinned_evals_pay_for_what_they_make():
    made = run(
        meta={"trained_steps": 600},
        eval_loss=[1.0, 0.1, 0.9, 0.8, 0.85, 0.9],
        train_seconds=[10, 20, 30, 40, 50, 60],
        eval_seconds=[5] * 6,
    )
    row = outcome_of(made, "patience=1,every=3", unit="seconds")
    assert row.stopped_eval == 6
    assert row.used == 60 + 2 * 5
    assert row.used_full == 60 + 6 * 5
    assert row.kept == 0.9, "0.1 was at an eval that would not have been made"
    assert row.eval_used == 10


def test_everything_nan_is_no_regret_but_no_crash():
    with pytest.warns(ReplayWarning, match="no finite value of eval_loss; no run can be judged"):
        row = outcome_of(run(eval_loss=[NAN, NAN, NAN]), "patience=1")
    assert row.stopped_eval == 1
    assert row.isna().best
    assert row.isna().regret


def test_stopping_on_a_nan_that_recovers_loses_everything():
    row = outcome_of(run(eval_loss=[NAN, 1.0, 0.5]), "nonfinite")
    assert row.stopped_eval == 1
    assert row.isna().kept
    assert row.lost == 1.0


def test_nothing_to_lose():
    assert outcome_of(run(eval_loss=[0.5, 0.6, 0.7]), "patience=1").lost == 0

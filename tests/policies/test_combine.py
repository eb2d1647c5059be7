import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.errors import PolicyError
from replay.run import Curve, CurveBatch


def test_thinning_stops_at_an_eval_that_is_made():
    policy = parse_policy("patience=2,every=2")
    assert policy.stop_eval([9, 1, 9, 2, 9, 3, 9, 4]) == 6
    assert policy.decide([9, 1, 9]).reason == "not looked at (every=2)"


def test_warm_up_values_never_become_the_reference():
    assert parse_policy("patience=2").stop_eval([0.1, 0.9, 0.8, 0.7, 0.6]) == 3
    assert parse_policy("patience=2,start=2").stop_eval([0.1, 0.9, 0.8, 0.7, 0.6]) is None
    assert parse_policy("patience=100,unit=steps,start=200").stop_eval([0.1, 0.9, 0.8, 0.85, 0.9], steps=[100, 200, 300, 400, 500]) == 4


@pytest.mark.parametrize(
    ("smooth", "seen"),
    [
        ("ema:0.5", [4.0, 3.0, 2.0, 3.0]),
        ("mean:2", [4.0, 3.0, 1.5, 2.5]),
        ("median:3", [4.0, 3.0, 2.0, 2.0]),
        ("none", [4.0, 2.0, 1.0, 4.0]),
    ],
)
def test_smoothing(smooth, seen):
    policy = parse_policy(f"target=0,smooth={smooth}")
    batch = CurveBatch.of([Curve.of([4.0, 2.0, 1.0, 4.0], "min")])
    np.testing.assert_array_equal(policy.trace(batch).batch.values[0], seen)


def test_smoothing_passes_on_what_is_not_finite():
    policy = parse_policy("nonfinite:smooth=ema:0.5")
    assert policy.stop_eval([1.0, math.inf, 1.0]) == 2
    assert parse_policy("target=1.5,smooth=mean:2").stop_eval([2.0, math.nan, 1.0]) == 3


def test_any_and_all_say_which_part():
    either = parse_policy("patience=3 | target=0.5")
    assert either.decide([1, 0.4]) == (2, True, "target=0.5: 0.4 reaches the target 0.5")
    both = parse_policy("patience=1 & budget=3")
    assert both.stop_eval([1.0, 1.1, 0.9, 1.0]) == 4
    assert parse_policy("(patience=1 | target=0.5) & budget=3").stop_eval([1.0, 0.4, 0.3, 0.2, 0.1]) == 3


def _run(**columns):
    return replay.Run("r", {"step": np.arange(1, len(next(iter(columns.values()))) + 1), **columns})


def test_parts_that_watch_different_metrics():
    """The loss rises while ROUGE still does: patience on both goes on."""
    run = _run(eval_loss=[1.0, 0.8, 0.9, 1.0, 1.1, 1.2], eval_rougeL=[0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    spec = "patience=2 & patience=2,monitor=eval_rougeL"
    row = replay.simulate([run], ["patience=2", spec], monitor="eval_loss").set_index("policy")
    assert row.loc["patience=2", "stopped_eval"] == 4
    assert row.loc[spec, "stopped_eval"] == 6
    assert row.loc[spec, "monitor"] == "eval_loss"
    assert "eval_rougeL" in row.loc[spec, "reason"]


def test_a_metric_that_some_evals_lack_is_passed_over():
    run = _run(eval_loss=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5], eval_bleu=[0.5, None, 0.4, None, 0.3, None])
    row = replay.simulate([run], ["patience=2 | patience=2,monitor=eval_bleu"], monitor="eval_loss").iloc[0]
    assert row.stopped_eval == 5


def test_both_modes_for_one_metric_are_refused():
    run = _run(eval_loss=[1.0, 0.9])
    with pytest.raises(PolicyError, match="both modes"):
        replay.simulate([run], ["patience=1,monitor=eval_loss,mode=min | patience=1,monitor=eval_loss,mode=max"])

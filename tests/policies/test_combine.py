import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import PolicyError
from replay.policies.companions import LastKnown, Progress


def test_thinning_stops_at_an_eval_that_is_made():
    policy = parse_policy("patience=2,every=2")
    assert policy.stop_eval([9, 1, 9, 2, 9, 3, 9, 4]) == 6
    assert policy.decide([9, 1, 9]).reason == "not looked at (every=2)"


def test_warm_up_values_never_become_the_reference():
    assert parse_policy("patience=2").stop_eval([0.1, 0.9, 0.8, 0.7, 0.6]) == 3
    assert parse_policy("patience=2,start=2").stop_eval([0.1, 0.9, 0.8, 0.7, 0.6]) is None
    assert (
        parse_policy("patience=100,unit=steps,start=200").stop_eval(
            [0.1, 0.9, 0.8, 0.85, 0.9], steps=[100, 200, 300, 400, 500]
        )
        == 4
    )


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


#: The loss is logged at steps 1 and 3 only, the score at steps 2, 4, 5 and 6.
APART = {
    "eval_loss": [1.0, None, 1.1, None, None, None],
    "eval_bleu": [None, 0.2, None, 0.3, 0.9, 0.8],
}
END = "the end of the log"


@pytest.mark.parametrize(
    ("spec", "step", "reason"),
    [
        # B stops at an eval that A lacks
        ("patience=2 | target=0.9,BLEU", 5, "target=0.9,BLEU: 0.9 reaches the target 0.9"),
        ("target=0 | patience=1,BLEU", 6, "patience=1,BLEU: no gain over 0.9 for 1 eval"),
        # an eval that A lacks is no eval without a gain
        ("patience=1 | target=2,BLEU", 3, "patience=1: no gain over 1 for 1 eval"),
        ("patience=2 | target=2,BLEU", None, END),
        # which evals are logged is no matter for a budget of evals: it counts those that log its metric
        ("budget=2,unit=evals | target=2,BLEU", 3, "budget=2,unit=evals: 2 of 2 evals used"),
        # no eval has both metrics
        ("patience=1 & target=0.3,BLEU", None, END),
        (
            "patience=1 && target=0.3,BLEU",
            4,
            "patience=1: since step 3; target=0.3,BLEU: 0.3 reaches the target 0.3",
        ),
        ("target=0.2,BLEU unless patience=1", 2, "target=0.2,BLEU: 0.2 reaches the target 0.2"),
        ("target=0.3,BLEU unless patience=1", None, END),
        # of the evals 2, 4, 5 and 6 that log the score, every=2 makes 4 and 6
        ("target=0 | target=0.9,BLEU,every=2", None, END),
        ("target=0 | target=0.3,BLEU,every=2", 4, "target=0.3,BLEU,every=2: 0.3 reaches the target 0.3"),
    ],
)
def test_metrics_that_are_logged_at_different_evals(spec, step, reason):
    run = _run(**APART)
    spec, reason = (text.replace("BLEU", "monitor=eval_bleu,mode=max") for text in (spec, reason))
    (row,) = simulate_policies([run], [spec], Question("eval_loss")).rows()
    assert (row["evals"], row["stopped_step"], row["reason"]) == (6, step, reason)
    swept = replay.sweep([run], [spec], monitor="eval_loss").iloc[0]
    assert (swept.stopped, swept.saved_mean) == (step is not None, row["saved"])


def test_an_eval_that_lacks_the_metric_says_so_and_keeps_the_checkpoint_of_an_earlier_one():
    run = _run(**APART)
    spec = "patience=9 | target=0.2,monitor=eval_bleu,mode=max"
    outcomes = simulate_policies([run], [spec], Question("eval_loss"))
    (row,) = outcomes.rows()
    assert (row["stopped_step"], row["kept_step"], row["kept"]) == (2, 1, 1.0)
    policy, trace = outcomes.stops.resolved(0), outcomes.stops.trace(0)
    assert [policy.reason(trace, 0, index) for index in (0, 2, 3)] == [
        "patience=9: first value: the reference; target=0.2,monitor=eval_bleu,mode=max: metric not logged",
        "patience=9: no gain (1 of 9); target=0.2,monitor=eval_bleu,mode=max: metric not logged",
        "target=0.2,monitor=eval_bleu,mode=max: 0.3 reaches the target 0.2",
    ]


def test_a_logged_nan_is_an_eval_without_a_gain_and_a_metric_that_is_not_logged_is_none():
    for loss, step in (([1.0, math.nan, math.nan, 2.0], 3), ([1.0, None, None, 2.0], None)):
        run = _run(eval_loss=loss, eval_bleu=[0.1, 0.1, 0.1, 0.1])
        (row,) = simulate_policies(
            [run], ["patience=2 | target=2,monitor=eval_bleu"], Question("eval_loss")
        ).rows()
        assert row["stopped_step"] == step


def test_both_modes_for_one_metric_are_refused():
    run = _run(eval_loss=[1.0, 0.9])
    with pytest.raises(PolicyError, match="both modes"):
        replay.simulate(
            [run], ["patience=1,monitor=eval_loss,mode=min | patience=1,monitor=eval_loss,mode=max"]
        )


def test_each_at_its_own_time():
    """patience=1 fires at evals 2 and 3, the target is reached at 4 only: once fired stays fired."""
    values = [1.0, 1.1, 1.2, 0.5, 0.4]
    assert parse_policy("patience=1 && target=0.5").stop_eval(values) == 4
    assert parse_policy("patience=1 & target=0.5").stop_eval(values) is None
    assert parse_policy("target=0.5 && patience=1 && budget=5").stop_eval(values) == 5
    told = parse_policy("patience=1 && target=0.5").decide(values[:4], steps=[10, 20, 30, 40])
    assert told == (4, True, "patience=1: since step 20; target=0.5: 0.5 reaches the target 0.5")
    assert parse_policy("patience=1 && target=0.5").decide([1.0]).reason == (
        "patience=1: first value: the reference; target=0.5: 1 has not reached the target 0.5"
    )


def test_unless_forbids_from_then_on():
    rule = parse_policy("patience=2 unless target=0.5")
    assert rule.stop_eval([1.0, 1.1, 1.2]) == 3
    assert rule.stop_eval([1.0, 0.5, 1.2, 1.3, 1.4]) is None
    assert rule.stop_eval([1.0, 1.1, 0.5, 0.6, 0.7]) is None  # the target comes first
    assert rule.stop_eval([0.9, 1.0, 1.1, 0.5]) == 3  # or too late
    assert parse_policy("budget=3 unless target=0.5").stop_eval([1.0, 0.9, 0.5]) is None  # at the same eval
    assert rule.decide([1.0, 1.1, 1.2]) == (3, True, "patience=2: no gain over 1 for 2 evals")
    assert rule.decide([1.0, 1.1]).reason == "patience=2: no gain (1 of 2)"
    told = rule.decide([1.0, 0.5, 0.6, 0.7], steps=[10, 20, 30, 40])
    assert told == (4, False, "patience=2: no gain over 0.5 for 2 evals; but target=0.5 since step 20")
    told = parse_policy("budget=3 unless target=0.5").decide([1.0, 0.9, 0.5])
    assert told.reason == "budget=3: 3 of 3 steps used; but target=0.5: 0.5 reaches the target 0.5"


def test_combinators_nest_to_any_depth():
    rule = parse_policy(
        "(patience=1 && target=0.5) & budget=4 | patience=9 unless (nonfinite unless target=0)"
    )
    assert rule.stop_eval([1.0, 1.1, 0.5, 0.4, 0.3]) == 4
    assert rule.stop_eval([1.0, 1.1, 0.5, math.nan, 0.3]) is None  # nonfinite forbids it
    assert "patience=1 && target=0.5" in rule.decide([1.0, 1.1, 0.5, 0.4]).reason


def test_what_is_undefined_is_refused_only_where_it_decides():
    with pytest.raises(PolicyError, match="-1 at step 2"):
        parse_policy("patience=1 unless gl").stop_eval([1.0, -1.0, -1.0])
    assert parse_policy("patience=1 unless gl=9").stop_eval([1.0, 1.0, -1.0]) == 2
    assert (
        parse_policy("gl unless target=0.9").stop_eval([0.9, -1.0]) is None
    )  # forbidden whatever gl would say
    with pytest.raises(PolicyError, match="-1 at step 2"):
        parse_policy("gl && patience=1").stop_eval([1.0, -1.0, -1.0])
    assert parse_policy("gl && patience=1").stop_eval([1.0, 2.0, -1.0]) == 2


WARM = [0.25, 0.5, 1.0, 1.0, 0.5, 0.2]


def test_start_after_the_warm_up_of_the_learning_rate():
    """The rate rises up to eval 3; eval 4 is the first not above the one before, and the first that is looked
    at."""
    rule = parse_policy("patience=2,start=lr_warmup")
    assert rule.companions == (LastKnown("learning_rate"),)
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    assert rule.stop_eval(values, columns={"learning_rate": WARM}) == 6
    assert parse_policy("patience=2").stop_eval(values) == 3
    assert (
        rule.decide(values[:3], columns={"learning_rate": WARM[:3]}).reason
        == "not looked at (start=lr_warmup)"
    )
    assert rule.decide(values[:4], columns={"learning_rate": WARM[:4]}).reason == "first value: the reference"
    # a constant rate has risen by eval 2; one that is not known, or 0, says nothing
    assert rule.stop_eval(values, columns={"learning_rate": [1.0] * 6}) == 4
    assert rule.stop_eval(values, columns={"learning_rate": [math.nan, 0.0, 0.0, 1.0, 1.0, 0.9]}) is None
    assert (
        rule.stop_eval([*values, 1.6], columns={"learning_rate": [math.nan, 0.0, 0.0, 1.0, 1.0, 0.9, 0.8]})
        == 7
    )
    # warm restarts later on do not hide anything again
    assert rule.stop_eval(values, columns={"learning_rate": [1.0, 0.5, 1.0, 2.0, 3.0, 4.0]}) == 4
    with pytest.raises(PolicyError, match="needs learning_rate"):
        rule.stop_eval(values)


def test_reset_when_the_learning_rate_drops():
    rule = parse_policy("patience=2,reset_on=lr_drop")
    values = [1.0, 0.5, 0.6, 0.9, 0.8, 0.81, 0.82]
    assert parse_policy("patience=2").stop_eval(values) == 4
    # the rate is halved at eval 4: 0.9 is a first value, 0.8 better, and two without a gain follow
    rates = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    assert rule.stop_eval(values, columns={"learning_rate": rates}) == 7
    assert (
        rule.decide(values[:4], columns={"learning_rate": rates[:4]}).reason == "first value: the reference"
    )
    assert rule.decide(values, columns={"learning_rate": rates}).reason == "no gain over 0.8 for 2 evals"
    # a bit more than half is no drop; from a rate that is not known there is none; to 0 there is
    assert rule.stop_eval(values, columns={"learning_rate": [1.0, 1.0, 1.0, 0.51, 0.5, 0.5, 0.5]}) == 4
    assert rule.stop_eval(values, columns={"learning_rate": [1.0, 1.0, math.nan, 0.1, 0.1, 0.1, 0.1]}) == 4
    assert rule.stop_eval(values, columns={"learning_rate": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]}) == 7
    # every drop resets
    assert rule.stop_eval([1.0] * 8, columns={"learning_rate": [8.0, 8, 4, 4, 2, 2, 1, 1]}) is None


def test_resets_of_many_runs_and_on_top_of_the_other_modifiers():
    rule = parse_policy("patience=1,every=2,start=2,reset_on=lr_drop")
    curves = [
        Curve.of([9, 1.0, 9, 2.0, 9, 3.0, 9, 4.0], "min"),
        Curve.of([9, 1.0, 9, 2.0, 9, 3.0], "min"),
        Curve.of([], "min"),
    ]
    rates = [np.array([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]), np.array([1.0] * 6), np.array([])]
    # of the evals made (2, 4, 6, 8) the policy looks at 4, 6, 8; the first run's rate falls at 6
    batch = CurveBatch.of(curves, {"learning_rate": rates})
    assert rule.stops(batch).tolist() == [7, 5, -1]
    trace = rule.trace(batch)
    assert rule.reason(trace, 0, 1) == "not looked at (every=2, start=2)"
    assert rule.reason(trace, 0, 5) == "first value: the reference"
    assert rule.reason(trace, 1, 5) == "no gain over 2 for 1 eval"
    np.testing.assert_array_equal(trace.reference[0], [np.nan] * 7 + [3.0])


def test_patience_and_start_in_tokens():
    rule = parse_policy("patience=1000,unit=tokens,start=500")
    assert rule.companions == (Progress("tokens"),)
    assert (
        rule.stop_eval([1.0, 2.0, 3.0, 4.0], columns={"tokens": [400, 800, 1700, 1800]}) == 4
    )  # from 800 on
    run = _run(
        eval_loss=[1.0, 2.0, 3.0, 4.0], tokens=[400, 800, 1700, 1800], eval_tokens=[9e9] * 4
    )  # those of evals do not count
    assert replay.simulate([run], [rule]).iloc[0].stopped_eval == 4
    with pytest.raises(replay.ReplayError, match="needs tokens, which no run logs"):
        replay.simulate([_run(eval_loss=[1.0, 2.0])], [rule])


def test_the_learning_rate_is_asked_for_by_name():
    run = _run(eval_loss=[1.0, 2.0, 3.0, 4.0], learning_rate=[1.0, 1.0, 0.5, 0.5])
    row = replay.simulate([run], ["patience=1,reset_on=lr_drop,start=lr_warmup"]).iloc[0]
    assert row.stopped_eval == 4
    assert row.policy == "patience=1,reset_on=lr_drop,start=lr_warmup"
    assert row.spec == "patience=1,start=lr_warmup,reset_on=lr_drop"
    with pytest.raises(replay.ReplayError, match="needs learning_rate, which no run logs"):
        replay.simulate([_run(eval_loss=[1.0, 2.0])], ["patience=1,reset_on=lr_drop"])


def test_a_combination_cautions_as_its_parts_do_each_in_its_own_mode():
    plain = parse_policy("patience=3 | transformers:patience=3")
    assert plain.caution("eval_loss", "min") is None
    assert plain.caution("eval_wer", "min") == parse_policy("transformers:patience=3").caution(
        "eval_wer", "min"
    )
    assert "this simulates mode min" in plain.caution("eval_wer", "min")
    other = parse_policy("patience=3 | transformers:patience=3,monitor=eval_wer,mode=min")
    assert "eval_wer unless greater_is_better=False" in other.caution("eval_accuracy", "max")

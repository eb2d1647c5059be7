import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, PolicyError
from replay.report.sentences import sentences

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("spec", "values", "stop"),
    [
        # GL: 0, 0, 100 (0.84 / 0.8 - 1) = 5 (in float64 4.9999999999999822, not above 5), 6.25
        ("gl=5", [1.0, 0.8, 0.84, 0.85], 4),
        # 100 (1.5 / 1 - 1) = 50 exactly: strictly above is asked for
        ("gl=50", [1.0, 1.5], None),
        ("gl=49.9", [1.0, 1.5], 2),
        ("gl:alpha=25", [2.0, 1.0, 1.25, 1.5], 4),
        ("gl=0", [1.0, 1.0, 1.0, 1.0 + 1e-9], 4),  # alpha 0: the first eval above the lowest
        ("gl=5", [0.5] * 6, None),  # constant
        ("gl=5", [1.0], None),
        ("gl=5", [], None),
        ("gl=5", [NAN, NAN, 1.0, NAN, 2.0], 5),  # NaN is passed over
        ("gl=5", [INF, INF], None),  # no finite error to measure by
        ("gl=5", [1.0, INF], 2),
    ],
)
def test_generalization_loss(spec, values, stop):
    assert parse_policy(spec).stop_eval(values) == stop


@pytest.mark.parametrize(
    ("spec", "values", "train", "stop"),
    [
        # strips of 2. At eval 4: GL = 100 (1 / 0.8 - 1) = 25; P = 1000 (1.6 / (2 * 0.75) - 1) = 66.67; GL / P
        # = 0.375
        ("pq=0.37,strip=2", [1.0, 0.8, 0.9, 1.0], [1.0, 0.9, 0.85, 0.75], 4),
        ("pq=0.38,strip=2", [1.0, 0.8, 0.9, 1.0], [1.0, 0.9, 0.85, 0.75], None),
        # the same GL at eval 3 does not count: within a strip
        ("pq=0.37,strip=2", [1.0, 0.8, 1.0, 0.8], [1.0, 0.9, 0.85, 0.75], None),
        # a strip of one eval makes no progress: P = 0, so the first GL > 0 stops, and GL = 0 does not
        ("pq=3,k=1", [1.0, 1.0, 0.9, 0.91], [1.0, 0.9, 0.8, 0.7], 4),
        # constant train loss in the second strip
        ("pq=100,strip=2", [1.0, 0.8, 0.9, 0.81], [1.0, 0.9, 0.8, 0.8], 4),
        # a strip whose train loss is not known, or infinite, cannot stop; the next can
        ("pq=0.1,strip=2", [1.0, 0.8, 2.0, 2.0, 2.0, 2.0], [1, 0.9, NAN, 0.8, 0.8, 0.7], 6),
        ("pq=0.1,strip=2", [1.0, 0.8, 2.0, 2.0], [1, 0.9, INF, 0.8], None),
        ("pq=0.1,strip=2", [1.0, 0.8, 2.0, NAN], [1, 0.9, 0.8, 0.7], None),
        ("pq=0.1", [1.0, 2.0, 2.0, 2.0], [1, 0.9, 0.8, 0.7], None),  # the default strip is 5 evals
        ("pq=0.1", [1.0, 2.0, 2.0, 2.0, 2.0], [1, 0.9, 0.8, 0.7, 0.6], 5),
    ],
)
def test_progress_quotient(spec, values, train, stop):
    assert parse_policy(spec).stop_eval(values, columns={"train_loss": train}) == stop


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        ("up=1,strip=1", "min", [1.0, 0.9, 0.95], 3),
        ("up=1,strip=2", "min", [9, 1.0, 0, 0.9, 9, 0.95], 6),  # ends: 1.0, 0.9, 0.95
        ("up=2,strip=2", "min", [0, 1.0, 0, 1.1, 0, 1.05, 0, 1.2, 0, 1.3], 10),  # up, down, up, up
        ("up=2,strip=1", "min", [1.0, 1.1, 1.1, 1.2, 1.3], 5),  # a tie is not worse
        ("up=1,strip=1", "max", [0.5, 0.6, 0.55], 3),
        ("up=2,strip=1", "min", [-3.0, -2.0, -1.0], 3),  # any sign will do
        (
            "up=2,strip=1",
            "min",
            [1, 2, NAN, 3, 4, 5],
            6,
        ),  # 3 is not worse than NaN; 4 and 5 are worse in a row
        ("up=1,strip=1", "min", [1, INF], 2),
        ("up", "min", [1] * 5 + [2] * 5 + [3] * 4, None),
        ("up:s=2,k=5", "min", [1] * 5 + [2] * 5 + [3] * 5, 15),
        ("up=1,strip=1", "min", [1.0], None),
    ],
)
def test_successive_strips(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


@pytest.mark.parametrize("bad", [0.0, -0.25, -INF])
def test_errors_that_are_not_above_zero_are_refused_with_their_value(bad):
    with pytest.raises(
        PolicyError, match=rf"gl cannot judge this curve: it is {bad:g} at step 2, and .* errors > 0 only"
    ):
        parse_policy("gl").stop_eval([1.0, bad, 0.5])
    assert parse_policy("gl").decide([1.0]).stop is False
    with pytest.raises(PolicyError, match=f"{bad:g} at step 2"):
        parse_policy("gl").decide([1.0, bad])
    assert (
        parse_policy("gl=10").stop_eval([1.0, 2.0, bad]) == 2
    )  # stopped before it was logged: replay is what live would have done


def test_mode_max_is_refused():
    with pytest.raises(PolicyError, match="not for mode max"):
        parse_policy("gl").stop_eval([0.5, 0.6], mode="max")
    with pytest.raises(PolicyError, match="not for mode max"):
        parse_policy("pq:strip=2").stop_eval([0.5, 0.6], mode="max", columns={"train_loss": [1, 2]})


def test_train_losses_that_are_not_above_zero_are_refused():
    with pytest.raises(
        PolicyError, match=r"its train_loss is -1 at step 2, and progress is defined for losses > 0"
    ):
        parse_policy("pq:strip=2").stop_eval([0.5, 0.6], columns={"train_loss": [1, -1]})
    with pytest.raises(PolicyError, match="needs train_loss"):
        parse_policy("pq").stop_eval([0.5, 0.6])


@pytest.mark.parametrize(
    ("train", "positions"),
    [
        ([-1, 0.5, 0.25, 0.125], {1: "-1 at step 10"}),
        ([0.5, 0.5, 0, 0.125], {3: "0 at step 30"}),
        ([-1, 0.5, 0.25, -2], {1: "-1 at step 10", 3: "-2 at step 40"}),
        ([-1, -2, -3, -4], {1: "-2 at step 20", 3: "-4 at step 40"}),
    ],
)
def test_the_reason_where_pq_is_undefined_names_the_last_train_loss_that_is_not_above_zero(train, positions):
    policy = parse_policy("pq=0.5,strip=2")
    curve = Curve.of([0.9, 0.8, 0.7, 0.6], "min", [10, 20, 30, 40])
    trace = policy.trace(CurveBatch.of([curve], {"train_loss": [np.array(train, dtype=float)]}))
    said = {
        index: f"its train_loss is {where}, and progress is defined for losses > 0 only"
        for index, where in positions.items()
    }
    for index in range(4):
        reason = policy.reason(trace, 0, index)
        if index in said:
            assert reason == f"undefined: {said[index]}"
        else:
            assert reason.startswith(
                "generalization loss 0 by" if index % 2 else "within a strip (eval 1 of 2)"
            )
    assert policy.refusals(trace) == {0: said[min(said)]}


def test_the_reason_where_pq_is_undefined_names_the_first_error_that_is_not_above_zero():
    policy = parse_policy("pq=0.5,strip=2")
    curve = Curve.of([0.9, -0.5, -0.6, 0.6], "min", [10, 20, 30, 40])
    trace = policy.trace(CurveBatch.of([curve], {"train_loss": [np.array([-1.0, 0.5, 0.5, 0.5])]}))
    for index in (1, 3):  # at eval 2 the train loss is none, either
        assert policy.reason(trace, 0, index) == (
            "undefined: it is -0.5 at step 20, and generalization loss is defined for errors > 0 only"
        )


def _run(id, **columns):
    return replay.Run(id, {"step": [10, 20, 30], **columns})


def test_simulation_names_metric_run_and_value():
    good, bad = _run("good", eval_loss=[1.0, 0.8, 1.0]), _run("bad", eval_loss=[0.5, 0.2, -0.1])
    with pytest.raises(InputError, match=r"gl cannot judge eval_loss of bad: it is -0.1 at step 30"):
        simulate_policies([bad], ["gl"])
    both = simulate_policies([good, bad], ["gl"])
    assert [row["run"] for row in both.rows()] == ["good"]
    assert both.rows()[0]["reason"] == "25 % over the lowest, 0.8: above 5 %"
    assert sentences(both.findings) == [
        (
            "gl cannot judge eval_loss of bad: it is -0.1 at step 30, and generalization loss is defined for"
            " errors > 0 only; the policy is skipped there"
        )
    ]
    with pytest.raises(InputError, match=r"gl cannot judge eval_accuracy of r: .* mode max"):
        simulate_policies(
            [_run("r", eval_accuracy=[0.1, 0.2, 0.3])], ["gl"], Question(monitor="eval_accuracy")
        )
    with pytest.raises(InputError, match="pq needs train_loss, which no run logs"):
        simulate_policies([good], ["pq"])


def test_a_train_loss_that_begins_after_the_first_eval_is_a_companion():
    run = _run("r", eval_loss=[1.0, 0.8, 1.0], train_loss=[None, 0.9, 0.8])
    assert [row["stopped_eval"] for row in simulate_policies([run], ["pq=0.1,strip=1"]).rows()] == [3]


def test_refusals_pass_through_modifiers_and_combinators():
    for spec in ("gl:smooth=mean:1", "gl:every=2", "gl | patience=9", "gl & patience=1"):
        with pytest.raises(PolicyError, match=r"-1 at step 2, and generalization loss"):
            parse_policy(spec).stop_eval([1.0, -1.0, 0.5, 0.5])
    # the other part decides first: the undefined one does not matter
    assert parse_policy("gl | patience=1").stop_eval([1.0, 1.0, -1.0]) == 2
    assert parse_policy("gl & patience=9").stop_eval([1.0, -1.0, 0.5]) is None


def test_reasons_tell_the_story():
    gl = parse_policy("gl=5").decide
    assert gl([1.0]).reason == "0 % over the lowest, 1: not above 5 %"
    assert gl([1.0, NAN]).reason == "NaN: passed over"
    assert gl([1.0, INF]) == (2, True, "inf is not finite")
    pq = parse_policy("pq=0.3,strip=2").decide
    assert pq([1.0], columns={"train_loss": [1]}).reason == "within a strip (eval 1 of 2)"
    told = pq([0.8, 1.0], columns={"train_loss": [0.85, 0.75]})
    assert told == (2, True, "generalization loss 25 by progress 66.667 is 0.375: above 0.3")
    up = parse_policy("up=1,strip=1").decide
    assert up([1.0]).reason == "the first strip: none before it"
    assert up([1.0, 2.0]) == (2, True, "2 is worse than 1, the strip before: 1 of 1 in a row")
    assert up([1.0, 0.5]).reason == "0.5 is not worse than 1, the strip before"

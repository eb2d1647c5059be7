import math

import pytest

import replay
from replay import parse_policy
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, PolicyError

NAN, INF = math.nan, math.inf
FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    ("spec", "mode", "values", "train", "stop"),
    [
        # slopes of the metric over 3 evals are half the difference of the ends: -0.15, 0, 0.1, 0.1
        ("gap:patience=1,window=3", "min", [1.0, 0.8, 0.7, 0.8, 0.9, 1.0], FALLING, 5),
        ("gap:patience=2,window=3", "min", [1.0, 0.8, 0.7, 0.8, 0.9, 1.0], FALLING, 6),
        ("gap:patience=3,window=3", "min", [1.0, 0.8, 0.7, 0.8, 0.9, 1.0], FALLING, None),
        ("gap:patience=1,window=3", "max", [0.0, 0.2, 0.3, 0.2, 0.1, 0.0], FALLING, 5),
        ("gap:patience=1,window=3", "max", [0.0, 0.1, 0.2, 0.3], FALLING, None),
        # the train loss does not fall: it rises, or is constant
        ("gap:patience=1,window=3", "min", [1.0, 1.1, 1.2, 1.3], FALLING[::-1], None),
        ("gap:patience=1,window=3", "min", [1.0, 1.1, 1.2, 1.3], [0.1] * 4, None),
        ("gap:patience=1,window=3", "min", [0.1] * 4, FALLING, None),  # a constant metric is not worse
        # windows widen, not, widen, widen: the count begins anew
        ("gap:patience=2,window=3", "min", [1.0, 1.0, 1.1, 0.9, 1.2, 1.3], FALLING, 6),
        # by least squares over 4 evals: 3 (1.4 - 1) + (0 - 1) > 0 though the last difference is what does it
        ("gap:patience=1,window=4", "min", [1.0, 1.0, 0.0, 1.4], FALLING, 4),
        ("gap:patience=1,window=4", "min", [1.0, 1.0, 0.0, 1.3], FALLING, None),
        # where one of the two is not finite, neither counts: three evals are needed
        ("gap:patience=1,window=4", "min", [1.0, NAN, 1.2, 1.3], FALLING, 4),
        ("gap:patience=1,window=4", "min", [1.0, 1.1, INF, 1.3], [1.0, 0.9, 0.8, 0.7], 4),
        ("gap:patience=1,window=4", "min", [1.0, NAN, 1.2, 1.3], [1.0, 0.9, INF, 0.7], None),
        ("gap:patience=1,window=3", "min", [-3.0, -2.0, -1.0], [-1.0, -2.0, -3.0], 3),  # any sign
        ("gap", "min", [1.0], FALLING, None),
        ("gap", "min", [], FALLING, None),
        ("gap", "min", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], FALLING, 7),  # window 5 and patience 3
    ],
)
def test_gap(spec, mode, values, train, stop):
    assert (
        parse_policy(spec).stop_eval(values, mode=mode, columns={"train_loss": train[: len(values)]}) == stop
    )


@pytest.mark.parametrize(
    ("spec", "along", "stop"),
    [
        # it does not widen at eval 4 (step 40), and does at evals 5 and 6, 60 and 70 steps after it
        ("gap:patience=60,window=3,unit=steps", {}, 5),
        ("gap:patience=61,window=3,unit=steps", {}, 6),
        ("gap:patience=71,window=3,unit=steps", {}, None),
        ("gap:patience=0.5,window=3,unit=epochs", {"epoch": [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]}, 6),
        ("gap:patience=1e6,window=3,unit=tokens", {"tokens": [1e6, 2e6, 3e6, 4e6, 5e6, 6e6]}, 5),
    ],
)
def test_gap_in_steps_epochs_and_tokens(spec, along, stop):
    policy = parse_policy(spec)
    values, steps = [1.0, 0.8, 0.7, 0.8, 0.9, 1.0], [10, 20, 30, 40, 100, 110]
    assert policy.stop_eval(values, steps=steps, columns={"train_loss": FALLING[:6], **along}) == stop
    assert [companion.name for companion in policy.companions] == ["train_loss", *along]
    assert parse_policy(policy.spec()) == policy


def test_the_train_loss_is_asked_for_by_name():
    with pytest.raises(PolicyError, match="gap needs train_loss"):
        parse_policy("gap").stop_eval([1.0])
    run = replay.Run("r", {"step": [1, 2, 3], "eval_loss": [1.0, 1.1, 1.2]})
    with pytest.raises(InputError, match="gap needs train_loss, which no run logs"):
        simulate_policies([run], ["gap"])


def test_reasons_tell_both_trends():
    decide = parse_policy("gap:patience=2,window=3").decide

    def told(*values):
        return decide(list(values), columns={"train_loss": FALLING[: len(values)]})

    assert told(1.0).reason == "no trend yet"
    assert told(1.0, 0.5, 0.5).reason == "the gap does not widen: train loss -0.1 and metric -0.25 per eval"
    assert (
        told(1.0, 1.5, 1.5).reason
        == "the gap widens, train loss -0.1 and metric 0.25 per eval: 1 of 2 in a row"
    )
    assert told(1.0, 1.5, 1.5, 2.0).stop
    assert told(1.0, NAN, 1.5).reason == "no trend: too few values"
    decide = parse_policy("gap:patience=5,window=3,unit=steps").decide
    told_in_steps = decide([1.0, 1.5, 1.5], steps=[10, 20, 25], columns={"train_loss": FALLING[:3]})
    assert told_in_steps == (
        3,
        True,
        "the gap widens, train loss -0.1 and metric 0.25 per eval: 5 of 5 steps in a row",
    )

import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies.companions import ComputeUsed

FLAT = [1.0] * 5


def test_budget_in_steps_and_evals():
    assert parse_policy("budget=250").stop_eval(FLAT, steps=[100, 200, 300, 400, 500]) == 3
    assert parse_policy("budget=300").stop_eval(FLAT, steps=[100, 200, 300, 400, 500]) == 3
    assert parse_policy("budget=4,unit=evals").stop_eval(FLAT) == 4
    assert parse_policy("budget=501").stop_eval(FLAT, steps=[100, 200, 300, 400, 500]) is None


def test_budget_in_other_units_needs_them():
    policy = parse_policy("budget=10,unit=tokens")
    assert policy.companions == (ComputeUsed("tokens"),)
    assert policy.stop_eval(FLAT, columns={"used:tokens": [4, 8, 12, 16, 20]}) == 3
    with pytest.raises(PolicyError, match="needs used:tokens"):
        policy.stop_eval(FLAT)


def test_one_epoch():
    assert parse_policy("one-epoch").stop_eval(FLAT, columns={"epoch": [0.4, 0.8, 1.2, 1.6, 2.0]}) == 3


def test_the_end_of_an_epoch_may_be_short_of_a_whole_number():
    """Where a tool drops the last batch or accumulates gradients."""

    def stop(epochs, budget=1):
        return parse_policy(f"one-epoch:epochs={budget}").stop_eval(
            [1.0] * len(epochs), columns={"epoch": epochs}
        )

    assert stop([0.99, 2.0, 2.98, 4.0, 4.98]) == 1
    assert stop([0.99, 2.0, 2.98, 4.0, 4.98], 3) == 3
    assert stop([0.94, 1.88]) == 2
    assert stop([0.2, 0.4, 0.6, 0.8, 0.985, 1.18]) == 5
    assert stop([0.9, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02]) == 6

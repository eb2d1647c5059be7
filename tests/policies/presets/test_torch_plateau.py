"""The preset against the real ReduceLROnPlateau of torch."""

import pytest

from replay import parse_policy
from replay.policies.presets.torch_plateau import TorchPlateau

from .sequences import FIELDS, NAN, check, known

torch = pytest.importorskip("torch")


def real_stop(rule, values, mode):
    """1-based eval at which torch first lowers the learning rate, and its best then."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, 0.1, rule.patience, rule.threshold, rule.threshold_mode
    )
    for number, value in enumerate(values, 1):
        scheduler.step(value)
        if optimizer.param_groups[0]["lr"] < 1:
            return number, scheduler.best
    return None, scheduler.best


def test_agrees_with_the_real_scheduler_on_random_sequences():
    def policy(number, case):
        return TorchPlateau(case.patience, case.delta, case.rng.choice(["rel", "abs"]))

    check(real_stop, policy, 10, best=True, deltas=[0.0, 0.05, 0.1, 0.25, 1.0, 1.5, 1e-9, 1e-4, -0.1])


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=6,
        zero_patience=5,
        slow_drip=None,
        flat=5,
        nan_first=None,
        nan_after_first=5,
        exact_delta_decimal=5,
        below_float32=None,
        exact_delta_binary=None,
        max_zero_start=5,
        one_patience=8,
        slow_climb_max=None,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = TorchPlateau(patience, delta, "abs")
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_a_relative_threshold_turns_round_below_zero():
    rule = TorchPlateau(0, 0.1)
    assert rule.stop_eval([-1.0, -0.95], "min") is None
    assert real_stop(rule, [-1.0, -0.95], "min")[0] is None


def test_reasons():
    decide = parse_policy("torch-plateau:patience=1,threshold=0.1").decide
    assert decide([1.0, 0.95]).reason == "no gain > 0.1 of the best (1 of 2)"
    assert decide([1.0, 0.95, NAN]) == (3, True, "no gain > 0.1 of the best over 1, 2 evals in a row")

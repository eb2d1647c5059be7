"""The preset against the real EarlyStopping of Lightning."""

import pytest

from replay import parse_policy
from replay.policies.presets.lightning import Lightning

from .sequences import FIELDS, NAN, check, known

torch = pytest.importorskip("torch")
callbacks = pytest.importorskip("lightning.pytorch.callbacks")


def real_stop(rule, values, mode):
    """1-based eval at which Lightning asks to stop, and its best then."""
    callback = callbacks.EarlyStopping(
        "x",
        rule.min_delta,
        rule.patience,
        mode=mode,
        check_finite=rule.check_finite,
        stopping_threshold=rule.stopping_threshold,
        divergence_threshold=rule.divergence_threshold,
    )
    for number, value in enumerate(values, 1):
        stop, _ = callback._evaluate_stopping_criteria(torch.tensor(value, dtype=torch.float32))
        if stop:
            return number, float(callback.best_score)
    return None, float(callback.best_score)


def test_agrees_with_the_real_callback_on_random_sequences():
    def policy(number, case):
        low, high = (case.rng.choice([None, None, bound, bound + 1e-9]) for bound in (0.1, 0.9))
        stopping, divergence = (low, high) if case.mode == "min" else (high, low)
        return Lightning(case.patience, case.delta, case.rng.random() < 0.3, stopping, divergence)

    check(real_stop, policy, 2, best=True, deltas=[0.0, 0.0, 0.05, 0.1, 0.25, 1e-9, -0.1])


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        zero_patience=5,
        slow_drip=None,
        flat=4,
        nan_first=1,
        nan_after_first=2,
        exact_delta_decimal=3,
        below_float32=3,
        exact_delta_binary=None,
        max_zero_start=4,
        one_patience=5,
        slow_climb_max=None,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = Lightning(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


@pytest.mark.parametrize(FIELDS, known(nan_first=None, nan_after_first=4))
def test_known_stops_without_the_check_for_nan(name, values, patience, delta, mode, stop):
    rule = Lightning(patience, delta, check_finite=False)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_reasons():
    decide = parse_policy("lightning:patience=2,stopping_threshold=0.1,divergence_threshold=5").decide
    assert decide([NAN]).reason == "nan is not finite: stop at once"
    assert decide([1e300]).reason == "1e+300 is not finite in float32: stop at once"
    assert decide([0.05]).reason == "0.05 better than stopping_threshold 0.1: stop at once"
    assert decide([6.0]).reason == "6 worse than divergence_threshold 5: stop at once"
    assert decide([1.0, 1.0]).reason == "no gain (1 of 2)"
    assert decide([1.0, 1.0, 1.0]) == (3, True, "no gain over 1, 2 evals in a row")

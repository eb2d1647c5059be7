"""The preset against the real EarlyStopping of Keras, with its torch backend."""

import warnings

import pytest

from replay import parse_policy
from replay.policies.presets.keras import Keras

from .sequences import FIELDS, NAN, check, known

pytest.importorskip("torch")
keras = pytest.importorskip("keras")


def real_stop(rule, values, mode):
    """1-based eval at which Keras asks to stop, and its best then."""
    callback = keras.callbacks.EarlyStopping(
        "val_x",
        rule.min_delta,
        rule.patience,
        mode=mode,
        baseline=rule.baseline,
        start_from_epoch=rule.start_from_epoch,
    )
    callback._model = type("Model", (), {"stop_training": False})()
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_x": value})
        if callback.model.stop_training:
            return epoch + 1, callback.best
    return None, callback.best


def test_agrees_with_the_real_callback_on_random_sequences():
    def policy(number, case):
        baseline = case.rng.choice([None, None, 0.0, 0.3, 0.5, 0.9, 0.30000001])
        return Keras(case.patience, case.delta, baseline, case.rng.choice([0, 0, 1, 3]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(real_stop, policy, 1, best=True, deltas=[0.0, 0.0, 0.05, 0.1, 0.25, 1e-9, -0.1])


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        zero_patience=5,
        slow_drip=None,
        flat=4,
        nan_first=4,
        nan_after_first=4,
        exact_delta_decimal=3,
        below_float32=3,
        exact_delta_binary=None,
        max_zero_start=4,
        one_patience=5,
        slow_climb_max=None,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = Keras(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_reasons():
    decide = parse_policy("keras:patience=2,baseline=0.5,min_delta=0.01").decide
    assert decide([1.0]).reason == "first eval, but not on the baseline 0.5: the wait goes on, no stop here"
    assert (
        decide([1.0, 0.9, 0.8]).reason
        == "an improvement, but not on the baseline 0.5: the wait goes on, no stop here"
    )
    assert decide([1.0, 0.9, 0.8, 0.85]) == (4, True, "no gain > 0.01 over 0.8, 4 evals in a row")
    assert decide([1.0, 0.4]).reason == "better by 0.6"
    assert (
        parse_policy("keras:start_from_epoch=2").decide([1.0]).reason == "not looked at (start_from_epoch=2)"
    )
    assert parse_policy("keras:patience=3").decide([1.0, NAN]).reason == "NaN: no gain (1 of 3)"

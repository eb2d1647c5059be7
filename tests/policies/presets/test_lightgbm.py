"""The preset against the real early_stopping callback of LightGBM."""

import pytest

from replay import parse_policy
from replay.policies.presets.lightgbm import LightGBM

from .sequences import FIELDS, NAN, check, known

lightgbm = pytest.importorskip("lightgbm", minversion="4.7")


def real_stop(rule, values, mode):
    """1-based iteration at which LightGBM's callback stops, before the last one, where it always does, and
    its best then."""
    callback = lightgbm.callback.early_stopping(rule.stopping_rounds, verbose=False, min_delta=rule.min_delta)
    for iteration, value in enumerate(values):
        result = lightgbm.EvalResult("valid", "x", value, mode == "max")
        env = lightgbm.callback.CallbackEnv(
            model=None,
            params={},
            iteration=iteration,
            begin_iteration=0,
            end_iteration=10_000,
            evaluation_result_list=[result],
        )
        try:
            callback(env)
        except lightgbm.callback.EarlyStopException:
            return iteration + 1, callback.best_score[0]
    return None, callback.best_score[0] if callback.best_score else None


def test_agrees_with_the_real_callback_on_random_sequences():
    check(real_stop, lambda number, case: LightGBM(case.patience, case.delta), 6, best=True, least=1)


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        zero_patience=None,
        slow_drip=None,
        flat=4,
        nan_first=4,
        nan_after_first=4,
        exact_delta_decimal=4,
        below_float32=None,
        exact_delta_binary=None,
        max_zero_start=4,
        one_patience=5,
        slow_climb_max=None,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = LightGBM(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_reasons():
    assert (
        parse_policy("lightgbm:stopping_rounds=0").decide([1.0]).reason
        == "stopping_rounds=0 switches early stopping off"
    )
    decide = parse_policy("lightgbm:patience=2").decide
    assert decide([1.0, NAN]).reason == "NaN: no gain (1 of 2)"
    assert decide([1.0, 0.5]).reason == "better by 0.5"

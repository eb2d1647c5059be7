"""The preset against the real EarlyStopping callback of XGBoost."""

from types import SimpleNamespace

import pytest

from replay import parse_policy
from replay.policies.presets.xgboost import XGBoost

from .sequences import FIELDS, NAN, check, known

callback = pytest.importorskip("xgboost.callback")


def real_stop(rule, values, mode):
    """1-based round at which XGBoost's callback stops, and its best then; it only writes to the booster, so a
    stand-in will do."""
    model = SimpleNamespace(num_boosted_rounds=lambda: 0, set_attr=lambda **_: None)
    real = callback.EarlyStopping(rounds=rule.rounds, min_delta=rule.min_delta, maximize=mode == "max")
    real.before_training(model)
    log = {"valid": {"x": []}}
    for epoch, value in enumerate(values):
        log["valid"]["x"].append(value)
        if real.after_iteration(model, epoch, log):
            return epoch + 1, real.best_scores["valid"]["x"][-1]
    return None, real.best_scores["valid"]["x"][-1]


def test_agrees_with_the_real_callback_on_random_sequences():
    check(real_stop, lambda number, case: XGBoost(case.patience, case.delta), 5, best=True)


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        zero_patience=1,
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
    rule = XGBoost(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_reasons():
    decide = parse_policy("xgboost:early_stopping_rounds=2,min_delta=0.1").decide
    assert decide([NAN, 1.0, 1.0]) == (3, True, "no gain > 0.1 so far, 2 evals in a row")
    assert decide([1.0, 0.95]).reason == "no gain > 0.1 (1 of 2)"
    assert parse_policy("xgboost:rounds=0").decide([1.0]) == (
        1,
        True,
        "first eval: nothing to compare, and a patience of 0 is used up at once",
    )

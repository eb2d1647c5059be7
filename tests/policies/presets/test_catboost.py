"""The preset against CatBoost's detector: stops that it gave, and where it is installed trainings with a scripted metric."""

import math
import warnings

import numpy as np
import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies.presets.catboost import CatBoost

from .sequences import NAN, POOL, check

# od_type, od_wait, od_pval, values, mode, and the round at which CatBoost 1.2.10 stopped
RECORDED = [
    ("IncToDec", 3, 1, [0.8, 0.6, 0.9, 0.3, 0.6, 0.4, 0.3, 0.5, 0.1, 0.4], "max", 6),
    ("IncToDec", 2, 0.1, [0.9, 0.2, 0.8, 1.0, 0.8, 0.8, 0.5], "min", None),
    ("Iter", 2, 0, [0.5, 0.7, 0.3, 0.9, 0.4, 0.4, 0.3], "min", 5),
    ("IncToDec", 4, 1e-06, [-0.1, 0.9, 0.5, 0.8, 0.7, 0.1, 0.1, 0.2], "min", None),
    ("IncToDec", 3, 0.1, [0.4, 0.3, 0.3, 0.5, 0.5, 1.2, 0.8, 0.4, 0.2], "min", 6),
    ("IncToDec", 3, 0.9, [0.7, 0.0, 0.6, -0.0, -0.0, 0.7], "max", 4),
    ("IncToDec", 3, 0.1, [0.7, 0.5, 0.8, 0.1, 0.2, 0.3, 0.7, -0.3, 0.8, 0.6], "max", None),
    ("IncToDec", 2, 0.1, [0.8, 0.9, 0.7, 0.3, 1.0, 0.2, 0.2, 0.4, 0.8, 0.5], "max", 4),
    ("Iter", 1, 0, [0.4, 0.4, 0.7, 0.4, 0.4, 0.9, 0.4, 0.6, 0.2, 0.7], "max", 2),
    ("Iter", 4, 0, [1.3, 0.3, 0.6, 0.6, 0.3, -0.6, 0.8], "min", None),
    ("IncToDec", 4, 1, [0.3, 0.5, 0.4, 0.6, -0.1, 1.1, 0.9, 0.4], "min", None),
    ("Iter", 3, 0, [0.1, 0.5, 0.2, 0.4, 1.0, 0.7], "max", None),
    ("IncToDec", 1, 0.1, [0.4, 0.3, -0.0, 0.5, 0.4, 0.3, 0.9, 0.4, 0.5, 0.5], "max", 2),
    ("IncToDec", 3, 0.1, [0.4, 0.8, 0.4, 0.3, 0.5, 0.8, 0.8, 0.4, 0.7], "max", None),
    ("IncToDec", 3, 0.9, [0.4, 0.3, 0.5, 0.9, -0.1, 0.0, 0.6], "max", 7),
    ("IncToDec", 2, 0.9, [0.3, 0.2, 0.1, 0.1, 0.2, 0.1, 0.7, 0.5, 0.1, 0.7], "max", 3),
    ("IncToDec", 2, 1, [1.3, 0.4, 0.8, 1.0, 1.1, 1.0], "min", 4),
    ("IncToDec", 2, 1e-06, [0.2, 0.6, 0.2, 0.2, 0.5, 1.1, 0.8, 0.5, 0.4], "max", None),
    ("Iter", 3, 0, [0.8, 0.4, 0.4, 0.2, 0.4, -0.2, 0.1, 0.6, 0.2, 0.7], "min", 9),
    ("Iter", 4, 0, [0.1, 0.2, 0.3, 1.3, 0.3, 0.3, 0.3], "max", None),
    ("Iter", 2, 0, [0.0, -1000000000000.0, 0.0, 0.0, 0.0], "max", None),
    ("Iter", 2, 0, [0.0, -1000.0, 0.0, 0.0, 0.0], "max", 3),
]  # fmt: skip


class Scripted:
    """A metric whose value on the eval set (three rows) is the next of a list."""

    def __init__(self, values, mode):
        self.values, self.mode = iter(values), mode

    def is_max_optimal(self):
        return self.mode == "max"

    def evaluate(self, approxes, target, weight):
        return (next(self.values) if len(target) == 3 else 0.0), 1.0

    def get_final_error(self, error, weight):
        return error


X, Y = np.array([[0.0], [1.0], [0.2], [0.8]]), np.array([0.0, 1.0, 0.0, 1.0])


def real_stop(rule, values, mode):
    """1-based round at which a CatBoost training stops, with one more round to come than there are values."""
    catboost = pytest.importorskip("catboost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = catboost.CatBoostRegressor(
            iterations=len(values) + 1, eval_metric=Scripted([*values, 0.0], mode), od_type=rule.od_type, od_wait=rule.od_wait,
            od_pval=rule.od_pval if rule.od_type == "IncToDec" else None, logging_level="Silent", depth=1, thread_count=1,
            allow_writing_files=False, use_best_model=False, boost_from_average=False, metric_period=1,
        )  # fmt: skip
        model.fit(X, Y, eval_set=(X[:3], Y[:3]))
    return model.tree_count_ if model.tree_count_ <= len(values) else None


@pytest.mark.parametrize(("od_type", "od_wait", "od_pval", "values", "mode", "stop"), RECORDED)
def test_recorded_stops(od_type, od_wait, od_pval, values, mode, stop):
    assert CatBoost(od_type, od_wait, od_pval).stop_eval(values, mode) == stop


def test_agrees_with_real_trainings_on_random_sequences():
    pytest.importorskip("catboost")

    def policy(number, case):
        if case.rng.random() < 0.4:
            return CatBoost("Iter", case.patience)
        return CatBoost("IncToDec", case.patience, case.rng.choice([0.0, 1e-6, 0.01, 0.1, 0.5, 0.9, 1.0, 1.1]))

    finite = [value for value in POOL if math.isfinite(value)] + [1e6, -1e6, 1e12]
    check(real_stop, policy, 11, 2_000, least=1, pool=finite)


def test_what_both_refuse():
    with pytest.raises(PolicyError, match="refuses it with Iter"):
        parse_policy("catboost:od_type=Iter,od_pval=0.1")
    with pytest.raises(PolicyError, match="od_wait must be at least 1"):
        parse_policy("catboost:od_wait=0")


def test_reasons():
    assert parse_policy("catboost").decide([1.0]).reason == "od_pval=0 switches the detector off"
    decide = parse_policy("catboost:od_type=Iter,od_wait=2").decide
    assert decide([1.0]).reason == "first eval: nothing to compare"
    assert decide([1.0, 0.5]).reason == "better by 0.5"
    assert decide([1.0, 1.5]).reason == "no gain over 1, no stop yet"
    assert decide([1.0, 1.5, 1.5]) == (3, True, "no gain over 1 for 2 evals or more")
    assert decide([1.0, 1.5, NAN]).reason == "NaN: no gain, and no stop"

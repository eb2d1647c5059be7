"""The preset against CatBoost's detector: stops that it gave, and where it is installed trainings with a
scripted metric."""

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
]


class Scripted:
    """A metric whose value on the eval set (three rows) is the next of a list."""

    def __init__(self, values, mode):
        self.values, self.mode = iter(values), mode

    def is_max_optimal(self):
        return self.mode == "max"

    def evaluate(self, approxes, target, weight):
        return (next(self.values) if len(target) == 3 else 0.0), 1.0

    def get_final_error(self, error, weight):
        self.final = (
            error  # a method without self in it is compiled where numba is installed, at each training
        )
        return error


X, Y = np.array([[0.0], [1.0], [0.2], [0.8]]), np.array([0.0, 1.0, 0.0, 1.0])


def real_stop(rule, values, mode):
    """1-based round at which a CatBoost training stops, with one more round to come than there are values,
    and its best then."""
    catboost = pytest.importorskip("catboost")
    worst = 1e300 if mode == "min" else -1e300  # the round after the values: no best of theirs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = catboost.CatBoostRegressor(
            iterations=len(values) + 1,
            eval_metric=Scripted([*values, worst], mode),
            od_wait=rule.od_wait,
            od_pval=rule.od_pval,
            od_type=None if rule.od_type == "auto" else rule.od_type,
            logging_level="Silent",
            depth=1,
            thread_count=1,
            allow_writing_files=False,
            use_best_model=False,
            boost_from_average=False,
            metric_period=1,
        )
        model.fit(X, Y, eval_set=(X[:3], Y[:3]))
    best = model.best_score_["validation"]["Scripted"]
    assert model.best_iteration_ == values.index(best)  # the first of equal values
    return (model.tree_count_ if model.tree_count_ <= len(values) else None), best


@pytest.mark.parametrize(("od_type", "od_wait", "od_pval", "values", "mode", "stop"), RECORDED)
def test_recorded_stops(od_type, od_wait, od_pval, values, mode, stop):
    assert CatBoost(od_type, od_wait, od_pval).stop_eval(values, mode) == stop


def test_agrees_with_real_trainings_on_random_sequences():
    pytest.importorskip("catboost")

    def policy(number, case):
        if case.rng.random() < 0.4:
            return CatBoost(case.rng.choice(["auto", "Iter"]), case.patience)
        chance = case.rng.choice([0.0, 1e-6, 0.01, 0.1, 0.5, 0.9, 1.0, 1.1])
        return CatBoost(case.rng.choice(["auto", "IncToDec"]), case.patience, chance)

    finite = [value for value in POOL if math.isfinite(value)] + [1e6, -1e6, 1e12]
    check(real_stop, policy, 11, 2_000, best=True, least=1, pool=finite)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"od_wait": 3}, CatBoost("Iter", 3)),
        ({"early_stopping_rounds": 3}, CatBoost("Iter", 3)),
        ({"od_type": "Iter"}, CatBoost("Iter", 20)),
        ({"od_type": "IncToDec", "od_wait": 3}, CatBoost("IncToDec", 3, 0.0)),
        ({"od_wait": 3, "od_pval": 0}, CatBoost("IncToDec", 3, 0.0)),
        ({"od_pval": 0.5}, CatBoost("IncToDec", 20, 0.5)),
        ({"od_wait": 3, "od_pval": 0.5}, CatBoost("IncToDec", 3, 0.5)),
    ],
)
def test_the_detector_that_catboost_chooses(given, chosen):
    values = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.1, 1.2, *([1.3] * 20)]
    rule = parse_policy("catboost:" + ",".join(f"{name}={value}" for name, value in given.items()))
    stop = rule.stop_eval(values)
    assert stop == chosen.stop_eval(values)
    catboost = pytest.importorskip("catboost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = catboost.CatBoostRegressor(
            iterations=len(values),
            eval_metric=Scripted(values, "min"),
            logging_level="Silent",
            depth=1,
            thread_count=1,
            allow_writing_files=False,
            use_best_model=False,
            boost_from_average=False,
            metric_period=1,
            **given,
        )
        model.fit(X, Y, eval_set=(X[:3], Y[:3]))
    used = model.get_all_params()
    assert (used["od_type"], used["od_wait"], used["od_pval"]) == (
        chosen.od_type,
        chosen.od_wait,
        chosen.od_pval or 0,
    )
    assert model.tree_count_ == (stop or len(values))


def test_what_both_refuse():
    with pytest.raises(PolicyError, match="refuses it with Iter"):
        parse_policy("catboost:od_type=Iter,od_pval=0.1")
    with pytest.raises(PolicyError, match="od_wait must be at least 1"):
        parse_policy("catboost:od_wait=0")
    with pytest.raises(PolicyError, match="od_pval must be at least 0"):
        parse_policy("catboost:od_pval=-1")


def test_reasons():
    assert parse_policy("catboost:od_pval=0").decide([1.0]).reason == "od_pval=0 switches the detector off"
    assert (
        parse_policy("catboost:od_type=IncToDec").decide([1.0]).reason
        == "od_pval=0 switches the detector off"
    )
    assert (
        parse_policy("catboost:od_wait=1,od_pval=1.1").decide([1.0, 2.0]).reason
        == "no gain over 1 for 1 evals or more, with p < 1.1"
    )
    decide = parse_policy("catboost:od_type=Iter,od_wait=2").decide
    assert decide([1.0]).reason == "first eval: nothing to compare"
    assert decide([1.0, 0.5]).reason == "better by 0.5"
    assert decide([1.0, 1.5]).reason == "no gain over 1, no stop yet"
    assert decide([1.0, 1.5, 1.5]) == (3, True, "no gain over 1 for 2 evals or more")
    assert decide([1.0, 1.5, NAN]).reason == "NaN: no gain, and no stop"

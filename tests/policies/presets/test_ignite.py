"""The preset against the real EarlyStopping of pytorch-ignite."""

import logging

import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies.presets.ignite import Ignite

from .sequences import FIELDS, NAN, check, known

engine = pytest.importorskip("ignite.engine")
handlers = pytest.importorskip("ignite.handlers")
TRAINER = engine.Engine(lambda *_: None)


def real_stop(rule, values, mode):
    """1-based eval at which Ignite terminates its trainer, and its best then."""
    TRAINER.should_terminate = False
    scores = iter(values)
    handler = handlers.EarlyStopping(
        rule.patience,
        lambda _: next(scores),
        TRAINER,
        rule.threshold,
        rule.cumulative,
        rule.threshold_mode,
        mode,
    )
    handler.logger.setLevel(logging.ERROR)
    for number in range(1, len(values) + 1):
        handler(TRAINER)
        if TRAINER.should_terminate:
            return number, handler.best_score
    return None, handler.best_score


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


def test_agrees_with_the_real_handler_on_random_sequences():
    def policy(number, case):
        return Ignite(case.patience, case.delta, case.rng.random() < 0.5, case.rng.choice(["abs", "rel"]))

    check(real_stop, policy, 3, best=True, least=1)


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        slow_drip=3,
        flat=4,
        nan_first=None,
        nan_after_first=None,
        exact_delta_decimal=4,
        below_float32=None,
        exact_delta_binary=3,
        max_zero_start=4,
        one_patience=5,
        slow_climb_max=3,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = Ignite(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


@pytest.mark.parametrize(
    FIELDS, known(slow_drip=None, exact_delta_decimal=4, exact_delta_binary=None, slow_climb_max=None)
)
def test_known_stops_with_cumulative(name, values, patience, delta, mode, stop):
    rule = Ignite(patience, delta, cumulative=True)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_a_relative_threshold_turns_round_below_zero():
    rule = Ignite(1, 0.1, threshold_mode="rel")
    assert rule.stop_eval([-1.0, -1.05], "max") is None
    assert real_stop(rule, [-1.0, -1.05], "max")[0] is None


def test_patience_0_is_refused_by_both():
    with pytest.raises(PolicyError, match="Ignite raises a ValueError"):
        parse_policy("ignite:patience=0")
    with pytest.raises(ValueError, match="positive"):
        handlers.EarlyStopping(0, lambda _: 0.0, TRAINER)


def test_reasons():
    decide = parse_policy("ignite:patience=2,min_delta=0.01").decide
    assert decide([1.0]).reason == "first eval: nothing to compare"
    assert decide([1.0, NAN]).reason == "NaN counts as an improvement"
    assert decide([1.0, NAN, 2.0]).reason == "2 counts as an improvement"
    assert decide([1.0, 1.0, 1.0]) == (3, True, "no gain > 0.01 over 1, 2 evals in a row")

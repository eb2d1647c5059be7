"""The preset against the real PatientPruner of Optuna."""

import warnings
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.policies.presets.optuna import OptunaPatient

from .sequences import FIELDS, NAN, check, known

optuna = pytest.importorskip("optuna")


class Spy:
    """numpy for the pruner's module; keeps what its minima and maxima were."""

    asarray = staticmethod(np.asarray)

    def __init__(self):
        self.found = []

    def nanmin(self, values):
        self.found.append(np.nanmin(values))
        return self.found[-1]

    def nanmax(self, values):
        self.found.append(np.nanmax(values))
        return self.found[-1]


def real_stop(rule, values, mode):
    """1-based eval at which Optuna prunes a trial, and the best before the window at each eval up to there.

    The pruner holds no best: it takes both sides' anew at each eval, that of the values before the window
    first."""
    directions = optuna.study.StudyDirection
    compared = []
    study = SimpleNamespace(direction=directions.MINIMIZE if mode == "min" else directions.MAXIMIZE)
    pruner = optuna.pruners.PatientPruner(None, rule.patience, rule.min_delta)
    for number in range(1, len(values) + 1):
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, intermediate_values=dict(enumerate(values[:number]))
        )
        with mock.patch.object(optuna.pruners._patient, "np", Spy()) as spy:
            prunes = pruner.prune(study, trial)
        compared.append(spy.found[0] if spy.found else NAN)
        if prunes:
            return number, compared
    return None, compared


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_agrees_with_the_real_pruner_on_random_sequences():
    check(real_stop, lambda number, case: OptunaPatient(case.patience, case.delta), 4, each=True)


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=6,
        zero_patience=5,
        slow_drip=None,
        flat=None,
        nan_first=None,
        nan_after_first=None,
        exact_delta_decimal=None,
        below_float32=None,
        exact_delta_binary=None,
        max_zero_start=None,
        one_patience=8,
        slow_climb_max=None,
    ),
)
def test_known_stops(name, values, patience, delta, mode, stop):
    rule = OptunaPatient(patience, delta)
    assert rule.stop_eval(values, mode) == real_stop(rule, values, mode)[0] == stop


def test_reasons():
    decide = parse_policy("optuna-patient:patience=1,min_delta=0.1").decide
    assert decide([1.0]).reason == "1 of the 3 evals that it needs"
    assert decide([1.0, 1.2, 1.3]) == (3, True, "the best of the last 2, 1.2, is worse than 1 by > 0.1")
    assert decide([1.0, 1.05, 1.3]).reason == "the best of the last 2, 1.05, is not worse than 1 by > 0.1"
    assert decide([NAN, 1.0, 1.0]).reason == "nothing but NaN to compare with"
    assert decide([1.0, NAN, NAN]).reason == "the best of the last 2 is NaN"


def test_reasons_show_the_metrics_own_values_where_higher_is_better():
    rule = OptunaPatient(1)
    batch = CurveBatch.of([Curve.of([1.0, 0.75, 0.5, 1.5], "max")])
    trace = rule.trace(batch)
    assert rule.reason(trace, 0, 2) == "the best of the last 2, 0.75, is worse than 1"
    assert rule.reason(trace, 0, 3) == "the best of the last 2, 1.5, is not worse than 1"

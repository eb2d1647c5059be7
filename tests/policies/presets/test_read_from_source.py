"""Presets of tools that the tests do not install: their known stops, and random sequences against a plain
restatement.

The long run of the tests asks the tools themselves (test_of_archives.py).
"""

import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies import POLICIES
from replay.policies.presets.ray_plateau import RayPlateau
from tests.policies.loops import LOOPS

from .sequences import FIELDS, INF, NAN, check, known

STOPS = {
    "fastai:patience={patience},min_delta={delta}": {
        "third_bad_eval": 5,
        "zero_patience": 5,
        "slow_drip": None,
        "flat": 4,
        "nan_first": None,
        "nan_after_first": 4,
        "exact_delta_decimal": 4,
        "below_float32": None,
        "exact_delta_binary": None,
        "max_zero_start": 4,
        "one_patience": 5,
        "slow_climb_max": None,
    },
    "fairseq:patience={patience}": {
        "third_bad_eval": 5,
        "zero_patience": None,
        "flat": 4,
        "nan_first": 4,
        "nan_after_first": 4,
        "below_float32": None,
        "max_zero_start": 4,
        "one_patience": 5,
    },
    "allennlp:patience={patience}": {
        "third_bad_eval": 5,
        "flat": 4,
        "nan_first": 4,
        "nan_after_first": 4,
        "below_float32": None,
        "max_zero_start": 4,
        "one_patience": 5,
    },
    "ultralytics:patience={patience}": {
        "third_bad_eval": 5,
        "zero_patience": None,
        "flat": 4,
        "nan_first": 4,
        "nan_after_first": 4,
        "below_float32": None,
        "max_zero_start": 9,
        "one_patience": 5,
    },
    "opennmt:patience={patience}": {
        "third_bad_eval": 5,
        "zero_patience": None,
        "flat": 4,
        "nan_first": None,
        "nan_after_first": 4,
        "below_float32": None,
        "max_zero_start": 4,
        "one_patience": 5,
    },
    "tutorial:patience={patience},min_delta={delta}": {
        "third_bad_eval": 5,
        "slow_drip": None,
        "flat": 4,
        "nan_first": None,
        "nan_after_first": 4,
        "exact_delta_decimal": 4,
    },
}


@pytest.mark.parametrize(
    ("spec", *FIELDS), [(spec, *row) for spec, stops in STOPS.items() for row in known(**stops)]
)
def test_known_stops(spec, name, values, patience, delta, mode, stop):
    assert parse_policy(spec.format(patience=patience, delta=delta)).stop_eval(values, mode) == stop


@pytest.mark.parametrize(
    ("spec", "values", "stop"),
    [
        ("opennmt:2", [1, 1.1, 1.0, 1.1], 4),  # worse, tie, worse
        ("opennmt:3", [1, 1, 1.1, 1, 0.9, 1, 0.9, 0.9, 1, 0.9], 10),  # a gain clears both
        ("ray-plateau", [0.5] * 8, 4),
        ("ray-plateau:grace_period=6", [0.5] * 8, 6),
        ("ray-plateau:num_results=1,grace_period=1", [1.0], 1),
        ("ray-plateau:metric_threshold=0.4", [0.5] * 8, None),
        ("ray-plateau:metric_threshold=0.5", [0.5] * 8, 4),
        ("ray-plateau", [0.5, NAN, 0.5, 0.5, 0.5], None),
        ("ray-plateau", [0.5, INF, 0.5, 0.5, 0.5, 0.5], 6),
    ],
)
def test_what_is_their_own(spec, values, stop):
    spec = spec.replace("opennmt:", "opennmt:early_stopping=")
    assert parse_policy(spec).stop_eval(values) == stop


def restated(rule, values, mode):
    return LOOPS[rule.name](rule, values, mode, {})


@pytest.mark.parametrize("name", ["fastai", "fairseq", "allennlp", "ultralytics", "opennmt", "tutorial"])
def test_agrees_with_a_plain_restatement_on_random_sequences(name):
    kind, least = POLICIES[name], 1 if name == "allennlp" else 0
    deltas = [0.0, 0.05, 0.1, 0.25, 1e-9, -0.1]
    check(
        restated,
        lambda number, case: (
            kind(case.patience, case.delta) if name in ("fastai", "tutorial") else kind(case.patience)
        ),
        15,
        least=least,
        deltas=deltas,
    )


def test_ray_agrees_with_a_plain_restatement_on_random_sequences():
    def policy(number, case):
        return RayPlateau(
            case.rng.choice([0.01, 0.1, 0.25, 0.3, 0.5]),
            case.rng.randint(1, 12),
            case.rng.randint(0, 6),
            case.rng.choice([None, 0.0, 0.5]),
        )

    check(restated, policy, 16, longest=25)


def test_what_is_refused_and_what_is_off():
    with pytest.raises(PolicyError, match="AllenNLP's trainer raises"):
        parse_policy("allennlp:patience=0")
    assert parse_policy("fairseq").decide([1.0]).reason == "patience=-1 switches early stopping off"
    assert (
        parse_policy("ultralytics:patience=0").decide([1.0]).reason
        == "patience=0 switches early stopping off"
    )
    assert parse_policy("opennmt").decide([1.0]).reason == "early_stopping=0 switches early stopping off"


def test_reasons():
    decide = parse_policy("opennmt:patience=2").decide
    assert decide([1.0, 1.1]).reason == "no gain, but worse, (1 of 2)"
    assert decide([1.0, 1.1, 1.0]).reason == "no gain, nor worse, (1 of 2)"
    assert decide([1.0, 1.1, 1.0, 1.1]) == (4, True, "no gain, but worse, over 1, 2 evals in a row")
    decide = parse_policy("ray-plateau:std=0.1,metric_threshold=0.5").decide
    assert decide([1.0]).reason == "1 of the 4 evals that it needs"
    assert decide([0.4] * 4) == (4, True, "standard deviation of the last 4 is 0, < 0.1")
    assert (
        decide([0.6] * 4).reason
        == "standard deviation of the last 4 is 0, < 0.1, but metric_threshold is not reached"
    )
    assert decide([0.6, 0.2, 0.6, 0.4]).reason == "standard deviation of the last 4 is 0.16583, not < 0.1"
    assert parse_policy("fastai:patience=2").decide([1.0, 2.0]).reason == "no gain (1 of 2)"


def test_reasons_of_ray():
    decide = parse_policy("ray-plateau:std=0.5,num_results=2,grace_period=3,metric_threshold=1").decide
    assert decide([2.0, 2.0]).reason == "2 of the 3 evals that it needs"
    assert decide([2.0, 2.0, 4.0]).reason == "standard deviation of the last 2 is 1, not < 0.5"
    assert decide([2.0, 2.0, 2.0]) == (
        3,
        False,
        "standard deviation of the last 2 is 0, < 0.5, but metric_threshold is not reached",
    )
    assert decide([2.0, 1.0, 1.0]) == (3, True, "standard deviation of the last 2 is 0, < 0.5")
    late = parse_policy("ray-plateau:num_results=4,grace_period=0").decide
    assert late([2.0] * 3).reason == "3 of the 4 evals that it needs"

import math

import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies.rules.patience import Patience

NAN, INF = math.nan, math.inf
D1 = [1, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 1]


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        ("patience=3", "min", D1, 5),
        ("patience=1", "min", [1, 0.9, 0.8, 0.7, 0.75, 0.6, 0.65, 0.7], 5),
        (
            "patience=2,min_delta=0.05",
            "min",
            [1, 0.96, 0.92, 0.88, 0.84, 0.80, 0.76, 0.72],
            None,
        ),  # small gains add up
        ("patience=3", "min", [0.5] * 8, 4),  # a tie is no gain
        (
            "patience=3",
            "min",
            [NAN, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
            None,
        ),  # a NaN at first does not poison the reference
        ("patience=3", "min", [1] + [NAN] * 7, 4),
        ("patience=3", "min", [NAN] * 5, 3),  # no improvement yet counts from the first eval
        (
            "patience=2,min_delta=0.1",
            "min",
            [0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7],
            4,
        ),  # 0.8 − 0.7 > 0.1 in float64
        ("patience=2", "min", [1 - 1e-9 * i for i in range(8)], None),
        ("patience=2,min_delta=0.25", "min", [1, 0.75, 0.5, 0.25, 0], None),  # every second gain is > 0.25
        ("patience=3", "max", [0] * 5 + [0.1] * 5, 4),
        ("patience=2,min_delta=0.03", "max", [0.50, 0.52, 0.54, 0.56, 0.58, 0.60], None),
        ("patience=2", "min", [1, 0.9, 0.95, 0.92, 0.96, 0.93, 0.97], 4),
        ("patience=2", "min", [INF, INF, 1, 0.9], 2),  # an infinite loss is no value to improve on
        ("patience=1", "min", [-INF, -INF], 2),
        ("patience=1", "min", [1], None),
        ("patience=1", "min", [], None),
    ],
)
def test_stops(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


def test_patience_in_steps_and_epochs():
    values, steps, epochs = [1.0, 0.9, 0.95, 0.96, 0.97], [10, 20, 25, 119, 121], [0.1, 0.2, 0.25, 1.1, 1.3]
    assert parse_policy("patience=100,unit=steps").stop_eval(values, steps=steps) == 5
    assert (
        parse_policy("patience=0.9,unit=epochs").stop_eval(values, steps=steps, columns={"epoch": epochs})
        == 4
    )
    with pytest.raises(PolicyError, match="needs epoch"):
        parse_policy("patience=1,unit=epochs").stop_eval(values)


@pytest.mark.parametrize("patience", [0, -1, 0.5, 2.5])
def test_patience_that_cannot_be(patience):
    with pytest.raises(PolicyError, match="patience"):
        Patience(patience)


def test_zero_patience_names_what_tools_do():
    with pytest.raises(PolicyError, match=r"at least 1, not 0.*transformers:patience=0"):
        parse_policy("patience=0")


def test_reasons_tell_the_story():
    decide = parse_policy("patience=2,min_delta=0.01").decide
    assert decide([1.0]).reason == "first value: the reference"
    assert decide([1.0, 0.5]).reason == "better by 0.5"
    assert decide([1.0, 0.5, 0.495]) == (3, False, "no gain > 0.01 (1 of 2)")
    assert decide([1.0, 0.5, 0.495, NAN]) == (4, True, "no gain > 0.01 over 0.5 for 2 evals")
    assert decide([NAN]).reason == "NaN: no gain (1 of 2)"

import math

import pytest

from replay import parse_policy

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        ("target=0.5", "min", [1, 0.5], 2),
        ("target=0.5", "min", [1, 0.50001], None),
        ("target=0.5", "max", [0.4, NAN, 0.5], 3),
        ("target=0.5", "min", [NAN, -INF], 2),
        ("target=-1", "min", [0, -1], 2),
        ("divergence=2", "min", [1, 2, 2.1], 3),
        ("divergence=2", "min", [1, NAN], 2),
        ("divergence=2", "min", [-INF, 1], 1),
        ("divergence=0.1", "max", [0.5, 0.1, 0.05], 3),
        ("nonfinite", "min", [1, INF], 2),
        ("nonfinite=2", "min", [NAN, 1, NAN, INF], 4),
        ("nonfinite=3", "min", [NAN, NAN], None),
        ("never", "min", [NAN, 1, 2, 3], None),
    ],
)
def test_stops(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


def test_reasons():
    assert parse_policy("target=0.5").decide([0.4]).reason == "0.4 reaches the target 0.5"
    assert parse_policy("divergence=2").decide([3]).reason == "3 is worse than 2"
    assert parse_policy("divergence=2").decide([NAN]).reason == "nan is not finite"
    assert parse_policy("nonfinite=2").decide([NAN]) == (1, False, "nan is not finite: 1 of 2 in a row")

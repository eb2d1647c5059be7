import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.data.curve import Curve, CurveBatch


def best_by_a_loop(values, mode):
    best = None
    for position, value in enumerate(values):
        if not math.isnan(value) and (
            best is None or (value < values[best] if mode == "min" else value > values[best])
        ):
            best = position
    return best


@pytest.mark.parametrize(("mode", "worst"), [("min", math.inf), ("max", -math.inf)])
def test_an_infinite_value_after_nan_is_the_best_where_nothing_else_is_there(mode, worst):
    one = Curve.of([math.nan, math.nan, worst, worst], mode)
    assert one.best() == 2
    assert CurveBatch.of([one], mode=mode).best.tolist() == [2]


@given(
    st.lists(
        st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 2.0]), max_size=6), min_size=1
    ),
    st.sampled_from(["min", "max"]),
)
def test_the_best_is_that_of_a_loop(rows, mode):
    curves = [Curve.of(values, mode) for values in rows]
    expected = [best_by_a_loop(values, mode) for values in rows]
    assert [one.best() for one in curves] == expected
    assert CurveBatch.of(curves, mode=mode).best.tolist() == [
        -1 if best is None else best for best in expected
    ]

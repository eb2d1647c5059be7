"""Sums that do not depend on the order of what is added."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.stats.exact_sums import ExactSums

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=1, max_size=30), st.randoms())
def test_a_sum_is_that_of_fractions_in_any_order(values, chance):
    exact = sum((Fraction(value) for value in values), Fraction(0))
    pieces, order = [], values[:]
    chance.shuffle(order)
    while order:
        size = chance.randint(1, len(order))
        pieces.append(ExactSums.of_rows(np.array([order[:size]])))
        del order[:size]
    total = ExactSums.zeros(1)
    for piece in pieces:
        total = total + piece
    for count in (1, 3, len(values)):
        (mean,) = total.means(np.array([count]))
        try:
            assert mean == float(exact / count)
        except OverflowError:
            assert math.isinf(mean)


def test_what_is_not_finite_is_the_sum():
    rows = np.array([[1.0, math.inf], [math.inf, -math.inf], [1.0, 2.0]])
    total = ExactSums.of_rows(rows) + ExactSums.of_rows(rows[:, ::-1])
    assert np.array_equal(total.sums(), [math.inf, math.nan, 6.0], equal_nan=True)
    assert math.isnan(total.means(np.array([2, 2, 0]))[2])


def test_sums_of_some_policies_are_added_to_those_of_others():
    one = ExactSums.of_rows(np.array([[0.1, 0.2], [1e300, 1e-300]])).spread([2, 0], 3)
    other = ExactSums.of_rows(np.array([[0.3]])).spread([2], 3)
    assert (one + other).sums().tolist() == [1e300, 0.0, math.fsum([0.1, 0.2, 0.3])]
    assert (one + other).only(np.array([False, True, True])).sums().tolist()[0] == 0.0

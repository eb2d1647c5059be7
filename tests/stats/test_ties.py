"""Which computed figures count as equal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.stats.ties import TIE, above, at_least, at_most, below, levels, snap, tied

figures = st.floats(-1e6, 1e6) | st.sampled_from([0.0, math.inf, -math.inf, math.nan])


@pytest.mark.parametrize(
    ("one", "other", "scale", "equal"),
    [
        (0.1 + 0.2, 0.3, 1.0, True),
        (0.0, 1e-9, 1.0, True),
        (0.0, 1.1e-9, 1.0, False),
        (0.0, 1e-12, 0.0, False),
        (1e-12, 1e-12 * (1 + 1e-10), 0.0, True),
        (1e-12, 1e-12 * (1 + 1e-8), 0.0, False),
        (4e9, 4e9 + 1, 1.0, True),
        (math.inf, math.inf, 1.0, True),
        (math.inf, 1.0, 1.0, False),
        (math.inf, -math.inf, 1.0, False),
        (math.nan, math.nan, 1.0, False),
    ],
)
def test_figures_are_tied_up_to_a_share_of_their_scale(one, other, scale, equal):
    assert bool(tied(one, other, scale)) is bool(tied(other, one, scale)) is equal


@given(figures, figures, st.sampled_from([0.0, 1.0, 50.0]))
def test_two_figures_are_tied_or_one_is_larger(one, other, scale):
    known = not (math.isnan(one) or math.isnan(other))
    ways = [bool(compare(one, other, scale)) for compare in (above, below, tied)]
    assert sum(ways) == known
    assert bool(at_most(one, other, scale)) == (ways[1] or ways[2])
    assert bool(at_least(one, other, scale)) == (ways[0] or ways[2])


def test_values_tied_with_zero_become_zero():
    values = np.array([1e-10, -1e-9, 2e-9, -0.5, np.nan])
    np.testing.assert_array_equal(snap(values), [0.0, 0.0, 2e-9, -0.5, np.nan])
    assert snap(np.array([5e-8]), 100.0).tolist() == [0.0]


@given(st.lists(st.integers(-5, 5), max_size=20), st.randoms(use_true_random=False))
def test_levels_rank_values_whatever_their_rounding(ranks, random):
    """Multiples of 0.1, each moved by less than a tie, rank as the multiples do."""
    values = np.array([rank / 10 + random.uniform(-TIE, TIE) / 3 for rank in ranks])
    distinct = sorted(set(ranks))
    assert levels(values).tolist() == [distinct.index(rank) for rank in ranks]


def test_levels_of_what_is_not_known_are_the_highest():
    assert levels(np.array([np.nan, 2.0, -math.inf, math.inf, np.nan])).tolist() == [3, 1, 0, 2, 3]
    assert levels(np.empty(0)).tolist() == []

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.search.front import front, thin

POINT = st.tuples(*[st.one_of(st.integers(0, 4).map(float), st.just(float("nan")))] * 2)


def dominated(one, other):
    return (other[0] >= one[0] and other[1] < one[1]) or (other[0] > one[0] and other[1] <= one[1])


@given(st.lists(POINT, max_size=12))
def test_front_is_what_the_definition_says(points):
    known = [place for place, point in enumerate(points) if not np.isnan(point).any()]
    expected = [
        place
        for place in known
        if not any(dominated(points[place], points[other]) for other in known)
        and points[place] not in [points[other] for other in known if other < place]
    ]
    expected.sort(key=lambda place: -points[place][0])
    saved, loss = (np.array([point[side] for point in points], dtype=np.float64) for side in (0, 1))
    assert front(saved, loss).tolist() == expected


def test_by_hand():
    saved = np.array([0.1, 0.5, 0.5, np.nan, 0.3, 0.4, 0.05])
    loss = np.array([0.0, 0.3, 0.2, 0.0, 0.1, np.nan, 0.0])
    assert front(saved, loss).tolist() == [2, 4, 0]
    assert front(np.array([]), np.array([])).tolist() == []


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 2), max_size=10),
    st.sampled_from([0.0, 1.0]),
    st.randoms(use_true_random=False),
)
def test_rounding_puts_nothing_on_the_front(points, scale, random):
    """Policies of equal figures are one, whatever the last digits; in a metric's unit these are relative."""
    figures = np.array(points, dtype=np.float64).reshape(-1, 2)
    saved, loss = figures[:, 0] / 10, figures[:, 1] * (0.1 if scale else 1e-10)
    moved = [
        values * np.array([1 + random.uniform(-1e-12, 1e-12) for _ in values]) for values in (saved, loss)
    ]
    assert front(*moved, scale).tolist() == front(saved, loss, scale).tolist()


def test_thin_keeps_the_ends_and_the_order():
    places = np.arange(10, 110)
    assert thin(places, 200) is places
    few = thin(places, 5).tolist()
    assert (few[0], few[-1], len(few)) == (10, 109, 5)
    assert few == sorted(few)
    gaps = np.diff(few)
    assert gaps.max() - gaps.min() <= 1
    assert thin(places, 1).tolist() == [10]
    assert thin(places[:0], 0).tolist() == []

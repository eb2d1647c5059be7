import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.policies.grid import parse_grids
from replay.search.region import region
from replay.search.tolerance import Tolerance

TOLERANCE = Tolerance("lost", 0.05, "5%")


def grid_of(*texts):
    (grid,) = parse_grids(texts)
    return grid


def on(grid, saved, loss, **more):
    """The region of figures that are laid out like the grid."""
    saved, loss = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), len(grid.points)) for values in (saved, loss)
    )
    return region(grid, saved, loss, TOLERANCE, **more)


def specs(grid, places):
    return [grid.points[place][0].spec() for place in places]


def test_a_line_by_hand():
    grid = grid_of("patience=1..9")
    #         1    2    3     4     5     6     7     8     9
    saved = [0.9, 0.6, 0.50, 0.49, 0.48, 0.47, 0.46, 0.30, 0.2]
    loss = [0.5, 0.2, 0.05, 0.04, 0.03, 0.02, 0.01, 0.00, 0.0]
    found = on(grid, saved, loss)
    assert found.points.tolist() == [2, 3, 4, 5, 6], "a loss equal to the limit keeps it"
    assert found.best == 2
    assert found.centre == 4
    (span,) = found.spans
    assert (span.name, span.value, span.low, span.high, span.low_edge, span.high_edge) == (
        "patience",
        "5",
        "3",
        "9",
        False,
        True,
    )


def test_rounding_changes_no_region():
    """Neither at the limit, nor at what is near the best, nor between policies that are equal."""
    grid = grid_of("patience=1..9")
    saved = np.array([0.9, 0.6, 0.5, 0.5, 0.5, 0.5, 0.45, 0.3, 0.0])
    loss = np.array([0.5, 0.2, 0.05, 0.04, 0.03, 0.03, 0.01, 0.0, 0.0])
    exact = on(grid, saved, loss)
    assert exact.points.tolist() == [2, 3, 4, 5, 6]
    rng = np.random.default_rng(5)
    for _ in range(50):
        by = rng.uniform(-1e-13, 1e-13, (2, 9))
        found = on(grid, saved + by[0], loss + by[1])
        assert (found.points.tolist(), found.centre, found.best) == (
            exact.points.tolist(),
            exact.centre,
            exact.best,
        )


def test_of_equal_centres_the_one_farther_from_the_loss_is_taken():
    grid = grid_of("patience=1..6")
    found = on(grid, [0.9, 0.5, 0.49, 0.3, 0.2, 0.1], [0.5, 0.04, 0.03, 0.02, 0.01, 0])
    assert found.points.tolist() == [1, 2]
    assert found.centre == 2, "below 2 the loss passes the limit, above 3 only less is saved"
    assert found.best == 1


def test_an_edge_ends_what_is_known():
    grid = grid_of("patience=1..6")
    found = on(grid, [0.5, 0.49, 0.48, 0.3, 0.2, 0.1], 0.0)
    assert found.centre == 1, "the middle of 1..3"
    (span,) = found.spans
    assert (span.low_edge, span.high_edge) == (True, True)
    everything = on(grid, 0.5, 0.0)
    assert everything.centre in (2, 3)
    assert len(everything.points) == 6


def test_a_parameter_with_one_good_value_does_not_hide_the_others():
    grid = grid_of("patience=1..7", "every=1,2,4")
    loss = [
        [0.0 if 2 <= patience <= 6 and every == 1 else 0.5 for every in (1, 2, 4)] for patience in range(1, 8)
    ]
    found = on(grid, np.linspace(0.5, 0.49, 21), np.ravel(loss))
    assert specs(grid, [found.centre]) == ["patience=4"]
    assert {span.name: (span.low, span.high) for span in found.spans} == {
        "patience": ("2", "6"),
        "every": ("1", "1"),
    }


def test_the_largest_connected_set_and_unordered_values():
    grid = grid_of("patience=1..7", "smooth=none,ema:0.3,mean:3")
    good = np.zeros((7, 3), dtype=bool)
    good[0, 0] = good[1, 0] = True  # two
    good[4, 0] = good[4, 2] = good[5, 2] = True  # three, over mean:3 though ema:0.3 is between
    found = on(grid, np.where(good, 0.5, 0.1).ravel(), 0.0)
    assert found.points.tolist() == [4 * 3, 4 * 3 + 2, 5 * 3 + 2]
    assert len(found.good) == 5
    assert [span.name for span in found.spans] == ["patience"]


def test_of_equally_large_sets_the_one_that_saves_more():
    grid = grid_of("patience=1..7")
    found = on(grid, [0.5, 0.5, 0.1, 0.1, 0.1, 0.52, 0.51], 0.0)
    assert found.points.tolist() == [5, 6]


def test_ties_go_to_more_saved_then_less_lost_then_the_first():
    grid = grid_of("monitor=eval_loss,eval_f1,eval_bleu", "rule=nonfinite", "nonfinite=1")
    assert on(grid, [0.5, 0.51, 0.5], [0.0, 0.01, 0.0]).centre == 1
    assert on(grid, [0.5, 0.5, 0.5], [0.02, 0.01, 0.01]).centre == 1
    assert on(grid, 0.5, 0.01).centre == 0


def test_none_where_nothing_keeps_the_limit_or_saves():
    grid = grid_of("patience=1..3")
    assert on(grid, [0.5, 0.4, 0.3], [0.2, 0.1, 0.06]) is None
    assert on(grid, [0.5, 0.0, 0.0], [0.2, 0.0, 0.0]) is None
    assert on(grid, [np.nan] * 3, [np.nan] * 3) is None


def test_a_point_that_was_refused_or_is_unknown_is_not_good_but_an_edge():
    grid = grid_of("rule=slope", "slope=0.001", "window=2..6")
    assert grid.refused, "a slope needs more than 2 evals"
    count = len(grid.points)
    found = on(grid, 0.5, [0.0] * (count - 1) + [np.nan])
    window = next(span for span in found.spans if span.name == "window")
    assert len(found.points) == count - 1
    assert (window.low_edge, window.high_edge) == (True, True)


def test_a_rule_without_parameters():
    grid = grid_of("rule=one-epoch")
    found = on(grid, 0.5, 0.0)
    assert (found.points.tolist(), found.centre, found.best, found.spans) == ([0], 0, 0, ())


def by_hand(shape, ordered, saved, loss, within):
    """The definition, cell by cell."""
    cells = list(itertools.product(*map(range, shape)))
    value = dict(zip(cells, zip(saved, loss, strict=True), strict=True))
    acceptable = {cell for cell in cells if value[cell][1] <= TOLERANCE.value}
    able = {cell for cell in acceptable if value[cell][0] > 0}
    if not able:
        return None
    most = max(value[cell][0] for cell in able)
    good = {cell for cell in able if value[cell][0] >= most - within}
    rank = {cell: (-value[cell][0], value[cell][1], cells.index(cell)) for cell in cells}

    def next_to(cell, other):
        apart = [axis for axis in range(len(shape)) if cell[axis] != other[axis]]
        return len(apart) == 1 and (apart[0] not in ordered or abs(cell[apart[0]] - other[apart[0]]) == 1)

    sets, left = [], set(good)
    while left:
        new, seen = {left.pop()}, set()
        while new:
            seen |= new
            new = {other for other in left if any(next_to(cell, other) for cell in new)}
            left -= new
        sets.append(seen)
    largest = max(map(len, sets))
    chosen = min(
        (one for one in sets if len(one) == largest), key=lambda one: min(rank[cell] for cell in one)
    )

    def rooms(cell, inside, edges):
        found = []
        for axis in ordered:
            ways = []
            for way in (-1, 1):
                steps, place = 0, cell[axis]
                while True:
                    steps, place = steps + 1, place + way
                    if not 0 <= place < shape[axis]:
                        ways.append(steps if edges else float("inf"))
                        break
                    if (*cell[:axis], place, *cell[axis + 1 :]) not in inside:
                        ways.append(steps)
                        break
            found.append(min(ways))
        return sorted(found)

    kept = acceptable | {cell for cell in cells if np.isnan(value[cell][1])}
    centre = min(
        chosen,
        key=lambda cell: (
            [-room for room in rooms(cell, good, True)],
            [-room for room in rooms(cell, kept, False)],
            rank[cell],
        ),
    )
    return sorted(map(cells.index, chosen)), cells.index(centre)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_region_is_what_the_definition_says(data):
    sizes = (data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)))
    smooth = ("none", "ema:0.3", "mean:3")[: sizes[2]]
    grid = grid_of(f"patience=1..{sizes[0]}", f"every=1..{sizes[1]}", f"smooth={','.join(smooth)}")
    shape = tuple(len(dimension.values) for dimension in grid.dimensions)
    ordered = [
        axis for axis, dimension in enumerate(grid.dimensions) if dimension.ordered and shape[axis] > 1
    ]
    count = len(grid.points)
    saved = data.draw(st.lists(st.sampled_from([0.0, 0.44, 0.47, 0.5]), min_size=count, max_size=count))
    loss = data.draw(
        st.lists(st.sampled_from([0.0, 0.01, 0.01, 0.06, float("nan")]), min_size=count, max_size=count)
    )
    found = on(grid, saved, loss, within=0.05)
    expected = by_hand(shape, ordered, saved, loss, 0.05)
    assert (found is None) == (expected is None)
    if found is not None:
        assert (found.points.tolist(), found.centre) == expected
        for span in found.spans:
            dimension = next(item for item in grid.dimensions if item.name == span.name)
            low, at, high = (dimension.values.index(text) for text in (span.low, span.value, span.high))
            assert low <= at <= high


@pytest.mark.parametrize(
    "texts",
    [pytest.param(["patience=1..200000"], marks=pytest.mark.slow), ["patience=1..400", "every=1..500"]],
)
def test_large_grids(texts):
    grid = grid_of(*texts)
    count = len(grid.points)
    rng = np.random.default_rng(0)
    found = on(grid, 0.5 + 0.04 * rng.random(count), rng.random(count) * 0.08)
    assert 0 < len(found.points) <= len(found.good) < count

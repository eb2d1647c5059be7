"""Where in a grid the good policies are: the region, its centre, and how far each parameter can move from
there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.policies.grid import Grid
from replay.search.tolerance import Tolerance
from replay.stats.ties import above, at_least, levels

__all__ = ["NEAR_BEST", "Region", "Span", "region"]

#: A policy is good if it saves as much as the best one, up to this share of the compute.
NEAR_BEST = 0.05


@dataclass(frozen=True)
class Span:
    """From which to which value one parameter of the centre can go, the others staying, before the loss
    passes the limit.

    An edge is true where nothing is known beyond: the grid ends, or has no policy there.
    """

    name: str
    value: str
    low: str
    high: str
    low_edge: bool
    high_edge: bool


@dataclass(frozen=True, eq=False)
class Region:
    """The good region of one grid; all places are those of the grid's points.

    ``good`` are all good points, ``points`` those of the region, ``centre`` its centre, ``best`` the
    acceptable point that saves most: the lucky corner.
    """

    good: Ints
    points: Ints
    centre: int
    best: int
    spans: tuple[Span, ...]


def region(
    grid: Grid, saved: Floats, loss: Floats, tolerance: Tolerance, within: float = NEAR_BEST
) -> Region | None:
    """The region of a grid's points where the loss keeps the limit and most is saved; None where no point
    that keeps it saves anything.

    ``saved`` and ``loss`` have one entry a point. A point is acceptable if its loss is known and at most the
    limit, and good if it is acceptable, saves something, and saves at most ``within`` less than the best
    acceptable point. Neighbours differ by one place in one ordered dimension, or by any value in one that is
    not ordered. The region is the connected set of good points that has most of them (ties: the one with the
    point that saves most).

    Its centre: from each point, each ordered parameter alone can go some steps up or down before it leaves
    the good points, and the shorter of the two ways is its room. The centre is the point whose smallest room
    is largest; ties are broken by the next smallest, so that a parameter with a single good value does not
    hide the others. What lies beyond the grid's edges is not bad but unknown, and the centre is that of what
    is known, so an edge ends a way too. (Were it no end, the centre of a region that reaches an edge would
    lie on it: a corner again.) Of points that are equal then, the one is taken from which the parameters can
    go farther, in the same sense but without edges, before the loss passes the limit, since to save less is
    no harm; then the one that saves more, then loses less, then the first.
    """
    acceptable = tolerance.allows(loss)
    able = acceptable & above(saved, 0.0)
    if not able.any():
        return None
    losses, savings = levels(loss, tolerance.scale), levels(saved)
    rank = np.lexsort((np.arange(len(saved)), losses, -savings))
    best = int(rank[acceptable[rank]][0])
    good = able & at_least(saved, saved[best] - within)
    shape = tuple(len(dimension.values) for dimension in grid.dimensions)
    coordinates = np.array([place for _, place in grid.points], dtype=np.int64).reshape(
        len(grid.points), len(shape)
    )
    cells = np.asarray(
        np.ravel_multi_index(tuple(coordinates.T), shape) if shape else np.zeros(1), dtype=np.int64
    )
    dense = np.zeros(int(np.prod(shape, dtype=np.int64)), dtype=bool)
    dense[cells] = good
    ordered = [
        axis for axis, dimension in enumerate(grid.dimensions) if dimension.ordered and shape[axis] > 1
    ]
    labels = _label_connected(dense.reshape(shape), ordered).ravel()[cells]
    names, counts = np.unique(labels[good], return_counts=True)
    largest = names[counts == counts.max()]
    chosen = labels[rank[np.isin(labels[rank], largest)][0]] if len(largest) > 1 else largest[0]
    points = np.flatnonzero(labels == chosen)
    known = np.zeros(len(dense), dtype=bool)
    known[cells] = ~np.isnan(loss)
    kept = np.zeros(len(dense), dtype=bool)
    kept[cells] = acceptable
    rooms = _rooms(dense.reshape(shape), ordered, cells[points], edges=True)
    ways = _rooms((kept | ~known).reshape(shape), ordered, cells[points], edges=False)
    keys = [points, losses[points], -savings[points], *(-ways)[::-1], *(-rooms)[::-1]]
    centre = int(points[np.lexsort(keys)[0]])
    spans = tuple(
        _span(grid, coordinates[centre], axis, kept.reshape(shape), known.reshape(shape)) for axis in ordered
    )
    return Region(np.flatnonzero(good), points, centre, best, spans)


def _label_connected(good: Bools, ordered: list[int]) -> Ints:
    """A number for each cell, the same for good cells that are connected; -1 for the others."""
    size = good.size
    labels = np.where(good, np.arange(size).reshape(good.shape), size)
    while True:
        before = labels.copy()
        for axis in range(good.ndim):
            lines = np.moveaxis(labels, axis, -1)
            here = np.moveaxis(good, axis, -1)
            least = (
                _least_of_runs(lines, here)
                if axis in ordered
                else np.broadcast_to(lines.min(axis=-1, keepdims=True), lines.shape)
            )
            labels = np.moveaxis(np.where(here, least, size), -1, axis)
        flat = np.append(labels.ravel(), size)
        while not np.array_equal(flat, follow := flat[flat]):  # a label is a cell, whose own label is as good
            flat = follow
        labels = flat[:-1].reshape(good.shape)
        if np.array_equal(labels, before):
            return np.where(good, labels, -1)


def _least_of_runs(lines: Ints, here: Bools) -> Ints:
    """The least label of each stretch of cells that are alike, along the last axis."""
    begins = np.ones(lines.shape, dtype=bool)
    begins[..., 1:] = here[..., 1:] != here[..., :-1]
    starts = np.flatnonzero(begins)
    least = np.minimum.reduceat(lines.ravel(), starts)
    return np.repeat(least, np.diff(np.append(starts, lines.size))).reshape(lines.shape)


def _rooms(inside: Bools, ordered: list[int], cells: Ints, *, edges: bool) -> Floats:
    """The room of each cell along each ordered axis, the smallest first (axes × cells)."""
    return np.sort(
        [_room(inside, axis, edges).ravel()[cells] for axis in ordered] or np.zeros((1, len(cells))), axis=0
    )


def _room(inside: Bools, axis: int, edges: bool) -> Floats:
    """Steps from each cell along an axis to the nearest one that is not inside; with ``edges`` also to the
    first beyond the grid.
    """
    lines = np.moveaxis(inside, axis, -1)
    place = np.arange(lines.shape[-1], dtype=np.float64)
    below = np.maximum.accumulate(np.where(lines, -1.0 if edges else -np.inf, place), axis=-1)
    above = np.minimum.accumulate(
        np.where(lines, len(place) if edges else np.inf, place)[..., ::-1], axis=-1
    )[..., ::-1]
    return np.moveaxis(np.minimum(place - below, above - place), -1, axis)


def _span(grid: Grid, centre: Ints, axis: int, kept: Bools, known: Bools) -> Span:
    line = (*centre[:axis], slice(None), *centre[axis + 1 :])
    inside, tried, at = kept[line], known[line], int(centre[axis])
    low = at
    while low > 0 and inside[low - 1]:
        low -= 1
    high = at
    while high + 1 < len(inside) and inside[high + 1]:
        high += 1
    values = grid.dimensions[axis].values
    return Span(
        grid.dimensions[axis].name,
        values[at],
        values[low],
        values[high],
        low_edge=low == 0 or not tried[low - 1],
        high_edge=high + 1 == len(inside) or not tried[high + 1],
    )

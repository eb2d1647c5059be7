"""A sweep of grids: the Pareto front of all their policies, and the good region of each grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import Outcomes, records
from replay.engine.scoring import simulate_study
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.grid import Grid, policies_of
from replay.search.front import front, thin
from replay.search.region import Region, region
from replay.search.sweep import Sweep, sweep_study
from replay.search.tolerance import Tolerance
from replay.stats.cautions import find_first_stretch, find_near_one
from replay.stats.summary import SAVED_KEYS, Weight, summarise
from replay.stats.ties import above, levels

__all__ = ["GridResult", "GridSweep", "refused_points", "sweep_grids"]

#: Policies of the front for which intervals and verdicts are computed.
_MOST_FRONT = 100


@dataclass(frozen=True, eq=False)
class GridResult:
    """One grid of a sweep, with its good region if there is one.

    ``start`` is the index of the grid's first point among the sweep's policies. A region counts points from
    the start of its grid.
    """

    grid: Grid
    start: int
    region: Region | None

    @property
    def indices(self) -> slice:
        """The grid's points among the sweep's policies."""
        return slice(self.start, self.start + len(self.grid.points))

    @property
    def centre(self) -> int:
        """The centre of the region among the sweep's policies; only with a region."""
        assert self.region is not None
        return self.start + self.region.centre

    @property
    def corner(self) -> int:
        """The point of the region that saves most, among the sweep's policies; only with a region."""
        assert self.region is not None
        return self.start + self.region.best

    @property
    def marked(self) -> list[int]:
        """The centre and the corner of the region; empty where there is no region."""
        return [] if self.region is None else [self.centre, self.corner]

    def spec(self, point: int) -> str:
        """The specification of a point of the grid."""
        return self.grid.points[point][0].spec()

    def value_indices(self, axis: int) -> list[int]:
        """The indices of the values that the region's points have in a dimension."""
        assert self.region is not None
        return sorted({self.grid.points[point][1][axis] for point in self.region.points.tolist()})


@dataclass(frozen=True, eq=False)
class GridSweep:
    """A sweep of grids and single policies, with its front and the regions of the grids.

    ``front`` holds indices of policies that were tried on as many runs as any, from most saved to least;
    ``singles`` the indices of the policies that are in no grid, ``typed`` how the user wrote these, by their
    canonical specification. ``weight`` says by which compute saved the front, the regions and the rules are
    ranked: the mean over runs, or the share of the total. ``summaries`` holds, by specification, the
    summary of the policies that a report shows: those on the front (a part of them where it is long), the
    centres and corners of the regions, the single policies, and the baselines. ``outcomes`` are
    those of the same policies. ``findings`` are those of the sweep.
    """

    sweep: Sweep
    tolerance: Tolerance
    weight: Weight
    grids: list[GridResult]
    singles: range
    typed: Mapping[str, str]
    front: Ints
    outcomes: Outcomes
    summaries: dict[str, dict[str, Any]]
    findings: tuple[Finding, ...]

    @property
    def loss(self) -> Floats:
        """The figure that the tolerance bounds, per policy."""
        return self.sweep.figures[self.tolerance.key]

    @property
    def saved(self) -> Floats:
        """The compute saved that policies are ranked by, per policy."""
        return self.sweep.figures[SAVED_KEYS[self.weight]]

    def name(self, index: int) -> str:
        """A policy's specification as typed, by its index."""
        spec = self.sweep.policies[index].spec()
        return self.typed.get(spec, spec)

    @property
    def tolerable(self) -> Bools:
        """Which policies lose no more than is tolerated."""
        return self.tolerance.allows(self.loss)

    @property
    def short_front(self) -> Ints:
        """The front, thinned to the policies that have a summary."""
        return thin(self.front, _MOST_FRONT)

    @property
    def ranked(self) -> list[GridResult]:
        """The grids with a region: those tried on all runs first, then by what their centre saves."""
        results = [result for result in self.grids if result.region is not None]
        ranks = self._centre_levels(results)
        keys = {id(result): (-runs, -saved) for result, (runs, saved, *_) in zip(results, ranks, strict=True)}
        return sorted(results, key=lambda result: keys[id(result)])

    @property
    def distinct(self) -> list[tuple[GridResult, list[GridResult]]]:
        """The grids of ``ranked``, each with the later ones whose centre has the same figures."""
        groups: dict[tuple[int, ...], list[GridResult]] = {}
        ranked = self.ranked
        for result, key in zip(ranked, self._centre_levels(ranked), strict=True):
            groups.setdefault(key, []).append(result)
        return [(results[0], results[1:]) for results in groups.values()]

    def _centre_levels(self, results: Sequence[GridResult]) -> list[tuple[int, ...]]:
        """The ranks of the figures of the centres: runs, saved, the loss that the tolerance bounds, and the
        worst loss; the same rank where figures are tied.
        """
        centres = [result.centre for result in results]
        names = {
            "runs": 1.0,
            SAVED_KEYS[self.weight]: 1.0,
            self.tolerance.key: self.tolerance.scale,
            "lost_worst": 1.0,
        }
        ranks = [levels(self.sweep.figures[name][centres], scale) for name, scale in names.items()]
        return [tuple(int(rank) for rank in row) for row in zip(*ranks, strict=True)]

    def least_losing(self, result: GridResult) -> int | None:
        """The point of a grid that loses least of those that save something (ties: that saves more)."""
        loss, saved = self.loss[result.indices], self.saved[result.indices]
        able = np.flatnonzero(~np.isnan(loss) & above(saved, 0.0))
        if not len(able):
            return None
        losses = levels(loss[able], self.tolerance.scale)
        return int(able[np.lexsort((-levels(saved[able]), losses))[0]])


def sweep_grids(
    study: Study,
    grids: Sequence[Grid],
    singles: Sequence[Policy],
    tolerance: Tolerance,
    *,
    weight: Weight = "runs",
    typed: Mapping[str, str] | None = None,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> GridSweep:
    """Sweep the points of grids and single policies over the runs of a study, and judge them.

    ``weight`` says by which compute saved policies are ranked, and ``typed`` how the user wrote policies, by
    their canonical specification. With ``optional``, policies for which the runs lack something are skipped
    with a warning. ``progress`` is called with the number of policies done. Raises InputError where no policy
    can be tried.
    """
    points = policies_of(grids)
    known = set(points)
    policies = [*points, *(policy for policy in dict.fromkeys(singles) if policy not in known)]
    sweep = sweep_study(study, policies, optional=optional, progress=progress)
    figures = sweep.figures
    if not figures["runs"].any():
        because = sweep.findings[-1] if sweep.findings else None
        raise InputError(
            "none of the policies can be tried on these runs" + ("" if because else ": no run is left"),
            because=because,
        )
    whole = figures["runs"] == figures["runs"].max()
    saved = figures[SAVED_KEYS[weight]]
    results = _results(grids, saved, figures[tolerance.key], tolerance)
    best = front(np.where(whole, saved, np.nan), figures[tolerance.key], tolerance.scale)
    alone = range(len(points), len(policies))
    shown = dict.fromkeys(
        [
            *thin(best, _MOST_FRONT).tolist(),
            *(index for result in results for index in result.marked),
            *alone,
        ]
    )
    tried = [policies[index] for index in shown if figures["runs"][index]]
    outcomes = simulate_study(study, tried, baselines=True, typed=typed)
    summary = summarise(outcomes)
    # the sweep has reported what these policies lack
    findings = (
        *sweep.findings,
        *_find_untried(figures["runs"], whole),
        *find_first_stretch(outcomes, summary),
        *find_near_one(study, [tolerance.value] if tolerance.kind == "relative_regret" else []),
    )
    return GridSweep(
        sweep,
        tolerance,
        weight,
        results,
        alone,
        {} if typed is None else typed,
        best,
        outcomes,
        {row["spec"]: row for row in records(summary)},
        findings,
    )


def _find_untried(runs: Floats, whole: Bools) -> list[Finding]:
    """Findings on policies that could be tried on no run, and on fewer runs than others."""
    idle, partial = int((runs == 0).sum()), int(((runs > 0) & ~whole).sum())
    findings = []
    if idle:
        findings.append(Finding(Kind.UNTRIED, facts={"count": idle, "total": len(runs)}))
    if partial:
        facts = {"count": partial, "total": len(runs), "most": int(runs.max())}
        findings.append(Finding(Kind.PARTLY_TRIED, facts=facts))
    return findings


def _results(grids: Sequence[Grid], saved: Floats, loss: Floats, tolerance: Tolerance) -> list[GridResult]:
    results, start = [], 0
    for grid in grids:
        stop = start + len(grid.points)
        results.append(GridResult(grid, start, region(grid, saved[start:stop], loss[start:stop], tolerance)))
        start = stop
    return results


def refused_points(grids: Sequence[Grid]) -> list[Finding]:
    """A finding on the points of grids that are not valid policies, with the first error."""
    refused = [entry for grid in grids for entry in grid.refused]
    if not refused:
        return []
    spec, error = refused[0]
    return [Finding(Kind.GRID_REFUSED, policy=spec, facts={"count": len(refused), "error": error})]

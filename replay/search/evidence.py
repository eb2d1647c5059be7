"""Evidence for a guarantee: what each policy saves and loses on each run, and on each unit of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from replay.data.finding import Finding
from replay.data.types import Bools, Floats, Ints
from replay.engine.stops import StopsFinder
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.stops import REFUSED
from replay.search.ladders import Ladder, make_ladders, never_stops
from replay.search.sweep import values_of
from replay.stats.summary import Weight

__all__ = ["Evidence", "gather_evidence"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What policies save and lose on some runs, which are grouped into units.

    ``ladders`` order the ``policies`` that could be tried on every run and can stop one. ``lost`` is policies
    × runs, and known everywhere: a run without a scale for its loss is ``left_out``, and where the loss of
    one stop is not known (its checkpoint has no value of the objective) it counts as 1. ``worst`` is ``lost``
    with 1 for every run that is censored: whatever a policy does on such a run, the training as planned could
    have gone on to gain arbitrarily more. ``saved`` and ``full``, the compute of each full run, are about
    every judged run, also about those left out of ``lost``.

    ``unit`` is the index of each run's unit, ``censored`` says which runs are; ``left_out`` has the ids of
    the runs that do not count, and ``partial`` the number of policies that could not be tried on every run.
    """

    policies: list[Policy]
    ladders: list[Ladder]
    runs: list[str]
    unit: Ints
    units: int
    full: Floats
    saved: Floats
    lost: Floats
    worst: Floats
    is_censored: Bools
    left_out: tuple[str, ...]
    partial: int
    findings: tuple[Finding, ...]

    @property
    def censored(self) -> tuple[str, ...]:
        """Ids of the censored runs among those that count."""
        return tuple(run for run, here in zip(self.runs, self.is_censored.tolist(), strict=True) if here)

    def of_units(self, units: Ints) -> Evidence:
        """The evidence of some units alone, which are numbered anew."""
        number = np.full(self.units, -1)
        number[units] = np.arange(len(units))
        keep = np.flatnonzero(number[self.unit] >= 0)
        return Evidence(
            self.policies,
            self.ladders,
            [self.runs[run] for run in keep.tolist()],
            number[self.unit[keep]],
            len(units),
            self.full,
            self.saved,
            self.lost[:, keep],
            self.worst[:, keep],
            self.is_censored[keep],
            self.left_out,
            self.partial,
            self.findings,
        )

    def unit_losses(self, ladder: Ladder, *, worst: bool = True) -> Floats:
        """The mean loss over each unit's runs on each rung (units × rungs), by default the worst possible."""
        table = (self.worst if worst else self.lost)[list(ladder.rungs)]
        # a mean of sorted values does not depend on the order of the runs
        order = np.lexsort((table, np.broadcast_to(self.unit, table.shape)), axis=1)
        table = np.take_along_axis(table, order, axis=1)
        begins = np.searchsorted(np.sort(self.unit), np.arange(self.units))
        if not self.units:
            return np.empty((0, len(ladder)))
        sums: Floats = np.add.reduceat(table, begins, axis=1)
        return (sums / np.bincount(self.unit, minlength=self.units)).T

    @cached_property
    def mean_saved(self) -> Floats:
        """The mean share saved over the runs, by each policy; NaN where there are no runs."""
        return self._mean(np.ones(len(self.full)))

    @cached_property
    def total_saved(self) -> Floats:
        """The share of the compute of all runs together that each policy saves."""
        return self._mean(self.full)

    def savings(self, ladder: Ladder, weight: Weight) -> Floats:
        """What each rung saves, by the mean over runs or as the share of all compute."""
        return (self.mean_saved if weight == "runs" else self.total_saved)[list(ladder.rungs)]

    def _mean(self, weights: Floats) -> Floats:
        total = float(weights.sum())
        if not len(self.full):
            return np.full(len(self.policies), np.nan)
        weighted = np.sort(self.saved * weights, axis=1).sum(axis=1)
        return weighted / total if total > 0 else np.zeros(len(self.policies))


def gather_evidence(
    study: Study,
    policies: Sequence[Policy],
    groups: Sequence[str] | None = None,
    *,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """Simulate the policies on the runs of a study, and order them into ladders.

    ``groups`` has the group of each run of the study's panel (see `groups_of`); by default each run is a unit
    by itself. Units are numbered in the order of their names. With ``optional``, policies that no run has
    what it takes for are skipped and reported; otherwise they are an InputError. ``progress`` is called with
    the number of policies done. Raises InputError where no policy can be tried on every run.
    """
    names = np.array([run.id for run in study.panel.runs] if groups is None else list(groups), dtype=str)
    payoffs = study.payoffs
    known = np.array(
        [bool((~np.isnan(payoffs.of_run(run).lost)).any()) for run in range(len(names))], dtype=bool
    )
    known &= study.judged
    counted, judged = np.flatnonzero(known), np.flatnonzero(study.judged)
    saved = np.full((len(policies), len(judged)), np.nan)
    lost = np.full((len(policies), len(counted)), np.nan)
    tried = np.zeros(len(policies), dtype=bool)
    finder = StopsFinder(study, policies, optional=optional)
    done = 0
    for block in finder.blocks():
        column = np.full(len(names), -1)
        column[block.view.runs] = np.arange(len(block.view.runs))
        here, there = column[counted], column[judged]
        if (there >= 0).all():
            rows = np.flatnonzero((block.positions[:, there] != REFUSED).all(axis=1))
            members = np.array(block.members)[rows]
            tried[members] = True
            saved[members] = values_of(block, "saved")[np.ix_(rows, there)]
            lost[members] = values_of(block, "lost")[np.ix_(rows, here)]
        done += len(block.members)
        if progress is not None:
            progress(done)
    findings = tuple(dict.fromkeys((*study.findings, *(finding for _, finding in finder.findings))))
    able = [index for index in np.flatnonzero(tried).tolist() if not never_stops(policies[index])]
    if not tried.any():
        raise InputError(
            "no policy can be tried on every run, so nothing can be guaranteed",
            because=findings[-1] if findings else None,
        )
    lost = np.where(np.isnan(lost[able]), 1.0, lost[able])
    candidates = [policies[index] for index in able]
    modes = [study.panel_of(policy)[0].monitoring.primary.mode for policy in candidates]
    labels, unit = np.unique(names[counted], return_inverse=True)
    censored = study.is_censored[counted]
    return Evidence(
        policies=candidates,
        ladders=make_ladders(candidates, modes),
        runs=[study.panel.runs[run].id for run in counted.tolist()],
        unit=unit.astype(np.int64),
        units=len(labels),
        full=payoffs.full[judged],
        saved=saved[able],
        lost=lost,
        worst=np.where(censored, 1.0, lost),
        is_censored=censored,
        left_out=tuple(study.panel.runs[run].id for run in judged.tolist() if not known[run]),
        partial=len(policies) - int(tried.sum()),
        findings=findings,
    )

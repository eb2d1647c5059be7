"""Findings on figures that are easy to misread: the scale of ``lost``, and relative regret near 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.types import Floats
from replay.engine.metrics import Metric
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, records
from replay.engine.study import Study

__all__ = [
    "Stretch",
    "find_first_stretch",
    "find_near_one",
    "find_near_one_of",
    "find_stretch_of",
    "judged_bests",
    "stretch_of",
]

#: By how much more a policy has to lose at least for the finding on the first stretch.
_POINT = 0.01
#: From which median best on relative regret says little of a metric that is at most 1.
_NEAR_ONE = 0.8


class Stretch(NamedTuple):
    """Of some runs, those whose first stretch is more than half of their improvement.

    ``runs`` are their ids, ``of_base`` counts those that are measured from the base model's value; ``scaled``
    counts all runs that have a scale, and ``later`` those that have one when measured from the next eval.
    """

    runs: tuple[str, ...]
    scaled: int
    of_base: int
    later: int


def stretch_of(study: Study) -> Stretch:
    """The first stretch of the judged runs of a study."""
    scale = study.panel.objective.scale
    scaled = study.panel.judged & ~np.isnan(scale.improvement)
    here = scaled & scale.dominated
    return Stretch(
        tuple(study.panel.runs[row].id for row in np.flatnonzero(here).tolist()),
        int(scaled.sum()),
        int((here & scale.of_base).sum()),
        int((scaled & ~np.isnan(scale.later)).sum()),
    )


def find_first_stretch(outcomes: Outcomes, summary: Mapping[str, Sequence[Any]]) -> list[Finding]:
    """The finding that the first stretch of the training dominates the scale of ``lost``; often none.

    That is so where, in at least half of the runs that have a scale, more than half of the improvement lies
    between the value that it is measured from (the base model's, otherwise that of the first eval) and the
    next eval, and where a policy loses more than twice as much when that is measured from the next eval on
    (and one point more at least). ``summary`` is that of the outcomes. The fact ``policies`` has the
    specification as typed, the mean lost and the mean lost measured from that next eval on, for each policy
    but the baselines, with the largest difference first; ``later_runs`` is the number of runs that have a
    scale when measured from there.
    """
    return find_stretch_of(stretch_of(outcomes.study), outcomes.study.objective, summary)


def find_stretch_of(
    stretch: Stretch, objective: Metric, summary: Mapping[str, Sequence[Any]]
) -> list[Finding]:
    """The finding of `find_first_stretch`, by the facts of the runs."""
    count = len(stretch.runs)
    if not count or 2 * count < stretch.scaled:
        return []
    policies = sorted(
        (
            (row["policy"], row["lost_mean"], row["lost_later_mean"])
            for row in records(summary)
            if row["spec"] not in (*BASELINES, ORACLE) and row["lost_later_mean"] is not None
        ),
        key=lambda entry: entry[1] - entry[2],
    )
    flattered = [(lost, later) for _, lost, later in policies if later > max(2 * lost, lost + _POINT)]
    if not flattered:
        return []
    facts = {
        "metric": objective.name,
        "total": stretch.scaled,
        "of_base": stretch.of_base,
        "later_runs": stretch.later,
        "policies": tuple(policies),
    }
    return [Finding(Kind.FIRST_STRETCH, runs=stretch.runs, facts=facts)]


def find_near_one(study: Study, shares: Iterable[float]) -> list[Finding]:
    """The finding that limits on relative regret say little, as the objective is close to 1; often none.

    ``shares`` are the limits, as fractions of the best value. It is found where the objective is to be
    maximised and the median of the runs' best values is from 0.8 to 1. The fact ``limits`` has each limit
    with the error rate (1 − value) of the median best and of the value that loses as much as the limit
    allows; ``best`` is the median.
    """
    return find_near_one_of(judged_bests(study), study.objective, shares)


def judged_bests(study: Study) -> Floats:
    """The best value of each run that the summaries are about, by the objective."""
    best: Floats = study.panel.objective.best[study.judged]
    return best


def find_near_one_of(best: Floats, objective: Metric, shares: Iterable[float]) -> list[Finding]:
    """The finding of `find_near_one`, by the best values of the runs."""
    shares = sorted(set(shares))
    best = best[~np.isnan(best)]
    if not shares or objective.mode != "max" or not len(best):
        return []
    median = float(np.median(best))
    if not _NEAR_ONE <= median <= 1:
        return []
    limits = tuple((share, 1 - median, 1 - median * (1 - share)) for share in shares)
    facts = {"metric": objective.name, "best": median, "limits": limits}
    return [Finding(Kind.NEAR_ONE, facts=facts)]

"""Findings on figures that are easy to misread: the scale of ``lost``, and relative regret near 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, records
from replay.engine.study import Study

__all__ = ["find_first_stretch", "find_near_one"]

#: By how much more a policy has to lose at least for the finding on the first stretch.
_POINT = 0.01
#: From which median best on relative regret says little of a metric that is at most 1.
_NEAR_ONE = 0.8


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
    study = outcomes.study
    scale = study.panel.objective.scale
    scaled = study.panel.judged & ~np.isnan(scale.improvement)
    here = scaled & scale.dominated
    if not here.any() or 2 * here.sum() < scaled.sum():
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
        "metric": study.objective.name,
        "total": int(scaled.sum()),
        "of_base": int((here & scale.of_base).sum()),
        "later_runs": int((scaled & ~np.isnan(scale.later)).sum()),
        "policies": tuple(policies),
    }
    runs = tuple(study.panel.runs[row].id for row in np.flatnonzero(here).tolist())
    return [Finding(Kind.FIRST_STRETCH, runs=runs, facts=facts)]


def find_near_one(study: Study, shares: Iterable[float]) -> list[Finding]:
    """The finding that limits on relative regret say little, as the objective is close to 1; often none.

    ``shares`` are the limits, as fractions of the best value. It is found where the objective is to be
    maximised and the median of the runs' best values is from 0.8 to 1. The fact ``limits`` has each limit
    with the error rate (1 − value) of the median best and of the value that loses as much as the limit
    allows; ``best`` is the median.
    """
    shares = sorted(set(shares))
    best = study.panel.objective.best[study.judged]
    best = best[~np.isnan(best)]
    if not shares or study.objective.mode != "max" or not len(best):
        return []
    median = float(np.median(best))
    if not _NEAR_ONE <= median <= 1:
        return []
    limits = tuple((share, 1 - median, 1 - median * (1 - share)) for share in shares)
    facts = {"metric": study.objective.name, "best": median, "limits": limits}
    return [Finding(Kind.NEAR_ONE, facts=facts)]

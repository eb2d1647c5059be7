"""The guarantee made again without some runs, so that its policy is scored on runs that had no part in it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from replay.data.types import Floats
from replay.policies import Policy
from replay.search.cross_validation import assign_folds
from replay.search.evidence import Evidence
from replay.search.guarantee import guarantee_from
from replay.search.ladders import Ladder
from replay.stats.risk_control import resample
from replay.stats.summary import Weight

__all__ = ["guarantee_without_each"]


@dataclass(frozen=True, eq=False)
class _AsManyUnits(Evidence):
    """Evidence that counts as that of ``wanted`` units, with losses like these."""

    wanted: int = 0

    def unit_losses(self, ladder: Ladder, *, worst: bool = True) -> Floats:
        return resample(super().unit_losses(ladder, worst=worst), self.wanted)


def guarantee_without_each(
    evidence: Evidence, alpha: float, *, confidence: float | None = None, weight: Weight = "runs"
) -> dict[str, Policy | None]:
    """The policy that the other runs would choose in place of each run, by its id; None: they would none.

    Units are left out one by one, or in 20 lots where there are more (see `cross_validate`). The others count
    as if they were as many as all: a guarantee depends on the number of units by itself, so that without this
    19 runs that lose nothing, the fewest that guarantee 5 %, would give no policy in any fold. What is left
    out still has no part in the choice. Where one half of the units picks a ladder, the halves are those of
    the others alone.

    A run that is left out of the evidence, because its loss has no scale, is not among the keys. The other
    arguments are those of `replay.search.guarantee.guarantee`.
    """
    folds = assign_folds(evidence.units)
    policies: dict[str, Policy | None] = {}
    for fold in range(int(folds.max(initial=-1)) + 1):
        rest = evidence.of_units(np.flatnonzero(folds != fold))
        parts = {one.name: getattr(rest, one.name) for one in fields(Evidence)}
        enlarged = _AsManyUnits(**parts, wanted=evidence.units)
        policy = guarantee_from(enlarged, alpha, confidence=confidence, weight=weight).policy
        for run in np.flatnonzero(folds[evidence.unit] == fold).tolist():
            policies[evidence.runs[run]] = policy
    return policies

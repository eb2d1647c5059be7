"""Stop policies, and the one table of them: adding a policy is its module and a line here."""

from __future__ import annotations

from replay.policies.base import Decision, Policy, Trace
from replay.policies.budget import Budget, OneEpoch
from replay.policies.never import Never
from replay.policies.patience import Patience
from replay.policies.presets.transformers import Transformers
from replay.policies.threshold import Divergence, Nonfinite, Target

__all__ = ["POLICIES", "Decision", "Policy", "Trace"]

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        Patience,
        Target,
        Divergence,
        Nonfinite,
        Budget,
        OneEpoch,
        Never,
        Transformers,
    )
}

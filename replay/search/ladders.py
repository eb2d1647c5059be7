"""Ladders: policies ordered from the safest to the greediest, fixed before anybody looks at their losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replay.data.types import Mode
from replay.policies import Policy
from replay.policies.modify import Modified
from replay.policies.rules.never import Never
from replay.policies.rules.patience import Patience
from replay.policies.stops import group_equal

__all__ = ["DEFAULT_PATIENCES", "Ladder", "default_policies", "make_ladders", "never_stops"]

#: The rungs of the default ladder: dense where a rung more costs much, sparse where runs hardly get.
DEFAULT_PATIENCES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20)


@dataclass(frozen=True)
class Ladder:
    """Policies that look at the same signal, the safest first: each stops no run later than the one before.

    ``rungs`` are their indices among the policies that the ladder was made of.
    """

    policies: tuple[Policy, ...]
    rungs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rungs)


def default_policies() -> list[Policy]:
    """The policies to try where the user names none: plain patience, which is one ladder.

    It is only one because evidence is spent on choosing among ladders: the guarantee then holds for half of
    the runs, or for a higher confidence. Along one ladder the rungs are free.
    """
    return [Patience(patience) for patience in DEFAULT_PATIENCES]


def make_ladders(policies: Sequence[Policy], modes: Sequence[Mode]) -> list[Ladder]:
    """Order policies into ladders by nothing but their parameters.

    ``modes`` has the mode of the metric that each policy monitors, since the sign of some thresholds depends
    on it. Policies of one class that differ in their threshold alone make up a ladder (their `Policy.shape`
    is equal; it holds the modifiers too). A higher threshold is reached later, so it is safer. Of policies
    with equal thresholds, which are the same policy, the first is taken. Combinations have no threshold of
    their own: each is a ladder of one rung. Ladders are in the order in which their policies first occur.

    Examples
    --------
    >>> from replay.policies.spec import parse_policy
    >>> specs = ["patience=2", "patience=5", "target=0.1", "patience=2 | target=0.1", "target=0.2"]
    >>> ladders = make_ladders([parse_policy(spec) for spec in specs], ["min"] * 5)
    >>> [[policy.spec() for policy in ladder.policies] for ladder in ladders]
    [['patience=5', 'patience=2'], ['target=0.1', 'target=0.2'], ['patience=2 | target=0.1']]
    """
    ladders = []
    keys = [(type(policy), policy.shape(), mode) for policy, mode in zip(policies, modes, strict=True)]
    for members in group_equal(keys):
        first: dict[float, int] = {}
        for member in members:
            first.setdefault(policies[member].signal_threshold(modes[member]), member)
        rungs = tuple(first[threshold] for threshold in sorted(first, reverse=True))
        ladders.append(Ladder(tuple(policies[rung] for rung in rungs), rungs))
    return ladders


def never_stops(policy: Policy) -> bool:
    """Whether a policy stops no run, whatever is logged: ``never``, and what its parameters switch off."""
    while isinstance(policy, Modified):
        policy = policy.policy
    return isinstance(policy, Never) or policy.off_reason is not None

"""A league of rules: within each rule's grid a policy is chosen, and the rules are ranked by its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.run import Run
from replay.engine.question import Question
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.grid import Grid
from replay.search.choice import BREAKS, NO_BETTER, USE, Choice, choose_policy_in
from replay.search.tolerance import Tolerance
from replay.stats.ties import levels

__all__ = ["League", "choose_by_rule"]

_ORDER = {USE: 0, NO_BETTER: 1, BREAKS: 2}


@dataclass(frozen=True, eq=False)
class League:
    """The choice within each rule, and the skipped rules with the error, both in the order given."""

    choices: tuple[tuple[str, Choice], ...]
    skipped: tuple[tuple[str, InputError], ...]

    @property
    def ranked(self) -> list[tuple[str, Choice]]:
        """Best first: rules within the tolerance by what they save held out, then those that exceed it."""
        summaries = [choice.held_out[0].summary for _, choice in self.choices]
        saved = levels(np.array([-summary["saved_mean"] for summary in summaries]))
        lost = levels(np.array([summary["lost_mean"] or 0.0 for summary in summaries]))
        order = np.array([_ORDER.get(choice.verdict, 3) for _, choice in self.choices])
        return [self.choices[index] for index in np.lexsort((lost, saved, order)).tolist()]


def choose_by_rule(
    runs: Sequence[Run],
    grids: Sequence[Grid],
    policies: Sequence[Policy],
    tolerance: Tolerance,
    question: Question,
    *,
    confidence: float,
    group: str | None,
    progress: Callable[[int], None] | None = None,
) -> League:
    """Choose within each grid and for each single policy.

    ``confidence`` and ``group`` are as for `choose_policy_in`; ``progress`` is called with the number of
    policies done. Raises InputError where no rule can be chosen.
    """
    choices: list[tuple[str, Choice]] = []
    skipped: list[tuple[str, InputError]] = []
    done = 0
    for name, rules in [
        *((grid.rule, [policy for policy, _ in grid.points]) for grid in grids),
        *((policy.spec(), [policy]) for policy in policies),
    ]:
        try:
            if not rules:
                raise InputError("no point of its grid is a policy")
            study = Study(runs, rules, question)
            choice = choose_policy_in(
                study, rules, tolerance, confidence=confidence, group=group, optional=True
            )
            choices.append((name, choice))
        except InputError as error:
            skipped.append((name, error))
        done += len(rules)
        if progress is not None:
            progress(done)
    if not choices and skipped:
        name, first = skipped[0]
        raise InputError(f"no rule can be chosen; the first, {name}: {first}", because=first.because)
    return League(tuple(choices), tuple(skipped))

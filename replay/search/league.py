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
from replay.search.choice import Selection, Status, select_policy
from replay.search.tolerance import Tolerance
from replay.stats.summary import Weight
from replay.stats.ties import levels

__all__ = ["League", "choose_by_rule"]


@dataclass(frozen=True, eq=False)
class League:
    """The choice within each rule, and the skipped rules with the error, both in the order given."""

    choices: tuple[tuple[str, Selection], ...]
    skipped: tuple[tuple[str, InputError], ...]

    @property
    def ranked(self) -> list[tuple[str, Selection]]:
        """Best first: guaranteed ones, best guesses, the rest; each by what they save cross-validated."""
        lines = [(choice.guaranteed or choice.held_out[0]).summary for _, choice in self.choices]
        saved = levels(np.array([-line["saved_mean"] for line in lines]))
        lost = levels(np.array([line["lost_mean"] or 0.0 for line in lines]))
        order = np.array([list(Status).index(choice.status) for _, choice in self.choices])
        return [self.choices[index] for index in np.lexsort((lost, saved, order)).tolist()]


def choose_by_rule(
    runs: Sequence[Run],
    grids: Sequence[Grid],
    policies: Sequence[Policy],
    tolerance: Tolerance,
    question: Question,
    *,
    confidence: float | None,
    group: str | None,
    weight: Weight = "runs",
    progress: Callable[[int], None] | None = None,
) -> League:
    """Choose within each grid and for each single policy.

    ``confidence``, ``group`` and ``weight`` are as for `select_policy`. A guarantee is about one rule: it
    does not hold for the best of many rules. ``progress`` is called with the number of policies done. Raises
    InputError where no rule can be chosen.
    """
    choices: list[tuple[str, Selection]] = []
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
            choice = select_policy(
                study, rules, tolerance, confidence=confidence, group=group, weight=weight, optional=True
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

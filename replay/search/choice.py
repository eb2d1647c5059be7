"""The policy to use, with the figures that it has on the runs that chose it and on those that did not, and a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from replay.data.curve import Curve, CurveBatch
from replay.data.run import Run
from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, records
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_study
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.search.cross_validation import CrossValidated, cross_validate
from replay.search.tolerance import Tolerance
from replay.stats.budgets import FixedBudgets
from replay.stats.groups import groups_of
from replay.stats.intervals import interval
from replay.stats.optimism import Rule, corrected_regret
from replay.stats.summary import Rows, find_shortage, summarise

__all__ = [
    "BREAKS",
    "NONE_KEEPS",
    "NO_BETTER",
    "TOO_FEW",
    "USE",
    "Choice",
    "Line",
    "choose",
    "choose_policy_in",
]

USE = "use it"
NO_BETTER = "no better than a shorter run"
BREAKS = "does not keep the limit on runs it was not chosen on"
NONE_KEEPS = "no policy keeps the limit"
TOO_FEW = "too few runs to tell"


@dataclass(frozen=True, eq=False)
class Line:
    """One way of scoring the choice: its summary, a dict of the keys of the summary, and what belongs to the
    tolerance.

    ``name`` says which: in sample, held out by something, with or without censored runs. ``kept`` counts the
    ``judged`` runs whose own loss keeps the tolerance. ``beyond_budget`` is the mean of what a run loses more
    than under the equal budget (shares of its improvement), and the upper bound of that mean, one-sided at
    the confidence asked for; NaN where not known. ``corrected`` is the mean regret with the optimism of the
    best of a noisy curve taken off (None: not known).
    """

    name: str
    summary: dict[str, Any]
    kept: int
    judged: int
    beyond_budget: tuple[float, float]
    corrected: float | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """The policy to use (None: none), the lines that judge it, in sample first, then held out, and the
    verdict.

    ``cross_validated`` holds what was chosen without some runs. ``outcomes`` are those of all policies that
    were chosen for anything, with the baselines; ``held_out_rows`` the index there of each run's outcome
    under the policy that was chosen without it. ``baselines`` are the summaries of never, one-epoch and the
    oracle. ``stable`` says of each held-out line how many of the folds chose this same policy, and how many
    there are. ``groups`` has one entry per run of the panel.
    """

    cross_validated: CrossValidated
    policy: Policy | None
    verdict: str
    in_sample: Line
    held_out: list[Line]
    held_out_rows: Ints
    uncensored: Line | None
    baselines: dict[str, dict[str, Any]]
    stable: list[tuple[int, int]]
    groups: list[str]
    outcomes: Outcomes

    @property
    def tolerance(self) -> Tolerance:
        """What is tolerated."""
        return self.cross_validated.tolerance


def choose_policy_in(
    study: Study,
    policies: Sequence[Policy],
    tolerance: Tolerance,
    *,
    confidence: float = 0.95,
    group: str | None = None,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Choice:
    """Choose a policy on the runs of a study, and judge it; arguments and errors as for `cross_validate`.

    Intervals hold with probability ``confidence``; they draw whole groups, of ``group`` or, without it, those
    that the logs state.

    The verdict is USE where the held-out mean loss keeps the tolerance and, run by run, is below that of the
    equal budget with confidence; NO_BETTER where it keeps the tolerance but is not below on average either;
    BREAKS where it does not keep it; NONE_KEEPS where no policy of those tried keeps the tolerance even on
    the runs at hand; TOO_FEW else: with fewer than 8 runs or a median of fewer than 5 evals, where policies
    keep the tolerance on these runs but none with a margin for chance, and where it is below the equal
    budget's loss on average, but not with confidence.
    """
    made = cross_validate(
        study,
        policies,
        tolerance,
        confidence=confidence,
        group=group,
        optional=optional,
        progress=progress,
    )
    outcomes = simulate_study(study, made.tried(), baselines=True)
    outcomes = replace(outcomes, findings=tuple(dict.fromkeys((*made.findings, *outcomes.findings))))
    runs = study.panel.runs
    groups = groups_of(runs, group)
    scorer = _Scorer(outcomes, groups, tolerance, confidence)
    in_sample = scorer.line("in sample", [made.chosen] * len(runs))
    picks = [[one.policy(run) for run in range(len(runs))] for one in made.held_out]
    lines = [
        scorer.line(f"held out by {one.by}", some, corrected=True)
        for one, some in zip(made.held_out, picks, strict=True)
    ]
    whole = np.array([run.id not in study.censored for run in runs], dtype=bool) & study.judged
    uncensored = None
    if 0 < whole.sum() < study.judged.sum():
        uncensored = scorer.line("without censored runs", picks[0], whole)
    return Choice(
        cross_validated=made,
        policy=made.chosen,
        verdict=_verdict(made, lines[0], study),
        in_sample=in_sample,
        held_out=lines,
        held_out_rows=scorer.rows(picks[0]),
        uncensored=uncensored,
        baselines=scorer.baselines(),
        stable=[
            (sum(_same(policy, made.chosen) for policy in one.chosen), len(one.chosen))
            for one in made.held_out
        ],
        groups=groups,
        outcomes=outcomes,
    )


def _same(one: Policy | None, other: Policy | None) -> bool:
    return (one and one.spec()) == (other and other.spec())


class _Scorer:
    """Puts the outcomes of policies together into lines, each run under a policy picked for it."""

    def __init__(
        self, outcomes: Outcomes, groups: Sequence[str], tolerance: Tolerance, confidence: float
    ) -> None:
        self._outcomes, self._groups = outcomes, list(groups)
        self._tolerance, self._confidence = tolerance, confidence
        self._noise = outcomes.noise
        self._policy = {name: index for index, name in enumerate(outcomes.policies)}
        # index of the outcome of each policy and run; −1 where there is none
        self._row = np.full((len(outcomes.policies), len(outcomes.study.panel.runs)), -1)
        self._row[outcomes.policy, outcomes.run] = np.arange(len(outcomes))

    def rows(self, picks: Sequence[Policy | None]) -> Ints:
        """The index of the outcome of each run under the policy picked for it."""
        policies = [self._policy[(pick or Never()).spec()] for pick in picks]
        return self._row[policies, np.arange(len(picks))]

    def line(
        self, name: str, picks: Sequence[Policy | None], keep: Bools | None = None, *, corrected: bool = False
    ) -> Line:
        """The runs (those to ``keep``), each under the policy picked for it."""
        judged = self._outcomes.study.judged
        runs = np.flatnonzero(judged if keep is None else judged & keep)
        rows = self.rows(picks)[runs]
        losses = getattr(self._outcomes, self._tolerance.kind)[rows]
        known = losses[~np.isnan(losses)]
        summary = self._summarise([Rows(name, rows, runs)])[0]
        corrected_regret = self._correct(rows, [picks[run] for run in runs.tolist()]) if corrected else None
        kept = int((known <= self._tolerance.value).sum())
        return Line(name, summary, kept, len(known), self._beyond_budget(rows, runs), corrected_regret)

    def _beyond_budget(self, rows: Ints, runs: Ints) -> tuple[float, float]:
        saved, lost = self._outcomes.saved[rows], self._outcomes.lost[rows]
        beyond = (
            lost - FixedBudgets.of(self._outcomes.study, runs).matching(float(np.mean(saved))).lost_by_run
        )
        if np.isnan(beyond).all():
            return np.nan, np.nan
        level = max(2 * self._confidence - 1, 1e-9)
        _, high = interval(beyond, [self._groups[run] for run in runs.tolist()], level, within=(-1.0, 1.0))
        return float(np.nanmean(beyond)), high

    def baselines(self) -> dict[str, dict[str, Any]]:
        """The summaries of the baselines that there are."""
        sets = []
        for name in (*BASELINES, ORACLE):
            if name in self._policy:
                policy = self._policy[name]
                rows = np.arange(*self._outcomes.rows_of(policy).indices(len(self._outcomes)))
                if len(rows):
                    sets.append(Rows(name, rows, self._outcomes.runs_of(policy)))
        return {row["policy"]: row for row in self._summarise(sets)}

    def _summarise(self, sets: Sequence[Rows]) -> list[dict[str, Any]]:
        return records(summarise(self._outcomes, self._groups, self._confidence, sets))

    def _correct(self, rows: Ints, picks: Sequence[Policy | None]) -> float | None:
        """Mean over the runs of the regret without the optimism of a noisy curve's best; None: not known."""
        outcomes, study = self._outcomes, self._outcomes.study
        objective = study.objective
        stopped_step, kept_step = outcomes.stopped_step[rows], outcomes.kept_step[rows]
        regrets = []
        for number, policy in enumerate(picks):
            run = study.panel.runs[int(outcomes.run[rows[number]])]
            name = objective.names.get(run.id)
            if name is None or np.isnan(kept_step[number]):
                continue
            curve = run.curve(name, objective.mode)
            if curve.noise is None:
                continue
            kept = int(np.searchsorted(curve.steps, kept_step[number]))
            if kept >= len(curve) or curve.steps[kept] != kept_step[number]:
                continue
            stop = None
            if not np.isnan(stopped_step[number]):
                stop = int(np.searchsorted(curve.steps, stopped_step[number], side="right")) - 1
            # the kept eval was chosen by the metric that the policy monitors, which may be its own
            monitor = outcomes.sources[int(outcomes.policy[rows[number]])].payoffs.panel.monitoring.primary
            same = (monitor.names[run.id], monitor.mode) == (name, curve.mode)
            same = same and study.question.keep != "last"
            rule = "fixed" if policy is None or not same else _rule(policy, curve)
            regrets.append(corrected_regret(curve.values, curve.mode, kept, stop, rule=rule, chosen=same))
        known = [value for value in regrets if np.isfinite(value)]
        return float(np.mean(known)) if known else None


def _rule(policy: Policy, curve: Curve) -> Rule:
    """How a stop by the policy comes about on curves like this one; as by waiting for a gain where it looks
    at more than the values.
    """
    if policy.companions or set(policy.monitors()) != {None}:
        return "patience"

    def stops(drawn: Floats) -> Ints:
        lengths = np.full(len(drawn), len(curve), dtype=np.int64)
        return policy.stops(CurveBatch(drawn, np.broadcast_to(curve.steps, drawn.shape), lengths, curve.mode))

    return stops


def _verdict(made: CrossValidated, held_out: Line, study: Study) -> str:
    if find_shortage(study.panel.whole.lengths):
        return TOO_FEW
    if made.chosen is None or not held_out.summary["saved_mean"] > 0:
        some_keeps = made.least is not None and made.loss_of(made.least)[0] <= made.tolerance.value
        return TOO_FEW if some_keeps else NONE_KEEPS
    loss = held_out.summary[made.tolerance.key]
    if loss is None or loss > made.tolerance.value:
        return BREAKS
    mean, high = held_out.beyond_budget
    if high < 0:
        return USE
    return TOO_FEW if mean < 0 else NO_BETTER


def choose(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    tolerance: Tolerance,
    *,
    confidence: float = 0.95,
    group: str | None = None,
    **settings: Any,
) -> Choice:
    """Choose a policy on runs; see `choose_policy_in`. ``settings`` are those of a `Question`."""
    rules = parse_policies(policies)
    study = Study(runs, rules, Question(**settings))
    return choose_policy_in(study, rules, tolerance, confidence=confidence, group=group)

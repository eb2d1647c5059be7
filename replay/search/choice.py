"""The policy to use: one whose loss is guaranteed, else the best guess, else that the runs cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from replay.data.curve import Curve, CurveBatch
from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Floats, Ints
from replay.engine.metrics import Metric
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, records
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_study
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.search.cross_validation import FEWEST_GROUPS, CrossValidated, cross_validate
from replay.search.guarantee import Guarantee, guarantee, least_units
from replay.search.tolerance import Tolerance
from replay.stats.budgets import known_mean
from replay.stats.groups import groups_of
from replay.stats.optimism import Rule, corrected_regret
from replay.stats.second_metric import SecondRegret, mean_second_regret
from replay.stats.summary import Rows, Weight, find_shortage, summarise

__all__ = [
    "Choice",
    "GroupFigures",
    "Line",
    "Obstacle",
    "Scorer",
    "Selection",
    "Status",
    "count_stable",
    "find_obstacle",
    "select",
    "select_policy",
    "worst_loss",
]


class Status(StrEnum):
    """How far a choice can be trusted, from most to least."""

    GUARANTEED = "guaranteed"
    BEST_GUESS = "best guess"
    CANNOT_TELL = "cannot tell"


class Obstacle(StrEnum):
    """Why there is no best guess."""

    #: Fewer than 8 runs, or a median of fewer than 5 evals.
    TOO_FEW = "too-few"
    #: Too few groups to leave one out.
    TOO_FEW_GROUPS = "too-few-groups"
    #: No policy keeps the tolerance on these runs.
    NONE_KEEPS = "none-keeps"
    #: Policies keep the tolerance on these runs, but none with a margin for chance.
    NO_MARGIN = "no-margin"
    #: The policy that was chosen loses more than the tolerance on runs that it was not chosen on.
    BREAKS = "breaks"
    #: With the worst that censored runs allow, it loses more than the tolerance.
    CENSORED = "censored"


@dataclass(frozen=True, eq=False)
class Line:
    """One way of scoring policies: its summary, a dict of the keys of the summary, and what belongs to the
    tolerance.

    ``name`` says which: guaranteed, in sample, held out by something. ``kept`` counts the ``judged`` runs
    whose own loss keeps the tolerance. ``worst_mean`` is the mean loss if every censored run loses all that
    it can; NaN where no loss is known. ``corrected`` is the mean regret with the optimism of the best of a
    noisy curve taken off (None: not known), ``second`` the regret on a second held-out metric (None: there is
    none).
    """

    name: str
    summary: dict[str, Any]
    kept: int
    judged: int
    worst_mean: float
    corrected: float | None
    second: SecondRegret | None


class GroupFigures(NamedTuple):
    """What one policy saves and loses on average in a group of runs: fractions, NaN where not known (of a
    tolerance on regret: in its terms).
    """

    group: str
    runs: int
    saved: float
    loss: float


@dataclass(frozen=True, eq=False)
class Choice:
    """What to use, and how far that can be trusted.

    ``guarantee`` is None where the tolerance is not on ``lost``: a regret has no upper bound, so that nothing
    can be proven of its mean. ``guaranteed`` has the in-sample figures of the guaranteed policy, where there
    is one. ``guess`` is the policy that cross-validation chose on all runs (None: none), and ``obstacle`` why
    it is no best guess (None: it is one). ``in_sample`` and ``held_out`` are its figures, and
    ``held_out_losses`` what each run loses under the policy that was chosen without it. ``by_group`` has the
    in-sample figures, in each group of runs, of the guaranteed policy or else of the guess.

    ``cross_validated`` holds what was chosen without some runs. ``baselines`` are the summaries of never,
    one-epoch and the oracle. ``stable`` says of each held-out line how many of the folds chose the same
    policy as all runs, and how many folds there are. ``run_ids`` and ``groups`` have one entry per run that
    logs the monitor, and ``compared_evals`` has the number of evals of each run that policies are compared
    on. ``unit`` is what the guarantee is about: ``"run"``, or what makes a group.
    """

    guarantee: Guarantee | None
    guaranteed: Line | None
    guess: Policy | None
    obstacle: Obstacle | None
    cross_validated: CrossValidated
    in_sample: Line
    held_out: list[Line]
    held_out_losses: Floats
    by_group: list[GroupFigures]
    baselines: dict[str, dict[str, Any]]
    stable: list[tuple[int, int]]
    run_ids: list[str]
    groups: list[str]
    compared_evals: Ints
    unit: str
    least_groups: int | None
    monitor: Metric
    objective: Metric
    question: Question
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """How far the choice can be trusted."""
        if self.guaranteed is not None:
            return Status.GUARANTEED
        return Status.CANNOT_TELL if self.obstacle is not None else Status.BEST_GUESS

    @property
    def policy(self) -> Policy | None:
        """The policy to use; None where the runs cannot tell."""
        if self.guaranteed is not None and self.guarantee is not None:
            return self.guarantee.policy
        return None if self.obstacle is not None else self.guess

    @property
    def tolerance(self) -> Tolerance:
        """What is tolerated."""
        return self.cross_validated.tolerance


@dataclass(frozen=True, eq=False)
class Selection(Choice):
    """A choice from runs that are all at hand.

    ``outcomes`` are those of all policies that were chosen for anything, with the baselines;
    ``held_out_rows`` the index there of each run's outcome under the policy that was chosen without it.
    """

    held_out_rows: Ints
    outcomes: Outcomes


def select_policy(
    study: Study,
    policies: Sequence[Policy],
    tolerance: Tolerance,
    *,
    ladder_policies: Sequence[Policy] | None = None,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Selection:
    """Look for a policy whose loss is guaranteed, and for the best guess; errors as for `cross_validate`.

    ``ladder_policies`` are those among which a guarantee is looked for (default: all of ``policies``). The
    guarantee is on average over the next runs or, with ``confidence``, on their mean loss with that
    probability. With ``group`` it is about new groups instead of new runs, and cross-validation holds out
    whole groups. ``weight`` says what a policy must save most of: the mean share of the runs' compute, or the
    share of their total compute.

    The best guess is the policy that cross-validation chooses on all runs, provided that there are enough
    runs and evals, that it saves something and that its cross-validated mean loss keeps the tolerance, also
    where every censored run loses all that it can. With ``group`` it takes at least 3 groups; with fewer, the
    cross-validated figures hold out single runs.
    """
    few = group is not None and len(set(groups_of(study.judged_runs, group))) < FEWEST_GROUPS
    made = cross_validate(
        study,
        policies,
        tolerance,
        group=None if few else group,
        weight=weight,
        optional=optional,
        progress=progress,
    )
    proven = None
    if tolerance.kind == "lost":
        proven = guarantee(
            study,
            tolerance.value,
            policies if ladder_policies is None else ladder_policies,
            confidence=confidence,
            groups=None if group is None else groups_of(study.panel.runs, group),
            weight=weight,
            optional=optional,
        )
    policy = None if proven is None else proven.policy
    tried_policies = {one.spec(): one for one in (*([policy] if policy else []), *made.tried())}
    outcomes = simulate_study(study, list(tried_policies.values()), baselines=True)
    outcomes = replace(outcomes, findings=tuple(dict.fromkeys((*made.findings, *outcomes.findings))))
    runs = study.panel.runs
    groups = groups_of(runs, group)
    scorer = Scorer(outcomes, groups, tolerance)
    picks = [[one.policy(run) for run in range(len(runs))] for one in made.held_out]
    lines = [
        scorer.line(f"held out by {one.by}", some, corrected=True)
        for one, some in zip(made.held_out, picks, strict=True)
    ]
    held_out_rows = scorer.rows(picks[0])
    return Selection(
        guarantee=proven,
        guaranteed=None if policy is None else scorer.line("guaranteed", [policy] * len(runs)),
        guess=made.chosen,
        obstacle=Obstacle.TOO_FEW_GROUPS if few else find_obstacle(made, lines[0], study.compared_evals),
        cross_validated=made,
        in_sample=scorer.line("in sample", [made.chosen] * len(runs)),
        held_out=lines,
        held_out_losses=outcomes.lost[held_out_rows],
        by_group=_by_group(scorer, policy or made.chosen),
        baselines=scorer.baselines(),
        stable=count_stable(made),
        run_ids=[run.id for run in runs],
        groups=groups,
        compared_evals=study.compared_evals,
        unit=group or "run",
        least_groups=None if proven is None else least_units(tolerance.value, confidence),
        monitor=study.monitor,
        objective=study.objective,
        question=study.question,
        findings=outcomes.findings,
        held_out_rows=held_out_rows,
        outcomes=outcomes,
    )


def count_stable(made: CrossValidated) -> list[tuple[int, int]]:
    """For each way of holding runs out: how many folds chose the policy of all runs, of how many."""
    return [
        (sum(_same(policy, made.chosen) for policy in one.chosen), len(one.chosen)) for one in made.held_out
    ]


def _by_group(scorer: Scorer, policy: Policy | None) -> list[GroupFigures]:
    return [] if policy is None else scorer.by_group(policy)


def _same(one: Policy | None, other: Policy | None) -> bool:
    return (one and one.spec()) == (other and other.spec())


def worst_loss(tolerance: Tolerance) -> float:
    """The most that a censored run can lose: all of its improvement; a regret has no upper bound."""
    return 1.0 if tolerance.kind == "lost" else np.inf


class Scorer:
    """Puts the outcomes of policies together into lines, each run under a policy picked for it."""

    def __init__(self, outcomes: Outcomes, groups: Sequence[str], tolerance: Tolerance) -> None:
        self._outcomes, self._groups, self._tolerance = outcomes, list(groups), tolerance
        self._policy = {name: index for index, name in enumerate(outcomes.policies)}
        # index of the outcome of each policy and run; −1 where there is none
        self._row = np.full((len(outcomes.policies), len(outcomes.study.panel.runs)), -1)
        self._row[outcomes.policy, outcomes.run] = np.arange(len(outcomes))

    def rows(self, picks: Sequence[Policy | None]) -> Ints:
        """The index of the outcome of each run under the policy picked for it."""
        policies = [self._policy[(pick or Never()).spec()] for pick in picks]
        return self._row[policies, np.arange(len(picks))]

    def line(self, name: str, picks: Sequence[Policy | None], *, corrected: bool = False) -> Line:
        """The judged runs, each under the policy picked for it."""
        runs = np.flatnonzero(self._outcomes.study.judged)
        rows = self.rows(picks)[runs]
        losses = getattr(self._outcomes, self._tolerance.kind)[rows]
        known = losses[~np.isnan(losses)]
        summary = self._summarise([Rows(name, rows, runs)])[0]
        corrected_regret = self._correct(rows, [picks[run] for run in runs.tolist()]) if corrected else None
        kept = int(self._tolerance.allows(known).sum())
        worst = np.where(self._outcomes.censored[rows], worst_loss(self._tolerance), losses)
        return Line(
            name=name,
            summary=summary,
            kept=kept,
            judged=len(known),
            worst_mean=float(np.nanmean(worst)) if len(known) else np.nan,
            corrected=corrected_regret,
            second=mean_second_regret(self._outcomes, rows),
        )

    def by_group(self, policy: Policy) -> list[GroupFigures]:
        """What a policy saves and loses in each group of runs, in the order in which groups appear."""
        rows, judged = self.rows([policy] * len(self._groups)), self._outcomes.study.judged
        groups = np.array(self._groups, dtype=str)
        figures = []
        for name in dict.fromkeys(groups[judged].tolist()):
            here = rows[judged & (groups == name)]
            saved, loss = self._outcomes.saved[here], getattr(self._outcomes, self._tolerance.kind)[here]
            figures.append(GroupFigures(name, len(here), known_mean(saved), known_mean(loss)))
        return figures

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
        return records(summarise(self._outcomes, self._groups, rows=sets))

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


def find_obstacle(made: CrossValidated, held_out: Line, compared_evals: Ints) -> Obstacle | None:
    """Why the policy that was chosen is no best guess; None where it is one."""
    if find_shortage(compared_evals):
        return Obstacle.TOO_FEW
    if made.chosen is None or not held_out.summary["saved_mean"] > 0:
        keeps = made.least is not None and made.tolerance.allows(made.loss_of(made.least)[0])
        return Obstacle.NO_MARGIN if keeps else Obstacle.NONE_KEEPS
    loss = held_out.summary[made.tolerance.key]
    if loss is None or not made.tolerance.allows(loss):
        return Obstacle.BREAKS
    return None if made.tolerance.allows(held_out.worst_mean) else Obstacle.CENSORED


def select(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    tolerance: Tolerance,
    *,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    **settings: Any,
) -> Selection:
    """Choose a policy on runs; see `select_policy`. ``settings`` are those of a `Question`."""
    rules = parse_policies(policies)
    study = Study(runs, rules, Question(**settings))
    return select_policy(study, rules, tolerance, confidence=confidence, group=group, weight=weight)

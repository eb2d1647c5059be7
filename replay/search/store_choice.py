"""The policy to use, chosen on the runs of a store file by file; see `replay.search.choice`.

What each policy saves and loses on each run is kept while the choice is made, and of the policies that were
chosen for anything all that a summary takes. The result is that of all runs at once, but for the regret
without the luck of noise and that on a second metric, which take the curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from replay.data.finding import Finding
from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import BASELINES, ORACLE, records
from replay.engine.question import Question
from replay.engine.stops import StopsFinder
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.search.choice import (
    Choice,
    GroupFigures,
    Line,
    Obstacle,
    count_stable,
    find_obstacle,
    worst_loss,
)
from replay.search.cross_validation import CrossValidated, Folds, losses_of_block
from replay.search.guarantee import Guarantee, guarantee_from, least_units
from replay.search.store_guarantee import ShardEvidence, evidence_of_study, join_evidence
from replay.search.store_simulation import RunAll, StoreOutcomes, compared_evals, gather_outcomes
from replay.search.store_sweep import (
    Common,
    Resolved,
    ShardTask,
    Totals,
    make_tasks,
    none_judged,
    order_of,
    read_task,
    usable_runs,
)
from replay.search.tolerance import Tolerance
from replay.stats.budgets import known_mean
from replay.stats.groups import groups_of
from replay.stats.summary import Part, Weight
from replay.store import Store

__all__ = ["MOST_TRIED", "StoreChoice", "choose_from_store"]

#: Policies times runs of which savings and losses are kept: about 1 GiB.
MOST_TRIED = 60_000_000
#: Policies that are taken into the folds at a time.
_AT_A_TIME = 32
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class ChoiceTask:
    """One file of a store, the tolerance, and the policies among which a guarantee is looked for."""

    shard: ShardTask
    tolerance: Tolerance
    ladder: tuple[Policy, ...]


@dataclass(frozen=True, eq=False)
class ShardChoice:
    """What policies save and lose on the judged runs of one file, of which there may be none.

    ``tried`` says which policies can be tried on all of them; ``saved`` and ``loss`` (policies × runs) are
    those of these. ``full`` is the compute of the full runs, and ``stated`` the groups that their logs state.
    """

    totals: Totals
    resolved: Resolved | None
    ids: tuple[str, ...]
    stated: tuple[str, ...]
    full: Floats
    tried: Bools
    saved: Floats
    loss: Floats
    evidence: ShardEvidence | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class StoreChoice(Choice):
    """A choice from the runs of a store: how many there are, and what bounds the meaning of the figures."""

    runs: int
    limits: tuple[Finding, ...]


def choose_from_store(
    store: Store,
    policies: Sequence[Policy],
    question: Question,
    tolerance: Tolerance,
    *,
    ladder_policies: Sequence[Policy] | None = None,
    confidence: float | None = None,
    weight: Weight = "runs",
    optional: bool = False,
    run_all: RunAll = map,
    version: str = "",
) -> StoreChoice:
    """Look for a policy whose loss is guaranteed, and for the best guess, as `select_policy` does.

    The other arguments are those of `replay.search.store_sweep.sweep_store`. Raises InputError for a policy
    that no run has what it takes for, unless they are ``optional``.
    """
    ladder = (
        tuple(policies if ladder_policies is None else ladder_policies) if tolerance.kind == "lost" else ()
    )
    tasks = [ChoiceTask(task, tolerance, ladder) for task in make_tasks(store, policies, question, version)]
    pieces: list[ShardChoice] = []
    common = Common()
    for piece in run_all(try_shard, tasks):
        common.add(piece.resolved, piece.findings, piece.totals)
        if piece.ids:
            pieces.append(piece)
    findings, resolved = common.joined(), common.resolved
    if resolved is None or not pieces:
        raise none_judged(store, findings)
    made = _cross_validate(pieces, policies, tolerance, weight, findings)
    if not optional and made.partial:
        _refuse_untried(policies, pieces, findings)
    proven = None
    if ladder:
        evidence = join_evidence([piece.evidence for piece in pieces if piece.evidence is not None], ladder)
        evidence = replace(evidence, findings=findings)
        proven = guarantee_from(evidence, tolerance.value, confidence=confidence, weight=weight)
    pieces.clear()
    asked = replace(
        question,
        monitor=resolved.monitor.name,
        mode=resolved.monitor.mode,
        objective=None if question.objective is None else resolved.objective.name,
        objective_mode=None if question.objective is None else resolved.objective.mode,
    )
    policy = None if proven is None else proven.policy
    chosen = {one.spec(): one for one in (*([policy] if policy else []), *made.tried())}
    outcomes = gather_outcomes(store, list(chosen.values()), asked, run_all=run_all, version=version)
    return _put_together(outcomes, made, proven, resolved, question, tolerance, confidence, findings)


def try_shard(task: ChoiceTask) -> ShardChoice:
    """What the policies save and lose on the judged runs of one file."""
    runs, findings = read_task(task.shard)
    policies, question = task.shard.policies, task.shard.question
    usable, lacking = usable_runs(runs, policies, question)
    count = len(policies)
    none = np.empty((count, 0))
    if not usable:
        return ShardChoice(
            Totals.of(len(runs)),
            None,
            (),
            (),
            np.empty(0),
            np.ones(count, dtype=bool),
            none,
            none,
            None,
            (*findings, *lacking),
        )
    study = Study(runs, policies, question)
    resolved, totals = Resolved.of(study), Totals.of(len(runs), study)
    if not study.panel.judged.any():
        about = (*findings, *study.findings)
        every = np.ones(count, dtype=bool)
        return ShardChoice(totals, resolved, (), (), np.empty(0), every, none, none, None, about)
    judged = study.judged_runs
    saved = np.full((count, len(judged)), np.nan)
    loss = saved.copy()
    tried = np.zeros(count, dtype=bool)
    finder = StopsFinder(study, policies, optional=True)
    for block in finder.blocks():
        members, *figures = losses_of_block(block, study, task.tolerance)
        tried[members] = True
        saved[members], loss[members] = figures
    evidence = evidence_of_study(study, task.ladder, len(runs)) if task.ladder else None
    about = (*findings, *study.findings, *(finding for _, finding in finder.findings))
    return ShardChoice(
        totals,
        resolved,
        tuple(run.id for run in judged),
        tuple(groups_of(judged)),
        study.payoffs.full[study.judged],
        tried,
        saved,
        loss,
        evidence,
        tuple(dict.fromkeys(about)),
    )


def _cross_validate(
    pieces: Sequence[ShardChoice],
    policies: Sequence[Policy],
    tolerance: Tolerance,
    weight: Weight,
    findings: tuple[Finding, ...],
) -> CrossValidated:
    """The choice on all runs, and without those of each fold; the folds are those of the judged runs in the
    order of their ids.
    """
    ids = [name for piece in pieces for name in piece.ids]
    order = order_of(ids)
    full = np.concatenate([piece.full for piece in pieces])[order]
    stated = [name for piece in pieces for name in piece.stated]
    folds = Folds(
        len(policies),
        "run",
        [ids[at] for at in order.tolist()],
        [stated[at] for at in order.tolist()],
        full if weight == "compute" else np.ones(len(full)),
    )
    whole = np.flatnonzero(np.logical_and.reduce([piece.tried for piece in pieces])).tolist()
    for begin in range(0, len(whole), _AT_A_TIME):
        members = whole[begin : begin + _AT_A_TIME]
        saved, loss = (
            np.ascontiguousarray(
                np.concatenate([getattr(piece, name)[members] for piece in pieces], axis=1)[:, order]
            )
            for name in ("saved", "loss")
        )
        folds.add(members, saved, loss)
    return folds.choose(policies, tolerance, _CONFIDENCE, findings)


def _refuse_untried(
    policies: Sequence[Policy], pieces: Sequence[ShardChoice], findings: Sequence[Finding]
) -> None:
    tried = np.logical_or.reduce([piece.tried for piece in pieces])
    for policy, some in zip(policies, tried.tolist(), strict=True):
        because = next((one for one in findings if one.policy == policy.spec()), None)
        if not some and because is not None:
            raise InputError(f"{policy.spec()} can be tried on no run of the store", because=because)


def _put_together(
    outcomes: StoreOutcomes,
    made: CrossValidated,
    proven: Guarantee | None,
    resolved: Resolved,
    question: Question,
    tolerance: Tolerance,
    confidence: float | None,
    findings: tuple[Finding, ...],
) -> StoreChoice:
    """The figures of what was chosen."""
    policy = None if proven is None else proven.policy
    runs = outcomes.parts[Never().spec()].runs
    lines: list[tuple[str, Part]] = []
    if policy is not None:
        lines.append(
            ("guaranteed", _picked(outcomes, "guaranteed", [policy], np.zeros(len(runs), dtype=int)))
        )
    lines.append(("in sample", _picked(outcomes, "in sample", [made.chosen], np.zeros(len(runs), dtype=int))))
    for one in made.held_out:
        name = f"held out by {one.by}"
        lines.append((name, _picked(outcomes, name, one.chosen, one.fold)))
    baselines = [name for name in (*BASELINES, ORACLE) if name in outcomes.parts]
    parts = [*(part for _, part in lines), *(outcomes.parts[name] for name in baselines)]
    like = [*("never" for _ in lines), *baselines]
    rows = records(outcomes.summarise(parts, like))
    by_name = {
        name: _line(name, part, row, tolerance)
        for (name, part), row in zip(lines, rows[: len(lines)], strict=True)
    }
    held_out = [by_name[f"held out by {one.by}"] for one in made.held_out]
    evals = compared_evals([outcomes.parts["never"]])
    shown = policy or made.chosen
    main = next(part for name, part in lines if name == f"held out by {made.held_out[0].by}")
    obstacle: Obstacle | None = find_obstacle(made, held_out[0], evals)
    return StoreChoice(
        guarantee=proven,
        guaranteed=by_name.get("guaranteed"),
        guess=made.chosen,
        obstacle=obstacle,
        cross_validated=made,
        in_sample=by_name["in sample"],
        held_out=held_out,
        held_out_losses=main.lost,
        by_group=[] if shown is None else _by_group(outcomes, outcomes.parts[shown.spec()], tolerance),
        baselines={row["policy"]: row for row in rows[len(lines) :]},
        stable=count_stable(made),
        run_ids=outcomes.ids,
        groups=outcomes.groups,
        compared_evals=evals,
        unit="run",
        least_groups=None if proven is None else least_units(tolerance.value, confidence),
        monitor=replace(resolved.monitor, runs=outcomes.runs),
        objective=replace(resolved.objective, runs=len(outcomes.ids)),
        question=question,
        findings=tuple(dict.fromkeys((*findings, *outcomes.findings))),
        runs=outcomes.runs,
        limits=outcomes.limits,
    )


def _picked(outcomes: StoreOutcomes, name: str, policies: Sequence[Policy | None], fold: Ints) -> Part:
    """The judged runs, each with its outcome under the policy of its fold."""
    specs = [(policy or Never()).spec() for policy in policies]
    pieces = []
    for spec in dict.fromkeys(specs):
        here = np.isin(fold, [number for number, other in enumerate(specs) if other == spec])
        pieces.append(outcomes.parts[spec].take(here))
    arrays = [np.concatenate(values) for values in zip(*(piece[2:] for piece in pieces), strict=True)]
    part = Part(name, name, *arrays)
    return part.take(np.argsort(part.runs))


def _line(name: str, part: Part, summary: dict[str, object], tolerance: Tolerance) -> Line:
    losses: Floats = getattr(part, tolerance.kind)
    known = losses[~np.isnan(losses)]
    worst = np.where(part.censored, worst_loss(tolerance), losses)
    return Line(
        name=name,
        summary=summary,
        kept=int(tolerance.allows(known).sum()),
        judged=len(known),
        worst_mean=float(np.nanmean(worst)) if len(known) else np.nan,
        corrected=None,
        second=None,
    )


def _by_group(outcomes: StoreOutcomes, part: Part, tolerance: Tolerance) -> list[GroupFigures]:
    groups = np.array([outcomes.groups[run] for run in part.runs.tolist()], dtype=str)
    losses: Floats = getattr(part, tolerance.kind)
    names, member = np.unique(groups, return_inverse=True)
    if len(names) == len(groups):  # of single runs nothing is said
        return []
    figures = {}
    for number, name in enumerate(names.tolist()):
        here = member == number
        figures[name] = GroupFigures(
            name, int(here.sum()), known_mean(part.saved[here]), known_mean(losses[here])
        )
    return [figures[name] for name in dict.fromkeys(groups.tolist())]

"""Gathers what the page shows: a choice, a sweep, and the outcomes of the policies shown run by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replay.data.types import Ints
from replay.engine.inspect import Inspection, inspect
from replay.engine.outcomes import Outcomes, records
from replay.engine.scoring import parse_policies, simulate_study
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.grid import Grid, policies_of
from replay.readers import ReadResult
from replay.report.page.frameworks import Setting, same_settings
from replay.report.page.values import MANY_RUNS
from replay.search.choice import Scorer, Selection, select_policy
from replay.search.grid_sweep import GridSweep, sweep_grids
from replay.search.held_out_guarantee import guarantee_without_each
from replay.search.tolerance import Tolerance
from replay.stats.summary import Weight, summarise

__all__ = ["Evaluated", "PageFacts", "gather"]

#: What people copy most often.
_COMMON = ("patience=3", "patience=5", "patience=1")
#: Outcomes of single runs that a page holds, and between how many policies they are shared.
_MOST_OUTCOMES = 60_000
_FEWEST_POLICIES, _MOST_POLICIES = 8, 150


@dataclass(frozen=True)
class Evaluated:
    """The figures of a policy that was chosen without the runs that it is scored on.

    ``summary`` is a row of `replay.stats.summary.summarise`, ``rows`` the index of each run's outcome,
    ``kept`` the number of runs whose loss is within the tolerance, of ``judged``; ``by`` says what was held
    out together.
    """

    summary: dict[str, Any]
    rows: Ints
    kept: int
    judged: int
    by: str


@dataclass(frozen=True, eq=False)
class PageFacts:
    """All that a page is made from.

    ``held_out`` are the cross-validated figures of the policy that is recommended (None: there is none).
    ``outcomes`` are those of the policies that the page shows run by run, the most important ones first, and
    ``summaries`` their summaries by specification. ``frameworks`` are settings that tools share.
    """

    logs: ReadResult
    inspection: Inspection
    selection: Selection
    held_out: Evaluated | None
    sweep: GridSweep
    outcomes: Outcomes
    summaries: dict[str, dict[str, Any]]
    frameworks: list[Setting]

    @property
    def study(self) -> Study:
        """The runs, and what is monitored."""
        return self.outcomes.study


def gather(
    logs: ReadResult,
    study: Study,
    grids: Sequence[Grid],
    singles: Sequence[Policy],
    tolerance: Tolerance,
    *,
    ladder_policies: Sequence[Policy] | None = None,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    typed: Mapping[str, str] | None = None,
    selection: Selection | None = None,
    progress: Callable[[int], None] | None = None,
) -> PageFacts:
    """Choose, sweep and simulate for a page; the arguments and errors are those of `select_policy` and
    `sweep_grids`. ``selection`` is the choice, where it is made already.
    """
    optional = len(grids) > 1
    candidates = [*policies_of(grids), *singles]
    selection = selection or select_policy(
        study,
        candidates,
        tolerance,
        ladder_policies=ladder_policies,
        confidence=confidence,
        group=group,
        weight=weight,
        optional=optional,
        progress=progress,
    )
    chosen = [policy for policy in (selection.policy, selection.guess) if policy is not None]
    rungs = [] if selection.guarantee is None else [rung.policy for rung in selection.guarantee.rungs]
    extra = [*singles, *chosen, *rungs, *parse_policies(_COMMON)]
    sweep = sweep_grids(study, grids, extra, tolerance, weight=weight, typed=typed, optional=optional)
    settings = same_settings(chosen[0] if chosen else parse_policies(_COMMON)[0])
    if len(study.panel.runs) > MANY_RUNS:
        settings = [one for one in settings if "min_delta" in one.label][:1]  # where tools differ most
    presets = [tool.policy for setting in settings for tool in setting.tools]
    picks = _picks_without_each(selection)
    held = [policy for policy in (*picks.values(), *selection.cross_validated.tried()) if policy is not None]
    shown = _shown(sweep, [*chosen, *parse_policies(_COMMON), *singles], len(study.panel.runs))
    outcomes = simulate_study(study, [*shown, *presets, *held], baselines=True, typed=typed)
    summaries = {row["spec"]: row for row in records(summarise(outcomes, selection.groups))}
    return PageFacts(
        logs,
        inspect(logs, study.question.monitor, study.question.mode),
        selection,
        _evaluate(selection, outcomes, picks),
        sweep,
        outcomes,
        summaries,
        settings,
    )


def _shown(sweep: GridSweep, first: Sequence[Policy], runs: int) -> list[Policy]:
    """The policies that are shown run by run: those given, the front, the marked ones, then the others."""
    most = min(max(_MOST_OUTCOMES // max(runs, 1), _FEWEST_POLICIES), _MOST_POLICIES)
    policies, tried = sweep.sweep.policies, sweep.sweep.figures["runs"]
    marked = [index for result in sweep.grids for index in result.marked]
    order = dict.fromkeys([*marked, *sweep.short_front.tolist(), *range(len(policies))])
    ranked = [*first, *(policies[index] for index in order if tried[index])]
    return list({policy.spec(): policy for policy in ranked}.values())[:most]


def _picks_without_each(selection: Selection) -> dict[str, Policy | None]:
    """The policy that would be guaranteed without each run; empty where none is guaranteed with them."""
    given = selection.guarantee
    if selection.guaranteed is None or given is None:
        return {}
    return guarantee_without_each(
        given.evidence, given.alpha, confidence=given.confidence, weight=given.weight
    )


def _evaluate(
    selection: Selection, outcomes: Outcomes, picks: Mapping[str, Policy | None]
) -> Evaluated | None:
    """The cross-validated figures of the policy that is recommended, or of the best guess."""
    scorer = Scorer(outcomes, selection.groups, selection.tolerance)
    if not picks:
        if selection.guess is None:
            return None
        line = selection.held_out[0]
        picked = [selection.cross_validated.held_out[0].policy(run) for run in range(len(selection.groups))]
        by = selection.cross_validated.held_out[0].by
        return Evaluated(line.summary, scorer.rows(picked), line.kept, line.judged, by)
    # a run that is not among the evidence had no part in the choice
    some = [picks.get(run.id, selection.policy) for run in outcomes.study.panel.runs]
    line = scorer.line("held out", some)
    return Evaluated(line.summary, scorer.rows(some), line.kept, line.judged, selection.unit)

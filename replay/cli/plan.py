"""``replay plan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.columns import columns_options
from replay.cli.options import (
    guarantee_options,
    guarantee_words,
    output_options,
    paths_argument,
    question_options,
    question_words,
    weight_option,
    weight_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import count_policies, read_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay.engine.question import Question
    from replay.search.plan import Plan
    from replay.stats.summary import Weight

__all__ = ["command"]


def _next_step(
    plan: Plan, has_enough: bool, where: Sequence[str], words: Sequence[str], settings: Sequence[str]
) -> list[str]:
    """Look at the best guess where nothing is guaranteed and there may be one; otherwise at each run under
    the guaranteed policy, or the one that comes closest.
    """
    policy = plan.today.policy
    if policy is None and has_enough:
        return ["replay", "choose", *where, *words]
    if policy is None:
        policy = plan.today.rungs[-1].policy if plan.supported is None else plan.supported.policy
    return ["replay", "simulate", *where, "--policy", policy.spec(), "--per-run", *settings]


@click.command("plan")
@paths_argument
@candidate_options
@guarantee_options
@weight_option
@question_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    confidence: float | None,
    group: str | None,
    weight: Weight,
    question: Question,
    style: str,
    out: Path | None,
) -> None:
    """Show how many more runs a guarantee needs and what these runs guarantee.

    A guarantee says that a policy loses at most --max-lost of a run's improvement, if the next runs are like
    these: on average, or with --confidence 90% for their true mean. The answer takes the losses seen so far
    to be those of further runs.

    \b
      replay plan logs/ --max-lost 5%
      replay plan logs/ --max-lost 10% --confidence 90%
      replay plan logs/ --max-lost 5% --group dataset

    The exit code is 3 where nothing can be guaranteed today.
    """
    from replay.engine.study import Study
    from replay.errors import InputError
    from replay.policies.grid import policies_of
    from replay.report.inspect import describe_logs
    from replay.report.plan import build
    from replay.search.cross_validation import FEWEST_GROUPS
    from replay.search.guarantee import guarantee
    from replay.search.ladders import default_policies
    from replay.search.plan import Plan
    from replay.search.tolerance import parse_tolerance
    from replay.stats.groups import groups_of
    from replay.stats.shortage import find_shortage

    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    if tolerance.kind != "lost":
        raise InputError(
            f"--max-regret {tolerance.text}: a regret has no upper bound, so nothing can be guaranteed about"
            " it; give --max-lost, a share of a run's improvement, as in --max-lost 5%"
        )
    if candidates.are_default:
        policies = default_policies()
    else:
        grids, singles = candidates.parse()
        policies = [*policies_of(grids), *singles]
    logs = read_logs(paths)
    study = Study(logs.runs, policies, question)
    groups = None if group is None else groups_of(study.panel.runs, group)
    with count_policies(len(policies)) as progress:
        today = guarantee(
            study,
            tolerance.value,
            policies,
            confidence=confidence,
            groups=groups,
            weight=weight,
            optional=True,
            progress=progress,
        )
    warn_unless_noted(style, [*logs.findings, *today.findings])
    where = [str(path) for path in paths]
    words = [
        *candidates.words(),
        *guarantee_words(confidence, group),
        *weight_words(weight),
        *question_words(),
    ]
    plan = Plan(today)
    has_enough = find_shortage(study.compared_evals) is None
    if group is not None:
        has_enough &= len(set(groups_of(study.judged_runs, group))) >= FEWEST_GROUPS
    document = build(
        plan,
        study,
        unit=group or "run",
        findings=logs.findings,
        source=describe_logs(logs, paths),
        next_steps=[_next_step(plan, has_enough, where, words, [*weight_words(weight), *question_words()])],
    )
    show(document, style, out)
    if not today.is_guaranteed:
        sys.exit(3)

"""``replay choose``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.options import output_options, paths_argument, question_options
from replay.cli.output import show, warn
from replay.cli.progress import count_policies, read_logs

if TYPE_CHECKING:
    from replay.engine.question import Question

__all__ = ["command"]


@click.command("choose")
@paths_argument
@candidate_options
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Of the limit, the verdict and the intervals.",
)
@click.option(
    "--group",
    metavar="NAME",
    help="Hold out whole groups: folder, or dataset, model, learning_rate … as the log says.",
)
@click.option("--per-rule", is_flag=True, help="Choose within each rule of the grid, one row a rule.")
@question_options
@output_options
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    confidence: float,
    group: str | None,
    question: Question,
    per_rule: bool,
    style: str,
    out: Path | None,
) -> None:
    """Which policy to use, with figures from runs that did not choose it.

    The policy that saves most of those whose mean loss keeps the limit with confidence. Its figures are
    cross-validated: each run is scored with the policy that was chosen without it (with --group, without its
    group).

    \b
      replay choose logs/ --max-regret 0.5%
      replay choose logs/ --grid patience=1..20 --grid smooth=none,mean:3 \\
        --max-lost 5% --group dataset --objective eval_accuracy
      replay choose logs/ --grid rule=all --per-rule

    The exit code is 3 where there are too few runs to tell.
    """
    from replay.data.finding import Finding
    from replay.engine.study import Study
    from replay.report.choose import build
    from replay.report.inspect import describe_logs
    from replay.search.choice import TOO_FEW, choose_policy_in
    from replay.search.grid_sweep import refused_points
    from replay.search.tolerance import parse_tolerance

    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    grids, singles = candidates.parse()
    policies = [*(policy for grid in grids for policy, _ in grid.points), *singles]
    logs = read_logs(paths)
    source = describe_logs(logs, paths)
    if per_rule:
        from replay.report import league as report
        from replay.search.league import choose_by_rule

        with count_policies(len(policies), len(logs.runs)) as progress:
            league = choose_by_rule(
                logs.runs,
                grids,
                singles,
                tolerance,
                question,
                confidence=confidence,
                group=group,
                progress=progress,
            )
        warn(logs.findings)
        show(report.build(league, source=source), style, out)
        return
    study = Study(logs.runs, policies, question)
    findings: list[Finding] = [*logs.findings, *refused_points(grids)]
    with count_policies(len(policies), len(study.runs)) as progress:
        choice = choose_policy_in(
            study,
            policies,
            tolerance,
            optional=len(grids) > 1,
            confidence=confidence,
            group=group,
            progress=progress,
        )
    warn([*findings, *choice.outcomes.findings])
    where = [str(path) for path in paths]
    next_steps = [["replay", "sweep", *where, *candidates.words()]]
    if choice.policy is not None:
        next_steps.append(["replay", "simulate", *where, "--policy", choice.policy.spec(), "--per-run"])
    show(build(choice, findings=findings, source=source, next_steps=next_steps), style, out)
    if choice.verdict == TOO_FEW:
        sys.exit(3)

"""``replay choose``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.columns import columns_options
from replay.cli.options import (
    chart_option,
    check_chart,
    guarantee_options,
    guarantee_words,
    output_options,
    paths_argument,
    question_options,
    question_words,
    weight_option,
    weight_words,
)
from replay.cli.output import show, warn, warn_unless_noted
from replay.cli.page import report_option, write_page
from replay.cli.progress import count_policies, read_logs
from replay.cli.streaming import Workers, choose_by_file, workers_options

if TYPE_CHECKING:
    from replay.data.finding import Finding
    from replay.engine.question import Question
    from replay.search.choice import Status
    from replay.search.guarantee import Guarantee
    from replay.search.store_choice import StoreChoice
    from replay.search.store_sweep import Resolved
    from replay.stats.summary import Weight

__all__ = ["command"]


@click.command("choose")
@paths_argument
@candidate_options
@guarantee_options
@weight_option
@click.option(
    "--require",
    type=click.Choice(["guarantee"]),
    help="Exit with code 3 unless a policy is guaranteed, also where there is a best guess.",
)
@click.option("--per-rule", is_flag=True, help="Choose within each rule of the grid and compare the rules.")
@chart_option
@report_option
@workers_options
@question_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    confidence: float | None,
    group: str | None,
    weight: Weight,
    require: str | None,
    question: Question,
    per_rule: bool,
    chart: bool,
    report: Path | None,
    workers: Workers,
    style: str,
    out: Path | None,
) -> None:
    """Choose the policy to use and report how far it can be trusted.

    There are three results. Guaranteed: on further runs from the same population as these, the mean loss of
    the policy is proven to stay within --max-lost; a single run may lose more. Best guess: the policy saves
    most among those within --max-lost, and cross-validation by run confirms it, but nothing is proven. Cannot
    tell: the output says what is missing, and how many runs would do.

    \b
      replay choose logs/ --max-lost 5%
      replay choose logs/ --max-lost 10% --confidence 90%
      replay choose logs/ --grid patience=1..20 --grid smooth=none,mean:3 \\
        --max-lost 5% --group dataset --objective eval_accuracy
      replay choose logs/ --grid rule=all --per-rule

    With --jobs or --scheduler, a store is replayed file by file, also where it does not fit in memory.

    The exit code is 3 where the runs cannot tell, and with --require guarantee also for a best guess.
    """
    from replay.engine.study import Study
    from replay.errors import InputError
    from replay.policies.grid import policies_of
    from replay.report.choose import build
    from replay.report.inspect import describe_logs
    from replay.report.plane import chart_choice
    from replay.search.choice import Obstacle, Status, select_policy
    from replay.search.grid_sweep import refused_points
    from replay.search.ladders import default_policies
    from replay.search.tolerance import parse_tolerance

    if chart:
        check_chart(style)
        if per_rule:
            raise InputError("--chart shows the policies of one choice; leave out --per-rule or --chart")
    if report is not None and per_rule:
        raise InputError("--report shows one choice; leave out --per-rule or --report")
    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    grids, singles = candidates.parse()
    policies = [*policies_of(grids), *singles]
    if workers.are_given:
        workers.refuse(per_rule=per_rule, chart=chart, report=report, group=group)
        made = choose_by_file(
            paths,
            policies,
            default_policies() if candidates.are_default else None,
            question,
            workers,
            tolerance,
            confidence=confidence,
            weight=weight,
            optional=len(grids) > 1,
        )
        refused = refused_points(grids)
        status = _show_by_file(
            made, paths, candidates, refused, confidence, weight, question, workers, style, out
        )
        if status is Status.CANNOT_TELL or (require == "guarantee" and status is not Status.GUARANTEED):
            sys.exit(3)
        return
    logs = read_logs(paths)
    source = describe_logs(logs, paths)
    if per_rule:
        from replay.report.league import build as build_league
        from replay.search.league import choose_by_rule

        with count_policies(len(policies)) as progress:
            league = choose_by_rule(
                logs.runs,
                grids,
                singles,
                tolerance,
                question,
                confidence=confidence,
                group=group,
                weight=weight,
                progress=progress,
            )
        warn(logs.findings)
        show(build_league(league, source=source), style, out)
        return
    study = Study(logs.runs, policies, question)
    findings: list[Finding] = [*logs.findings, *refused_points(grids)]
    with count_policies(len(policies)) as progress:
        selection = select_policy(
            study,
            policies,
            tolerance,
            ladder_policies=default_policies() if candidates.are_default else None,
            optional=len(grids) > 1,
            confidence=confidence,
            group=group,
            weight=weight,
            progress=progress,
        )
    warn_unless_noted(style, [*findings, *selection.outcomes.findings])
    where = [str(path) for path in paths]
    settings = [*weight_words(weight), *question_words()]
    next_steps = []
    shown = selection.policy
    if selection.obstacle not in (Obstacle.TOO_FEW, Obstacle.TOO_FEW_GROUPS):
        # there are enough runs to look at what comes closest
        shown = shown or selection.guess or selection.cross_validated.least
    if shown is not None:
        next_steps.append(["replay", "simulate", *where, "--policy", shown.spec(), "--per-run", *settings])
    elif tolerance.kind == "lost":
        wanted = [*candidates.words(), *guarantee_words(confidence, group)]
        next_steps.append(["replay", "plan", *where, *wanted, *settings])
    drawn = chart_choice(selection, weight) if chart else ()
    document = build(selection, findings=findings, source=source, next_steps=next_steps, chart=drawn)
    show(document, style, out)
    if report is not None:
        write_page(
            report,
            paths,
            logs,
            study,
            candidates,
            grids,
            singles,
            tolerance,
            confidence=confidence,
            group=group,
            weight=weight,
            selection=selection,
        )
    if selection.status is Status.CANNOT_TELL:
        sys.exit(3)
    if require == "guarantee" and selection.status is not Status.GUARANTEED:
        sys.exit(3)


def _show_by_file(
    made: StoreChoice | tuple[Guarantee, Resolved],
    paths: tuple[Path, ...],
    candidates: Candidates,
    refused: list[Finding],
    confidence: float | None,
    weight: Weight,
    question: Question,
    workers: Workers,
    style: str,
    out: Path | None,
) -> Status:
    """Show what was chosen over the runs of a store, file by file; returns how far it can be trusted."""
    from replay.report.choose import build
    from replay.report.plan import build as build_plan
    from replay.report.store_sweep import describe_metrics
    from replay.search.choice import Status
    from replay.search.plan import Plan
    from replay.search.store_choice import MOST_TRIED

    where = [str(path) for path in paths]
    named = ", ".join(where)
    settings = [*weight_words(weight), *question_words()]
    again = ["replay", "choose", *where, *candidates.words(), *guarantee_words(confidence, None), *settings]
    if isinstance(made, tuple):
        today, metrics = made
        policy, findings = today.policy, today.findings
        status = Status.CANNOT_TELL if policy is None else Status.GUARANTEED
    else:
        policy, findings, status = made.policy, made.findings, made.status
    warn_unless_noted(style, [*refused, *findings])
    step = again
    if policy is not None:
        step = ["replay", "simulate", *where, "--policy", policy.spec(), *settings, *workers.words()]
    if isinstance(made, tuple):
        text = f"{today.runs:,} runs in {named} that can be judged. Only a guarantee was looked for, since a"
        text += f" best guess takes at most {MOST_TRIED:,} runs times policies."
        text += f" {describe_metrics(metrics.monitor, metrics.objective, question.unit)}"
        document = build_plan(Plan(today), None, source=[text], findings=refused, next_steps=[step])
    else:
        source = [f"{made.runs:,} runs in {named}"]
        document = build(made, findings=refused, source=source, next_steps=[step])
    show(document, style, out)
    return status

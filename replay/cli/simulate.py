"""``replay simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import DEFAULT_POLICIES, read_specs, spec_words
from replay.cli.columns import columns_options
from replay.cli.options import (
    chart_option,
    check_chart,
    file_option,
    output_options,
    paths_argument,
    policies_option,
    question_options,
    question_words,
    weight_option,
    weight_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import computing, read_logs
from replay.cli.streaming import Workers, simulate_by_file, workers_options

if TYPE_CHECKING:
    from replay.engine.question import Question
    from replay.policies import Policy
    from replay.stats.summary import Weight

__all__ = ["command"]


@click.command("simulate")
@paths_argument
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy, such as patience=3 (repeatable; see replay policies).",
)
@policies_option
@question_options
@weight_option
@click.option(
    "--group",
    metavar="NAME",
    help="Compare runs within each group only, where policies compare runs: folder, or dataset, model … as"
    " the log says.",
)
@click.option("--per-run", is_flag=True, help="One row per run and policy instead of one row per policy.")
@chart_option
@file_option("--plot", "Draw saved against lost, and the runs with their stops (png, svg, pdf).")
@workers_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    question: Question,
    weight: Weight,
    group: str | None,
    per_run: bool,
    chart: bool,
    plot: Path | None,
    workers: Workers,
    style: str,
    out: Path | None,
) -> None:
    """Show what each policy would have saved and lost on these logs.

    \b
      replay simulate logs/ --policy patience=3 \\
        --policy transformers:patience=3,threshold=0.001
      replay simulate logs/ --policy patience=3 --monitor eval_loss \\
        --objective test_accuracy --unit gpu_hours --plot saved.png
      replay simulate logs/ --policy patience=3 \\
        --policy asha:reduction=4,workers=8,orders=200

    Policies that compare runs, such as asha, are replayed in random arrival
    orders and reported for all runs together. With --jobs or --scheduler, a
    store of any size is replayed file by file.
    """
    from replay.engine.outcomes import records
    from replay.engine.scoring import simulate_policies
    from replay.errors import InputError
    from replay.policies.joint import compares_runs
    from replay.policies.spec import parse_policy
    from replay.report.inspect import describe_logs
    from replay.report.plane import chart_summary
    from replay.report.simulate import build, worst_outcomes
    from replay.stats.cautions import find_first_stretch
    from replay.stats.summary import summarise

    if chart:
        check_chart(style)
    policies = read_specs(specs, files, across=True) or list(DEFAULT_POLICIES)
    rules = {spec: parse_policy(spec, across=True) for spec in policies}
    across = {spec: rule for spec, rule in rules.items() if compares_runs(rule)}
    if group is not None and not across:
        raise InputError(
            f"--group {group} is about policies that compare runs, such as asha, and none is given; leave it"
            " out"
        )
    if workers.are_given:
        workers.refuse(per_run=per_run, chart=chart, plot=plot)
        if across:
            raise InputError(
                f"{next(iter(across))} compares runs with each other, and {workers.option} replays a store"
                " file by file; leave one of the two out"
            )
        _simulate_by_file(paths, policies, question, weight, workers, style, out)
        return
    if across:
        if per_run or chart or weight != "runs":
            raise InputError(
                f"{next(iter(across))} compares runs with each other and is reported for all runs together,"
                " without --per-run, --chart and --weight; give --plot FILE for a figure, or leave the policy"
                " out"
            )
        within = [spec for spec in policies if spec not in across]
        by_group = [] if group is None else ["--group", group]
        words = [*spec_words(specs, files), *by_group, *question_words()]
        _simulate_set(paths, across, within, question, group, words, plot, style, out)
        return
    logs = read_logs(paths)
    with computing():
        outcomes = simulate_policies(logs.runs, policies, question, baselines=True)
        summary = summarise(outcomes)
        outcomes = outcomes.with_findings(find_first_stretch(outcomes, summary))
    warn_unless_noted(style, [*logs.findings, *outcomes.findings])
    if plot is not None:
        from replay.report.plots.simulate import save

        save(outcomes, summary, plot, weight=weight)
        click.echo(f"drew {plot}", err=True)
    where = [str(path) for path in paths]
    words = [*spec_words(specs, files), "--per-run", *weight_words(weight), *question_words()]
    step = ["replay", "simulate", *where, *words]
    if per_run:
        worst = worst_outcomes(outcomes)[0]
        shown = ["--policy", worst["policy"], "--run", worst["run"]]
        step = ["replay", "explain", *where, *shown, *question_words()]
    document = build(
        outcomes,
        summary,
        findings=logs.findings,
        per_run=per_run,
        weight=weight,
        source=describe_logs(logs, paths),
        next_steps=[step],
        chart=chart_summary(outcomes.study, records(summary), weight) if chart else (),
    )
    show(document, style, out)


def _simulate_by_file(
    paths: tuple[Path, ...],
    policies: list[str],
    question: Question,
    weight: Weight,
    workers: Workers,
    style: str,
    out: Path | None,
) -> None:
    """Simulate policies on the runs of a store, file by file."""
    from replay.engine.scoring import parse_policies, typed_specs
    from replay.report.store_simulation import build
    from replay.report.store_sweep import build as build_sums
    from replay.search.store_sweep import StoreSweep

    rules = parse_policies(policies)
    typed = typed_specs(policies, rules)
    made = simulate_by_file(paths, rules, question, workers, typed)
    warn_unless_noted(style, made.findings)
    source = ", ".join(map(str, paths))
    if isinstance(made, StoreSweep):
        document = build_sums(made, source=source, typed=typed, weight=weight)
    else:
        words = [*weight_words(weight), *question_words(), *workers.words()]
        step = ["replay", "choose", *map(str, paths), *words]
        document = build(made, source=source, weight=weight, next_steps=[step])
    show(document, style, out)


def _simulate_set(
    paths: tuple[Path, ...],
    across: dict[str, Policy],
    within: list[str],
    question: Question,
    group: str | None,
    words: list[str],
    plot: Path | None,
    style: str,
    out: Path | None,
) -> None:
    """Simulate policies that compare runs, given by what was typed, beside those within runs, for the set of
    runs as a whole. ``words`` are those of a command that asks the same.
    """
    from dataclasses import replace

    from replay.engine.across import join_sets, set_of_outcomes, simulate_set
    from replay.engine.outcomes import ORACLE
    from replay.engine.scoring import simulate_policies, simulate_study
    from replay.engine.study import Study
    from replay.policies.spec import parse_policy
    from replay.report.across import build
    from replay.report.inspect import describe_logs
    from replay.stats.across import summarise_set
    from replay.stats.sets import find_mixed, split

    logs = read_logs(paths)
    outcomes = simulate_policies(logs.runs, within, question, baselines=True)
    study = outcomes.study
    typed: dict[str, str] = {}  # of two spellings of one policy, the first one
    for spec, rule in across.items():
        typed.setdefault(rule.spec(), spec)
    specs, rules = list(typed.values()), [across[spec] for spec in typed.values()]
    if group is None:
        outcomes = outcomes.with_findings(find_mixed(study.panel.runs))
        sets = [*set_of_outcomes(outcomes), *simulate_set(study, rules, specs)]
    else:
        same = replace(question, monitor=study.monitor.name, mode=study.monitor.mode)
        studies = [Study(runs, [], same) for runs in split(study.panel.runs, group).values()]
        alone = [parse_policy(spec) for spec in outcomes.policies if spec != ORACLE]
        names = dict(zip(outcomes.policies, outcomes.typed, strict=True))
        sets = join_sets(
            [
                [*set_of_outcomes(simulate_study(one, alone, typed=names)), *simulate_set(one, rules, specs)]
                for one in studies
            ],
            [float(one.payoffs.full.sum()) for one in studies],
        )
    rows = summarise_set(sets)
    warn_unless_noted(style, [*logs.findings, *outcomes.findings])
    if plot is not None:
        from replay.report.plots.across import save

        save(rows, study.objective.name, question.unit, plot)
        click.echo(f"drew {plot}", err=True)
    where = [str(path) for path in paths]
    document = build(
        outcomes,
        rows,
        by_group=group is not None,
        findings=logs.findings,
        source=describe_logs(logs, paths),
        next_steps=[["replay", "simulate", *where, *words, "--plot", "saved.png"]],
    )
    show(document, style, out)

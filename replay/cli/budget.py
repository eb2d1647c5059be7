"""``replay budget``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import read_specs, spec_words
from replay.cli.columns import columns_options
from replay.cli.options import (
    given_settings,
    output_options,
    paths_argument,
    policies_option,
    question_options,
    question_words,
    typed_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import computing, read_logs

if TYPE_CHECKING:
    from replay.engine.question import Question
    from replay.policies import Policy

__all__ = ["command"]

#: Compared with training to the end when no policy is given.
_DEFAULT_POLICIES = ("patience=1", "patience=3", "asha", "hyperband", "median", "asha | patience=3")
#: Parameters of policies that compare runs which a budget has for all policies alike.
_COMMON = re.compile(r"[:,]\s*(workers|orders|seed)\s*=")


@click.command("budget")
@paths_argument
@click.option(
    "--compute",
    "amount",
    required=True,
    metavar="AMOUNT",
    help="The total compute, as in 1000gpu_hours, 20000steps or 5e8tokens.",
)
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy, within runs or across runs (repeatable)  [default: a few of both].",
)
@policies_option
@click.option(
    "--workers",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Runs that train at the same time.",
)
@click.option(
    "--draws",
    type=click.IntRange(20, 100_000),
    default=500,
    show_default=True,
    help="Random draws of runs to try for each policy.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--group",
    metavar="NAME",
    help="Compare runs within each group only: group, dataset or model, as the logs say; or folder.",
)
@question_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    amount: str,
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    workers: int,
    draws: int,
    seed: int,
    group: str | None,
    question: Question,
    style: str,
    out: Path | None,
) -> None:
    """Show the best use of a total compute: fewer runs to the end, or more runs with a policy.

    Runs are drawn from the logs in random order until the compute is used up, and the best checkpoint found
    is compared with the best of all runs. The draws answer for a search that tries runs like these.

    \b
      replay budget logs/ --compute 1000gpu_hours
      replay budget logs/ --compute 20000steps --policy asha --policy patience=2
      replay budget logs/ --compute 500cost --price 2.5 --group dataset
    """
    from replay.data.compute import parse_amount
    from replay.engine.draws import Budget, draw_runs
    from replay.engine.study import Study
    from replay.errors import InputError
    from replay.policies.spec import parse_policy
    from replay.report.budget import build, find_best, find_smaller
    from replay.report.inspect import describe_logs
    from replay.stats.draws import count_unscaled, summarise_draws
    from replay.stats.sets import refuse_mixed, split

    given = given_settings(question)
    compute, unit = parse_amount(amount, given.get("unit"))
    if "unit" in given and unit != question.unit:
        raise InputError(f"--compute {amount} and --unit {question.unit} disagree; leave out --unit")
    question = replace(question, unit=unit)
    texts = ["never", *(read_specs(specs, files, across=True) or _DEFAULT_POLICIES)]
    for text in texts:
        if (common := _COMMON.search(text)) is not None:
            option = "draws" if common[1] == "orders" else common[1]
            raise InputError(
                f"{text}: all policies see the same draws, so leave out {common[1]}= and give --{option}"
            )
    parsed: dict[Policy, str] = {}
    for text in texts:
        parsed.setdefault(parse_policy(text, across=True), text)
    policies = list(parsed)
    typed = [parsed[policy] for policy in policies]
    logs = read_logs(paths)
    study = Study(logs.runs, policies, question)
    if group is None:
        refuse_mixed(study.panel.runs, question)
        studies, left_out = [study], 0
    else:
        common_metrics = replace(question, monitor=study.monitor.name, mode=study.monitor.mode)
        groups = list(split(study.panel.runs, group).values())
        studies = [Study(runs, policies, common_metrics) for runs in groups if len(runs) > 1]
        left_out = sum(len(runs) == 1 for runs in groups)
        if not studies:
            raise InputError(
                f"--group {group}: no two runs are in the same group, so none can be compared; give group,"
                " dataset, model or folder"
            )
    budget = Budget(compute, workers, draws, seed)
    with computing():
        drawn = [draw_runs(one, policies, typed, budget) for one in studies]
    rows = summarise_draws(drawn, budget)
    warn_unless_noted(style, [*logs.findings, *study.findings])
    where = [str(path) for path in paths]
    chosen, smaller = spec_words(specs, files), find_smaller(rows, study.payoffs.full.max())
    if smaller is None:
        chosen = chosen or ["--policy", find_best(rows[1:])["policy"]]
        of_unit = [] if "unit" in given or unit == "steps" else ["--unit", unit]
        step = ["replay", "simulate", *where, *chosen, *question_words(), *of_unit]
    else:
        step = ["replay", "budget", *where, "--compute", f"{smaller:g}{unit}", *chosen]
        step += [*typed_words(("group", "workers", "draws", "seed")), *question_words()]
    document = build(
        study,
        rows,
        budget,
        groups=len(studies),
        left_out=left_out,
        unscaled=count_unscaled(drawn),
        findings=logs.findings,
        source=describe_logs(logs, paths),
        next_steps=[step],
    )
    show(document, style, out)

"""``replay explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.columns import columns_options
from replay.cli.options import (
    file_option,
    output_options,
    paths_argument,
    policy_option,
    question_options,
    question_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import read_logs

if TYPE_CHECKING:
    from replay.engine.question import Question

__all__ = ["command"]


@click.command("explain")
@paths_argument
@policy_option
@click.option(
    "--run",
    "run_id",
    metavar="ID",
    help="The run, by its id or a part of it that no other has (default: the first).",
)
@question_options
@columns_options(run_flag=False)
@file_option("--plot", "Draw the curve with the reference, the stop and the checkpoint kept (png, svg, pdf).")
@output_options
def command(
    paths: tuple[Path, ...],
    spec: str,
    run_id: str | None,
    question: Question,
    plot: Path | None,
    style: str,
    out: Path | None,
) -> None:
    """Show why a policy stops a run where it does, one line per eval.

    \b
      replay explain logs/ --policy transformers:patience=3 --run lr1e-3
      replay explain logs/ --policy patience=3 --plot stop.png
    """
    from replay.engine.explain import explain, pick_run
    from replay.policies.spec import parse_policy
    from replay.report.explain import build

    parse_policy(spec)  # an error in it comes before the logs are read
    which = [] if run_id is None else ["--run", run_id]
    logs = read_logs(paths)
    run = pick_run(logs.runs, run_id)
    explanation = explain(run, spec, question)
    warn_unless_noted(style, [*logs.findings, *explanation.outcomes.findings])
    if plot is not None:
        from replay.report.plots.explain import save

        save(explanation, plot)
        click.echo(f"drew {plot}", err=True)
    step = ["replay", "explain", *map(str, paths), "--policy", spec, *which, *question_words()]
    next_steps = [] if plot is not None else [[*step, "--plot", "stop.png"]]
    show(build(explanation, logs.findings, next_steps), style, out)

"""``replay sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.columns import columns_options
from replay.cli.options import (
    chart_option,
    check_chart,
    file_option,
    output_options,
    paths_argument,
    question_options,
    question_words,
    weight_option,
    weight_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.page import report_option, write_page
from replay.cli.progress import count_policies, read_logs
from replay.cli.streaming import Workers, sweep_by_file, workers_options

if TYPE_CHECKING:
    from replay.engine.question import Question
    from replay.stats.summary import Weight

__all__ = ["command"]


@click.command("sweep")
@paths_argument
@candidate_options
@question_options
@weight_option
@chart_option
@file_option("--plot", "Draw saved against lost with the front, and heat maps of the grids (png, svg, pdf).")
@report_option
@workers_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    question: Question,
    weight: Weight,
    chart: bool,
    plot: Path | None,
    report: Path | None,
    workers: Workers,
    style: str,
    out: Path | None,
) -> None:
    """Try a grid of policies and show which are worth it.

    The output shows the Pareto front: the policies of which no other saves as much and loses less. It also
    shows the region of the grid that saves most within the tolerance, the centre of that region, and how far
    each parameter can move from there. --grid rule=... tries several rules and presets. With --jobs or
    --scheduler, a store of any size is replayed file by file, and the front is shown.

    \b
      replay sweep logs/ --grid patience=1..20 --grid min_delta=0,1e-4,1e-3 \\
        --grid smooth=none,ema:0.3,mean:3 --max-lost 5% --plot sweep.png
      replay sweep logs/ --grid rule=all --max-regret 0.01 --format csv
    """
    from replay.engine.study import Study
    from replay.policies.grid import policies_of
    from replay.report.inspect import describe_logs
    from replay.report.plane import chart_sweep
    from replay.report.sweep import build
    from replay.search.grid_sweep import sweep_grids
    from replay.search.tolerance import parse_tolerance

    if chart:
        check_chart(style)
    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    grids, singles = candidates.parse()
    policies = [*policies_of(grids), *singles]
    where = [str(path) for path in paths]
    next_steps = [["replay", "choose", *where, *candidates.words(), *weight_words(weight), *question_words()]]
    if workers.are_given:
        from replay.report.store_sweep import build as build_by_file

        workers.refuse(chart=chart, plot=plot, report=report)
        swept = sweep_by_file(paths, policies, question, workers, optional=len(grids) > 1)
        warn_unless_noted(style, swept.findings)
        document = build_by_file(
            swept,
            source=", ".join(where),
            typed=candidates.typed(singles),
            tolerance=tolerance,
            weight=weight,
            next_steps=[[*next_steps[0], *workers.words()]],
        )
        show(document, style, out)
        return
    logs = read_logs(paths)
    study = Study(logs.runs, policies, question)
    with count_policies(len(policies)) as progress:
        result = sweep_grids(
            study,
            grids,
            singles,
            tolerance,
            weight=weight,
            typed=candidates.typed(singles),
            optional=len(grids) > 1,
            progress=progress,
        )
    warn_unless_noted(style, [*logs.findings, *result.findings])
    if plot is not None:
        from replay.report.plots.sweep import save

        save(result, plot)
        click.echo(f"drew {plot}", err=True)
    document = build(
        result,
        findings=logs.findings,
        source=describe_logs(logs, paths),
        next_steps=next_steps,
        chart=chart_sweep(result) if chart else (),
    )
    show(document, style, out)
    if report is not None:
        write_page(report, paths, logs, study, candidates, grids, singles, tolerance, weight=weight)

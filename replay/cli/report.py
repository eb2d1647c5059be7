"""``replay report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.columns import columns_options
from replay.cli.options import (
    file_option,
    guarantee_options,
    paths_argument,
    question_options,
    weight_option,
)
from replay.cli.output import keep_output, warn
from replay.cli.page import MOST_RUNS, write_page
from replay.cli.progress import read_logs

if TYPE_CHECKING:
    from replay.engine.question import Question
    from replay.stats.summary import Weight

__all__ = ["command"]


@click.command("report")
@paths_argument
@candidate_options
@guarantee_options
@weight_option
@question_options
@columns_options()
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "svg", "pdf", "png"]),
    default="html",
    show_default=True,
    help="The page (html), or a figure for a paper (svg, pdf, png).",
)
@file_option("--out", "The file to write.  [default: report.html, or the format's ending]")
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    confidence: float | None,
    group: str | None,
    weight: Weight,
    question: Question,
    form: str,
    out: Path | None,
) -> None:
    """Write one HTML page with the recommended policy, the evidence for it and every run.

    The page opens from disk in any browser and makes no network request. It shows what `replay choose` and
    `replay sweep` find, and for each run why a policy stops it where it does.

    \b
      replay report logs/ --out report.html
      replay report logs/ --max-lost 2% --group dataset --out report.html
      replay report logs/ --grid patience=1..20 --grid min_delta=0,1e-3,1e-2
      replay report logs/ --format pdf --out figure.pdf
    """
    from replay.engine.study import Study
    from replay.policies.grid import policies_of
    from replay.report.render.text import wrapped
    from replay.search.tolerance import parse_tolerance

    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    grids, singles = candidates.parse()
    target = out or Path(f"report.{form}")
    if out is None:
        keep_output("--out", target)
    logs = read_logs(paths, MOST_RUNS)
    study = Study(logs.runs, [*policies_of(grids), *singles], question)
    answer = write_page(
        target,
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
        option="--out",
        form=form,
    )
    warn(logs.findings)
    for sentence in _headline(answer):
        for line in wrapped(sentence):
            click.echo(line)


def _headline(answer: dict[str, Any]) -> list[str]:
    """The answer as the page begins with it."""
    headline = answer["headline"]
    return [f"{headline['before']}{headline['policy'] or ''}{headline['after']}", *answer["sentences"]]

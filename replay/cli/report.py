"""``replay report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import Candidates, candidate_options
from replay.cli.columns import columns_options
from replay.cli.options import (
    file_option,
    guarantee_options,
    guarantee_words,
    paths_argument,
    question_options,
    question_words,
    weight_option,
)
from replay.cli.output import keep_output, warn, write
from replay.cli.progress import count_policies, read_logs

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
@file_option("--out", "The HTML file to write.  [default: report.html]")
def command(
    paths: tuple[Path, ...],
    candidates: Candidates,
    confidence: float | None,
    group: str | None,
    weight: Weight,
    question: Question,
    out: Path | None,
) -> None:
    """Write one HTML page with the recommended policy, the evidence for it and every run.

    The page opens from disk in any browser and makes no network request. It shows what `replay choose` and
    `replay sweep` find, and for each run why a policy stops it where it does.

    \b
      replay report logs/ --out report.html
      replay report logs/ --max-lost 2% --group dataset --out report.html
      replay report logs/ --grid patience=1..20 --grid min_delta=0,1e-3,1e-2
    """
    from replay.engine.study import Study
    from replay.policies.grid import policies_of
    from replay.report.page.data import page_data
    from replay.report.page.gather import gather
    from replay.report.page.html import page_text
    from replay.search.grid_sweep import refused_points
    from replay.search.ladders import default_policies
    from replay.search.tolerance import parse_tolerance

    tolerance = parse_tolerance(candidates.max_regret, candidates.max_lost)
    grids, singles = candidates.parse()
    policies = [*policies_of(grids), *singles]
    target = out or Path("report.html")
    if out is None:
        keep_output("--out", target)
    logs = read_logs(paths)
    study = Study(logs.runs, policies, question)
    with count_policies(len(policies), len(study.runs)) as progress:
        facts = gather(
            logs,
            study,
            grids,
            singles,
            tolerance,
            ladder_policies=default_policies() if candidates.are_default else None,
            confidence=confidence,
            group=group,
            weight=weight,
            typed=candidates.typed(singles),
            progress=progress,
        )
    warn(logs.findings)
    words = [*candidates.words(), *guarantee_words(confidence, group), *question_words()]
    if weight != "runs":
        words += ["--weight", weight]
    again = ["replay", "report", *(str(path) for path in paths), *words, "--out", str(target)]
    findings = [*logs.findings, *refused_points(grids)]
    data = page_data(facts, paths, again, findings)
    write(page_text(data), target)
    for sentence in _headline(data["answer"]):
        click.echo(sentence)


def _headline(answer: dict[str, object]) -> list[str]:
    """The answer as the page begins with it."""
    headline = answer["headline"]
    sentences = answer["sentences"]
    assert isinstance(headline, dict)
    assert isinstance(sentences, list)
    return [f"{headline['before']}{headline['policy'] or ''}{headline['after']}", *sentences]

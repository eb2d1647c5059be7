"""The HTML page, which ``replay report`` writes and other commands write beside what they print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.candidates import Candidates
from replay.cli.options import file_option, guarantee_words, question_words, weight_words
from replay.cli.output import refuse_overlaps, write
from replay.cli.progress import count_policies

if TYPE_CHECKING:
    from replay.engine.study import Study
    from replay.policies import Policy
    from replay.policies.grid import Grid
    from replay.readers import ReadResult
    from replay.search.choice import Selection
    from replay.search.tolerance import Tolerance
    from replay.stats.summary import Weight

__all__ = ["MOST_RUNS", "report_option", "write_page"]

#: Runs of a store that a page is about; a page of these has about 10 MB.
MOST_RUNS = 10_000


report_option = file_option("--report", "Also write the HTML page of `replay report`.")


def write_page(
    target: Path,
    paths: Sequence[Path],
    logs: ReadResult,
    study: Study,
    candidates: Candidates,
    grids: Sequence[Grid],
    singles: Sequence[Policy],
    tolerance: Tolerance,
    *,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    selection: Selection | None = None,
    option: str = "--report",
    form: str = "html",
    settings: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write the page, or its figure for papers in another ``form``; return the answer that it begins with.

    ``selection`` is the choice, where it is made already; ``option`` is the one that named the file.
    ``settings`` are the words for the question, where it was not typed as the options of this command.
    """
    from replay.report.page.answer import answer_data
    from replay.report.page.data import page_data
    from replay.report.page.gather import gather
    from replay.report.page.html import page_text
    from replay.search.grid_sweep import refused_points
    from replay.search.ladders import default_policies

    count = sum(len(grid.points) for grid in grids) + len(singles)
    with count_policies(count) as progress:
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
            selection=selection,
            progress=progress,
        )
    if form != "html":
        from replay.report.plots.report import save

        refuse_overlaps()
        save(facts, target, form, option)
        click.echo(f"drew {target}", err=True)
        return answer_data(facts)
    words = [
        *candidates.words(),
        *guarantee_words(confidence, group),
        *(question_words() if settings is None else settings),
        *weight_words(weight),
    ]
    again = ["replay", "report", *(str(path) for path in paths), *words, "--out", str(target)]
    data = page_data(facts, paths, again, [*logs.findings, *refused_points(grids)])
    write(page_text(data), target, option)
    answer: dict[str, Any] = data["answer"]
    return answer

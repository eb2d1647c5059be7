"""``replay PATH``: the whole answer in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import choose_by_default
from replay.cli.columns import columns_options
from replay.cli.options import (
    chart_option,
    check_chart,
    output_options,
    paths_argument,
    question_options,
    question_words,
)
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import computing, read_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay.data.run import Run
    from replay.engine.question import Question
    from replay.search.choice import Selection

__all__ = ["command"]

#: The setting that is copied most often, and those beside it.
_COMMON = "patience=3"
_POLICIES = ("patience=1", _COMMON, "patience=5")


@click.command("overview", hidden=True)
@paths_argument
@question_options
@chart_option
@columns_options()
@output_options
def command(paths: tuple[Path, ...], question: Question, chart: bool, style: str, out: Path | None) -> None:
    """Show what was found, what the common policy would have done, and which policy to use.

    \b
      replay logs/
      replay logs/ --monitor eval_loss --unit gpu_hours
    """
    from replay.engine.outcomes import records
    from replay.engine.scoring import simulate_policies
    from replay.report.inspect import describe_logs
    from replay.report.overview import build
    from replay.report.plane import chart_summary
    from replay.search.tolerance import parse_tolerance
    from replay.stats.cautions import find_first_stretch
    from replay.stats.summary import summarise

    if chart:
        check_chart(style)
    logs = read_logs(paths)
    configured = _configured(logs.runs)
    common = configured or _COMMON
    selection = _choose(logs.runs, question)
    chosen = [] if selection is None or selection.policy is None else [selection.policy.spec()]
    policies = list(dict.fromkeys([*([configured] if configured else []), *_POLICIES, *chosen]))
    with computing():
        outcomes = simulate_policies(logs.runs, policies, question, baselines=True)
        summary = summarise(outcomes)
        outcomes = outcomes.with_findings(find_first_stretch(outcomes, summary))
    warn_unless_noted(style, [*logs.findings, *outcomes.findings])
    where = [str(path) for path in paths]
    document = build(
        outcomes,
        summary,
        selection,
        common=common,
        configured=configured is not None,
        findings=logs.findings,
        source=describe_logs(logs, paths),
        next_steps=[["replay", "choose", *where, *question_words(), "--max-lost", parse_tolerance().text]],
        chart=chart_summary(outcomes.study, records(summary)) if chart else (),
    )
    show(document, style, out)


def _choose(runs: Sequence[Run], question: Question) -> Selection | None:
    """The choice that ``replay choose`` makes without options; None where these runs allow none."""
    from replay.errors import ReplayError
    from replay.search.tolerance import parse_tolerance

    try:
        return choose_by_default(runs, question, parse_tolerance())
    except ReplayError:
        return None


def _configured(runs: Sequence[Run]) -> str | None:
    """The early-stop setting that all logs which state one have in common."""
    specs = set()
    for run in runs:
        patience = run.info.hyperparameters.get("early_stopping_patience")
        if isinstance(patience, int | float) and patience >= 1:
            threshold = run.info.hyperparameters.get("early_stopping_threshold")
            more = f",threshold={threshold:g}" if isinstance(threshold, int | float) and threshold else ""
            specs.add(f"transformers:patience={patience:g}{more}")
    return specs.pop() if len(specs) == 1 else None

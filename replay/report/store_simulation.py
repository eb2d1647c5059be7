"""The report of policies over the runs of a store that were simulated file by file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replay.engine.outcomes import BASELINES, ORACLE, records
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.simulate import (
    brief_table,
    explanation,
    metric_data,
    say_rows,
    say_too_few,
    sort_rows,
    summary_table,
)
from replay.report.store_sweep import describe_runs
from replay.search.store_simulation import StoreSimulation
from replay.stats.summary import KEYS, Weight, find_shortage

__all__ = ["build"]


def build(
    made: StoreSimulation,
    *,
    source: str,
    weight: Weight = "runs",
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report what each policy saves and loses, as a simulation of all runs at once is reported.

    ``source`` names the store, and ``next_steps`` are the commands to run next.
    """
    rows = sort_rows(records(made.summary), weight)
    return Document(
        lambda: _blocks(made, rows, source, weight, next_steps),
        lambda: {
            "summary": rows,
            "warnings": sentences(made.findings),
            "notes": sentences(made.limits),
            "monitor": metric_data(made.monitor),
            "objective": metric_data(made.objective),
            "unit": made.question.unit,
            "keep": made.question.keep,
        },
        lambda: Records(KEYS, rows),
    )


def _blocks(
    made: StoreSimulation,
    rows: list[dict[str, Any]],
    source: str,
    weight: Weight,
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    shown = [row for row in rows if row["spec"] not in (*BASELINES, ORACLE)]
    enough = find_shortage(made.compared_evals) is None
    out: list[Block] = [
        Paragraph([describe_runs(made, source)], hanging=2),
        Paragraph(say_rows(shown, made.question.unit, weight), answer=True),
        brief_table(rows),
        summary_table(rows),
        Paragraph(
            explanation(rows, weight, made.groups, made.objective.name, enough=enough), detail="verbose"
        ),
        Notes(make_notes((), [*made.findings, *made.limits], say_too_few(made.compared_evals))),
    ]
    return [*out, Commands(next_steps, medium="screen")] if next_steps else out

"""The report of policies that compare runs: what each saves and loses for the set of runs as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Finding, Kind
from replay.engine.outcomes import BASELINES, Outcomes
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records, Table
from replay.report.format import cell, number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.summary import COMPUTE, label
from replay.report.simulate import headline, setting
from replay.stats.across import SET_KEYS

__all__ = ["build"]

#: In what the figures differ from those of other tables.
_BRIEF_LEGEND = (
    "These figures are about all runs together. lost by best and regret compare the best checkpoint of all"
    " runs with the best without stopping."
)
_LEGEND = (
    "total saved: share of the compute of all runs. lost by best: how much worse the best checkpoint of all"
    " runs is than without stopping, as a share of the improvement of the best run; regret: the same in the"
    " metric's unit. best stopped: in how many arrival orders the run with the best value was stopped at all;"
    " too early: before its best eval. Ranges: 5th to 95th percentile over random arrival orders."
)


def build(
    outcomes: Outcomes,
    rows: Sequence[Mapping[str, Any]],
    *,
    by_group: bool = False,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report rows of `replay.stats.across.summarise_set`.

    ``outcomes`` are those of the policies within runs. With ``by_group``, runs were compared within groups.
    ``findings`` are those of the logs, and ``next_steps`` the commands to run next.
    """
    return Document(
        lambda: _blocks(outcomes, rows, by_group, findings, source, next_steps),
        lambda: {
            "set": [dict(row) for row in rows],
            "warnings": sentences([*findings, *outcomes.findings]),
            **setting(outcomes.study),
        },
        lambda: Records(SET_KEYS, rows),
    )


def _blocks(
    outcomes: Outcomes,
    rows: Sequence[Mapping[str, Any]],
    by_group: bool,
    findings: Sequence[Finding],
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    study = outcomes.study
    out: list[Block] = [
        *headline(study, source),
        Paragraph(_answer(rows, by_group, study.question.unit, study.objective.name), answer=True),
        _table(rows, study.objective.name),
        Paragraph([_BRIEF_LEGEND], detail="brief"),
        Paragraph([_LEGEND], detail="verbose"),
        # lost is about the best run of the set, so no run is left out of it
        Notes(make_notes(findings, [one for one in outcomes.findings if one.kind is not Kind.NO_SCALE])),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def _answer(rows: Sequence[Mapping[str, Any]], by_group: bool, unit: str, metric: str) -> list[str]:
    """What the first policy that compares runs saves and loses."""
    across = [row for row in rows if row["orders"] is not None]
    row = max(across, key=lambda one: one["saved_mean"])
    saved, policy = f"{percent(row['saved_mean'])} of {COMPUTE[unit]} of", row["policy"]
    text = f"{policy} would have saved {saved} all {row['runs']} runs."
    if len(across) > 1:
        of = f"Of {len(across)} policies that compare runs"
        text = f"{of}, {policy} saves most: {saved} the {row['runs']} runs."
    chance, of_group = percent(row["best_missed"]), " of a group" if by_group else ""
    regret = (
        f"The best run found{of_group} is {number(row['regret_mean'])} worse in {metric} on average over"
        f" {row['orders']} arrival orders, and {number(row['regret_worst'])} at worst."
    )
    return [
        f"{text} {regret} In {chance} of the orders the best run{of_group} was stopped before its best eval."
    ]


def _table(rows: Sequence[Mapping[str, Any]], metric: str) -> Table:
    head = ["policy", "total saved", "lost by best", "regret", "best stopped", "too early"]
    return Table(
        head,
        [
            [
                label(row["policy"]),
                cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
                cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
                number(row["regret_mean"], 3),
                percent(row["best_stopped"]),
                percent(row["best_missed"]),
            ]
            for row in rows
            if row["spec"] not in BASELINES or row["spec"] == "never"
        ],
        (0,),
    )

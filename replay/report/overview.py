"""The report of ``replay PATH``: what was found, what the common policy would have done, and which to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from replay.data.finding import Finding
from replay.engine.outcomes import BASELINES, COLUMNS, ORACLE, Outcomes, records
from replay.report import choose, simulate
from replay.report.document import Block, Code, Commands, Document, Notes, Paragraph, Records
from replay.report.format import percent, span
from replay.report.notes import make_notes
from replay.report.sentences.guarantee import say_tolerance
from replay.report.sentences.summary import say_outcome
from replay.report.simulate import Summary, brief_table, find_limits, headline
from replay.search.choice import Selection, Status

__all__ = ["build"]


def build(
    outcomes: Outcomes,
    summary: Summary,
    selection: Selection | None,
    *,
    common: str,
    configured: bool,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
    chart: Sequence[Block] = (),
) -> Document:
    """Report the outcomes of well-known policies, and the choice among many (None: none could be made).

    ``common`` is the policy that the answer is about; ``configured`` says that the logs name it as the one
    that they were trained with. ``findings`` are those of the logs, and ``chart`` is
    what `replay.report.plane` makes where a chart was asked for.
    """
    rows = records(summary)
    simulated = simulate.build(outcomes, summary, findings=findings)
    return Document(
        lambda: _blocks(outcomes, rows, selection, common, configured, findings, source, next_steps, chart),
        lambda: {
            **simulated.data(),
            "choice": None if selection is None else choose.build(selection).data(),
        },
        lambda: Records(COLUMNS, outcomes.rows()),
    )


def _blocks(
    outcomes: Outcomes,
    rows: list[dict[str, Any]],
    selection: Selection | None,
    common: str,
    configured: bool,
    findings: Sequence[Finding],
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
    chart: Sequence[Block],
) -> list[Block]:
    study = outcomes.study
    policies = [] if selection is None or selection.policy is None else [selection.policy]
    limits = find_limits(study, [*outcomes.stops.policies[len(BASELINES) :], *policies])
    out: list[Block] = [
        *headline(study, source),
        Paragraph([_common(rows, common, configured, study.question.unit)], answer=True),
        replace(brief_table(_shown(rows)), detail=None),
        *chart,
        Paragraph([_recommendation(selection)], answer=True),
    ]
    if selection is not None and selection.policy is not None:
        out.append(Code(choose.callback(selection.policy), indent=2, tight=True))
    own = [*([] if selection is None else choose.say_worse(selection)), *simulate.shortage_notes(study)]
    out.append(Notes(make_notes(findings, [*outcomes.findings, *limits], own)))
    out.append(Commands(next_steps, medium="screen"))
    return out


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the table, from no early stopping to the best possible: policies by what they save."""
    policies = [row for row in rows if row["spec"] not in (*BASELINES, ORACLE)]
    return [
        *(row for row in rows if row["spec"] == "never"),
        *sorted(policies, key=lambda row: -row["saved_mean"]),
        *(row for row in rows if row["spec"] == ORACLE),
    ]


def _common(rows: Sequence[Mapping[str, Any]], common: str, configured: bool, unit: str) -> str:
    """What the policy that people use would have done."""
    row = next(row for row in rows if row["policy"] == common)
    text = say_outcome(row, unit)
    return f"The logs say that they were trained with {common}. {text}" if configured else text


def _recommendation(selection: Selection | None) -> str:
    """The policy to use, and how far it can be trusted, in one or two sentences."""
    if selection is None or selection.policy is None:
        return "Recommended: none yet. These logs cannot tell which policy to use (replay choose says why)."
    spec = selection.policy.spec()
    line = selection.guaranteed or selection.held_out[0]
    saved = percent(line.summary["saved_mean"])
    tolerance = say_tolerance(selection.tolerance.value)
    if selection.status is Status.GUARANTEED:
        text = (
            f"Recommended: {spec} saves {saved}. Guaranteed on average over logs like these: it loses at most"
            f" {tolerance} on further runs"
        )
        low, high = line.summary["lost_low"], line.summary["lost_high"]
        if high is not None and high > selection.tolerance.value:
            return f"{text} (these logs alone say {span(low, high)}%)."
        return f"{text}."
    lost = percent(line.summary["lost_mean"])
    return (
        f"Recommended: {spec}, which saves {saved} and loses {lost}, both cross-validated. That it loses at"
        f" most {tolerance} on further runs is likely but not guaranteed."
    )

"""The report of ``replay explain``: one run under one policy, one row per eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from replay.data.finding import Finding, Kind
from replay.engine.explain import COLUMNS, Explanation
from replay.report.document import Block, Document, Notes, Paragraph, Records, Table, separate
from replay.report.format import number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentence, sentences
from replay.report.sentences.metric import say_better, say_censoring, say_mode_reason
from replay.report.simulate import ending_data
from replay.stats.ties import at_most

__all__ = ["build"]


#: Evals of the brief form, unless there are hardly more; how many of them come before the stop.
_MOST_EVALS, _BEFORE = 14, 4


def build(explanation: Explanation, findings: Sequence[Finding] = ()) -> Document:
    """Report what the policy saw and decided at each eval, and the outcome; ``findings`` are of the logs."""
    return Document(
        lambda: _blocks(explanation, findings),
        lambda: {
            "evals": explanation.rows,
            "outcome": explanation.outcome,
            **ending_data(explanation.outcomes.study),
            "warnings": sentences(explanation.outcomes.findings),
        },
        lambda: Records(COLUMNS, explanation.rows),
    )


def _blocks(explanation: Explanation, findings: Sequence[Finding]) -> list[Block]:
    best, stop, *rest = _ending(explanation)
    every = range(len(explanation.rows))
    window = _window(explanation)
    tables = [_table(explanation, every)]
    if len(window) < len(every):
        tables = [replace(tables[0], detail="verbose"), replace(_table(explanation, window), detail="brief")]
    return [
        Paragraph((_title(explanation),)),
        Paragraph((stop,), tight=True, answer=True),
        *tables,
        *separate([best, *rest]),
        Notes(make_notes(findings, explanation.outcomes.findings)),
    ]


def _window(explanation: Explanation) -> list[int]:
    """The evals of the brief form: the first, the best, and those around the stop or at the end."""
    count, outcome = len(explanation.rows), explanation.outcome
    if count <= _MOST_EVALS:
        return list(range(count))
    stop = (outcome["stopped_eval"] or count) - 1
    best = next((row["eval"] - 1 for row in explanation.rows if row["step"] == outcome["best_step"]), 0)
    wanted = {0, best, count - 1, *range(max(stop - _BEFORE, 0), min(stop + 3, count))}
    return sorted(wanted)


def _title(explanation: Explanation) -> str:
    outcome, monitor = explanation.outcome, explanation.outcomes.study.monitor
    return (
        f"{outcome['run']} under {outcome['policy']}: {outcome['monitor']}, {say_better(outcome['mode'])} is"
        f" better ({say_mode_reason(monitor)})"
    )


def _table(explanation: Explanation, shown: Sequence[int]) -> Table:
    """The evals at these positions; a line says how many are left out between two of them."""
    rows, outcome = [explanation.rows[index] for index in shown], explanation.outcome
    counts = any(row["counter"] is not None for row in rows)
    stop = outcome["stopped_eval"]
    return Table(
        ["eval", "step", "value", "reference", "counter", "", "what happened"],
        [_cells(row, outcome["best_step"], counts) for row in rows],
        (5, 6),
        _lines_between(shown, stop),
    )


def _lines_between(shown: Sequence[int], stop: int | None) -> dict[int, str]:
    """The lines before rows: where evals are left out, and where the policy has stopped."""
    out = {}
    for row, (before, index) in enumerate(pairwise(shown), 1):
        gap = index - before - 1
        if gap:
            out[row] = f"   ... {gap} eval{'s' * (gap != 1)} not shown"
        if stop is not None and before < stop <= index:
            text = "what the log shows after the stop:"
            out[row] = f"{text}{out[row].removeprefix('  ')}" if gap else text
    return out


def _cells(row: Mapping[str, Any], best_step: float | None, counts: bool) -> list[str]:
    counter, threshold = row["counter"], row["limit"]
    known = counter is not None and threshold is not None
    past = row["decision"] == "after the stop" and known and counter >= threshold
    return [
        str(row["eval"]),
        str(row["step"]),
        number(row["value"], 6) + ("*" if row["step"] == best_step else " "),
        "" if row["reference"] is None else number(row["reference"], 6),
        f"{number(counter)}/{number(threshold)}" if known and counts else "",
        "STOP" if row["decision"] == "stop" else "",
        "past the threshold" if past else row["reason"],
    ]


def _ending(explanation: Explanation) -> list[str]:
    """The best of the log, where the policy stopped, and what that saved and lost."""
    outcome, study = explanation.outcome, explanation.outcomes.study
    out = [
        f"* the best of the whole log: {number(outcome['best'], 6)} at step {outcome['best_step']}.",
        _stop(outcome) + _checkpoint(outcome),
    ]
    for finding in study.endings:
        if finding.kind is not Kind.CENSORED_RUNS:
            out.append(sentence(finding))
        elif outcome["censored"]:
            reason = say_censoring(study.censored[outcome["run"]])
            out.append(
                f"The run is censored ({reason}): its log ends before the planned end, so the loss is a lower"
                " bound."
            )
    return out


def _stop(outcome: Mapping[str, Any]) -> str:
    evals, unit = outcome["evals"], outcome["unit"]
    if outcome["stopped_eval"] is None:
        return (
            f"{outcome['policy']} never stops this run: all {evals} evals,"
            f" {number(outcome['used'], 6)} {unit}."
        )
    return (
        f"Stopped at eval {outcome['stopped_eval']} of {evals} (step {outcome['stopped_step']}):"
        f" {outcome['reason']}. Used {number(outcome['used'], 6)} of {number(outcome['used_full'], 6)}"
        f" {unit}, {percent(outcome['saved'])} saved."
    )


def _checkpoint(outcome: Mapping[str, Any]) -> str:
    if outcome["kept"] is None:
        return ""
    text = f" The checkpoint kept is that of step {outcome['kept_step']} ({number(outcome['kept'], 6)})"
    if outcome["regret"] == 0:
        return text + ", the best of the whole log."
    spread = outcome["noise"]
    within = spread is not None and bool(at_most(outcome["regret"], spread, abs(outcome["best"])))
    noise = f" (within its eval noise of {number(spread)})" if within else ""
    text += f": {number(outcome['regret'])} worse than the best of the whole log"
    if outcome["lost"] is None:
        return f"{text}{noise}. The run improves too little to say which share of its improvement that is."
    return f"{text}, {percent(outcome['lost'])} of the run's improvement{noise}."

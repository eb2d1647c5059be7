"""The report of ``replay explain``: one run under one policy, one row per eval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replay.data.finding import Kind
from replay.engine.explain import COLUMNS, Explanation
from replay.report.document import Block, Document, Paragraph, Records, Table, separate
from replay.report.format import number, percent
from replay.report.sentences import sentence, sentences
from replay.report.sentences.metric import say_better, say_censoring, say_mode_reason
from replay.report.simulate import ending_data
from replay.stats.ties import at_most

__all__ = ["build"]


def build(explanation: Explanation) -> Document:
    """Report what the policy saw and decided at each eval, and the outcome."""
    return Document(
        lambda: _blocks(explanation),
        lambda: {
            "evals": explanation.rows,
            "outcome": explanation.outcome,
            **ending_data(explanation.outcomes.study),
            "warnings": sentences(explanation.outcomes.findings),
        },
        lambda: Records(COLUMNS, explanation.rows),
    )


def _blocks(explanation: Explanation) -> list[Block]:
    return [Paragraph((_title(explanation),)), _table(explanation), *separate(_ending(explanation))]


def _title(explanation: Explanation) -> str:
    outcome, monitor = explanation.outcome, explanation.outcomes.study.monitor
    return (
        f"{outcome['run']} under {outcome['policy']}: {outcome['monitor']}, {say_better(outcome['mode'])} is"
        f" better ({say_mode_reason(monitor)})"
    )


def _table(explanation: Explanation) -> Table:
    rows, outcome = explanation.rows, explanation.outcome
    counts = any(row["counter"] is not None for row in rows)
    stop = outcome["stopped_eval"]
    return Table(
        ["eval", "step", "value", "reference", "counter", "", "what happened"],
        [_cells(row, outcome["best_step"], counts) for row in rows],
        (5, 6),
        {} if stop is None else {stop: "what the log shows after the stop:"},
    )


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
        "past the limit" if past else row["reason"],
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

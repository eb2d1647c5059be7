"""The story of one run under one policy: one line an eval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from replay.engine.simulation import Simulation, whole
from replay.errors import printable
from replay.report.tables import csv_text, json_text, lines, markdown, number, percent, wrapped

__all__ = ["COLUMNS", "Story", "as_csv", "as_json", "as_markdown", "as_text", "story"]

#: One row an eval. ``seen`` is the value that the policy looked at (smoothed, say; null: it did not look),
#: ``counter`` its signal, which stops the run when it reaches ``limit``; ``reference`` and ``counter`` are
#: null where it has none.
COLUMNS = ("eval", "step", "value", "seen", "reference", "counter", "limit", "decision", "reason")


class Story(NamedTuple):
    """Rows by COLUMNS, and the outcome that they lead to."""

    simulation: Simulation
    rows: list[dict[str, Any]]
    outcome: dict[str, Any]


def story(simulation: Simulation, policy: str) -> Story:
    """The story of the first run of a simulation (made with ``traces``) under one of its policies."""
    rule, trace, runs = simulation.traces[policy]
    curve = simulation.curves[runs[0]]
    outcome = next(row for row in simulation.rows() if row["run"] == runs[0] and row["policy"] == policy)
    limit = rule.signal_threshold(trace.batch.mode)
    stop = outcome["stopped_eval"]
    rows = []
    for index in range(int(trace.batch.lengths[0])):
        signal = float(trace.signal[0, index])
        reference = np.nan if trace.reference is None else float(trace.reference[0, index])
        looked = trace.position is None or trace.position[0, index] >= 0
        rows.append(
            {
                "eval": index + 1,
                "step": whole(float(trace.batch.steps[0, index])),
                "value": float(curve.values[index]) if index < len(curve) else None,
                "seen": float(trace.batch.values[0, index]) if looked else None,
                "reference": reference if np.isfinite(reference) else None,
                "counter": signal if np.isfinite(signal) else None,
                "limit": limit if np.isfinite(limit) else None,
                "decision": (
                    "continue"
                    if stop is None or index + 1 < stop
                    else "stop"
                    if index + 1 == stop
                    else "after the stop"
                ),
                "reason": rule.reason(trace, 0, index),
            }
        )
    return Story(simulation, rows, outcome)


def as_json(told: Story) -> str:
    """``evals`` (rows by COLUMNS) and ``outcome``."""
    return json_text({"evals": told.rows, "outcome": told.outcome, "warnings": told.simulation.warnings})


def as_csv(told: Story) -> str:
    """The evals as CSV."""
    return csv_text(told.rows, COLUMNS)


def _table(told: Story) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    head = ["eval", "step", "value", "reference", "counter", "", "what happened"]
    marks = {"continue": "", "stop": "STOP", "after the stop": ""}
    counted = any(row["counter"] is not None for row in told.rows)
    best = told.outcome["best_step"]
    rows = []
    for row in told.rows:
        past = row["counter"] is not None and row["limit"] is not None and row["counter"] >= row["limit"]
        counter = (
            ""
            if row["counter"] is None or row["limit"] is None
            else f"{number(row['counter'])}/{number(row['limit'])}"
        )
        rows.append(
            [
                str(row["eval"]),
                str(row["step"]),
                number(row["value"], 6) + ("*" if row["step"] == best else " "),
                "" if row["reference"] is None else number(row["reference"], 6),
                counter if counted else "",
                marks[row["decision"]],
                "past the limit" if row["decision"] == "after the stop" and past else row["reason"],
            ]
        )
    return head, rows, (5, 6)


def _ending(told: Story) -> list[str]:
    row, simulation = told.outcome, told.simulation
    evals, unit = row["evals"], row["unit"]
    mark = f"* the best of the whole log: {number(row['best'], 6)} at step {row['best_step']}."
    if row["stopped_eval"] is None:
        end = f"{row['policy']} never stops this run: all {evals} evals, {number(row['used'], 6)} {unit}."
    else:
        end = (
            f"Stopped at eval {row['stopped_eval']} of {evals} (step {row['stopped_step']}): {row['reason']}."
            f" Used {number(row['used'], 6)} of {number(row['used_full'], 6)} {unit}, {percent(row['saved'])}"
            " saved."
        )
    if row["kept"] is not None:
        end += f" The checkpoint kept is that of step {row['kept_step']} ({number(row['kept'], 6)})"
        if row["regret"] == 0:
            end += ", the best of the whole log."
        else:
            within = row["noise"] is not None and row["regret"] <= row["noise"]
            noise = f" (within its eval noise of {number(row['noise'])})" if within else ""
            end += (
                f": {number(row['regret'])} worse than the best of the whole log, {percent(row['lost'])} of"
                f" the run's improvement{noise}."
            )
    out = [mark, end]
    if row["run"] in simulation.censored:
        out.append(
            f"The log is censored ({simulation.censored[row['run']]}): what came next is not known, so the"
            " loss is a lower bound."
        )
    return out


def _title(told: Story) -> str:
    row, monitor = told.outcome, told.simulation.monitor
    better = "lower" if row["mode"] == "min" else "higher"
    return f"{row['run']} under {row['policy']}: {row['monitor']}, {better} is better ({monitor.mode_reason})"


def as_text(told: Story) -> str:
    """The story for a terminal of 80 columns."""
    head, rows, left = _table(told)
    body = lines(head, rows, left=left)
    stop = told.outcome["stopped_eval"]
    if stop is not None and stop < len(rows):
        after = next(index for index, line in enumerate(body) if line.split()[:1] == [str(stop + 1)])
        body.insert(after, "what the log shows after the stop:")
    out = [*wrapped(_title(told)), "", *body, "", *(line for text in _ending(told) for line in wrapped(text))]
    return "\n".join(out) + "\n"


def as_markdown(told: Story) -> str:
    """The story as markdown."""
    head, rows, left = _table(told)
    return (
        f"{printable(_title(told))}\n\n{markdown(head, rows, left)}\n"
        + "\n\n".join(printable(text) for text in _ending(told))
        + "\n"
    )

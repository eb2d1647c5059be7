"""The report of policies over the runs of a store that were replayed file by file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.engine.metrics import Metric
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records, Table
from replay.report.format import number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.metric import say_better, say_metric, say_mode_reason
from replay.report.sentences.summary import COMPUTE, label, say_extremes, say_outcome
from replay.report.simulate import metric_data
from replay.search.front import front, thin
from replay.search.policy_sums import STREAMED
from replay.search.store_simulation import MOST_OUTCOMES, StoreSimulation
from replay.search.store_sweep import StoreSweep
from replay.search.tolerance import Tolerance
from replay.stats.summary import SAVED_KEYS, Weight

__all__ = ["build", "describe_metrics", "describe_runs"]

_COUNTS = ("runs", "stopped", "censored", "lost_runs")
_BASELINES = ("never", "one-epoch")
#: Policies of a front that the brief and the long form show.
_BRIEF, _LONG = 10, 40

_LEFT_OUT = {
    "sweep": "For the intervals and the verdict of a policy of these, simulate it with the same options.",
    "simulate": (
        f"Intervals, medians, verdicts and the equal budget are shown for up to {MOST_OUTCOMES:,} runs times"
        " policies, since they need what each policy gives on each run."
    ),
}


def build(
    sweep: StoreSweep,
    *,
    source: str,
    typed: Mapping[str, str],
    tolerance: Tolerance | None = None,
    weight: Weight = "runs",
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report what each policy saves and loses; with a tolerance, only the front, and what is best within it.

    ``source`` names the store, and ``typed`` says how the user wrote policies, by their canonical
    specification.
    """
    rows = _rows(sweep, typed)
    order = list(range(len(rows)))
    if tolerance is not None:
        order = _front(sweep, tolerance, weight)
    elif weight == "compute":
        order.sort(key=lambda index: -(rows[index]["saved_total"] or 0.0))
    shown = [rows[index] for index in order]
    best = None if tolerance is None else _best(sweep, tolerance, weight)
    return Document(
        lambda: _blocks(
            sweep, source, shown, None if best is None else rows[best], tolerance, weight, next_steps
        ),
        lambda: {
            ("summary" if tolerance is None else "policies"): rows,
            **({} if tolerance is None else {"front": shown, "best": None if best is None else rows[best]}),
            "warnings": sentences(sweep.findings),
            "monitor": metric_data(sweep.monitor),
            "objective": metric_data(sweep.objective),
            "unit": sweep.question.unit,
            "keep": sweep.question.keep,
        },
        lambda: Records(("policy", *STREAMED, "spec"), rows),
    )


def _rows(sweep: StoreSweep, typed: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per policy, with None for what is not known."""
    columns = {name: values.tolist() for name, values in sweep.figures.items()}
    rows = []
    for index, policy in enumerate(sweep.policies):
        spec = policy.spec()
        row: dict[str, Any] = {"policy": typed.get(spec, spec)}
        for name in STREAMED:
            value = columns[name][index]
            row[name] = int(value) if name in _COUNTS else None if math.isnan(value) else value
        rows.append(row | {"spec": spec})
    return rows


def _tried(sweep: StoreSweep) -> Any:
    """Which policies were tried on as many runs as any."""
    runs = sweep.figures["runs"]
    return (runs > 0) & (runs == runs.max(initial=0.0))


def _front(sweep: StoreSweep, tolerance: Tolerance, weight: Weight) -> list[int]:
    saved = np.where(_tried(sweep), sweep.figures[SAVED_KEYS[weight]], np.nan)
    found = front(saved, sweep.figures[tolerance.key], tolerance.scale)
    return [int(index) for index in found]


def _best(sweep: StoreSweep, tolerance: Tolerance, weight: Weight) -> int | None:
    """The policy that saves most of those that lose no more than is tolerated (ties: the first)."""
    saved = np.where(
        _tried(sweep) & tolerance.allows(sweep.figures[tolerance.key]),
        sweep.figures[SAVED_KEYS[weight]],
        -np.inf,
    )
    best = int(saved.argmax()) if len(saved) else 0
    return best if len(saved) and saved[best] > 0 else None


def _blocks(
    sweep: StoreSweep,
    source: str,
    shown: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None,
    tolerance: Tolerance | None,
    weight: Weight,
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    full = [*shown]
    brief = full if tolerance is None else [full[at] for at in thin(np.arange(len(full)), _BRIEF).tolist()]
    long = full if tolerance is None else [full[at] for at in thin(np.arange(len(full)), _LONG).tolist()]
    out: list[Block] = [
        Paragraph([describe_runs(sweep, source)], hanging=2),
        Paragraph([_answer(sweep, shown, best, tolerance, weight)], answer=True),
        _table(brief, "brief"),
        _table(long, "verbose"),
        Notes(make_notes((), sweep.findings, [_LEFT_OUT["simulate" if tolerance is None else "sweep"]])),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def describe_runs(sweep: StoreSweep | StoreSimulation, source: str) -> str:
    """What was read, what the policies watched and what they were judged by."""
    text = f"{sweep.runs:,} runs in {source}"
    if sweep.monitored < sweep.runs:
        text += f", of which {sweep.monitored:,} log the monitor"
    return f"{text}. {describe_metrics(sweep.monitor, sweep.objective, sweep.question.unit)}"


def describe_metrics(monitor: Metric, objective: Metric, unit: str) -> str:
    """What the policies watched, what they were judged by, and in which unit compute was counted."""
    text = f"Monitor: {say_metric(monitor)}."
    if objective.name != monitor.name:
        better = say_better(objective.mode)
        text += f" Objective: {objective.name}, {better} is better ({say_mode_reason(objective)})."
    return text if unit == "steps" else f"{text} Unit: {unit}."


def _answer(
    sweep: StoreSweep,
    shown: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None,
    tolerance: Tolerance | None,
    weight: Weight,
) -> str:
    unit = sweep.question.unit
    if tolerance is not None:
        if best is None:
            return f"None of {len(sweep.policies)} policies saves anything with {tolerance.describe()}."
        loss = best[tolerance.key]
        shown_loss = percent(loss) if tolerance.kind != "regret" else number(loss)
        return (
            f"Of {len(sweep.policies)} policies, {best['policy']} saves most with {tolerance.describe()}:"
            f" {percent(best[SAVED_KEYS[weight]])} of {COMPUTE[unit]}, with a mean {tolerance.noun} of"
            f" {shown_loss} on these runs."
        )
    rows = [
        {
            **row,
            **dict.fromkeys(("verdict", "saved_low", "saved_high", "lost_low", "lost_high", "budget_lost")),
        }
        for row in shown
        if row["spec"] not in _BASELINES and row["saved_mean"] is not None
    ]
    if not rows:
        return "No policy could be tried on these runs."
    return say_outcome(rows[0], unit, weight) if len(rows) == 1 else say_extremes(rows, unit, weight)


def _table(rows: Sequence[Mapping[str, Any]], detail: Any) -> Table:
    cells = [
        [
            label(row["policy"]),
            f"{row['runs']:,}",
            f"{row['stopped']:,}",
            percent(row["saved_mean"]),
            percent(row["saved_total"]),
            ("≥ " if row["censored"] and row["spec"] != "never" else "") + percent(row["lost_mean"]),
            percent(row["lost_worst"]),
            number(row["regret_mean"], 3),
        ]
        for row in rows
    ]
    return Table(
        ["policy", "runs", "stopped", "saved", "total", "lost", "worst", "regret"], cells, detail=detail
    )

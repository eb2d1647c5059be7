"""Inspection: what was read below some paths, and how a simulation would read it."""

from __future__ import annotations

from typing import Any, NamedTuple

from replay.data.censoring import censoring, find_endings, planned_steps
from replay.data.compute import units_of
from replay.data.finding import Finding
from replay.data.gaps import find_incomplete
from replay.data.improvement import still_improving
from replay.data.run import Run
from replay.data.types import Floats, Mode
from replay.engine.metrics import Metric, ModeSource, known_mode, resolve_metric, suggest_metric
from replay.errors import ReplayError
from replay.readers import ReadResult

__all__ = ["Inspection", "inspect"]


class Inspection(NamedTuple):
    """One row per run, what was dropped, and the monitor of a simulation.

    ``trouble`` is the error where there is none, and ``suggested`` a monitor and a mode that would do then
    (each None where it need not be given; None where nothing would do). In a row, ``notes`` and ``hint`` are
    findings, ``censored`` is a `Censoring`, ``still_improving`` an `Improvement` (of runs that are not
    censored), and the ``source`` of a metric's mode a `ModeSource`; each may be None. ``plan_known`` says
    whether the log tells where the run was planned to end. ``endings`` are the findings on what the logs
    lack and how they end, ``tables`` those on files that could be read by their columns.
    """

    logs: ReadResult
    rows: list[dict[str, Any]]
    monitor: Metric | None
    trouble: ReplayError | None
    findings: tuple[Finding, ...]
    endings: tuple[Finding, ...]
    tables: tuple[Finding, ...] = ()
    suggested: tuple[str | None, Mode | None] | None = None


def inspect(logs: ReadResult, monitor: str | None = None, mode: Mode | None = None) -> Inspection:
    """Look at every run.

    A monitor or mode that cannot be decided becomes ``trouble``; it is raised as an error only where
    ``monitor`` or ``mode`` was given.
    """
    usable = [run for run in logs.runs if len(run)] if monitor is None else logs.runs
    metric, findings, trouble = None, list[Finding](), None
    try:
        if usable:
            metric, findings = resolve_metric(usable, monitor, mode)
    except ReplayError as error:
        if monitor is not None or mode is not None:
            raise
        trouble = error
    rows = [_row(run, metric) for run in logs.runs]
    by_run = {row["run"]: row for row in rows if row["evals"]}
    endings = find_endings(
        [run for run in logs.runs if run.id in by_run],
        {run: row["censored"] for run, row in by_run.items() if row["censored"] is not None},
        {run: row["still_improving"] for run, row in by_run.items() if row["still_improving"] is not None},
    )
    tables = tuple(logs.find_tables())
    steps = {run.id: _steps(run, metric) for run in logs.runs if len(run)}
    incomplete = find_incomplete([run for run in logs.runs if run.id in steps], steps)
    suggested = None if trouble is None else suggest_metric(usable)
    return Inspection(
        logs, rows, metric, trouble, tuple(findings), (*incomplete, *endings), tables, suggested
    )


def _steps(run: Run, metric: Metric | None) -> Floats:
    """The steps of the evals that have the metric, of all evals where that is not known."""
    if metric is None or run.id not in metric.names:
        return run.steps
    return run.curve(metric.names[run.id], metric.mode).steps


def _row(run: Run, metric: Metric | None) -> dict[str, Any]:
    info = run.info
    row: dict[str, Any] = {
        "run": run.id,
        "format": info.format,
        "source": list(info.sources),
        "evals": len(run),
        "trained_steps": run.trained_steps,
        "step_unit": info.step_unit,
        "planned_steps": info.planned_steps,
        "planned_epochs": info.planned_epochs,
        "plan_known": planned_steps(run) is not None,
        "metrics": {name: _metric(run, name) for name in run.metrics},
        "train_series": sorted(run.train),
        "units": units_of(run),
        "group": info.group,
        "stopped_by": info.stopped_by,
        "notes": info.findings,
        "hint": info.eval_hint if not len(run) else None,
        "evals_without_metric": info.eval_hint.get("evals", 0) if info.eval_hint and not len(run) else 0,
        "censored": censoring(run) if len(run) else None,
        **dict.fromkeys(("monitor", "mode", "best", "best_step", "noise", "still_improving")),
    }
    if metric is not None and run.id in metric.names:
        curve = run.curve(metric.names[run.id], metric.mode)
        best = curve.best()
        if metric.mode_source is ModeSource.GIVEN and curve.metric in row["metrics"]:
            row["metrics"][curve.metric] |= {"mode": metric.mode, "source": ModeSource.GIVEN, "word": None}
        row |= {
            "monitor": curve.metric,
            "mode": curve.mode,
            "best": None if best is None else float(curve.values[best]),
            "best_step": None if best is None else float(curve.steps[best]),
            "noise": curve.noise,
            "still_improving": None if row["censored"] else still_improving(curve),
        }
    return row


def _metric(run: Run, name: str) -> dict[str, Any]:
    """A metric's mode with its source, and how many evals have it and have it finite."""
    values, present = run.columns[name]
    mode, source, implied = known_mode(run, name)
    return {
        "mode": mode,
        "source": source,
        "word": implied.word if implied else None,
        "evals": int(present.sum()),
        "nonfinite": int((present & ~(abs(values) < float("inf"))).sum()),
    }

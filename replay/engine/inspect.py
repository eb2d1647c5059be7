"""What was read below some paths, and how a simulation would read it."""

from __future__ import annotations

from typing import Any, NamedTuple

from replay.data.compute import units_of
from replay.data.curve import censoring
from replay.data.names import infer_mode
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.simulation import Watch, watch
from replay.errors import ReplayError
from replay.readers import Found

__all__ = ["Inspection", "inspect"]


class Inspection(NamedTuple):
    """One row per run, what was dropped, and the monitor of a simulation (or why there is none)."""

    logs: Found
    rows: list[dict[str, Any]]
    monitor: Watch | None
    trouble: str | None
    warnings: list[str]


def inspect(logs: Found, monitor: str | None = None, mode: Mode | None = None) -> Inspection:
    """Look at every run.

    A monitor or mode that cannot be decided becomes ``trouble``; it is raised as an error only where
    ``monitor`` or ``mode`` was given.
    """
    usable = [run for run in logs.runs if len(run)] if monitor is None else logs.runs
    watched, warnings, trouble = None, list[str](), None
    try:
        if usable:
            watched, warnings = watch(usable, monitor, mode)
    except ReplayError as error:
        if monitor is not None or mode is not None:
            raise
        trouble = str(error)
    return Inspection(logs, [_row(run, watched) for run in logs.runs], watched, trouble, warnings)


def _row(run: Run, watched: Watch | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.id,
        "format": run.meta.get("format"),
        "source": run.meta.get("source") or [],
        "evals": len(run),
        "trained_steps": run.trained_steps,
        "step_unit": run.meta.get("step_unit") or "step",
        "planned_steps": run.meta.get("planned_steps"),
        "metrics": {name: _metric(run, name) for name in run.metrics},
        "train_series": sorted(run.train),
        "units": units_of(run),
        "group": run.meta.get("group"),
        "stopped_by": run.meta.get("stopped_by"),
        "notes": list(run.meta.get("notes") or []),
        "hint": run.meta.get("hint") if not len(run) else None,
        **dict.fromkeys(("monitor", "mode", "best", "best_step", "noise", "censored")),
    }
    if watched is not None and run.id in watched.names:
        curve = run.curve(watched.names[run.id], watched.mode)
        best = curve.best()
        row |= {
            "monitor": curve.metric,
            "mode": curve.mode,
            "best": None if best is None else float(curve.values[best]),
            "best_step": None if best is None else float(curve.steps[best]),
            "noise": curve.noise,
            "censored": censoring(curve),
        }
    return row


def _metric(run: Run, name: str) -> dict[str, Any]:
    """A metric's mode with the reason, and how many evals have it and have it finite."""
    values, present = run.columns[name]
    stated = (run.meta.get("modes") or {}).get(name)
    implied = infer_mode(name)
    return {
        "mode": stated or (implied[0] if implied else None),
        "reason": "stated by the log" if stated else implied[1] if implied else "unknown: give --mode",
        "evals": int(present.sum()),
        "nonfinite": int((present & ~(abs(values) < float("inf"))).sum()),
    }

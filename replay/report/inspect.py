"""What was found below some paths, and how it is read: the answer of ``replay inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from replay.data.compute import units_of
from replay.data.curve import censoring
from replay.data.names import infer_mode
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.simulation import Watch, watch
from replay.errors import ReplayError, printable
from replay.readers import Found
from replay.report.sentences import sentence, sentences
from replay.report.tables import csv_text, json_text, lines, markdown, number, wrapped

__all__ = ["Inspection", "as_csv", "as_json", "as_markdown", "as_text", "headline", "inspect"]

_CSV = (
    "run",
    "format",
    "evals",
    "trained_steps",
    "planned_steps",
    "monitor",
    "mode",
    "best",
    "best_step",
    "noise",
    "censored",
    "group",
)


class Inspection(NamedTuple):
    """One row a run, with what was dropped, and the monitor that a simulation would watch (or why there is
    none).
    """

    found: Found
    rows: list[dict[str, Any]]
    monitor: Watch | None
    trouble: str | None
    warnings: list[str]


def headline(found: Found, paths: Sequence[Path]) -> list[str]:
    """One line on what was read."""
    counts = Counter(str(run.info.format or "?") for run in found.runs)
    shown = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    where = ", ".join(str(path) for path in paths[:3]) + (
        f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    )
    text = f"{_count(len(found.runs), 'run')} in {where} ({shown})"
    if found.duplicates:
        text += f"; {_count(len(found.duplicates), 'more log')} of the same runs"
    if found.findings:
        text += f"; {_count(len(found.findings), 'problem')}"
    return [text + "."]


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def inspect(found: Found, monitor: str | None = None, mode: Mode | None = None) -> Inspection:
    """Look at every run; a monitor that cannot be found or decided is told, not raised, unless it was asked
    for.
    """
    usable = [run for run in found.runs if len(run)] if monitor is None else found.runs
    watched, warnings, trouble = None, list[str](), None
    try:
        if usable:
            watched, warnings = watch(usable, monitor, mode)
    except ReplayError as error:
        if monitor is not None or mode is not None:
            raise
        trouble = str(error)
    return Inspection(found, [_row(run, watched) for run in found.runs], watched, trouble, warnings)


def _row(run: Run, watched: Watch | None) -> dict[str, Any]:
    metrics = {}
    for name in run.metrics:
        values, present = run.columns[name]
        stated = run.info.modes.get(name)
        implied = infer_mode(name)
        metrics[name] = {
            "mode": stated or (implied[0] if implied else None),
            "reason": "stated by the log" if stated else implied[1] if implied else "unknown: give --mode",
            "evals": int(present.sum()),
            "nonfinite": int((present & ~(abs(values) < float("inf"))).sum()),
        }
    row: dict[str, Any] = {
        "run": run.id,
        "format": run.info.format,
        "source": list(run.info.sources),
        "evals": len(run),
        "trained_steps": run.trained_steps,
        "step_unit": run.info.step_unit,
        "planned_steps": run.info.planned_steps,
        "metrics": metrics,
        "train_series": sorted(run.train),
        "units": units_of(run),
        "group": run.info.group,
        "stopped_by": run.info.stopped_by,
        "notes": sentences(run.info.findings),
        "hint": sentence(run.info.eval_hint) if run.info.eval_hint is not None else None,
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


def as_json(told: Inspection) -> str:
    """``runs``, ``problems``, ``duplicates``, ``monitor``."""
    watched = told.monitor
    return json_text(
        {
            "runs": told.rows,
            "problems": sentences(told.found.findings),
            "duplicates": [{"run": dropped, "same_as": kept} for dropped, kept in told.found.duplicates],
            "monitor": (
                None
                if watched is None
                else {
                    "metric": watched.metric,
                    "mode": watched.mode,
                    "metric_reason": watched.metric_reason,
                    "mode_reason": watched.mode_reason,
                }
            ),
            "trouble": told.trouble,
            "warnings": told.warnings,
        }
    )


def as_csv(told: Inspection) -> str:
    """One row a run."""
    return csv_text(told.rows, _CSV)


def _table(told: Inspection) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    head = ["run", "evals", "steps", "best", "at step", "noise", "censored"]
    rows = []
    for row in told.rows:
        planned = row["planned_steps"]
        steps = number(row["trained_steps"]) + (f"/{number(float(planned))}" if planned else "")
        rows.append(
            [
                row["run"],
                str(row["evals"]),
                steps,
                number(row["best"]),
                number(row["best_step"]),
                number(row["noise"], 2),
                (row["censored"] or "no") if row["evals"] else "",
            ]
        )
    return head, rows, (0, 6)


def _watching(told: Inspection) -> list[str]:
    watched = told.monitor
    if watched is not None:
        better = "lower" if watched.mode == "min" else "higher"
        return [
            (
                f"A simulation would watch {watched.metric} ({watched.metric_reason}), {better} is better"
                f" ({watched.mode_reason})."
            )
        ]
    return [
        (
            f"No monitor: {told.trouble}"
            if told.trouble
            else "No run has an eval, so there is nothing that a stop rule could watch."
        )
    ]


def _details(told: Inspection) -> list[str]:
    """Metrics, units, notes, hints, duplicates and problems, one line each; what many runs share is said
    once.
    """
    runs = len(told.rows)
    out = []
    metrics: dict[str, list[dict[str, Any]]] = {}
    for row in told.rows:
        for name, metric in row["metrics"].items():
            metrics.setdefault(name, []).append(metric)
    if metrics:
        out.append("metrics:")
    for name, found in metrics.items():
        evals = sorted({metric["evals"] for metric in found})
        span = f"{evals[0]}-{evals[-1]}" if len(evals) > 1 else str(evals[0])
        mode = found[0]["mode"] or "?"
        bad = sum(metric["nonfinite"] for metric in found)
        where = f"{len(found)} of {runs} runs" if runs > 1 else "logged"
        out.append(
            f"  {name}: {mode} ({found[0]['reason']}); {where}, {span}"
            f" evals{f'; {bad} values NaN or infinite' if bad else ''}"
        )
    units = (
        [unit for unit in told.rows[0]["units"] if all(unit in row["units"] for row in told.rows)]
        if told.rows
        else []
    )
    if units:
        out.append(
            "compute can be counted in: "
            + ", ".join("cost (with --price)" if unit == "cost" else unit for unit in units)
        )
    said: dict[str, list[str]] = {}
    for row in told.rows:
        for text in ([f"no evals were logged; {row['hint']}"] if row["hint"] else []) + row["notes"]:
            said.setdefault(text, []).append(row["run"])
    for text, ids in said.items():
        who = (
            ids[0]
            if len(ids) == 1
            else f"{len(ids)} runs ({', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''})"
        )
        out.append(f"{who}: {text}")
    if told.found.skipped:
        names = ", ".join(path.name for path in told.found.skipped[:3]) + (
            " ..." if len(told.found.skipped) > 3 else ""
        )
        out.append(
            f"{len(told.found.skipped)} of {told.found.files} files are no log of a known format: {names}"
        )
    out += [f"{dropped}: the same run as {kept}, counted once" for dropped, kept in told.found.duplicates]
    out += [f"warning: {text}" for text in [*sentences(told.found.findings), *told.warnings]]
    return out


def as_text(told: Inspection, paths: Sequence[Path]) -> str:
    """The inspection for a terminal of 80 columns."""
    head, rows, left = _table(told)
    out = [
        line
        for text in [*headline(told.found, paths), *_watching(told)]
        for line in wrapped(text, indent="  ")
    ]
    out += ["", *lines(head, rows, left=left), ""]
    out += [
        line
        for text in _details(told)
        for line in wrapped(text, indent="    " if text.startswith("  ") else "  ")
    ]
    return "\n".join(out) + "\n"


def as_markdown(told: Inspection) -> str:
    """The inspection as markdown."""
    head, rows, left = _table(told)
    return (
        "\n".join(printable(text) for text in _watching(told))
        + "\n\n"
        + markdown(head, rows, left)
        + "\n"
        + "".join(f"- {printable(text.strip())}\n" for text in _details(told))
    )

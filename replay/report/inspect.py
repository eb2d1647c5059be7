"""The report of ``replay inspect``: what was read, and how a simulation would read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.engine.inspect import Inspection
from replay.readers import Found
from replay.report.document import Block, Document, List, Paragraph, Records, Table
from replay.report.format import number

__all__ = ["build", "describe_logs"]

_COLUMNS = (
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
_MOST_NAMES = 3


def build(inspection: Inspection, paths: Sequence[Path] = ()) -> Document:
    """Report every run, the monitor, and what was dropped or is in doubt; ``paths`` are what was read."""
    return Document(
        lambda: _blocks(inspection, paths),
        lambda: _data(inspection),
        lambda: Records(_COLUMNS, inspection.rows),
    )


def describe_logs(logs: Found, paths: Sequence[Path]) -> list[str]:
    """One sentence on what was read: runs, formats, duplicates and problems."""
    counts = Counter(str(run.meta.get("format", "?")) for run in logs.runs)
    shown = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    where = ", ".join(str(path) for path in paths[:_MOST_NAMES])
    if len(paths) > _MOST_NAMES:
        where += f" and {len(paths) - _MOST_NAMES} more"
    text = f"{_count(len(logs.runs), 'run')} in {where} ({shown})"
    if logs.duplicates:
        text += f"; {_count(len(logs.duplicates), 'more log')} of the same runs"
    if logs.problems:
        text += f"; {_count(len(logs.problems), 'problem')}"
    return [text + "."]


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _data(inspection: Inspection) -> dict[str, Any]:
    logs, watch = inspection.logs, inspection.monitor
    return {
        "runs": inspection.rows,
        "problems": logs.problems,
        "duplicates": [{"run": dropped, "same_as": same} for dropped, same in logs.duplicates],
        "monitor": (
            None
            if watch is None
            else {
                "metric": watch.metric,
                "mode": watch.mode,
                "metric_reason": watch.metric_reason,
                "mode_reason": watch.mode_reason,
            }
        ),
        "trouble": inspection.trouble,
        "warnings": inspection.warnings,
    }


def _blocks(inspection: Inspection, paths: Sequence[Path]) -> list[Block]:
    rows = inspection.rows
    out: list[Block] = [
        Paragraph(describe_logs(inspection.logs, paths), hanging=2, medium="screen"),
        Paragraph((_monitor(inspection),), hanging=2, tight=True),
        Table(
            ["run", "evals", "steps", "best", "at step", "noise", "censored"],
            [_cells(row) for row in rows],
            (0, 6),
        ),
    ]
    metrics = _metrics(rows)
    others = [*_units(rows), *_notes(rows), *_files(inspection)]
    titled = ["metrics:", *metrics] if metrics else []
    if metrics:
        out += [
            Paragraph(("metrics:",), medium="screen"),
            Paragraph(metrics, indent=2, hanging=2, tight=True, medium="screen"),
        ]
    out.append(Paragraph(others, hanging=2, tight=bool(metrics), medium="screen"))
    out.append(List([*titled, *others], medium="page"))
    return out


def _cells(row: Mapping[str, Any]) -> list[str]:
    planned = row["planned_steps"]
    return [
        row["run"],
        str(row["evals"]),
        number(row["trained_steps"]) + (f"/{number(float(planned))}" if planned else ""),
        number(row["best"]),
        number(row["best_step"]),
        number(row["noise"], 2),
        (row["censored"] or "no") if row["evals"] else "",
    ]


def _monitor(inspection: Inspection) -> str:
    watch = inspection.monitor
    if watch is not None:
        better = "lower" if watch.mode == "min" else "higher"
        return (
            f"A simulation would watch {watch.metric} ({watch.metric_reason}), {better} is better"
            f" ({watch.mode_reason})."
        )
    if inspection.trouble:
        return f"No monitor: {inspection.trouble}"
    return "No run has an eval, so there is nothing that a stop rule could watch."


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per metric: its mode, and how many runs and evals have it."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for name, metric in row["metrics"].items():
            by_name.setdefault(name, []).append(metric)
    out = []
    for name, metrics in by_name.items():
        evals = sorted({metric["evals"] for metric in metrics})
        span = f"{evals[0]}-{evals[-1]}" if len(evals) > 1 else str(evals[0])
        bad = sum(metric["nonfinite"] for metric in metrics)
        where = f"{len(metrics)} of {len(rows)} runs" if len(rows) > 1 else "logged"
        out.append(
            f"{name}: {metrics[0]['mode'] or '?'} ({metrics[0]['reason']}); {where}, {span}"
            f" evals{f'; {bad} values NaN or infinite' if bad else ''}"
        )
    return out


def _units(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The units of compute that all runs have."""
    units = [unit for unit in rows[0]["units"] if all(unit in row["units"] for row in rows)] if rows else []
    if not units:
        return []
    shown = ", ".join("cost (with --price)" if unit == "cost" else unit for unit in units)
    return [f"compute can be counted in: {shown}"]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the readers note on runs, one line per note however many runs share it."""
    runs_by_note: dict[str, list[str]] = {}
    for row in rows:
        hint = [f"no evals were logged; {row['hint']}"] if row["hint"] else []
        for note in hint + row["notes"]:
            runs_by_note.setdefault(note, []).append(row["run"])
    return [f"{_who(runs)}: {note}" for note, runs in runs_by_note.items()]


def _who(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{len(runs)} runs ({_first(runs)})"


def _first(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_MOST_NAMES]) + (" ..." if len(every) > _MOST_NAMES else "")


def _files(inspection: Inspection) -> list[str]:
    """Files that are not logs, duplicates and problems."""
    logs = inspection.logs
    out = []
    if logs.skipped:
        names = _first(path.name for path in logs.skipped)
        out.append(f"{len(logs.skipped)} of {logs.files} files are no log of a known format: {names}")
    out += [f"{dropped}: the same run as {same}, counted once" for dropped, same in logs.duplicates]
    return out + [f"warning: {text}" for text in [*logs.problems, *inspection.warnings]]

"""The report of ``replay inspect``: what was read, and how a simulation would read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.data.names import infer_mode
from replay.engine.inspect import Inspection
from replay.engine.metrics import ModeSource
from replay.errors import list_names
from replay.readers import ReadResult
from replay.report.document import Block, Commands, Document, List, Notes, Paragraph, Records, Table
from replay.report.format import number, say_count
from replay.report.notes import make_notes
from replay.report.sentences import sentence, sentences
from replay.report.sentences.metric import (
    say_censoring,
    say_improvement,
    say_metric,
)
from replay.report.sentences.problems import say_problems
from replay.report.simulate import metric_data
from replay.report.stores import store_blocks, store_data
from replay.store import Manifest

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
    "still_improving",
    "group",
)
_MOST_NAMES = 3
#: Runs, groups and metrics that the brief form shows one by one.
_MOST_RUNS, _MOST_GROUPS, _MOST_METRICS, _MOST_SERIES = 10, 8, 8, 8


def build(
    inspection: Inspection,
    paths: Sequence[Path] = (),
    options: Sequence[str] = (),
    stores: Sequence[Manifest] = (),
) -> Document:
    """Report every run, the monitor, and what was dropped or is in doubt.

    ``paths`` are what was read, and ``options`` the words of a command that reads it so. ``stores`` are the
    manifests of those of the paths that are stores.
    """
    return Document(
        lambda: _blocks(inspection, paths, options, stores),
        lambda: _data(inspection) | ({"stores": [store_data(one) for one in stores]} if stores else {}),
        lambda: Records(_COLUMNS, _rows(inspection)),
    )


def _rows(inspection: Inspection) -> list[dict[str, Any]]:
    """The rows with their findings and reasons in words."""
    return [
        {
            **row,
            "metrics": {name: _metric_data(metric) for name, metric in row["metrics"].items()},
            "notes": sentences(row["notes"]),
            "hint": None if row["hint"] is None else sentence(row["hint"]),
            "censored": None if row["censored"] is None else say_censoring(row["censored"]),
            "still_improving": (
                None if row["still_improving"] is None else say_improvement(row["still_improving"])
            ),
        }
        for row in inspection.rows
    ]


def _metric_data(metric: Mapping[str, Any]) -> dict[str, Any]:
    if metric["source"] is ModeSource.STATED:
        reason = "stated by the log"
    elif metric["source"] is ModeSource.NAME:
        reason = f"by its name: {metric['word']}"
    elif metric["source"] is ModeSource.GIVEN:
        reason = "as given"
    else:
        reason = "unknown: give --mode"
    return {
        "mode": metric["mode"],
        "reason": reason,
        "evals": metric["evals"],
        "nonfinite": metric["nonfinite"],
    }


def describe_logs(logs: ReadResult, paths: Sequence[Path]) -> list[str]:
    """One sentence on what was read: runs, formats, duplicates and problems."""
    counts = Counter(str(run.info.format or "?") for run in logs.runs)
    shown = ", ".join(f"{name} {count}" if len(counts) > 1 else name for name, count in counts.most_common())
    where = ", ".join(str(path) for path in paths[:_MOST_NAMES])
    if len(paths) > _MOST_NAMES:
        where += f" and {len(paths) - _MOST_NAMES} more"
    text = f"{say_count(len(logs.runs), 'run')} in {where} ({shown})"
    if logs.duplicates:
        count = len(logs.duplicates)
        text += f", also in {say_count(count, 'more log')}; each counts once"
    if logs.findings:
        text += f"; {say_problems(logs.findings)}"
    return [text + "."]


def _data(inspection: Inspection) -> dict[str, Any]:
    logs, monitor = inspection.logs, inspection.monitor
    return {
        "runs": _rows(inspection),
        "problems": sentences(logs.findings),
        "duplicates": [{"run": dropped, "same_as": kept} for dropped, kept in logs.duplicates],
        "monitor": None if monitor is None else metric_data(monitor),
        "trouble": None if inspection.trouble is None else str(inspection.trouble),
        "notes": sentences(inspection.endings),
        "warnings": sentences(inspection.findings),
    }


def _blocks(
    inspection: Inspection, paths: Sequence[Path], options: Sequence[str], stores: Sequence[Manifest]
) -> list[Block]:
    rows = _rows(inspection)
    few = len(rows) <= _MOST_RUNS
    table = Table(
        ["run", "evals", "steps", "best", "at step", "noise", "end"],
        [_cells(row) for row in rows],
        (0, 6),
        detail=None if few else "verbose",
    )
    out: list[Block] = [
        Paragraph(describe_logs(inspection.logs, paths), hanging=2, medium="screen"),
        Paragraph((_monitor(inspection),), hanging=2, tight=True, answer=True),
        table,
    ]
    if not few:
        out.append(_group_table(rows))
    out += [block for store in stores for block in store_blocks(store)]
    metrics = _metrics(rows)
    others = [*sentences(inspection.endings), *_units(rows), *_notes(rows), *_files(inspection)]
    titled = ["metrics:", *metrics] if metrics else []
    if metrics:
        out += [
            Paragraph(_brief_metrics(rows), medium="screen", detail="brief"),
            Paragraph(("metrics:",), medium="screen", detail="verbose"),
            Paragraph(metrics, indent=2, hanging=2, tight=True, medium="screen", detail="verbose"),
        ]
    out.append(Paragraph(others, hanging=2, tight=bool(metrics), medium="screen", detail="verbose"))
    out.append(List([*titled, *others], medium="page"))
    found = [*inspection.logs.findings, *inspection.findings]
    hints = [text for text in _notes(rows) if text.endswith(_hints(rows))]
    notes = make_notes(found, [*inspection.endings, *inspection.tables], hints)
    out.append(Notes(notes, medium="screen", detail="brief"))
    if inspection.monitor is not None or inspection.suggested is not None:
        command = ["replay", *(str(path) for path in paths), *options, *_suggested_words(inspection)]
        out.append(Commands([command], medium="screen", detail="brief"))
    return out


def _suggested_words(inspection: Inspection) -> list[str]:
    """The options that the next command needs, where it would ask for a monitor or a mode."""
    given = zip(("--monitor", "--mode"), inspection.suggested or (), strict=False)
    return [word for option, value in given if value is not None for word in (option, value)]


def _hints(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What to set so that evals are logged, for runs that have none."""
    return tuple({row["hint"] for row in rows if row["hint"]})


def _group_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per group of runs, or per format where the logs state no group, for the brief form."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["group"] or str(row["format"]), []).append(row)
    names = list(groups)[:_MOST_GROUPS]
    cells = [[name, *_group_cells(groups[name])] for name in names]
    if len(groups) > len(names):
        rest = [row for name in list(groups)[len(names) :] for row in groups[name]]
        cells.append([f"{len(groups) - len(names)} more groups", *_group_cells(rest)])
    return Table(
        ["group", "runs", "evals/run", "steps/run", "end"], cells, (0, 4), detail="brief", medium="screen"
    )


def _group_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    ended = [row for row in rows if row["evals"]]
    ends = Counter(_brief_end(row) for row in ended)
    improving = Counter(_brief_end(row) for row in ended if row["still_improving"])
    if without := len(rows) - len(ended):
        ends["without evals"] = without
    return [
        str(len(rows)),
        _span([row["evals"] for row in rows]),
        _span([row["trained_steps"] for row in rows if row["trained_steps"] is not None]),
        ", ".join(
            f"{count} {end}" + (f" ({improving[end]} still improving)" if improving[end] else "")
            for end, count in ends.items()
        ),
    ]


def _brief_end(row: Mapping[str, Any]) -> str:
    if row["censored"]:
        return "cut short or stopped"
    return "as planned" if row["plan_known"] else "plan unknown"


def _span(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low}-{high}"


def _brief_metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics with their modes, those of most runs first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for name, metric in row["metrics"].items():
            counts[name, metric["mode"] or "unknown"] += 1
    shown = [f"{name} ({mode})" for (name, mode), _ in counts.most_common(_MOST_METRICS)]
    more = f" and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return [f"Metrics: {', '.join(shown)}{more}."]


def _cells(row: Mapping[str, Any]) -> list[str]:
    planned = row["planned_steps"]
    return [
        row["run"],
        str(row["evals"]),
        number(row["trained_steps"]) + (f"/{number(float(planned))}" if planned else ""),
        number(row["best"]),
        number(row["best_step"]),
        number(row["noise"], 2),
        _end(row) if row["evals"] else "",
    ]


def _end(row: Mapping[str, Any]) -> str:
    """How the log of a run ends, in a few words."""
    if row["censored"]:
        return str(row["censored"])
    end = "as planned" if row["plan_known"] else "plan unknown"
    return f"{end}, still improving" if row["still_improving"] else end


def _monitor(inspection: Inspection) -> str:
    monitor = inspection.monitor
    if monitor is not None:
        return f"A simulation would monitor {say_metric(monitor)}."
    if inspection.trouble:
        text = f"No monitor: {inspection.trouble}"
        words = _suggested_words(inspection)
        return (
            f"{text}. The command below assumes {' '.join(words)}: choose what is right." if words else text
        )
    text = "No run has an eval, so there is nothing that a stop rule could watch."
    series = sorted(
        {name for row in inspection.rows for name in row["train_series"] if infer_mode(name) is not None}
    )
    if not series:
        return text
    return f"{text} To monitor a series of the training, give --monitor ({list_names(series, _MOST_SERIES)})."


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
        none_logged = "" if row["evals_without_metric"] else "no evals were logged; "
        hint = [f"{none_logged}{row['hint']}"] if row["hint"] else []
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
    out += sentences(inspection.tables)
    out += [f"{dropped}: the same run as {kept}, counted once" for dropped, kept in logs.duplicates]
    return out + [f"warning: {text}" for text in sentences([*logs.findings, *inspection.findings])]

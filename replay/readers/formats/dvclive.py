"""DVCLive's folder: one table per metric, ``plots/metrics/<name>.tsv`` with the columns step and value.

DVCLive's step counts calls of ``next_step`` unless it is set; transformers' callback calls it after every log
entry. The tables of a run have no common order but their steps, so a table that goes back to an earlier step
tells that the run was resumed.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.readers.csv_table import cell_number, csv_rows
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.points import open_text
from replay.readers.tracker_rows import Row, joined
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

#: What DVCLive writes into its folder; a folder that holds more is searched further, and only the tables
#: count.
_OWN = {"plots", "metrics.json", "params.yaml", "dvc.yaml", "report.html", "report.md", "artifacts", "static"}
_FORM = "'step<tab>value'"

#: Time (NaN where it is not stored), step and value, in the order of the table.
_Points = list[tuple[float, float, float]]


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    if path.parts[-2:] == ("plots", "metrics"):
        return _has_table(path)
    others = {name for name in names if not name.startswith(".")} - _OWN
    return "plots" in names and not others and _has_table(path / "plots" / "metrics")


def _has_table(folder: Path) -> bool:
    """Whether the first table below a folder is one of DVCLive's."""
    for path in _tables(folder)[:1]:
        try:
            with open_text(path) as file:
                return _value_column(file.readline(1000), path) is not None
        except OSError:
            return False
    return False


def _tables(folder: Path) -> list[Path]:
    return sorted(
        path
        for here, _, names in os.walk(folder)
        for name in names
        if name.endswith(".tsv") and not (path := Path(here, name)).is_symlink() and path.is_file()
    )


def _value_column(header: str, path: Path) -> tuple[int, int, int | None] | None:
    """The columns of step, value and time; None where the header is not one of DVCLive's. The value is called
    by the last part of the metric's name.
    """
    names = header.rstrip("\r\n").split("\t")
    if "step" not in names or len(names) not in (2, 3) or not set(names[:-1]) <= {"step", "timestamp"}:
        return None
    return names.index("step"), len(names) - 1, names.index("timestamp") if "timestamp" in names else None


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (home,) = files
    folder = home if home.parts[-2:] == ("plots", "metrics") else home / "plots" / "metrics"
    findings: list[Finding] = []
    series: dict[str, _Points] = {}
    sources: list[Path] = []
    for path in _tables(folder):
        name = path.relative_to(folder).as_posix().removesuffix(".tsv")
        if name.startswith("system/"):
            continue
        try:
            points = _read(path, findings)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        sources.append(path)
        if points:
            series[name] = points
    if not series:
        nothing = Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id)
        raise UnusableLog(*(findings or [nothing]))
    rows, starts = _rows(series)
    facts = {**_settings(home), "format": FORMAT.name, "sources": sources}
    runs = tracker_runs(run_id, rows, facts, starts=starts)
    if not runs:
        raise UnusableLog(*findings, Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id))
    return Loaded(runs, findings)


def _read(path: Path, findings: list[Finding]) -> _Points:
    """The points of one table; a last line without its end may lack digits and is left out."""
    points: _Points = []
    bad = count = 0
    with open_text(path) as file:
        header = file.readline()
        columns = _value_column(header, path)
        if columns is None or not header.endswith("\n"):
            kind = Kind.INVALID_HEADER if header.endswith("\n") else Kind.CUT_OFF
            facts: dict[str, Any] = {"format": "csv", "error": header[:40].strip(), "part": "line"}
            if header.strip():
                findings.append(Finding(kind, log=str(path), facts=facts))
            elif not header:
                findings.append(Finding(Kind.EMPTY_FILE, log=str(path)))
            return []
        step_at, value_at, time_at = columns
        lines = file.readlines()
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        findings.append(
            Finding(Kind.CUT_OFF, log=str(path), facts={"part": "line", "number": len(lines) + 2})
        )
    try:
        for row in csv_rows(lines, "\t"):
            count += 1
            cells = [cell_number(cell, "\t") for cell in row]
            step = cells[step_at] if len(cells) > value_at else None
            value = cells[value_at] if len(cells) > value_at else None
            time = cells[time_at] if time_at is not None and len(cells) > value_at else None
            if step is not None and value is not None and math.isfinite(step):
                points.append((math.nan if time is None else time / 1000, step, value))
            else:
                bad += 1
    except csv.Error:
        bad += 1
    if bad:
        facts = {"lines": bad, "of": max(count, bad), "form": _FORM}
        findings.append(Finding(Kind.INVALID_LINES, log=str(path), facts=facts))
    return points


def _rows(series: dict[str, _Points]) -> tuple[list[Row], list[int]]:
    """The rows of all tables, and the indices of those with which a further process begins.

    A table that goes back belongs to one process more from there on. In one that goes back less often than
    others, a value is of the last process that had begun by its step and that its table has not left behind.
    """
    parts = {name: _parts(points) for name, points in series.items()}
    processes = max(map(len, parts.values()))
    whole = [pieces for pieces in parts.values() if len(pieces) == processes]
    begins = [-math.inf, *(min(pieces[at][0][1] for pieces in whole) for at in range(1, processes))]
    by_process: list[list[Row]] = [[] for _ in range(processes)]
    for name, pieces in parts.items():
        for place, piece in enumerate(pieces):
            last = processes - len(pieces) + place
            for time, step, value in piece:
                process = max(at for at in range(place, last + 1) if at == place or begins[at] <= step)
                by_process[process].append(Row(step, {name: value}, time))
    rows: list[Row] = []
    starts: list[int] = []
    for own in by_process:
        if rows and own:
            starts.append(len(rows))
        rows += joined(sorted(own, key=lambda row: row.step))
    return rows, starts


def _parts(points: _Points) -> list[_Points]:
    """The points of each process: a step that is not beyond the one before begins another, unless it has the
    same value. Lightning's logger logs the epoch twice.
    """
    cuts = [
        index
        for index, (before, here) in enumerate(pairwise(points), 1)
        if here[1] < before[1] or (here[1] == before[1] and f"{here[2]}" != f"{before[2]}")  # NaN is NaN
    ]
    return [points[low:high] for low, high in pairwise([0, *cuts, len(points)])]


def _settings(home: Path) -> dict[str, object]:
    """What ``params.yaml`` says on its first level, where transformers' callback writes its settings."""
    values: dict[str, str] = {}
    try:
        with open_text(home / "params.yaml") as file:
            for line in file.read(1024 * 1024).splitlines():
                name, sign, value = line.partition(": ")
                if sign and name.isidentifier() and value.strip() not in ("", "null"):
                    values[name] = value.strip().strip("'\"")
    except OSError:
        return {}
    return dict(settings_of(values))


FORMAT = Format(
    name="dvclive",
    summary="DVCLive's folder (dvclive/plots/metrics/*.tsv), one table per metric",
    files="dvclive/plots/metrics/*.tsv",
    sniff_folder=_sniff_folder,
    load=_load,
    limits=(
        "DVCLive stores neither the end of a run nor the training step of transformers: where its callback"
        " counts log entries, the epoch is the step."
    ),
    tested_on=(
        "DVCLive 2.10 and 3.49, also from Lightning, transformers and accelerate, and older folders in public"
        " repositories"
    ),
)

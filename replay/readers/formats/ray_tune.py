"""Ray Tune's trials: the folder of each, in which ``result.json``, ``progress.csv`` and an event file hold
the same run. It counts once: ``result.json`` has all names, so the others are only read where it is missing
or empty.

``training_iteration`` counts reports; where every report has a step of its own, that is the step. A trial
that was restored goes on in the same files from its checkpoint's iteration on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.readers.csv_table import read_table
from replay.readers.event_rows import event_rows, read_in_order
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.points import open_text
from replay.readers.series_names import step_name
from replay.readers.tracker_rows import Row, flat_numbers
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_RESULT, _PROGRESS, _PARAMS = "result.json", "progress.csv", "params.json"
_ITERATION = "training_iteration"
_PREFIX = "ray/tune/"
#: What Ray adds to each report.
_OWN = {
    _ITERATION,
    "checkpoint_dir_name",
    "date",
    "done",
    "episodes_total",
    "hostname",
    "iterations_since_restore",
    "node_ip",
    "pid",
    "should_checkpoint",
    "time_since_restore",
    "time_this_iter_s",
    "time_total_s",
    "timestamp",
    "timesteps_since_restore",
    "timesteps_total",
    "trial_id",
    "warmup_time",
}


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    files = [name for name in (_RESULT, _PROGRESS) if name in names]
    if not files or not (len(files) > 1 or _PARAMS in names or any("tfevents" in name for name in names)):
        return False
    empty = True
    for name in files:
        try:
            with open_text(path / name) as file:
                head = file.read(64 * 1024)
        except OSError:
            continue
        if _ITERATION in head:
            return True
        empty = empty and not head.strip()
    return empty and _PARAMS in names and any("tfevents" in name for name in names)


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (home,) = files
    findings: list[Finding] = []
    rows: list[Row] = []
    starts: list[int] = []
    sources: list[Path] = []
    done: bool | None = None
    for read in (_results, _table, _events):
        try:
            rows, starts, sources, done = read(home, findings)
        except UnusableLog as error:
            findings.append(error.finding)
        except OSError as error:
            findings.append(unreadable(error.filename or home, error))
        if rows:
            break
    if not rows:
        raise UnusableLog(*(findings or [Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id)]))
    if done is None and (home / "error.txt").exists():
        done = False
    facts: dict[str, Any] = {
        **settings_of(_params(home / _PARAMS)),
        "format": FORMAT.name,
        "sources": sources,
        "complete": done,
        "group": home.parent.name or None,
    }
    runs = tracker_runs(run_id, rows, facts, starts=starts, axes=_axis(rows))
    if not runs:
        raise UnusableLog(*findings, Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id))
    return Loaded(runs, findings)


_Read = tuple[list[Row], list[int], list[Path], bool | None]


def _results(home: Path, findings: list[Finding]) -> _Read:
    """The reports of ``result.json``, one object per line."""
    path = home / _RESULT
    rows: list[Row] = []
    starts: list[int] = []
    done = None
    bad = count = 0
    line = "\n"
    if not path.exists():
        return [], [], [], None
    with open_text(path) as lines:
        for line in lines:
            count += 1
            if not line.strip():
                continue
            try:
                report = json.loads(line)
            except (ValueError, RecursionError):
                bad += line.endswith("\n")
                continue
            if not isinstance(report, dict):
                bad += 1
                continue
            if not line.endswith("\n"):
                line = "\n"  # a whole object, though its end of line is missing
            numbers = flat_numbers({name: value for name, value in report.items() if name != "config"})
            row = _row(numbers)
            if row is not None:
                if rows and numbers.get("iterations_since_restore") == 1:
                    starts.append(len(rows))
                rows.append(row)
                done = True if report.get("done") is True else None
    if not line.endswith("\n"):
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "line", "number": count}))
    if bad:
        findings.append(Finding(Kind.INVALID_JSON, log=str(path), facts={"lines": bad, "of": count}))
    return rows, starts, [path], done


def _row(numbers: Mapping[str, float]) -> Row | None:
    """The row of one report; None where it has no iteration."""
    step = numbers.get(_ITERATION, math.nan)
    if not math.isfinite(step):
        return None
    values = {name: value for name, value in numbers.items() if name not in _OWN}
    return Row(step, values, numbers.get("timestamp", math.nan))


def _table(home: Path, findings: list[Finding]) -> _Read:
    """The reports of ``progress.csv``, which lacks what came later than its first row."""
    path = home / _PROGRESS
    if not path.exists():
        return [], [], [], None
    table = read_table(path)
    findings += table.findings
    cells: dict[int, dict[str, float]] = {}
    for name, points in table.points.items():
        for order, step, value in zip(*(column.tolist() for column in points), strict=True):
            cells.setdefault(order, {"": step})[name] = value
    named = step_name(table.names)
    rows: list[Row] = []
    starts: list[int] = []
    for _, values in sorted(cells.items()):
        values[named[0] if named else _ITERATION] = values.pop("")
        row = _row({name: value for name, value in values.items() if not name.startswith("config/")})
        if row is not None:
            if rows and values.get("iterations_since_restore") == 1:
                starts.append(len(rows))
            rows.append(row)
    return rows, starts, [path], None


def _events(home: Path, findings: list[Finding]) -> _Read:
    """The reports of the event files, of which a restored trial has two."""
    read = read_in_order(home, findings)
    rows, starts = event_rows(read, _PREFIX)
    own = [
        row._replace(values={name: value for name, value in row.values.items() if name not in _OWN})
        for row in rows
    ]
    return own, starts, sorted(file.path for file in read), None


def _axis(rows: Sequence[Row]) -> list[str]:
    """The step of the training, where every report states one."""
    common = set(rows[0].values).intersection(*(row.values for row in rows))
    named = step_name([name for name in rows[0].values if name in common])
    if named is None or named[1]:
        return []
    steps = np.array([row.values[named[0]] for row in rows])
    return [named[0]] if np.isfinite(steps).all() and len(np.unique(steps)) > len(rows) // 2 else []


def _params(path: Path) -> dict[str, Any]:
    try:
        with open_text(path) as file:
            params = json.loads(file.read(16 * 1024 * 1024))
    except (OSError, ValueError, RecursionError):
        return {}
    return params if isinstance(params, dict) else {}


FORMAT = Format(
    name="ray-tune",
    summary="Ray Tune's trials (result.json, progress.csv and event file of one trial count once)",
    files="ray_results/*/*/result.json",
    sniff_folder=_sniff_folder,
    load=_load,
    limits="Where only progress.csv is left, names that were not in the first report are missing.",
    tested_on="Ray 2.60",
)

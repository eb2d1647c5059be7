"""Sacred's FileStorageObserver: ``metrics.json`` of each run, with ``run.json`` and ``config.json`` beside
it.

The file has a list of steps, values and times for each metric. Without a step, Sacred counts the values of
each metric by itself, so that steps of two metrics have nothing in common; their times then tell which belong
together.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.points import number, open_text
from replay.readers.tracker_rows import rows_by_time, time_of
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_METRICS, _RUN = "metrics.json", "run.json"
_COLUMNS = ("steps", "values", "timestamps")
_BEGIN = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{\s*"(?:steps|values|timestamps)"\s*:\s*\[')

#: Time, step and value of each metric.
_Series = dict[str, list[tuple[float, float, float]]]


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if path.name == _RUN:
        return text.startswith(b"{") and all(
            b'"%s"' % key in head for key in (b"experiment", b"heartbeat", b"host", b"status")
        )
    return bool(_BEGIN.match(text)) or (path.name == _METRICS and text.split() in ([b"{}"], [b"{", b"}"]))


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The metrics of each run, with the file that describes the run."""
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        key = path.parent if path.name in (_METRICS, _RUN) else path
        groups.setdefault(key, []).append(path)
    return list(groups.values())


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    metrics = [path for path in files if path.name != _RUN] or [files[0].with_name(_METRICS)]
    path = metrics[0]
    findings: list[Finding] = []
    if path in files:
        try:
            with open_text(path) as file:
                series = _series(file.read(), path, findings)
        except OSError as error:
            raise UnusableLog(unreadable(path, error, "file")) from None
    else:
        series = {}
    rows = rows_by_time(_aligned(series))
    run = _object(path.with_name(_RUN))
    facts: dict[str, Any] = {
        **settings_of(_object(path.with_name("config.json"))),
        "format": FORMAT.name,
        "sources": files,
    }
    if isinstance(run.get("status"), str):
        facts |= {"complete": run["status"] == "COMPLETED", "status": run["status"]}
    if isinstance(run.get("experiment"), dict):
        facts["group"] = run["experiment"].get("name")
    began = time_of(run.get("start_time"))
    runs = tracker_runs(run_id, rows, facts, counts_calls=False, began=None if math.isnan(began) else began)
    if not runs:
        raise UnusableLog(*(findings or [Finding(Kind.NO_METRICS, Severity.NOTE, log=str(files[0]))]))
    return Loaded(runs, findings)


def _series(text: str, path: Path, findings: list[Finding]) -> _Series:
    """The points of every metric. Of a file that is cut off or broken, those before that count."""
    try:
        stored = json.loads(text)
    except RecursionError:
        stored = None
    except ValueError:
        stored, at = _salvage(text)
        kept = sum(len(columns["values"]) for columns in stored.values())
        kind = Kind.INVALID_JSON if text.rstrip().endswith("}") else Kind.CUT_OFF
        findings.append(Finding(kind, log=str(path), facts={"character": at, "kept": kept}))
    series: _Series = {}
    for name, columns in stored.items() if isinstance(stored, dict) else ():
        if not isinstance(columns, dict) or not all(
            isinstance(columns.get(key, []), list) for key in _COLUMNS
        ):
            continue
        steps, values, times = (columns.get(key, []) for key in _COLUMNS)
        times = [*times, *[None] * (len(values) - len(times))]
        series[str(name)] = [
            (time_of(time), place, plain)
            for step, value, time in zip(steps, values, times, strict=False)
            if (plain := number(value)) is not None
            and (place := number(step)) is not None
            and math.isfinite(place)
        ]
    return {name: points for name, points in series.items() if points}


def _salvage(text: str) -> tuple[dict[str, dict[str, list[Any]]], int]:
    """The complete entries of broken JSON by metric and column, and where it broke."""
    decoder = json.JSONDecoder()
    space = re.compile(r"[\s,:{]*")
    stored: dict[str, dict[str, list[Any]]] = {}
    name, at = "", 0
    try:
        while True:
            blanks = space.match(text, at)
            at = blanks.end() if blanks else at
            if text[at : at + 1] == "}":
                at += 1
                continue
            key, end = decoder.raw_decode(text, at)
            if not isinstance(key, str):
                break
            rest = re.compile(r"\s*:\s*([{\[])").match(text, end)
            if rest is None:
                break
            at = rest.end()
            if rest[1] == "{":
                name = key
                stored[name] = {column: [] for column in _COLUMNS}
                continue
            if name not in stored or key not in _COLUMNS:
                break
            at = _salvage_list(text, at, stored[name][key])
            if text[at : at + 1] != "]":
                break
            at += 1
    except (ValueError, RecursionError):
        pass
    return stored, at


def _salvage_list(text: str, at: int, entries: list[Any]) -> int:
    """Adds the entries of a list from ``at`` on that are followed by a comma or its end; returns where the
    list ends or breaks.
    """
    decoder = json.JSONDecoder()
    space = re.compile(r"\s*")
    while True:
        at = space.match(text, at).end()  # type: ignore[union-attr]
        if text[at : at + 1] == "]":
            return at
        try:
            entry, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return at
        end = space.match(text, end).end()  # type: ignore[union-attr]
        if text[end : end + 1] not in (",", "]"):
            return at
        entries.append(entry)
        at = end + (text[end] == ",")


def _aligned(series: _Series) -> _Series:
    """The series on one scale: where each metric was counted by itself, the longest one is the scale, and the
    times tell where the points of the others belong.
    """
    counted = all([step for _, step, _ in points] == list(range(len(points))) for points in series.values())
    lengths = {len(points) for points in series.values()}
    timed = all(math.isfinite(time) for points in series.values() for time, _, _ in points)
    if not counted or len(lengths) < 2 or not timed:
        return series
    scale = max(series, key=lambda name: len(series[name]))
    times = [time for time, _, _ in series[scale]]
    if times != sorted(times):
        return series
    aligned: _Series = {}
    for name, points in series.items():
        if name == scale:
            aligned[name] = [(time, step + 1, value) for time, step, value in points]
        else:
            aligned[name] = [
                (time, float(bisect.bisect_right(times, time)), value) for time, _, value in points
            ]
    return aligned


def _object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        with open_text(path) as file:
            stored = json.loads(file.read(16 * 1024 * 1024))
    except (OSError, ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) else {}


FORMAT = Format(
    name="sacred",
    summary="Sacred's FileStorageObserver (<number>/metrics.json, with run.json and config.json)",
    files="runs/*/metrics.json",
    sniff=_sniff,
    load=_load,
    group=_group,
    limits="Sacred writes metrics every 10 seconds, so a run that was killed may lack its last evals.",
    tested_on="Sacred 0.8.7, and metrics.json of public repositories",
)

"""SwanLab's three forms on disk: records of protobuf (0.10, ``run-<id>.swanlab``), records of JSON (0.7,
``backup.swanlab``), and the folder of its local board (``runs.swanlab``, a SQLite database, with one folder
of JSON lines per metric).

Folders of one run id are one run, which was resumed: the later one wins. SwanLab's step counts log calls
unless it is given one.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.readers.block_records import BlockRecords, take_records
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.points import number, open_text
from replay.readers.sqlite_files import MAGIC, open_database, sources_of
from replay.readers.text_files import parse_whole_lines
from replay.readers.tracker_rows import Row, joined, rows_by_time, time_of, unique_names
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of
from replay.readers.wire import Value, first, floating, message_fields, text

__all__ = ["FORMAT"]

_MAGIC = b":SWL"
_HEADER = 7
_BOARD = "runs.swanlab"
_FOLDER = re.compile(r"run-(\d{8}_\d{6})-(\w+)")
_START, _FINISH, _COLUMN, _SCALAR = 10, 11, 12, 13
_SYSTEM, _FINISHED, _ENDED = 2, 1, 1  # class of a column, state of a finish, status of the board


def _sniff(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC) or (path.suffix == ".swanlab" and not head.strip(b"\0"))


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    if _BOARD not in names:
        return False
    try:
        with (path / _BOARD).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each run id, in the order in which their folders were made."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        folder = _FOLDER.fullmatch(path.parent.name)
        groups.setdefault((path.parent.parent, folder[2]) if folder else (path, ""), []).append(path)
    return [sorted(group, key=lambda path: path.parent.name) for group in groups.values()]


@dataclass
class _RunFile:
    """What one file of records holds."""

    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    system: set[str] = field(default_factory=set)
    finished: bool = False
    records: int = 0


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    if files[0].is_dir():
        return _load_board(files[0], run_id)
    findings: list[Finding] = []
    read: list[_RunFile] = []
    for path in files:
        try:
            read.append(_read(path, findings))
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
    rows: list[Row] = []
    starts: list[int] = []
    facts: dict[str, Any] = {}
    for file in read:
        own = [row for row in (_without(row, file.system) for row in file.rows) if row.values]
        if rows and own:
            starts.append(len(rows))
        rows += joined(own)
        facts |= file.facts
    if not rows:
        events = max((file.records for file in read), default=0)
        nothing = Finding(Kind.NO_SCALARS, log=str(files[0]), facts={"events": events})
        raise UnusableLog(*(findings or [nothing]))
    folder = _FOLDER.fullmatch(files[0].parent.name)
    facts |= {**settings_of(_config(files[-1].parent)), "format": FORMAT.name, "sources": files}
    facts |= {"complete": read[-1].finished, "run": folder[2] if folder else None}
    runs = tracker_runs(
        f"{run_id}/{folder[2]}" if folder and len(files) > 1 else run_id, rows, facts, starts=starts
    )
    return Loaded(runs, findings)


def _without(row: Row, names: set[str]) -> Row:
    return row._replace(values={name: value for name, value in row.values.items() if name not in names})


def _read(path: Path, findings: list[Finding]) -> _RunFile:
    """The good records of a file. Raises OSError."""
    file = _RunFile()
    if not path.stat().st_size:
        findings.append(Finding(Kind.EMPTY_FILE, log=str(path)))
        return file
    with path.open("rb") as raw:
        take = _take_json if raw.read(_HEADER)[-1:] == b"\x01" else _take_message
    file.records = take_records(BlockRecords(path, begin=_HEADER), partial(take, file), findings)
    return file


def _take_message(file: _RunFile, data: bytes) -> None:
    """Adds a record of version 2. Raises ValueError where it is not one."""
    for kind, value in message_fields(data):
        if not isinstance(value, bytes) or kind not in (_START, _FINISH, _COLUMN, _SCALAR):
            continue
        parts: dict[int, Value] = dict(message_fields(value))
        if kind == _START:
            file.facts |= {"group": text(parts.get(1)), "run_name": text(parts.get(4))}
        elif kind == _FINISH:
            file.finished = parts.get(1) == _FINISHED
        elif kind == _COLUMN and parts.get(1) == _SYSTEM:
            file.system.add(text(parts.get(3)) or "")
        elif kind == _SCALAR:
            key, step = text(parts.get(1)), parts.get(2, 0)
            content = parts.get(5, b"")
            if key and isinstance(step, int) and isinstance(content, bytes):
                stored = floating(first(content, 1))
                wall = _time(parts.get(4))
                file.rows.append(Row(float(step), {key: 0.0 if stored is None else stored}, wall))


def _time(value: Value | None) -> float:
    if not isinstance(value, bytes):
        return math.nan
    parts = dict(message_fields(value))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    return seconds + nanos / 1e9 if isinstance(seconds, int) and isinstance(nanos, int) else math.nan


def _take_json(file: _RunFile, data: bytes) -> None:
    """Adds a record of version 1. Raises ValueError where it is not one."""
    record = json.loads(data)
    content = record.get("data") if isinstance(record, dict) else None
    if not isinstance(content, dict):
        raise ValueError("not a record")
    kind = record.get("model_type")
    if kind == "Scalar":
        metric = content.get("metric")
        step = number(content.get("step"))
        value = number(metric.get("data")) if isinstance(metric, dict) else None
        if isinstance(metric, dict) and step is not None and value is not None:
            file.rows.append(Row(step, {str(content.get("key")): value}, time_of(metric.get("create_time"))))
    elif kind == "Project":
        file.facts["group"] = content.get("name")
    elif kind == "Experiment":
        file.facts["run_name"] = content.get("name")
    elif kind == "Footer":
        file.finished = content.get("success") is True


def _config(folder: Path) -> dict[str, str]:
    """The settings in ``files/config.yaml`` beside a run's records, as far as they are plain."""
    settings: dict[str, str] = {}
    key = ""
    try:
        with open_text(folder / "files" / "config.yaml") as file:
            lines = file.read(1024 * 1024).splitlines()
    except OSError:
        return {}
    for line in lines:
        if named := re.fullmatch(r"([^\s:#][^:]*): *", line):
            key = named[1].strip("'\"")
        elif key and (value := re.fullmatch(r"  value: *(\S.*)", line)):
            settings[key] = value[1].strip().strip("'\"")
    return {name: value for name, value in settings.items() if value not in ("null", "{}", "[]")}


def _load_board(folder: Path, run_id: str) -> Loaded:
    """The runs of a local board, and those beside it that have records only."""
    findings: list[Finding] = []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    known: list[tuple[Any, ...]] = []
    tags: dict[Any, list[tuple[str, str]]] = {}
    board = folder / _BOARD
    projects: dict[Any, str] = {}
    try:
        with open_database(board) as database:
            projects = {key: str(name) for key, name in database.rows("project", ("id", "name"))}
            known = list(database.rows("experiment", ("id", "run_id", "name", "status", "project_id")))
            columns = ("experiment_id", "name", "folder", "system")
            for experiment, name, place, system in database.rows("tag", columns):
                if not system:
                    tags.setdefault(experiment, []).append((str(name), str(place)))
            findings += database.findings
    except UnusableLog as error:
        findings.append(error.finding)
    runs: list[Run] = []
    shown = unique_names({str(run): str(name) for _, run, name, _, _ in known})
    for key, run, name, status, project in known:
        if str(run) not in names:
            continue
        files: list[Path] = []
        series = {}
        for tag, place in tags.get(key, ()):
            here = folder / str(run) / "logs" / place
            if re.fullmatch(r"\w+", place) and here.is_dir():
                paths = sorted(here.glob("*.log"), key=lambda path: (len(path.name), path.name))
                series[tag] = [value for path in paths for value in _values(path, findings)]
                files += paths
        facts = settings_of(_config(folder / str(run)))
        facts |= {"format": FORMAT.name, "sources": (*sources_of(board), *files), "run_name": name}
        facts |= {"group": projects.get(project), "complete": status == _ENDED, "run": run}
        runs += tracker_runs(f"{run_id}/{shown[str(run)]}", rows_by_time(series), facts)
    taken = {str(run) for _, run, _, _, _ in known}
    others = [
        path
        for name in names
        if name not in taken and _FOLDER.fullmatch(name)
        for path in sorted((folder / name).glob("*.swanlab"))
    ]
    for group in _group(others):
        try:
            loaded = _load(group, f"{run_id}/{group[0].parent.name}")
        except UnusableLog as error:
            findings.append(error.finding)
            continue
        runs += loaded.runs
        findings += loaded.findings
    if not runs:
        raise UnusableLog(*(findings or [Finding(Kind.NO_METRICS, log=str(folder))]))
    return Loaded(runs, findings)


def _values(path: Path, findings: list[Finding]) -> Iterator[tuple[float, float, float]]:
    """The values of one metric of the board: time, step and value."""
    return parse_whole_lines(path, _value, findings)


def _value(line: str) -> tuple[float, float, float]:
    """One line of a metric of the board. Raises ValueError where it is not one."""
    record = json.loads(line)
    if isinstance(record, dict):
        step, value = number(record.get("index")), number(record.get("data"))
        if step is not None and value is not None:
            return time_of(record.get("create_time")), step, value
    raise ValueError(line)


FORMAT = Format(
    name="swanlab",
    summary="SwanLab's run files (swanlog/run-*/*.swanlab) and the folder of its local board (runs.swanlab)",
    files="*.swanlab",
    sniff=_sniff,
    sniff_folder=_sniff_folder,
    load=_load,
    group=_group,
    endings=frozenset({".swanlab"}),
    limits=(
        "A run that was killed lacks what SwanLab had not written yet; the log of its local board is"
        " complete."
    ),
    tested_on=(
        "SwanLab 0.6.13, 0.7.20 (local and backup) and 0.10.3 (offline, and from transformers and accelerate)"
    ),
)

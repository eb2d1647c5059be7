"""trackio's projects: the SQLite database of each, its Parquet export, and the inbox of JSON lines that waits
to be imported into the database.

All of one folder is read together, and a log call that is there twice counts once. trackio's step counts log
calls unless it is given one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.parquet_files import is_parquet_of, parquet_rows
from replay.readers.points import number
from replay.readers.sqlite_files import MAGIC, open_database, sources_of, table_names
from replay.readers.text_files import parse_whole_lines
from replay.readers.tracker_rows import Row, flat_numbers, time_of, unique_names
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_KEYS = {"v", "kind", "project", "run"}
_COLUMNS = ("run_id", "timestamp", "run_name", "step", "metrics", "log_id")
#: Columns of the export that hold no metric.
_EXPORTED = {"id", "run_id", "timestamp", "run_name", "step", "log_id", "space_id"}


def _sniff(path: Path, head: bytes) -> bool:
    if head.startswith(MAGIC):
        return {"metrics", "configs"} <= table_names(path, head) and _names_runs(path)
    if head.startswith(b"PAR1"):
        return is_parquet_of(path, ("run_name", "step", "timestamp", "log_id"))
    if not head.startswith(b'{"v":'):
        return False
    try:
        record = json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return b"\n" not in head and all(b'"%s":' % key.encode() in head for key in ("kind", "project"))
    return isinstance(record, dict) and record.keys() >= _KEYS


def _names_runs(path: Path) -> bool:
    """Whether a database's metrics belong to runs by name, as trackio's do."""
    try:
        with open_database(path) as database:
            return {"run_name", "metrics", "step"} <= set(database.columns("metrics"))
    except UnusableLog:
        return True  # the reader says why
    except OSError:
        return False


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """All files of one folder of trackio's; the inbox lies two folders below it."""
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        inbox = path.parent.parent
        groups.setdefault(inbox.parent if inbox.name == "inbox" else path.parent, []).append(path)
    return list(groups.values())


@dataclass
class _Run:
    """One run of a project, from all files that hold a part of it."""

    project: str
    name: str
    rows: list[Row] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sources: dict[Path, None] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    seen: set[Any] = field(default_factory=set)
    writer: Path | None = None  # folder of the process that wrote the last row into the inbox


_Runs = dict[tuple[str, str], _Run]


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    runs: _Runs = {}
    # the database comes first: the others repeat it or have not reached it yet
    for path in sorted(files, key=lambda path: (path.suffix == ".jsonl", path.suffix == ".parquet")):
        try:
            with path.open("rb") as file:
                magic = file.read(len(MAGIC))
            if magic == MAGIC:
                _read_database(path, runs, findings)
            elif magic.startswith(b"PAR1"):
                _read_export(path, runs, findings)
            else:
                _read_lines(path, runs, findings)
        except UnusableLog as error:
            findings.append(error.finding)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
    loaded = []
    for project in dict.fromkeys(project for project, _ in runs):
        members = {key: run for (of, key), run in runs.items() if of == project and run.rows}
        shown = unique_names({key: run.name for key, run in members.items()})
        label = unique_names({"": project})[""]
        for key, run in members.items():
            facts = {
                **settings_of(run.config),
                "format": FORMAT.name,
                "sources": tuple(run.sources),
                "group": project,
                "run_name": run.name,
                "run": key,
            }
            began = time_of(run.config.get("_Created"))
            loaded += tracker_runs(
                f"{run_id}/{label}/{shown[key]}",
                run.rows,
                facts,
                starts=run.starts,
                began=None if math.isnan(began) else began,
            )
    if not loaded:
        nothing = Finding(Kind.NO_METRICS, Severity.NOTE, log=str(files[0]))
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(loaded, findings)


def _read_database(path: Path, runs: _Runs, findings: list[Finding]) -> None:
    sources = sources_of(path)
    with open_database(path) as database:
        for run, wall, name, step, metrics, log in database.rows("metrics", _COLUMNS):
            values = _decoded(metrics)
            _add(
                runs, sources, path.stem, (run, name), Row(_step(step), _numbers(values), time_of(wall)), log
            )
        for run, name, config in database.rows("configs", ("run_id", "run_name", "config")):
            known = runs.get((path.stem, str(run or name)))
            if known is not None:
                known.config |= _decoded(config)
        findings += database.findings


def _read_export(path: Path, runs: _Runs, findings: list[Finding]) -> None:
    for values in parquet_rows(path, findings):
        numbers = _numbers({name: value for name, value in values.items() if name not in _EXPORTED})
        row = Row(_step(values.get("step")), numbers, time_of(values.get("timestamp")))
        _add(
            runs,
            (path,),
            path.stem,
            (values.get("run_id"), values.get("run_name")),
            row,
            values.get("log_id"),
        )


def _read_lines(path: Path, runs: _Runs, findings: list[Finding]) -> None:
    """One fragment of the inbox. Each writer is a process of its own."""
    for record in _records(path, findings):
        if record.get("kind") != "metric" or not isinstance(record.get("metrics"), dict):
            continue
        row = Row(_step(record.get("step")), _numbers(record["metrics"]), time_of(record.get("timestamp")))
        names = (record.get("run_id"), record.get("run"))
        run = _add(runs, (path,), str(record.get("project")), names, row, record.get("log_id"))
        if isinstance(record.get("config"), dict):
            run.config |= record["config"]


def _records(path: Path, findings: list[Finding]) -> Iterator[dict[str, Any]]:
    """The records of a file of the inbox."""
    if not path.stat().st_size:
        findings.append(Finding(Kind.EMPTY_FILE, log=str(path)))
    return parse_whole_lines(path, _record, findings)


def _record(line: str) -> dict[str, Any]:
    """One line of a file of the inbox. Raises ValueError where it is not an object."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(line)
    return record


def _add(
    runs: _Runs, sources: Iterable[Path], project: str, names: tuple[Any, Any], row: Row, log: Any
) -> _Run:
    """Adds the row of one log call to its run, which old versions know by its name only."""
    key = (project, str(names[0] or names[1]))
    run = runs.setdefault(key, _Run(project, str(names[1] or names[0])))
    call = log if isinstance(log, str) else (row.step, row.wall, tuple(row.values.items()))
    if call not in run.seen and not math.isnan(row.step):
        run.seen.add(call)
        first = next(iter(sources))
        writer = first.parent if first.suffix == ".jsonl" else None
        if run.writer is not None and writer != run.writer:
            run.starts.append(len(run.rows))
        run.writer = writer
        run.rows.append(row)
        run.sources.update(dict.fromkeys(sources))
    return run


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    plain = {
        name: value for name, value in values.items() if not (isinstance(value, dict) and "_type" in value)
    }
    return flat_numbers(plain)


def _decoded(cell: Any) -> dict[str, Any]:
    """The object in a cell, which is JSON as text or bytes; empty where it is none."""
    try:
        values = json.loads(cell) if isinstance(cell, str | bytes) else None
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _step(value: Any) -> float:
    step = number(value)
    return math.nan if step is None else step


FORMAT = Format(
    name="trackio",
    summary="trackio's projects: SQLite (<project>.db), Parquet export, and the inbox of JSON lines",
    files="trackio/*.db, trackio/*.parquet, trackio/inbox/*/*.jsonl",
    sniff=_sniff,
    load=_load,
    group=_group,
    endings=frozenset({".db", ".parquet"}),
    limits=(
        "Parquet exports need pyarrow, and do not hold the settings of a run. trackio stores no end of a run."
    ),
    tested_on="trackio 0.5, 0.20 and 0.43 (SQLite, Parquet, JSON lines)",
)

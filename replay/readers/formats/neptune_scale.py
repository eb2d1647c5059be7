"""The operations that neptune-scale keeps on disk: ``run_operations.sqlite3``, one database per process.

Each row is an update of a run, as a protobuf message: a step, and the values appended to series at that step.
The databases of one run are joined in the order in which their processes began.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.errors import InputError
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.sqlite_files import open_database, sources_of, table_names
from replay.readers.tracker_rows import Row
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of
from replay.readers.wire import Value, first, floating, message_fields, text

__all__ = ["FORMAT"]

_UPDATE = 0
_TABLES = {"run_operations", "metadata"}
#: Numbers of the fields of an update, and of those of a value.
_STEP, _TIME, _ASSIGN, _APPEND, _PREVIEW = 1, 2, 4, 8, 10
_FLOAT, _INTEGER, _TEXT = 1, 3, 6


def _sniff(path: Path, head: bytes) -> bool:
    return table_names(path, head) >= _TABLES


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The databases of one run, which has the same project and id in each."""
    groups: dict[tuple[str, ...], list[tuple[int, int, Path]]] = {}
    for number, path in enumerate(paths):
        key, began = (str(path),), 0
        try:
            with open_database(path) as database:
                stated = next(database.rows("metadata", ("project", "run_id")), None)
                row = next(database.rows("run_operations", ("timestamp",)), (0,))
            if stated is not None and all(isinstance(part, str) for part in stated):
                key = stated
            began = row[0] if isinstance(row[0], int) else 0
        except (InputError, OSError):
            pass
        groups.setdefault(key, []).append((began, number, path))
    return [[path for _, _, path in sorted(parts)] for parts in groups.values()]


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    rows: list[Row] = []
    starts: list[int] = []
    settings: dict[str, Any] = {}
    for path in files:
        starts.append(len(rows))
        try:
            with open_database(path) as database:
                for kind, operation in database.rows("run_operations", ("operation_type", "operation")):
                    if kind == _UPDATE and isinstance(operation, bytes):
                        rows += _rows(operation, settings)
            findings += database.findings
        except UnusableLog as error:
            findings.append(error.finding)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
    facts = {"format": FORMAT.name, "sources": [source for path in files for source in sources_of(path)]}
    runs = tracker_runs(
        run_id, rows, {**settings_of(settings), **facts}, starts=starts[1:], counts_calls=False
    )
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(files[0]), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _rows(operation: bytes, settings: dict[str, Any]) -> Iterator[Row]:
    """The values that an update appends to series; those that it assigns are added to the settings."""
    step = wall = math.nan
    values: dict[str, float] = {}
    try:
        for number, field in message_fields(operation):
            if not isinstance(field, bytes):
                continue
            if number == _STEP:
                step = _parts(field, 1e-6)
            elif number == _TIME:
                wall = _parts(field, 1e-9)
            elif number == _ASSIGN:
                name, value = _pair(field)
                settings[name.removeprefix("parameters/")] = _assigned(value)
            elif number == _APPEND:
                name, value = _pair(field)
                appended = floating(first(value, _FLOAT))
                if appended is not None:
                    values[name] = appended
            elif number == _PREVIEW and first(field, 1):
                return  # an estimate, which the value itself follows
    except ValueError:
        return
    if values and not math.isnan(step):
        yield Row(step, values, wall)


def _parts(message: bytes, share: float) -> float:
    """A number that is stored as a whole part and a count of fractions."""
    parts = {number: value for number, value in message_fields(message) if isinstance(value, int)}
    return parts.get(1, 0) + share * parts.get(2, 0)


def _pair(message: bytes) -> tuple[str, bytes]:
    """A name and the message of its value. Raises ValueError."""
    name, value = text(first(message, 1)), first(message, 2)
    if name is None or not isinstance(value, bytes):
        raise ValueError("not a name and a value")
    return name, value


def _assigned(value: bytes) -> float | int | str | None:
    fields: dict[int, Value] = dict(message_fields(value))
    if _FLOAT in fields:
        return floating(fields[_FLOAT])
    whole = fields.get(_INTEGER)
    return whole if isinstance(whole, int) else text(fields.get(_TEXT))


FORMAT = Format(
    name="neptune-scale",
    summary="neptune-scale: the operations of offline runs, run_operations.sqlite3",
    files="run_operations.sqlite3",
    sniff=_sniff,
    load=_load,
    group=_group,
    hidden_folders=frozenset({".neptune"}),
    limits="neptune-scale leaves out NaN and infinity; a forked run has no values from before its fork.",
    tested_on="neptune-scale 0.30.0",
)

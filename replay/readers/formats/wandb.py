"""W&B's run files (``run-<id>.wandb``), which every run leaves on disk, offline or not.

The files of one run id in one folder are one run, which was resumed: the later one wins. W&B's step counts
log calls unless it is given one. Text, histograms and media stand among the numbers and are not read, nor are
the figures of the machine, which have records of their own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.block_records import BlockRecords, take_records
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.series_names import held_out_of
from replay.readers.tracker_rows import Row, flat_numbers
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of
from replay.readers.wire import Value, first, message_fields, text

__all__ = ["FORMAT"]

_MAGIC = b":W&B"
_HEADER = 7
_HISTORY, _CONFIG, _METRIC, _RUN, _EXIT = 2, 5, 12, 17, 18
_NAME = re.compile(r"run-(\w+)\.wandb")
_FOLDER = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-\w+")


def _sniff(path: Path, head: bytes) -> bool:
    # of a run that was killed at once there may be no byte but the name
    return head.startswith(_MAGIC) or (path.suffix == ".wandb" and not head.strip(b"\0"))


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each run id, in the order in which their folders were made."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        name, folder = _NAME.fullmatch(path.name), _FOLDER.fullmatch(path.parent.name)
        key = (path.parent.parent, name[1]) if name and folder else (path, "")
        groups.setdefault(key, []).append(path)
    return [sorted(group, key=_begin) for group in groups.values()]


def _begin(path: Path) -> str:
    folder = _FOLDER.fullmatch(path.parent.name)
    return folder[1] if folder else path.parent.name


@dataclass
class _RunFile:
    """What one file holds."""

    rows: list[Row] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)  # declared step by name, which may end in *
    run: dict[int, Value] = field(default_factory=dict)
    exit_code: int | None = None
    records: int = 0


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    read: list[_RunFile] = []
    for path in files:
        try:
            read.append(_read(path, findings))
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
    rows: list[Row] = []
    starts: list[int] = []
    for file in read:
        if rows and file.rows:
            starts.append(len(rows))
        rows += file.rows
    if not rows:
        events = max((file.records for file in read), default=0)
        nothing = Finding(Kind.NO_SCALARS, log=str(files[0]), facts={"events": events})
        raise UnusableLog(*(findings or [nothing]))
    last = read[-1]
    config: dict[str, Any] = {}
    axes: dict[str, str] = {}
    for file in read:
        config |= file.config
        axes |= file.axes
    facts: dict[str, Any] = {
        **settings_of(config),
        "format": FORMAT.name,
        "sources": files,
        "complete": last.exit_code == 0,
        "group": text(last.run.get(3)),
        "run_name": text(last.run.get(8)),
        "run": text(last.run.get(1)),
    }
    if len(files) > 1:
        run_id = f"{run_id}/{_id_of(files[0])}"
    runs = tracker_runs(
        run_id,
        rows,
        facts,
        starts=starts,
        axes=_declared_axis(rows, axes),
        began=_began(read[0]),
    )
    if not runs:
        raise UnusableLog(*findings, Finding(Kind.NO_METRICS, log=str(files[0])))
    return Loaded(runs, findings)


def _began(file: _RunFile) -> float | None:
    """The time at which a run was started, in seconds since 1970."""
    try:
        seconds = first(_bytes(file.run.get(17)), 1)
    except ValueError:
        return None
    return float(seconds) if isinstance(seconds, int) else None


def _id_of(path: Path) -> str:
    name = _NAME.fullmatch(path.name)
    return name[1] if name else path.name


def _read(path: Path, findings: list[Finding]) -> _RunFile:
    """The good records of a file. Raises OSError."""
    file = _RunFile()
    size = path.stat().st_size
    if not size:
        findings.append(Finding(Kind.EMPTY_FILE, log=str(path)))
        return file
    file.records = take_records(BlockRecords(path, begin=_HEADER), partial(_take, file), findings)
    if not file.records and size <= _HEADER:
        findings.append(Finding(Kind.NO_SCALARS, log=str(path), facts={"events": 1}))
    return file


def _take(file: _RunFile, data: bytes) -> None:
    """Adds one record. Raises ValueError where it is not one."""
    for kind, value in message_fields(data):
        if not isinstance(value, bytes):
            continue
        if kind == _HISTORY:
            row = _row(value)
            if row is not None:
                file.rows.append(row)
        elif kind == _CONFIG:
            file.config |= _items(value)
        elif kind == _METRIC:
            parts = dict(message_fields(value))
            name, axis = text(parts.get(1)) or text(parts.get(2)), text(parts.get(4))
            if name and axis:
                file.axes[name] = axis
        elif kind == _RUN:
            file.run = dict(message_fields(value))
            file.config |= _items(_bytes(file.run.get(4)))
        elif kind == _EXIT:
            code = first(value, 1)
            file.exit_code = code if isinstance(code, int) else 0


def _row(data: bytes) -> Row | None:
    """One history record; None where it states no step."""
    numbers = flat_numbers(_items(data), ".")
    step = numbers.get("_step")
    if step is None:
        stated = first(data, 2)
        if not isinstance(stated, bytes):
            return None
        count = first(stated, 1)
        step = float(count) if isinstance(count, int) else 0.0
    values = {name: value for name, value in numbers.items() if not name.startswith("_")}
    return Row(step, values, numbers.get("_timestamp", math.nan))


def _items(data: bytes) -> dict[str, Any]:
    """The items of a history or config record by name, decoded. What is not plain (histograms, media) is left
    out.
    """
    values: dict[str, Any] = {}
    for kind, item in message_fields(data):
        if kind != 1 or not isinstance(item, bytes):
            continue
        key: str | None = None
        nested: list[str] = []
        content = None
        for part, value in message_fields(item):
            if part == 1:
                key = text(value)
            elif part == 2:
                nested.append(text(value) or "")
            elif part == 16:
                content = text(value)
        name = key if key else ".".join(nested)
        if name and content is not None:
            try:
                decoded = json.loads(content)
            except (ValueError, RecursionError):
                continue
            if not (isinstance(decoded, dict) and "_type" in decoded):
                values[name] = decoded
    return values


def _bytes(value: Value | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _declared_axis(rows: Iterable[Row], axes: Mapping[str, str]) -> list[str]:
    """The step that was declared for all held-out metrics alike (``define_metric``), if any."""
    names = held_out_of(dict.fromkeys(name for row in rows for name in row.values))
    found = {
        axes.get(name) or next((axis for glob, axis in axes.items() if fnmatchcase(name, glob)), None)
        for name in names
    }
    return [axis for axis in found if axis and len(found) == 1]


FORMAT = Format(
    name="wandb",
    summary="W&B's run files (wandb/offline-run-*/run-*.wandb), also of runs that were killed or resumed",
    files="*.wandb",
    sniff=_sniff,
    load=_load,
    group=_group,
    endings=frozenset({".wandb"}),
    limits=(
        "Runs that are only on W&B's server have no file to read. Export their history without sampling: the"
        " default export holds 500 rows, and is read as csv with a warning."
    ),
    tested_on="wandb 0.15, 0.17, 0.19 and 0.31, offline",
)

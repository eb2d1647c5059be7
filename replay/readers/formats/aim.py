"""Aim's repositories: the folder ``.aim``, with two RocksDB databases per run, of values and of settings.

A key is a path. The values of a metric, their steps, epochs and times lie apart, each under a hash of the
step that joins them. The context of a metric, such as ``{"subset": "val"}``, becomes the beginning of its
name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.find import natural
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.rocksdb_files import read_database
from replay.readers.tracker_rows import Row
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_END = 0xFE
_INT, _DOUBLE = Struct("<q"), Struct("<d")
_COLUMNS = ("val", "step", "epoch", "time")
_Path = tuple[str | int, ...]


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    return {"meta", "seqs"} <= names and bool({"run_metadata.sqlite", "VERSION"} & names)


def _path_of(key: bytes) -> _Path:
    """The parts of a key: texts and integers. Raises ValueError."""
    parts: list[str | int] = []
    at = 0
    while at < len(key):
        if key[at] == _END:
            number = key[at + 1 : at + 9]
            if len(number) < 8:
                raise ValueError("an integer that is cut off")
            parts.append(int.from_bytes(number, "big", signed=True))
            at += 9
        else:
            end = key.index(_END, at)
            parts.append(key[at:end].decode("utf-8", "replace"))
            at = end
        if key[at : at + 1] != b"\xfe":
            raise ValueError("a part that does not end")
        at += 1
    return tuple(parts)


def _value_of(data: bytes) -> float | str | bool | None:
    """A number or a text; None for anything else."""
    kind, rest = data[:1], data[1:]
    if kind == b"\1" and rest:
        return rest != b"\0"
    if kind == b"\2" and len(rest) == 8:
        return int(_INT.unpack(rest)[0])
    if kind == b"\3" and len(rest) == 8:
        return float(_DOUBLE.unpack(rest)[0])
    if kind == b"\4":
        return rest.decode("utf-8", "replace")
    return None


def _paths(values: Mapping[bytes, bytes]) -> Iterator[tuple[_Path, bytes]]:
    for key, value in values.items():
        try:
            yield _path_of(key), value
        except ValueError:
            continue


@dataclass
class _Settings:
    """What the settings of a run say: the contexts by id, the hyperparameters, and whether it ended."""

    contexts: dict[int, dict[str, Any]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    ended: bool = False


def _settings(values: Mapping[bytes, bytes], run: str) -> _Settings:
    settings = _Settings()
    for path, data in _paths(values):
        if path[:3] != ("meta", "chunks", run):
            continue
        value = _value_of(data)
        match path[3:]:
            case ("contexts", int(context)):
                settings.contexts.setdefault(context, {})
            case ("contexts", int(context), str(name)):
                settings.contexts.setdefault(context, {})[name] = value
            case ("attrs", str(first), *rest) if value is not None and not first.startswith("__"):
                name = "/".join(str(part) for part in (rest or [first]))
                settings.parameters[name] = value
            case ("end_time",):
                settings.ended = value is not None
    return settings


def _name(metric: str, context: Mapping[str, Any]) -> str:
    """The name of a metric with its context in front: the texts of the context, and other values by name."""
    words = [value if isinstance(value, str) else f"{name}={value}" for name, value in context.items()]
    return "/".join([*words, metric])


def _rows(values: Mapping[bytes, bytes], run: str, contexts: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """The values of all metrics in the order of their times."""
    columns: dict[tuple[int, str], dict[str, dict[int, float]]] = {}
    for path, data in _paths(values):
        match path:
            case ("seqs", "v2", "chunks", owner, int(context), str(metric), str(column), int(place)):
                value = _value_of(data)
                if owner == run and column in _COLUMNS and isinstance(value, int | float):
                    series = columns.setdefault((context, metric), {name: {} for name in _COLUMNS})
                    series[column][place] = float(value)
    rows = []
    for (context, metric), series in columns.items():
        if metric.startswith("__system__"):
            continue
        # a context whose settings are lost must not look like another
        name = _name(metric, contexts.get(context, {"context": context}))
        for place, value in series["val"].items():
            step = series["step"].get(place)
            if step is None:
                continue
            found = {name: value}
            if place in series["epoch"] and metric != "epoch":
                found["epoch"] = series["epoch"][place]
            rows.append(Row(step, found, series["time"].get(place, math.inf)))
    return sorted(rows, key=lambda row: (row.wall, row.step))


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (folder,) = files
    loaded = Loaded([], [])
    chunks = folder / "seqs" / "chunks"
    names = [path.name for path in chunks.iterdir() if path.is_dir()] if chunks.is_dir() else []
    for name in sorted(names, key=natural):
        try:
            values = read_database(chunks / name)
        except OSError as error:
            loaded.findings.append(unreadable(chunks / name, error, "folder"))
            continue
        try:
            meta = read_database(folder / "meta" / "chunks" / name)
            settings = _settings(meta.values, name)
            ended = None if meta.findings and not settings.ended else settings.ended
            loaded.findings.extend(meta.findings)
        except OSError:
            settings, ended, meta = _Settings(), None, None
        loaded.findings.extend(values.findings)
        facts = {
            **settings_of(settings.parameters),
            "format": FORMAT.name,
            "sources": [*values.files, *(meta.files if meta is not None else ())],
            "complete": False if ended is False else None,
        }
        rows = _rows(values.values, name, settings.contexts)
        loaded.runs.extend(tracker_runs(f"{run_id}/{name}", rows, facts, counts_calls=False))
    if not loaded.runs:
        nothing = Finding(Kind.NO_VALUES, log=str(folder), facts={"format": FORMAT.name})
        raise UnusableLog(*(loaded.findings or [nothing]))
    return loaded


FORMAT = Format(
    name="aim",
    summary="Aim repositories: the folder .aim, with the values of runs in RocksDB files",
    files=".aim",
    sniff_folder=_sniff_folder,
    load=_load,
    hidden_folders=frozenset({".aim"}),
    limits="Values that were tracked again for a step are gone: Aim keeps the last one only.",
    tested_on="Aim 3.29.1",
)

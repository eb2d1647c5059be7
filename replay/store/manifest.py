"""The manifest of a store: which files hold its runs, and where they came from.

A store is what its manifest says. A commit writes new files beside the old ones and then replaces the
manifest in one step, so a process that is killed leaves the old state or the new one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.errors import InputError, printable
from replay.files import read_file, write_file

__all__ = ["FILE_NAME", "SCHEMA", "Import", "Manifest", "Shard", "is_store"]

FILE_NAME = "store.json"
FORMAT_NAME = "replay-store"
#: The version of the layout that is written. Version 1 had no hyperparameters that a filter could name.
SCHEMA = 2

#: Names of the files of a store. A manifest that names another file is refused, whatever it may be.
_SHARD = re.compile(r"runs-\d{6,}-[0-9a-f]{8}\.parquet")
_IMPORT = re.compile(r"import-\d{6,}-[0-9a-f]{8}\.json")


@dataclass(frozen=True)
class Shard:
    """A Parquet file of runs: its name, how many runs, evals and bytes it has, and its schema version."""

    file: str
    runs: int
    evals: int
    bytes: int
    schema: int


@dataclass(frozen=True)
class Import:
    """One import: its number, when it was made by which version, and what it brought.

    ``runs`` were added, ``duplicates`` had been there before, and ``renamed`` are those of the added ones
    whose id another run had. ``file`` holds the details: paths, findings, and what was skipped.
    """

    number: int
    time: str
    version: str
    paths: tuple[str, ...]
    runs: int
    duplicates: int
    renamed: int
    findings: int
    file: str


@dataclass(frozen=True)
class Manifest:
    """The state of a store after a commit."""

    schema: int = SCHEMA
    shards: tuple[Shard, ...] = ()
    imports: tuple[Import, ...] = ()
    path: Path = field(default=Path(FILE_NAME), compare=False)

    @property
    def runs(self) -> int:
        """Number of runs."""
        return sum(shard.runs for shard in self.shards)

    @property
    def evals(self) -> int:
        """Number of evals of all runs."""
        return sum(shard.evals for shard in self.shards)

    @property
    def files(self) -> set[str]:
        """The names of all files that belong to this state."""
        return {shard.file for shard in self.shards} | {one.file for one in self.imports}

    def write(self) -> None:
        """Commit this state: replace the manifest in one step."""
        document = {
            "format": FORMAT_NAME,
            "schema": self.schema,
            "shards": [vars(shard) for shard in self.shards],
            "imports": [vars(one) for one in self.imports],
        }
        write_file(self.path, (json.dumps(document, indent=1) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a store. Raises InputError where there is none that this version can read."""
        path = folder / FILE_NAME
        try:
            data = read_file(path)
        except FileNotFoundError:
            raise InputError(f"{folder} is not a store: it has no {FILE_NAME}") from None
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged, so the store cannot be read: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
            raise InputError(f"{path} is not the manifest of a store of replay")
        version = document.get("schema")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise InputError(f"{path} has the schema version {printable(version)}; versions count from 1")
        if version > SCHEMA:
            raise InputError(
                f"{path} has schema version {version}, and this replay reads versions up to {SCHEMA}."
                " Install a newer stop-replay"
            )
        return cls(
            version,
            tuple(_shard(entry, path) for entry in _list(document, "shards", path)),
            tuple(_import(entry, path) for entry in _list(document, "imports", path)),
            path,
        )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with the manifest of a store."""
    try:
        with (Path(path) / FILE_NAME).open("rb") as file:
            return b'"replay-store"' in file.read(256)
    except (OSError, ValueError):
        return False


def _list(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise InputError(f"{path} has no list {key!r}; it is damaged")
    return entries


def _shard(entry: Any, path: Path) -> Shard:
    counts = [_count(entry, key, path) for key in ("runs", "evals", "bytes", "schema")]
    if not 1 <= counts[3] <= SCHEMA:
        raise InputError(
            f"{path} names a file of schema version {counts[3]}; this replay reads 1 to {SCHEMA}"
        )
    return Shard(_name(entry, _SHARD, path), *counts)


def _import(entry: Any, path: Path) -> Import:
    paths = entry.get("paths") if isinstance(entry, dict) else None
    if not isinstance(paths, list):
        raise InputError(f"{path} has an import without paths; it is damaged")
    counts = {key: _count(entry, key, path) for key in ("runs", "duplicates", "renamed", "findings")}
    return Import(
        number=_count(entry, "number", path),
        time=str(entry.get("time")),
        version=str(entry.get("version")),
        paths=tuple(map(str, paths)),
        file=_name(entry, _IMPORT, path),
        **counts,
    )


def _count(entry: Any, key: str, path: Path) -> int:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{path} has {key} = {printable(value)}, where a count is expected; it is damaged")
    return value


def _name(entry: Any, pattern: re.Pattern[str], path: Path) -> str:
    name = entry.get("file")
    if not isinstance(name, str) or pattern.fullmatch(name) is None:
        raise InputError(
            f"{path} names {printable(repr(name))}, which is not a file of a store; only files of the"
            " store's own folder are read"
        )
    return name

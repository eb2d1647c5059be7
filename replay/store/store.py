"""A store of runs: a folder of Parquet files and a manifest that says which of them count."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from replay.data.digest import digest_of_run
from replay.data.finding import Finding
from replay.data.run import Run
from replay.errors import InputError
from replay.store.encoding import decode, encode
from replay.store.manifest import FILE_NAME, SCHEMA, Import, Manifest, Shard
from replay.store.shards import (
    MOST_RUNS,
    MOST_VALUES,
    new_name,
    read_columns,
    read_runs,
    size_of,
    take_rows,
    write_shard,
)
from replay.store.table import Entry, arrow
from replay.store.where import Filter
from replay.store.writing import LOCK_NAME, exclusive, written_whole

__all__ = ["Added", "Origin", "Store", "with_free_id"]

_OURS = ("runs-*.parquet", "import-*.json", ".store.json.*.tmp")

_DAMAGED = "Nothing is added to a damaged store. Restore the file, or import all logs into a new store"


class Origin(NamedTuple):
    """Where imported runs come from: the paths as given, the version of replay, and what the readers
    found.
    """

    paths: Sequence[str]
    version: str
    findings: Sequence[Finding] = ()
    duplicates: Sequence[tuple[str, str]] = ()
    skipped: Sequence[str] = ()


class Added(NamedTuple):
    """What an import did: runs added, runs that the store had, runs with a new id, and findings."""

    runs: int
    duplicates: int
    renamed: int
    findings: list[Finding]


@dataclass(frozen=True)
class Store:
    """A store as it was when it was opened. Later imports do not change what this object reads.

    ``filter`` leaves out the runs that it is not true of.
    """

    folder: Path
    manifest: Manifest
    filter: Filter | None = None

    @classmethod
    def open(cls, folder: Path | str, where: str | None = None) -> Store:
        """The store in a folder. Raises InputError where there is none, and for a filter with a mistake."""
        arrow()
        folder = Path(folder)
        store = cls(folder, Manifest.read(folder))
        return store if where is None else replace(store, filter=Filter.of(where))

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The files of runs, in the order in which they were imported."""
        return self.manifest.shards

    def rows(self, shard: Shard, findings: list[Finding]) -> list[int] | None:
        """The rows of a file that the filter keeps; None without a filter: all of them."""
        if self.filter is None:
            return None
        table = read_columns(self.folder, shard, self.filter.columns, findings)
        return [] if table is None else self.filter.rows(table)

    def read_shard(self, shard: Shard, findings: list[Finding]) -> list[Run]:
        """The runs of one file; what cannot be read becomes a finding."""
        rows = self.rows(shard, findings)
        return [run for _, run in read_runs(self.folder, shard, findings, rows)]

    def read(self, findings: list[Finding]) -> Iterator[Run]:
        """Every run, file by file, in bounded memory."""
        for shard in self.shards:
            yield from self.read_shard(shard, findings)

    def tables(self, columns: Sequence[str], findings: list[Finding]) -> Iterator[Any]:
        """Some of the columns that a filter may name, file by file, as Arrow tables."""
        for shard in self.shards:
            wanted = dict.fromkeys([*columns, *(self.filter.columns if self.filter else ())])
            table = read_columns(self.folder, shard, list(wanted), findings)
            if table is not None:
                yield table if self.filter is None else take_rows(table, self.filter.rows(table))

    def details(self, one: Import) -> dict[str, Any]:
        """What an import has on record beside its counts: paths, findings, duplicates and skipped files."""
        path = self.folder / one.file
        try:
            details = decode(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        if not isinstance(details, dict):
            raise InputError(f"{path} is damaged")
        return details

    @staticmethod
    def add(
        folder: Path | str,
        runs: Iterable[Run],
        origin: Origin,
        waiting: Callable[[str], None] | None = None,
    ) -> Added:
        """Add runs to the store in a folder, which is made where there is none; commit them at once.

        A run whose content the store has is left out, whatever its id. A run that differs, and whose id is
        taken, gets another one. A process that is killed leaves the store as it was. Another process that
        writes to it is waited for where ``waiting`` is given, and otherwise an InputError.
        """
        arrow()
        folder = Path(folder)
        _make(folder)
        with exclusive(folder, waiting):
            return _Writer(folder).add(runs, origin)


def _make(folder: Path) -> None:
    """Make the folder of a store. Raises InputError where something else is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    if FILE_NAME in others:
        return
    ours = {LOCK_NAME, *(path.name for pattern in _OURS for path in folder.glob(pattern))}
    strange = sorted(set(others) - ours)
    if strange:
        raise InputError(
            f"{folder} is not empty and is not a store: it has {strange[0]}. Give a new folder, or a store"
        )


class _Writer:
    """One import into a store whose lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        has_one = (folder / FILE_NAME).exists()
        self.old = Manifest.read(folder) if has_one else Manifest(path=folder / FILE_NAME)
        self.number = max((one.number for one in self.old.imports), default=0) + 1
        self.shards: list[Shard] = []
        self.findings: list[Finding] = []
        self.pending: list[Entry] = []
        self.values = 0

    def add(self, runs: Iterable[Run], origin: Origin) -> Added:
        """Write the runs that are new, and commit."""
        self._remove_leftovers(self.old.files)
        known, ids = self._known()
        self._upgrade()
        added = duplicates = renamed = 0
        for run in runs:
            digest = digest_of_run(run)
            if digest in known:
                duplicates += 1
                continue
            known.add(digest)
            named = with_free_id(run, ids)
            renamed += named.id != run.id
            if not added:
                self._reopen_last()
            added += 1
            self._put(Entry(named, digest, self.number))
        self._flush()
        record = self._record(origin, added, duplicates, renamed)
        Manifest(SCHEMA, tuple(self.shards), (*self.old.imports, record), self.old.path).write()
        return Added(added, duplicates, renamed, self.findings)

    def _known(self) -> tuple[set[bytes], set[str]]:
        """The digests and the ids of the runs that are there. Raises InputError where a file is damaged."""
        digests, ids = set[bytes](), set[str]()
        for shard in self.old.shards:
            table = self._whole(shard, ["digest", "run"])
            digests.update(table["digest"].to_pylist())
            ids.update(table["run"].to_pylist())
        return digests, ids

    def _whole(self, shard: Shard, columns: Sequence[str]) -> Any:
        findings: list[Finding] = []
        table = read_columns(self.folder, shard, columns, findings)
        if table is None:
            raise InputError(f"{self.folder / shard.file}: {findings[0]['error']}. {_DAMAGED}")
        return table

    def _upgrade(self) -> None:
        """Keep the files that are there; those of an old schema version are written anew."""
        for shard in self.old.shards:
            if shard.schema == SCHEMA:
                self.shards.append(shard)
                continue
            self._load(shard)
            self._flush()

    def _reopen_last(self) -> None:
        """Take the runs of a last file that is not full, so that small imports do not leave small files."""
        last = self.shards[-1] if self.shards else None
        if last is not None and last in self.old.shards and last.runs < MOST_RUNS and not self._is_full(last):
            self.shards.pop()
            self._load(last)

    def _load(self, shard: Shard) -> None:
        """Take the runs of a file to write them anew. Raises InputError where one cannot be read."""
        table = self._whole(shard, ["digest", "import_number"])
        digests, numbers = table["digest"].to_pylist(), table["import_number"].to_pylist()
        findings: list[Finding] = []
        for row, run in read_runs(self.folder, shard, findings):
            self._put(Entry(run, digests[row], numbers[row]))
        if findings:
            raise InputError(f"{self.folder / shard.file}: {findings[0]['error']}. {_DAMAGED}")

    def _is_full(self, shard: Shard) -> bool:
        return shard.bytes > 8 * MOST_VALUES // 2

    def _put(self, entry: Entry) -> None:
        self.pending.append(entry)
        self.values += size_of(entry.run)
        if len(self.pending) >= MOST_RUNS or self.values >= MOST_VALUES:
            self._flush()

    def _flush(self) -> None:
        if self.pending:
            self.shards.append(write_shard(self.folder, self.number, self.pending, self.findings))
        self.pending, self.values = [], 0

    def _record(self, origin: Origin, added: int, duplicates: int, renamed: int) -> Import:
        every = (*origin.findings, *self.findings)
        details = {
            "paths": list(origin.paths),
            "findings": list(every),
            "duplicates": [list(pair) for pair in origin.duplicates],
            "skipped": list(origin.skipped),
        }
        path = self.folder / new_name("import", self.number, "json")
        with written_whole(path):
            path.write_text(encode(details) + "\n", encoding="ascii")
        time = datetime.now(UTC).isoformat(timespec="seconds")
        paths = tuple(json.loads(json.dumps([str(one) for one in origin.paths])))
        return Import(
            self.number, time, origin.version, paths, added, duplicates, renamed, len(every), path.name
        )

    def _remove_leftovers(self, files: set[str]) -> None:
        """Remove files that no manifest names: of an import that was killed, or that a later one replaced."""
        for pattern in _OURS:
            for path in self.folder.glob(pattern):
                if path.name not in files:
                    path.unlink(missing_ok=True)


def with_free_id(run: Run, taken: set[str]) -> Run:
    """The run under its id, or with a number behind it where the id is taken; what it gets is taken then."""
    name, number = run.id, 1
    while name in taken:
        number += 1
        name = f"{run.id} ({number})"
    taken.add(name)
    return run if name == run.id else run.replace(id=name)

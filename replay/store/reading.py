"""Reads stores, and logs beside them, as the readers read logs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from replay import remote
from replay.data.digest import digest_of_run
from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError, ReplayError, list_names, printable
from replay.readers import ColumnMap, ReadResult
from replay.readers.find import natural
from replay.store.manifest import is_store
from replay.store.store import Store, with_free_id
from replay.urls import Url, as_path

__all__ = ["findings_of", "no_run", "open_store", "read", "read_all", "refuse_columns"]

#: Of the runs that are drawn from a store.
_SEED = 0

_Progress = Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]]
_Fetching = Callable[[Iterable[Any]], AbstractContextManager[Iterable[Any]]]


def open_store(path: Path, where: str | None = None) -> Store | None:
    """The store at a path; None where there is something else. Raises InputError for a filter of logs."""
    if not isinstance(path, Url) and is_store(path):
        return Store.open(path, where)
    if where is not None:
        raise InputError(
            f"--where filters the runs of a store, and {printable(path)} is not one. Import it first: replay"
            f" import {printable(path)} --out STORE"
        )
    return None


def read(paths: Sequence[str | os.PathLike[str]]) -> ReadResult:
    """The runs of logs, and of stores where there is one among the paths."""
    return read_all(paths) if any(is_store(path) for path in paths) else remote.read(paths)


def read_all(
    paths: Sequence[str | os.PathLike[str]],
    progress: _Progress = nullcontext,
    columns: ColumnMap | None = None,
    where: str | None = None,
    *,
    fetching: _Fetching = nullcontext,
    most: int | None = None,
) -> ReadResult:
    """The runs of stores and of logs, each counted once; ids that two runs have get a number behind them.

    Of a store with more than ``most`` runs, so many are drawn at random. The findings are those of the
    imports, and those on files of a store that cannot be read. Raises InputError as the readers do, and where
    a store has no run that the filter keeps.
    """
    result = ReadResult([])
    given = [as_path(path) for path in paths]
    stores = {path: store for path in given if (store := open_store(path, where)) is not None}
    others = [path for path in given if path not in stores]
    if not others:
        refuse_columns(columns)
    known: dict[bytes, Run] = {}
    taken: set[str] = set()
    for path, store in stores.items():
        findings = findings_of(store)
        drawn = None if most is None else _draw(store, most, findings)
        with progress(store.shards) as counted:
            for shard in counted:
                for run in store.read_shard(shard, findings):
                    if drawn is not None and run.id not in drawn:
                        continue
                    if _add(run, result, known if len(paths) > 1 else None, taken):
                        result.stores[result.runs[-1].id] = path
        result.findings += findings
        result.files += len(store.shards)
    if others:
        logs = remote.read(others, progress, columns, fetching=fetching)
        for run in logs.runs:
            _add(run, result, known, taken)
        result.findings += logs.findings
        result.duplicates += logs.duplicates
        result.skipped += logs.skipped
        result.files += logs.files
        result.shown = logs.shown
    if not result.runs:
        raise no_run(stores, where, result.findings)
    result.runs.sort(key=lambda run: (natural(run.id), run.id))
    return result


def refuse_columns(columns: ColumnMap | None) -> None:
    """Raise InputError where columns are named, and there are no tables but stores only."""
    if columns is not None:
        raise InputError("a store has runs, not tables; give --columns and the like to replay import")


def no_run(stores: Iterable[Path], where: str | None, findings: Sequence[Finding]) -> InputError:
    """The error that stores have no run that the filter keeps."""
    names = printable(list_names(map(str, stores)))
    damaged = next((one for one in findings if one.kind is Kind.UNREADABLE_TABLE), None)
    why = "has no run" if where is None else f"has no run of which --where {printable(repr(where))} is true"
    return InputError(f"{names} {why}", because=damaged)


def _draw(store: Store, most: int, findings: list[Finding]) -> set[str] | None:
    """The ids of so many runs of a store, the same ones each time; None where it has no more."""
    tables = store.tables(["run"], [])
    ids = sorted(name for table in tables for name in table["run"].to_pylist())
    if len(ids) <= most:
        return None
    facts = {"count": most, "total": len(ids)}
    findings.append(Finding(Kind.SAMPLED_STORE, log=str(store.folder), facts=facts))
    return set(random.Random(_SEED).sample(ids, most))


def _add(run: Run, result: ReadResult, known: dict[bytes, Run] | None, taken: set[str]) -> bool:
    """Add a run, unless another one has the same content; without ``known`` all of them differ."""
    if known is not None:
        digest = digest_of_run(run)
        if digest in known:
            result.duplicates.append((run.id, known[digest].id))
            return False
        known[digest] = run
    result.runs.append(with_free_id(run, taken))
    return True


def findings_of(store: Store) -> list[Finding]:
    """What was found when the runs of a store were imported."""
    findings: list[Finding] = []
    for one in store.manifest.imports:
        if not one.findings:
            continue
        try:
            findings += store.details(one).get("findings", [])
        except (ReplayError, AttributeError, TypeError) as error:
            findings.append(Finding(Kind.OTHER, facts={"text": str(error)}))
    return list(dict.fromkeys(finding for finding in findings if isinstance(finding, Finding)))

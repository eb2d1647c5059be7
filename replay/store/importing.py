"""Reads what is to be imported into a store, in bounded memory however many runs there are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from replay import remote
from replay.data.finding import Finding
from replay.data.run import Run
from replay.readers import ColumnMap, ReadResult
from replay.readers.batches import read_in_batches
from replay.store.reading import findings_of, no_run, open_store, refuse_columns
from replay.store.store import Store
from replay.urls import Url, as_path

__all__ = ["read_for_import"]

_Progress = Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]]


def read_for_import(
    paths: Sequence[Path],
    progress: _Progress = nullcontext,
    columns: ColumnMap | None = None,
    where: str | None = None,
    *,
    fetching: Callable[[Iterable[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
) -> tuple[ReadResult, Iterator[Run]]:
    """The runs of logs and of stores, one after the other, and what was left out and why.

    The result has no runs; see `replay.readers.batches.read_in_batches`. The errors are those of
    `replay.store.reading.read_all`.
    """
    given = [as_path(path) for path in paths]
    stores = {path: store for path in given if (store := open_store(path, where)) is not None}
    others = [path for path in given if path not in stores]
    findings = [one for store in stores.values() for one in findings_of(store)]
    runs: Iterator[Run] = itertools.chain.from_iterable(
        _runs_of(store, findings) for store in stores.values()
    )
    if not others:
        refuse_columns(columns)
        first = next(runs, None)
        if first is None:
            raise no_run(stores, where, findings)
        return ReadResult([], findings), itertools.chain([first], runs)
    if any(isinstance(path, Url) for path in others):
        result = remote.read(others, progress, columns, fetching=fetching)
        of_logs: Iterable[Run] = result.runs
        result.runs = []
    else:
        result, of_logs = read_in_batches(others, progress, columns)
    findings += result.findings
    result.findings = findings
    return result, itertools.chain(runs, of_logs)


def _runs_of(store: Store, findings: list[Finding]) -> Iterator[Run]:
    for shard in store.shards:
        yield from store.read_shard(shard, findings)

"""Runs of a store as the logs of a check: their paths below the store, and their digests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from replay.data.digest import digest_of_run
from replay.data.run import Run
from replay.errors import ReplayError, printable
from replay.readers.step_signals import FILE_NAME
from replay.store import Store, is_store
from replay.store.signals import pack_signals

__all__ = ["digests_by_path", "is_in_store", "store_above"]

#: Parts of an id that would lead out of the store, or that a path does not keep.
_ESCAPED = {"": "%", ".": "%2E", "..": "%2E%2E"}


def digests_by_path(run: Run, store: Path, companions: bool) -> dict[str, str]:
    """What stands for the files of a run of a store, each with its digest; with its step signals where
    ``companions`` are asked for.
    """
    path = store / _as_path(run.id)
    digests = {str(path): digest_of_run(run).hex()}
    if companions and run.info.step_signals is not None:
        signals = pack_signals(run.info.step_signals.read())
        digests[str(path / FILE_NAME)] = hashlib.sha256(signals).hexdigest()
    return digests


def store_above(path: Path) -> Path | None:
    """The store that a path of a lock lies in; None where it does not name a run of a store."""
    return next((parent for parent in path.parents if is_store(parent)), None)


def is_in_store(store: Path, path: Path) -> bool:
    """Whether a store has the run that a path of a lock names; not where the store cannot be read."""
    wanted = os.path.relpath(path, store)
    try:
        tables = Store.open(store).tables(["run"], [])
        return any(str(_as_path(name)) == wanted for table in tables for name in table["run"].to_pylist())
    except ReplayError:
        return False


def _as_path(run: str) -> Path:
    """The id of a run as a path below a store, whatever is in it."""
    parts = printable(run).replace("%", "%25").split("/")
    return Path(*(_ESCAPED.get(part, part) for part in parts))

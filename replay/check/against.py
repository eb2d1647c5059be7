"""What the policies of a revision did: the baseline of ``replay check --against``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from replay.check.checking import examine, logs_of
from replay.check.config import read_config
from replay.check.lock import Lock, read_lock
from replay.check.revisions import revision
from replay.errors import ReplayError
from replay.readers import ReadResult

__all__ = ["lock_of_revision"]


def lock_of_revision(
    name: str,
    file: Path,
    lock_path: Path,
    logs: Sequence[Path],
    read: Callable[[Sequence[Path]], ReadResult],
) -> tuple[str, Lock]:
    """The lock of a revision, with its name in reports; where the revision has none, what its policies do now
    to its logs.

    ``logs`` are the paths of logs that were given, if any. Raises InputError where the revision has neither.
    """
    with revision(name, file.absolute()) as found, _of_revision():
        stored = found.get(lock_path)
        lock = None if stored is None else read_lock(stored)
        if stored is not None and lock is not None:
            return found.shown(str(stored)), lock
        config = read_config(found.require(file))
        roots = [found.get_logs(log) for log in logs_of(config, logs)]
        made = examine(config, read(roots), roots, found.copy_of(lock_path))[1]
        return found.shown(str(config.path)), made


@contextlib.contextmanager
def _of_revision() -> Iterator[None]:
    """A block whose errors are not about a line of the working tree."""
    try:
        yield
    except ReplayError as error:
        error.file, error.line, error.key = None, None, ()
        raise

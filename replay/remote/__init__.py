"""Reads the logs below URLs: lists first, and copies only what can be a log.

`read` stands in for `replay.readers.read`: a path may be a URL of fsspec, or of an MLflow server. The copies
lie in a private folder that mirrors the remote one. Runs and findings name the URL, never the copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay import readers
from replay.urls import Url, as_path

if TYPE_CHECKING:
    from replay.remote.fetching import Counting
    from replay.remote.limits import Limits

__all__ = ["read"]


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
    columns: readers.ColumnMap | None = None,
    *,
    fetching: Counting = nullcontext,
    limits: Limits | None = None,
) -> readers.ReadResult:
    """`replay.readers.read` of paths and URLs.

    ``fetching`` is given what is fetched, as ``progress`` is given what is loaded, and an empty iterator
    while a server is asked what it has. Raises RemoteError where a URL cannot be listed.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    roots = [as_path(path) for path in given]
    if not any(isinstance(root, Url) for root in roots):
        return readers.read(roots, progress, columns)
    from replay.remote.mirror import Mirror  # most commands read no URL

    mirror = Mirror(limits, tables=columns is not None)
    local: list[Path] = [mirror.fetch(root, fetching) if isinstance(root, Url) else root for root in roots]
    return mirror.read(local, progress, columns)

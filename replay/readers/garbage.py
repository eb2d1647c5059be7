"""Has Python look for cycles of objects less often while many logs are read."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["fewer_collections"]

#: New objects after which Python looks for cycles: 700 by default, which is about one log.
_OBJECTS = 50_000

_lock = Lock()
_inside: list[tuple[int, int, int]] = []  # the thresholds before, once for each thread that reads


@contextmanager
def fewer_collections() -> Iterator[None]:
    """A context in which Python looks for cycles less often: runs are many objects, and hold none."""
    with _lock:
        _inside.append(_inside[0] if _inside else gc.get_threshold())
        if 0 < _inside[0][0] < _OBJECTS:  # 0 is never
            gc.set_threshold(_OBJECTS, *_inside[0][1:])
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                gc.set_threshold(*before)

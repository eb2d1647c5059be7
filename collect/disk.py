"""Writing to a disk that may be full: the error names the file, and no half of a checkpoint stays."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FULL", "named", "whole_or_gone"]

#: Error numbers of a write that space or a quota stopped.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an OSError the name of the file, which Python knows only where the file is opened."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextlib.contextmanager
def whole_or_gone(folder: Path) -> Iterator[None]:
    """Remove a checkpoint's folder that could not be written completely; the OSError names the file.

    safetensors and torch raise errors of their own when a write fails. Other errors are left as they are.
    """
    try:
        yield
    except Exception as error:
        name = getattr(error, "filename", None) or str(_newest_file(folder))
        if (number := _error_number(error, folder)) is None:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise OSError(number, os.strerror(number), name) from error


def _error_number(error: Exception, folder: Path) -> int | None:
    """The system's number of a failed write; None where the error is of another kind."""
    if isinstance(error, OSError):
        return error.errno
    if type(error).__name__ == "SafetensorError":  # "I/O error: No space left on device (os error 28)"
        found = re.search(r"os error (\d+)", str(error))
        return int(found[1]) if found else None
    if isinstance(error, RuntimeError) and re.search(r"inline_container|PytorchStreamWriter", str(error)):
        return _try_to_write(folder)  # torch.save does not say why it failed
    return None


def _try_to_write(folder: Path) -> int:
    """Why as much as the newest file cannot be written; EIO where it can."""
    newest = _newest_file(folder)
    size = newest.stat().st_size if newest.is_file() else 0
    try:
        with (folder / "probe").open("wb", buffering=0) as file:
            for _ in range(size // 2**20 + 2):
                file.write(bytes(2**20))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno or errno.EIO
    return errno.EIO


def _newest_file(folder: Path) -> Path:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_mtime_ns, default=folder)

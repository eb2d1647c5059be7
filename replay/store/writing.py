"""The lock that a process holds while it writes to a store, and files that outlive a power cut."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from replay.errors import InputError, OutputError, printable
from replay.files import FULL

__all__ = ["LOCK_NAME", "exclusive", "written_whole"]

LOCK_NAME = "store.lock"


@contextlib.contextmanager
def exclusive(folder: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a store, so that one process at a time writes to it.

    The system releases the lock when its process ends, however it ends: a lock file that is left behind by a
    killed process locks nothing. Where another process holds it, ``waiting`` is called with who that is, and
    then its end is waited for; without ``waiting`` that is an InputError.
    """
    path = folder / LOCK_NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        if not _lock(handle, path, wait=False):
            who = _holder(handle)
            if waiting is None:
                raise InputError(f"{folder} is being written to by {who}; wait until it has ended")
            waiting(who)
            _lock(handle, path, wait=True)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, holder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path, *, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no locks of whole files that end with the process
        raise InputError(f"{path}: stores are written on systems with flock only (Linux, macOS)") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"{path}: this file system has no locks ({error.strerror or error})") from None
    return True


def _holder(handle: int) -> str:
    """The process that wrote itself into the lock, as far as it has."""
    try:
        stated = json.loads(os.pread(handle, 4096, 0))
        return printable(f"process {stated['pid']} on {stated['host']}")
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new file that is on the disk when the block ends, and gone where the block fails.

    No manifest names it before that. Raises OutputError where the device is full.
    """
    try:
        yield path
        handle = os.open(path, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            full = error.errno in FULL
            raise (OutputError if full else InputError)(f"{path}: {error.strerror or error}") from None
        raise

"""The lock: what the policies did to which logs, so that a later check can tell what has changed.

It is text in the same order and digits wherever it is made (`lock_text` has its layout). Checksums cover all
of it: what was damaged, merged wrongly or edited by hand is refused.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from replay.check.digests import digest
from replay.check.lock_text import FORMAT, ChecksumError, as_text, parse
from replay.check.locked import VERSION, Lock, LockedLimit, LockedPolicy, Log, is_companion, rounded
from replay.errors import InputError
from replay.files import read_file, write_file

__all__ = [
    "FORMAT",
    "VERSION",
    "BrokenLock",
    "Lock",
    "LockedLimit",
    "LockedPolicy",
    "Log",
    "as_text",
    "digest",
    "from_text",
    "is_companion",
    "read_lock",
    "rounded",
    "write_lock",
]

#: The command that writes a lock again, where the policies file is not known.
_UPDATE = "replay check FILE --update"


_OTHER = "{path} is not a lock of replay, so it is left alone; give another file with --lock"


class BrokenLock(InputError):
    """A lock that is damaged or was edited; it can be made anew."""


def read_lock(path: Path, update: str = _UPDATE) -> Lock | None:
    """The lock at a path, or None where there is no file; errors name ``update``, the command that writes it.

    Raises InputError where it cannot be read, is of a newer version or is no lock at all, BrokenLock where it
    is damaged.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        return None
    return from_text(data, str(path), update)


def from_text(data: bytes, path: str, update: str = _UPDATE) -> Lock:
    """The lock that these bytes are; ``path`` is its name in messages. Raises as `read_lock` does."""
    remedy = f"write it again with {update}"
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if data.strip() and f'"{FORMAT}"'.encode() not in data:
            raise InputError(_OTHER.format(path=path)) from None
        conflict = b"\n<<<<<<<" in b"\n" + data
        why = (
            "it holds the marks of a merge conflict"
            if conflict
            else f"it is empty or cut short, or was edited ({error})"
        )
        broken = BrokenLock(f"{path}: the lock is damaged: {why}; {remedy}")
        if conflict:
            broken.line = data[: (b"\n" + data).index(b"\n<<<<<<<")].count(b"\n") + 1
        raise broken from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(_OTHER.format(path=path))
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise InputError(
            f"{path}: a lock of version {version}, while this replay reads version {VERSION}; upgrade replay,"
            f" or delete the lock and {remedy}"
        )
    try:
        return parse(document)
    except ChecksumError:
        raise BrokenLock(
            f"{path}: the lock is not as replay wrote it (a checksum differs). It is damaged, was edited, or"
            f" was merged from branches that change the same policy or its logs; {remedy}"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise BrokenLock(
            f"{path}: the lock lacks something or holds something of the wrong kind; {remedy}"
        ) from None


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def write_lock(path: Path, lock: Lock) -> bool:
    """Write the lock so that at any time either the old or the new one is there, whole; whether it was other
    than what was there.

    Raises InputError where it cannot be written.
    """
    data = as_text(lock).encode("ascii")
    with contextlib.suppress(FileNotFoundError):
        # a checkout with other line ends is not another lock
        if read_file(path).replace(b"\r\n", b"\n") == data:
            return False
    write_file(path, data)
    return True

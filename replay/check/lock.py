"""The lock: what the policies did to which logs, so that a later check can tell what has changed.

JSON with one run a line, in the same order and digits wherever it is made. It ends in a checksum of all the
rest: what was damaged, merged or edited by hand is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from replay.check.model import Stop
from replay.errors import InputError
from replay.files import read_file, write_file
from replay.readers.step_signals import FILE_NAME

__all__ = [
    "FORMAT",
    "VERSION",
    "BrokenLock",
    "Lock",
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

FORMAT = "replay lock"
VERSION = 1
_ROW = ("stopped_eval", "stopped_step", "reason", "saved", "regret", "relative_regret", "lost")
_REMAKE = "make it anew by replay check --update"


class BrokenLock(InputError):
    """A lock that is damaged or was edited; it can be made anew."""


@dataclass(frozen=True)
class Log:
    """One file of a log: the digest of its bytes, and the ids of the runs that were read from it."""

    sha256: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class LockedPolicy:
    """A policy as it was: its specification, its figures, and what it did to each run by id."""

    spec: str
    summary: Mapping[str, Any]
    stops: Mapping[str, Stop]


@dataclass(frozen=True)
class Lock:
    """All of a lock. ``tool`` is the version of this package that made it; paths of logs are relative to the
    lock's folder.
    """

    tool: str
    settings: Mapping[str, Any]
    logs: Mapping[str, Log]
    policies: Mapping[str, LockedPolicy]


def rounded(value: Any) -> Any:
    """Round a float to 12 significant digits, beyond which machines may differ.

    NaN becomes None. A value that is not a float is returned unchanged.
    """
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return value if math.isinf(value) else float(f"{value:.12g}") + 0.0  # no -0.0


def is_companion(path: str) -> bool:
    """Whether a file is no log itself, but lies beside one and is read with it where a policy asks for it."""
    return path.rpartition("/")[2] == FILE_NAME


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def as_text(lock: Lock) -> str:
    """The lock as it is written: sorted, one log, figure and run a line."""
    rest = _document(lock)
    parts = [f'"format": {_plain(FORMAT)}', f'"version": {VERSION}', f'"tool": {_plain(lock.tool)}']
    parts.append('"settings": ' + _block(rest["settings"], 1, 1))
    parts.append('"logs": ' + _block(rest["logs"], 1, 1))
    parts.append('"policies": ' + _block(rest["policies"], 3, 1))
    parts.append(f'"checksum": "{_checksum(rest)}"')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _block(value: Any, deep: int, indent: int) -> str:
    """A mapping with one entry a line, down to a depth; what is deeper stays in its line."""
    if not isinstance(value, dict) or not deep or not value:
        return _plain(value)
    blank = " " * (indent + 1)
    inner = (
        f"{blank}{_plain(key)}: {_block(item, deep - 1, indent + 1)}" for key, item in sorted(value.items())
    )
    return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _checksum(rest: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(rest, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    ).hexdigest()


def _document(lock: Lock) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "tool": lock.tool,
        "settings": _finite(lock.settings),
        "logs": {path: {"runs": list(log.runs), "sha256": log.sha256} for path, log in lock.logs.items()},
        "policies": {
            name: {
                "spec": policy.spec,
                "summary": _finite(policy.summary),
                "stops": {
                    run: [_encoded(getattr(stop, name)) for name in _ROW]
                    for run, stop in policy.stops.items()
                },
            }
            for name, policy in lock.policies.items()
        },
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _encoded(value) for key, value in values.items()}


def _encoded(value: Any) -> Any:
    value = rounded(value)
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _decoded(value: Any) -> Any:
    return math.inf if value == "Infinity" else -math.inf if value == "-Infinity" else value


def read_lock(path: Path) -> Lock | None:
    """The lock at a path, or None where there is no file.

    Raises InputError where it cannot be read, is of a newer version or is no lock at all, BrokenLock where it
    is damaged.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        return None
    return from_text(data, str(path))


def from_text(data: bytes, path: str) -> Lock:
    """The lock that these bytes are; ``path`` is its name in messages. Raises as `read_lock` does."""
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if data.strip() and f'"{FORMAT}"'.encode() not in data:
            raise InputError(
                f"{path}: this is no lock of replay, and is left alone; give another --lock"
            ) from None
        conflict = b"\n<<<<<<<" in b"\n" + data
        why = (
            "it holds the marks of a merge conflict"
            if conflict
            else f"it is empty or cut short, or was edited ({error})"
        )
        raise BrokenLock(f"{path}: the lock is damaged: {why}; {_REMAKE}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{path}: this is no lock of replay, and is left alone; give another --lock")
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise InputError(
            f"{path}: a lock of version {version}, while this replay reads version {VERSION}; upgrade replay,"
            f" or delete the lock and {_REMAKE}"
        )
    checksum = document.pop("checksum", None)
    try:
        same = checksum == _checksum(document)
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise BrokenLock(
            f"{path}: the lock is not as replay wrote it (its checksum differs): damaged, merged or edited;"
            f" {_REMAKE}"
        )
    try:
        return _parsed(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BrokenLock(
            f"{path}: the lock lacks something or holds something of the wrong kind; {_REMAKE}"
        ) from None


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _parsed(document: Mapping[str, Any]) -> Lock:
    if document["version"] != VERSION or not isinstance(document["tool"], str):
        raise ValueError
    logs = {
        path: Log(str(log["sha256"]), tuple(str(run) for run in log["runs"]))
        for path, log in document["logs"].items()
    }
    main = {path: log for path, log in logs.items() if not is_companion(path)}
    home = {run: path for path, log in sorted(main.items(), reverse=True) for run in log.runs}
    return Lock(
        document["tool"],
        {key: _decoded(value) for key, value in document["settings"].items()},
        logs,
        {
            name: LockedPolicy(
                str(policy["spec"]),
                {key: _decoded(value) for key, value in policy["summary"].items()},
                {run: _stop(run, home[run], row) for run, row in policy["stops"].items()},
            )
            for name, policy in document["policies"].items()
        },
    )


def _stop(run: str, log: str, row: Any) -> Stop:
    stopped, step, reason, saved, regret, relative, lost = (_decoded(value) for value in row)
    if (
        not (stopped is None or (_number(stopped) and isinstance(stopped, int)))
        or not isinstance(reason, str)
        or not _number(saved)
    ):
        raise ValueError
    if not all(value is None or _number(value) for value in (step, regret, relative, lost)):
        raise ValueError
    return Stop(run, log, stopped, step, reason, saved, regret, relative, lost)


def _number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def write_lock(path: Path, lock: Lock) -> bool:
    """Write the lock so that at any time either the old or the new one is there, whole; whether it was other
    than what was there.

    Raises InputError where it cannot be written.
    """
    data = as_text(lock).encode("ascii")
    with contextlib.suppress(FileNotFoundError):
        if read_file(path) == data:
            return False
    write_file(path, data)
    return True

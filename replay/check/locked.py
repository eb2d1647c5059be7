"""What a lock holds, as data: logs by their content, policies with their limits, and what they did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replay.check.model import Stop
from replay.readers.step_signals import FILE_NAME

__all__ = ["VERSION", "Lock", "LockedLimit", "LockedPolicy", "Log", "is_companion", "rounded"]

#: Of the layout of a lock.
VERSION = 2


@dataclass(frozen=True)
class Log:
    """One file of a log, and the ids of the runs that were read from it.

    ``sha256`` is the digest of its bytes, of a text with line feeds as line ends. ``content`` is the digest
    of the runs that were read from it (None where that is not known); ``other_ends`` are the digests that an
    older lock may hold of the same text with other line ends.
    """

    sha256: str
    runs: tuple[str, ...]
    content: str | None = None
    other_ends: frozenset[str] = field(default=frozenset(), compare=False)

    def same(self, other: Log) -> bool:
        """Whether the other log says the same: its bytes do, or what was read from it."""
        if self.sha256 == other.sha256 or (self.content is not None and self.content == other.content):
            return True
        return self.sha256 in other.other_ends or other.sha256 in self.other_ends


@dataclass(frozen=True)
class LockedLimit:
    """A limit of the file of policies as it was: its text there, and its value (a share as a fraction)."""

    text: str
    value: float


@dataclass(frozen=True)
class LockedPolicy:
    """A policy as it was: its specification, its figures, and what it did to each run by id.

    ``limits`` are by group (None: all runs) and name, ``expect`` maps runs to the evals at which they must be
    stopped (None: never). Both are None where the lock is older than they are.
    """

    spec: str
    summary: Mapping[str, Any]
    stops: Mapping[str, Stop]
    limits: Mapping[tuple[str | None, str], LockedLimit] | None = None
    expect: Mapping[str, int | None] | None = None


@dataclass(frozen=True)
class Lock:
    """All of a lock. ``tool`` is the version of this package that made it; paths of logs are relative to the
    lock's folder. ``gate`` is what made a check fail; None where the lock is older than that. ``version`` is
    that of the file's layout.
    """

    tool: str
    settings: Mapping[str, Any]
    logs: Mapping[str, Log]
    policies: Mapping[str, LockedPolicy]
    gate: Mapping[str, Any] | None = None
    version: int = field(default=VERSION, compare=False)


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
    """Whether a file lies beside a log and is read only if a policy asks for it (step signals)."""
    return path.rpartition("/")[2] == FILE_NAME

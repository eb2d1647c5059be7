"""Format: how logs of one kind are recognised and read, and what reading one returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError

__all__ = ["Format", "Loaded", "UnusableLog", "unreadable"]


class Loaded(NamedTuple):
    """What a format made of its files: runs, and what it had to leave out."""

    runs: list[Run]
    findings: list[Finding]


class UnusableLog(InputError):
    """Raised by a format's ``load`` where nothing in its files can be used; ``finding`` says why."""

    def __init__(self, *findings: Finding) -> None:
        self.finding = (
            findings[0] if len(findings) == 1 else Finding(Kind.UNUSABLE_LOG, facts={"findings": findings})
        )
        super().__init__("; ".join(f"{finding.log}: {finding.kind}" for finding in findings))


def unreadable(path: str | Path, error: OSError, entry: Literal["file", "folder"] | None = None) -> Finding:
    """The finding that the system does not let a file or folder be read."""
    return Finding(
        Kind.UNREADABLE, log=str(path), facts={"error": error.strerror or str(error), "entry": entry}
    )


@dataclass(frozen=True)
class Format:
    """One log format.

    ``sniff(path, head)`` recognises a file by its content: ``head`` is its first 64 KiB. ``group`` says which
    of the recognised files belong to one run (default: every file alone). ``load(files, run_id)`` reads one
    such group; it raises InputError where nothing in it can be used. ``files`` are file name patterns,
    separated by commas: they are shown to users, and decide whether a file that nothing recognises is worth a
    word. Files are read, never executed or unpickled, and no path inside a log is followed.
    """

    name: str
    summary: str
    files: str
    sniff: Callable[[Path, bytes], bool]
    load: Callable[[Sequence[Path], str], Loaded]
    group: Callable[[Sequence[Path]], list[list[Path]]] = field(
        default=lambda paths: [[path] for path in paths]
    )

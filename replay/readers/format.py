"""Format: how logs of one kind are recognised and read, and what reading one returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError

__all__ = ["GZIP", "Format", "Loaded", "UnusableLog", "plain_name", "unreadable"]

#: The ending of a compressed file.
GZIP = ".gz"


def plain_name(path: Path) -> Path:
    """The path that a compressed file would have without compression."""
    return path.with_suffix("") if path.suffix.lower() == GZIP else path


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


def _recognise_nothing(path: Path, head: bytes) -> bool:
    return False


def _alone(paths: Sequence[Path]) -> list[list[Path]]:
    return [[path] for path in paths]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One log format. It reads files, runs of files, or whole folders.

    Files are read, never executed or unpickled, and no path inside a log is followed.
    """

    name: str
    #: What the format is, in one line for users.
    summary: str
    #: Patterns of file names, separated by commas. They are shown to users; a file that matches one and that
    #: nothing recognises is reported.
    files: str
    #: Reads the files of one run, or one recognised folder, under a run id. Raises `UnusableLog` where
    #: nothing can be used. The ``info.sources`` of its runs are files.
    load: Callable[[Sequence[Path], str], Loaded]
    #: Whether a file is in this format, by its path and its first 64 KiB.
    sniff: Callable[[Path, bytes], bool] = _recognise_nothing
    #: Whether a folder is a log in this format, by its path and the names of its entries. ``load`` then gets
    #: the folder itself, and no other format sees what is in it.
    sniff_folder: Callable[[Path, frozenset[str]], bool] | None = None
    #: Which of the recognised files belong to one run (default: each file is a run of its own).
    group: Callable[[Sequence[Path]], list[list[Path]]] = _alone
    #: Endings of file names that the search for logs opens for this format, although most files with such an
    #: ending are archives, databases or weights, as ``.db``.
    #: With `GZIP` among them, ``sniff`` gets the text in a compressed file.
    endings: frozenset[str] = frozenset()
    #: Names of hidden folders that the search looks into for this format, as ``.aim``.
    hidden_folders: frozenset[str] = frozenset()
    #: Whether ``load`` looks at nothing but its files, so that what it gives stays the same while they do.
    only_its_files: bool = False
    #: What the format lacks or what is not read, in one sentence for users; empty if nothing is known.
    limits: str = ""
    #: What it was tested on: the tools and versions that wrote the files.
    tested_on: str = ""

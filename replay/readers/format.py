"""What a log format gives: the ``Format`` type, and what reading one log returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from replay.data.run import Run

__all__ = ["Format", "Loaded"]


class Loaded(NamedTuple):
    """What an importer made of its files: runs, and sentences on what it had to leave out."""

    runs: list[Run]
    problems: list[str]


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

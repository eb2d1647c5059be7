"""The paths of logs as a lock has them: relative to its folder, and the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from replay.check.lock import is_companion
from replay.check.stored import digests_by_path
from replay.data.run import Run
from replay.errors import InputError, printable
from replay.files import in_utf8, on_disk
from replay.readers.step_signals import FILE_NAME
from replay.urls import copy_of, is_url

__all__ = ["file_of", "portable", "relative_to", "shorten", "sources_of"]


def sources_of(
    run: Run, folder: Path, companions: bool, store: Path | None, stored: dict[str, str]
) -> list[str]:
    """The files of a run, relative to a folder, that of its id first; with what lies beside it where
    ``companions`` are asked for.

    A run of a store has a path below the store instead, whose digest is put into ``stored``.
    """
    if store is not None:
        digests = digests_by_path(run, store, companions)
        names = [relative_to(Path(path), folder) for path in digests]
        stored.update(zip(names, digests.values(), strict=True))
        return names
    sources = list(run.info.sources)
    if not sources:
        raise InputError(f"run {run.id} says no file that it was read from, so it cannot be checked")
    if companions and len(sources) == 1 and copy_of(sources[0]).with_name(FILE_NAME).is_file():
        sources.append(_beside(sources[0], FILE_NAME))
    relative = list(
        dict.fromkeys(source if is_url(source) else relative_to(Path(source), folder) for source in sources)
    )
    main = min(path for path in relative if not is_companion(path) or len(relative) == 1)
    return [main, *(path for path in sorted(relative) if path != main)]


def _beside(source: str, name: str) -> str:
    """The file of another name beside a source."""
    return f"{source.rpartition('/')[0]}/{name}" if is_url(source) else str(Path(source).with_name(name))


def file_of(folder: Path, log: str) -> Path:
    """The file of a log of a lock: below the folder of the lock, or the copy of a URL."""
    return copy_of(log) if is_url(log) else on_disk(folder, log)


def shorten(log: str, folder: Path, beside: Path) -> str:
    """A log of a lock as it is shown: relative to the file of policies, or its URL."""
    return log if is_url(log) else relative_to(on_disk(folder, log), beside)


def relative_to(path: Path, folder: Path) -> str:
    """A path relative to a folder, with slashes and in UTF-8; by what links stand for only where that keeps
    it below the folder.
    """
    try:
        plain = Path(os.path.relpath(os.path.abspath(path), folder))  # noqa: PTH100
        if plain.parts[0] == "..":
            real = Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder)))
            plain = plain if real.parts[0] == ".." else real
    except ValueError:  # another drive
        return in_utf8(path.absolute().as_posix())
    return in_utf8(plain.as_posix())


def portable(
    runs: Sequence[Run], paths: Mapping[str, list[str]], taken: set[str]
) -> tuple[list[Run], dict[str, list[str]]]:
    """Give each run an id that does not depend on where the files lie.

    An id that is not a part of the run's path is replaced by the path, unless that is among the ids that are
    ``taken``. Returns the runs, and their paths by id.
    """
    number: dict[str, int] = {}
    named: dict[str, list[str]] = {}
    renamed: list[Run] = []
    for run in runs:
        files = paths[run.id]
        number[files[0]] = number.get(files[0], 0) + 1
        shown = printable(files[0])
        # what follows a "#" may tell runs of one file apart, or belong to the name of a folder
        pieces = run.id.split("#")
        bases = ["#".join(pieces[:count]) for count in range(len(pieces), 0, -1)]
        if not any(f"/{Path(base).as_posix()}/" in f"/{shown}/" for base in bases):
            new = (
                f"{shown}#{pieces[-1]}"
                if len(pieces) > 1
                else shown + (f" ({number[files[0]]})" if number[files[0]] > 1 else "")
            )
            if new not in taken:
                taken.add(new)
                run = run.replace(id=new)
        named[run.id] = files
        renamed.append(run)
    return renamed, named

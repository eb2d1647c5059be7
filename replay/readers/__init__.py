"""Reads finished training logs of any known format into runs.

``IMPORTERS`` is the table of formats: one line each, and where two recognise a file the earlier one reads it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from replay.data.run import Run
from replay.errors import InputError, ReplayError, ReplayWarning, printable
from replay.readers.duplicates import Entry, merge
from replay.readers.find import HEAD, Candidate, Walk, natural
from replay.readers.format import Format, Loaded
from replay.readers.formats import csv_log, eval_log, jsonl, tensorboard, trainer_state

__all__ = ["IMPORTERS", "Format", "Found", "Loaded", "load", "read", "sniff"]

IMPORTERS: tuple[Format, ...] = (
    eval_log.FORMAT,
    trainer_state.FORMAT,
    tensorboard.FORMAT,
    csv_log.FORMAT,
    jsonl.FORMAT,
)


@dataclass
class Found:
    """All that was found below some paths.

    ``runs`` are in natural order of their ids, each counted once. ``problems`` are sentences on what could
    not be read or is in doubt. ``duplicates`` holds (what was dropped, id of the kept run). ``files`` is the
    number of files looked at, ``skipped`` those that are no log of a known format.
    """

    runs: list[Run]
    problems: list[str] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    skipped: list[Path] = field(default_factory=list)


class _Group(NamedTuple):
    format: Format
    rank: int
    root: Path
    files: list[Path]

    @property
    def folder(self) -> Path:
        """The folder that holds all files of the group."""
        if len(self.files) == 1:
            return self.files[0].parent
        return Path(os.path.commonpath([str(file.parent) for file in self.files]))


def sniff(path: Path | str) -> Format | None:
    """The format of a file, told by its first 64 KiB; None for what is no log. Raises OSError."""
    path = Path(path)
    with path.open("rb") as file:
        return _recognise(path, file.read(HEAD))


def _recognise(path: Path, head: bytes) -> Format | None:
    return next((format for format in IMPORTERS if format.sniff(path, head)), None)


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
) -> Found:
    """Every run below the paths, with what was left out and why.

    One unreadable file never hides the others: it becomes a sentence in ``problems``. ``progress`` is given
    what is to be loaded, and yields it again while it is, as click.progressbar does. Raises InputError where
    a path does not exist or where there is no run at all.
    """
    roots = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    walk = Walk(roots)
    found = Found([])
    recognised: dict[tuple[int, Path], list[Path]] = {}
    for candidate in walk:
        format = _recognise(candidate.path, candidate.head)
        if format is None:
            found.skipped.append(candidate.path)
            trouble = _trouble(candidate)
            if trouble:
                found.problems.append(trouble)
        else:
            recognised.setdefault((IMPORTERS.index(format), candidate.root), []).append(candidate.path)
    found.files = walk.files
    found.problems = [*walk.problems, *found.problems]
    groups = []
    for (rank, root), files in recognised.items():
        format = IMPORTERS[rank]
        groups += [
            _Group(format, rank, root, group)
            for group in format.group(sorted(files, key=lambda file: natural(str(file))))
        ]
    groups.sort(key=lambda group: (natural(str(group.folder)), group.rank, natural(str(group.files[0]))))
    entries: list[Entry] = []
    origin: list[_Group] = []
    with progress(groups) as counted:
        for group in counted:
            loaded = _load(group, found.problems)
            entries += [Entry(run, group.folder, group.rank) for run in loaded]
            origin += [group] * len(loaded)
    kept, pairs = merge(entries)
    named = dict(zip(kept, _named(list(kept.values()), [origin[number] for number in kept]), strict=True))
    found.runs = sorted(named.values(), key=lambda run: (natural(run.id), run.id))
    found.duplicates = [
        (_relative(origin[number].files[0], origin[number].root), named[same].id) for number, same in pairs
    ]
    found.problems = [printable(problem) for problem in found.problems]
    if not found.runs:
        raise InputError(_nothing(roots, found))
    return found


def load(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Every run below a path, or below several: files and folders, which are searched to any depth.

    Formats are recognised by content. What is the same run (checkpoints, several formats) counts once. What
    could not be read is told as ReplayWarning. Raises InputError where a path does not exist or there is no
    run at all.
    """
    found = read(paths)
    for problem in found.problems:
        warnings.warn(problem, ReplayWarning, stacklevel=2)
    return found.runs


def _load(group: _Group, problems: list[str]) -> list[Run]:
    name = str(group.files[0]) if len(group.files) == 1 else str(group.folder)
    try:
        runs, troubles = group.format.load(group.files, name)
    except ReplayError as error:
        problems.append(str(error))
        return []
    except OSError as error:
        problems.append(f"{error.filename or name}: {error.strerror or error}; it is left out")
        return []
    except Exception as error:  # an importer's defect must not hide the other runs
        problems.append(
            f"{name}: could not be read as {group.format.name} ({type(error).__name__}: {error}); it is"
            " left out"
        )
        return []
    problems += troubles
    return runs


def _trouble(candidate: Candidate) -> str | None:
    """What to say of a file that nothing recognises: something only where it is named like a log or was given
    by name.
    """
    path, head = candidate.path, candidate.head
    patterns = [pattern for format in IMPORTERS for pattern in format.files.split(", ")]
    known = any(fnmatch(path.name.lower(), pattern) for pattern in patterns)
    if not candidate.named and not known:
        return None
    if not head.strip(b"\0 \t\r\n"):
        return (
            f"{path}: the file is empty"
            if not head
            else f"{path}: the file holds nothing but blanks or zero bytes"
        )
    if b"\0" in head[:4096] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return (
            f"{path}: a binary file{f', though it is named *{path.suffix}' if path.suffix else ''}; it is"
            " left out"
        )
    if path.name.lower() in patterns:
        return f"{path}: not what its name says; no format that replay reads recognises it"
    if candidate.named:
        return f"{path}: no log in a format that replay reads ({_formats()})"
    return None


def _formats() -> str:
    return ", ".join(format.name for format in IMPORTERS)


def _relative(path: Path, root: Path) -> str:
    return printable(str(path.relative_to(root)) if path != root and root in path.parents else path.name)


def _named(runs: Sequence[Run], groups: Sequence[_Group]) -> list[Run]:
    """The runs with the shortest ids that no other has: the folder below the root, with the file's name where
    that is needed.
    """
    level = dict.fromkeys(range(len(runs)), 0)
    while True:
        ids = [_id(runs[number].id, groups[number], level[number]) for number in range(len(runs))]
        owners: dict[str, set[int]] = {}
        for number, name in enumerate(ids):
            owners.setdefault(name.partition("#")[0], set()).add(number)
        clashes = [
            number
            for numbers in owners.values()
            if len({id(groups[number].files) for number in numbers}) > 1
            for number in numbers
            if level[number] < 3
        ]
        if not clashes:
            break
        for number in clashes:
            level[number] += 1
    taken: dict[str, int] = {}
    named = []
    for run, group, name in zip(runs, groups, ids, strict=True):
        unique = name
        while unique in taken:
            taken[name] += 1
            unique = f"{name} ({taken[name]})"
        taken[unique] = 1
        old = str(group.files[0]) if len(group.files) == 1 else str(group.folder)
        info = run.info
        if info.group == old:
            info = info.replace(group=name.removesuffix(run.id.removeprefix(old)))
        named.append(run.replace(id=unique, info=info))
    return named


def _id(long: str, group: _Group, level: int) -> str:
    """One of four ids of a run, from short to long."""
    one = len(group.files) == 1
    suffix = long.removeprefix(str(group.files[0]) if one else str(group.folder))
    root, folder = group.root, group.folder
    file = group.files[0].name if one else ""
    if root in (folder, *folder.parents):
        below = folder.relative_to(root)
        top = root.resolve().name or "logs"
        short = str(below) if below.parts else top
        names = [short, str(below / file) if below.parts or file else top, str(Path(top) / below / file)]
    else:  # the root is the file itself
        names = [folder.name if root.parent.parts else file, file, str(root)]
    names.append(str((folder / file).resolve() if file else folder.resolve()))
    return printable(names[level]) + suffix


def _nothing(roots: Sequence[Path], found: Found) -> str:
    where = ", ".join(str(root) for root in roots[:3]) + (
        f" and {len(roots) - 3} more" if len(roots) > 3 else ""
    )
    count = f"{found.files} file{'s' * (found.files != 1)} looked at"
    text = f"no log found below {printable(where)} ({count}; replay reads: {_formats()})"
    return text + "".join(f"\n  {problem}" for problem in found.problems[:20])

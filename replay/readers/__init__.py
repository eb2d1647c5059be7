"""Reads finished training logs of any known format into runs.

``IMPORTERS`` is the table of formats: one line each, and where two recognise a file the earlier one reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError, ReplayError, printable
from replay.readers.duplicates import Entry, merge
from replay.readers.find import HEAD, Candidate, Walk, natural
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.formats import csv_log, eval_log, jsonl, tensorboard, trainer_state
from replay.readers.step_signals import StepSignalsFile

__all__ = ["IMPORTERS", "Format", "Found", "Loaded", "NothingFound", "UnusableLog", "read", "sniff"]

IMPORTERS: tuple[Format, ...] = (
    eval_log.FORMAT,
    trainer_state.FORMAT,
    tensorboard.FORMAT,
    csv_log.FORMAT,
    jsonl.FORMAT,
)


@dataclass
class Found:
    """What was read below some paths.

    ``runs`` are in natural order of their ids, each counted once. ``findings`` are about what could not be
    read or is in doubt. ``duplicates`` holds pairs of what was dropped and the id of the run that was kept.
    ``files`` is the number of files looked at; ``skipped`` are those that are not a log of a known format.
    """

    runs: list[Run]
    findings: list[Finding] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    skipped: list[Path] = field(default_factory=list)


class NothingFound(InputError):
    """There is no run below the paths; ``findings`` say what could not be read."""

    def __init__(self, message: str, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


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
    """The format of a file by its first 64 KiB; None for what is not a log. Raises OSError."""
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

    One unreadable file never hides the others: it becomes a finding. ``progress`` is given what is to be
    loaded, and yields it again while it is, as click.progressbar does. Raises InputError where a path does
    not exist, and NothingFound where there is no run at all.
    """
    roots = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    walk = Walk(roots)
    found = Found([])
    recognised: dict[tuple[int, Path], list[Path]] = {}
    for candidate in walk:
        format = _recognise(candidate.path, candidate.head)
        if format is None:
            found.skipped.append(candidate.path)
            finding = _unrecognised(candidate)
            if finding is not None:
                found.findings.append(finding)
        else:
            recognised.setdefault((IMPORTERS.index(format), candidate.root), []).append(candidate.path)
    found.files = walk.files
    found.findings = [*walk.findings, *found.findings]
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
            loaded = _load(group, found.findings)
            entries += [Entry(run, group.folder, group.rank) for run in loaded]
            origin += [group] * len(loaded)
    kept, pairs = merge(entries)
    named = dict(zip(kept, _named(list(kept.values()), [origin[number] for number in kept]), strict=True))
    found.runs = sorted(named.values(), key=lambda run: (natural(run.id), run.id))
    found.duplicates = [
        (_relative(origin[number].files[0], origin[number].root), named[same].id) for number, same in pairs
    ]
    if not found.runs:
        raise NothingFound(_nothing(roots, found), found.findings)
    return found


def _load(group: _Group, findings: list[Finding]) -> list[Run]:
    """The runs of one group of files; what could not be read is added to the findings."""
    name = str(group.files[0]) if len(group.files) == 1 else str(group.folder)
    try:
        loaded = group.format.load(group.files, name)
    except UnusableLog as error:
        findings.append(error.finding)
        return []
    except ReplayError as error:
        findings.append(Finding(Kind.OTHER, facts={"text": str(error)}))
        return []
    except OSError as error:
        findings.append(unreadable(error.filename or name, error))
        return []
    except Exception as error:  # a format's defect must not hide the other runs
        facts = {"format": group.format.name, "error_type": type(error).__name__, "error": str(error)}
        findings.append(Finding(Kind.READER_FAILED, log=name, facts=facts))
        return []
    findings += loaded.findings
    signals = StepSignalsFile.beside(group.files[0]) if len(group.files) == 1 else None
    if signals is None:
        return loaded.runs
    return [run.replace(info=run.info.replace(step_signals=signals)) for run in loaded.runs]


def _unrecognised(candidate: Candidate) -> Finding | None:
    """What is wrong with a file that no format recognises; None unless it is named like a log or was given by
    name.
    """
    path, head = candidate.path, candidate.head
    patterns = [pattern for format in IMPORTERS for pattern in format.files.split(", ")]
    known = any(fnmatch(path.name.lower(), pattern) for pattern in patterns)
    if not candidate.named and not known:
        return None
    kind, facts = None, dict[str, Any]()
    if not head.strip(b"\0 \t\r\n"):
        kind, facts = Kind.EMPTY_FILE, {"blank": bool(head)}
    elif b"\0" in head[:4096] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind, facts = Kind.BINARY_FILE, {"suffix": path.suffix}
    elif path.name.lower() in patterns:
        kind = Kind.MISNAMED_FILE
    elif candidate.named:
        kind, facts = Kind.UNKNOWN_FORMAT, {"formats": tuple(format.name for format in IMPORTERS)}
    return None if kind is None else Finding(kind, log=str(path), facts=facts)


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
    formats = ", ".join(format.name for format in IMPORTERS)
    return f"no log found below {printable(where)} ({count}; replay reads: {formats})"

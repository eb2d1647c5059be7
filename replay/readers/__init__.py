"""Reads finished training logs of any known format into runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError, did_you_mean, list_names, printable
from replay.files import is_lfs_pointer
from replay.readers.columns import ColumnMap, load_columns
from replay.readers.continuations import find_continuations, join_runs
from replay.readers.duplicates import Entry, merge
from replay.readers.find import Candidate, Walk, natural, read_head
from replay.readers.format import GZIP, Format, Loaded, UnusableLog, unreadable
from replay.readers.garbage import fewer_collections
from replay.readers.growing import Growing
from replay.readers.load import load_groups, reader_failed
from replay.readers.naming import Group, named_runs, relative_name
from replay.readers.points import number as as_number
from replay.readers.points import unzip_head
from replay.readers.registry import FORMATS, registry
from replay.readers.regular import PARQUET, read_sheet
from replay.readers.series_names import step_name
from replay.readers.sketch import sketch

__all__ = [
    "FORMATS",
    "ColumnMap",
    "Format",
    "Growing",
    "Loaded",
    "NothingFound",
    "ReadResult",
    "Search",
    "UnusableLog",
    "read",
    "sniff",
]


_FORMATS_HINT = "replay formats lists the logs that can be read."
_MONITOR_HINT = ". To choose one of the metrics that are read anyway, give --monitor"
_PARQUET = frozenset({".parquet"})
#: Endings of binary files in which scripts may save curves.
_CURVES = (".pkl", ".pickle", ".npz", ".npy", ".mat", ".h5", ".hdf5", ".pt", ".pth")
#: Rows that are read of a table to see which columns it has.
_FEW_ROWS = 50
#: Files that are looked into, and that are shown, where nothing could be read.
_MOST_SKETCHED, _MOST_SHOWN = 20, 5


@dataclass
class ReadResult:
    """What was read below some paths.

    ``runs`` are in natural order of their ids, each counted once. ``findings`` are about what could not be
    read or is in doubt. ``duplicates`` holds pairs of what was dropped and the id of the run that was kept.
    ``files`` is the number of files looked at; ``skipped`` are those that are not a log of a known format.
    ``shown`` gives the text that stands for the path of a file, which may be the copy of a remote one.
    ``stores`` maps the ids of the runs that come from a store to its path.
    """

    runs: list[Run]
    findings: list[Finding] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    skipped: list[Path] = field(default_factory=list)
    shown: Callable[[str], str] = str
    stores: dict[str, Path] = field(default_factory=dict)

    def find_tables(self, most: int = 3) -> list[Finding]:
        """Findings on the first skipped files that could be read by their columns, with the options for it.

        Looks into the files again.
        """
        findings: list[Finding] = []
        for path in self.skipped[:_MOST_SKETCHED]:
            try:
                with path.open("rb") as file:
                    facts = sketch(path, read_head(file))
            except OSError:
                continue
            if facts.get("options"):
                findings.append(Finding(Kind.UNKNOWN_FORMAT, log=self.shown(str(path)), facts=facts))
        return findings[:most]


class NothingFound(InputError):
    """There is no run below the paths; ``findings`` say what could not be read, ``hint`` what would help."""

    def __init__(self, message: str, findings: Sequence[Finding], hint: str = "") -> None:
        super().__init__(message)
        self.findings = tuple(findings)
        self.hint = hint


def sniff(path: Path | str) -> Format | None:
    """The format of a file by its first 64 KiB; None for what is not a log. Raises OSError."""
    path = Path(path)
    with path.open("rb") as file:
        return _Recogniser().file(path, read_head(file))


class _Recogniser:
    """Asks the formats which of them reads a file or folder; a plug-in that raises is reported once."""

    def __init__(self) -> None:
        self.formats = registry().formats
        self.findings: dict[str, Finding] = {}

    def file(self, path: Path, head: bytes) -> Format | None:
        """The format of a file, by its first 64 KiB."""
        if is_lfs_pointer(head):
            return None
        text = unzip_head(head)
        return self._first(path, lambda one: (text is head or GZIP in one.endings) and one.sniff(path, text))

    def folder(self, path: Path, names: frozenset[str]) -> Format | None:
        """The format that reads a folder as a whole, by the names of its entries."""
        return self._first(path, lambda one: one.sniff_folder is not None and one.sniff_folder(path, names))

    def _first(self, path: Path, recognises: Callable[[Format], bool]) -> Format | None:
        for format in self.formats:
            try:
                if recognises(format):
                    return format
            except Exception as error:  # a format's defect must not hide the other logs
                finding = reader_failed(format, str(path), error)
                self.findings.setdefault(format.name, finding)
        return None


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
    columns: ColumnMap | None = None,
    growing: Growing | None = None,
) -> ReadResult:
    """Every run below the paths, with what was left out and why.

    One unreadable file never hides the others: it becomes a finding. ``progress`` is given what is to be
    loaded, and yields it again while it is, as click.progressbar does. A file that has all the columns that
    ``columns`` names is read by them, whatever else it looks like. ``growing`` keeps what was read for the
    next time, so that only what is new is read then; the result is the same. Raises InputError where a path
    does not exist and where no file has these columns, and NothingFound where there is no run at all.
    """
    with fewer_collections():
        search = Search(paths, columns)
        loaded = load_groups(search.groups) if growing is None else growing.load(search.groups)
        # infinities and numbers near the largest are data here
        with progress(search.groups) as counted, np.errstate(all="ignore"):
            each = [some for _, some in zip(counted, loaded, strict=True)]
        for _, more in each:
            search.result.findings += more
        search.result.runs = search.assemble(search.groups, [runs for runs, _ in each])
        if not search.result.runs:
            raise search.nothing()
        return search.result


class Search:
    """The logs below some paths, before they are loaded: ``groups`` of files that are loaded together.

    ``result`` has what was found out on the way. The errors are those of `read`.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        columns: ColumnMap | None = None,
    ) -> None:
        self._roots = (
            [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
        )
        recogniser = _Recogniser()
        rank_of = {format.name: rank for rank, format in enumerate(recogniser.formats)}
        self._walk = Walk(
            self._roots,
            recogniser.folder,
            _endings() | (_PARQUET if columns else frozenset()),
            frozenset().union(*(format.hidden_folders for format in recogniser.formats)),
        )
        self.result = ReadResult([])
        self.groups: list[Group] = []
        self._unrecognised: list[Candidate] = []
        by_columns = None if columns is None else _ByColumns(columns, len(recogniser.formats))
        recognised: dict[tuple[int, Path], list[Path]] = {}
        for candidate in self._walk:
            if candidate.format is not None:
                rank = rank_of[candidate.format.name]
                group = Group(candidate.format, rank, candidate.root, [candidate.path], whole_folder=True)
                self.groups.append(group)
                continue
            if by_columns is not None and by_columns.takes(candidate):
                self.groups.append(by_columns.group(candidate))
                continue
            format = recogniser.file(candidate.path, candidate.head)
            if format is None:
                self._skip(candidate)
            else:
                recognised.setdefault((rank_of[format.name], candidate.root), []).append(candidate.path)
        result = self.result
        result.files = self._walk.files
        if by_columns is not None:
            by_columns.check()
            result.findings += by_columns.findings
        result.findings = [
            *registry().findings,
            *self._walk.findings,
            *recogniser.findings.values(),
            *result.findings,
        ]
        keys: dict[Path, tuple[tuple[int, int, str], ...]] = {}
        for (rank, root), files in recognised.items():
            format = recogniser.formats[rank]
            keys |= {file: natural(str(file)) for file in files}
            files.sort(key=keys.__getitem__)
            self.groups += [Group(format, rank, root, group) for group in format.group(files)]
        self.groups.sort(key=lambda group: keys.get(group.files[0]) or natural(str(group.files[0])))
        self.groups.sort(key=lambda group: (natural(str(group.folder)), group.rank))

    def _skip(self, candidate: Candidate) -> None:
        self.result.skipped.append(candidate.path)
        if len(self._unrecognised) < _MOST_SKETCHED:
            self._unrecognised.append(candidate)
        finding = _find_unrecognised(candidate)
        if finding is not None:
            self.result.findings.append(finding)

    def assemble(self, groups: Sequence[Group], loaded: Sequence[Sequence[Run]]) -> list[Run]:
        """The runs of some groups, each counted once and with its name; what is dropped is added to the
        duplicates.
        """
        entries: list[Entry] = []
        origin: list[Group] = []
        for group, runs in zip(groups, loaded, strict=True):
            entries += [Entry(run, group.folder, group.rank) for run in runs]
            origin += [group] * len(runs)
        with np.errstate(all="ignore"):
            entries, origin = _join(entries, origin)
            kept, pairs = merge(entries)
        names = named_runs(list(kept.values()), [origin[number] for number in kept])
        named = dict(zip(kept, names, strict=True))
        self.result.duplicates += [
            (relative_name(origin[number].files[0], origin[number].root), named[same].id)
            for number, same in pairs
        ]
        return sorted(named.values(), key=lambda run: (natural(run.id), run.id))

    def nothing(self) -> NothingFound:
        """The error that there is no run."""
        result = self.result
        tables = [(path, PARQUET) for path in self._walk.unopened_tables[:_MOST_SHOWN]]
        others = [(candidate.path, candidate.head) for candidate in self._unrecognised]
        result.findings += _sketches([*tables, *others], result.findings)
        hint = _FORMATS_HINT if self._walk.opened else _say_place(self._roots)
        if any(finding.get("columns") for finding in result.findings):
            hint = ""  # what is said of a table says what to do
        return NothingFound(_nothing(self._roots, result), result.findings, hint)


def _join(entries: Sequence[Entry], origin: Sequence[Group]) -> tuple[list[Entry], list[Group]]:
    """The entries with the processes of one training joined, and the group of files that each comes from."""
    chains = {chain[0]: chain for chain in find_continuations(entries)}
    later = {number for chain in chains.values() for number in chain[1:]}
    joined, groups = list[Entry](), list[Group]()
    for number, entry in enumerate(entries):
        if number in later:
            continue
        chain = chains.get(number)
        if chain is None:
            joined.append(entry)
            groups.append(origin[number])
            continue
        last = origin[chain[-1]]
        files = [file for one in chain for file in origin[one].files]
        group = Group(last.format, last.rank, last.root, list(dict.fromkeys(files)))
        run = join_runs(group.name, [entries[one].run for one in chain])
        joined.append(Entry(run, group.folder, group.rank))
        groups.append(group)
    return joined, groups


class _ByColumns:
    """The files that have the columns that the user names."""

    def __init__(self, columns: ColumnMap, rank: int) -> None:
        self.columns, self._rank = columns, rank
        self.findings: list[Finding] = []
        self._taken = 0
        self._others: list[tuple[Path, list[str]]] = []
        self._format = Format(name="columns", summary="", files="", load=partial(load_columns, columns))

    def takes(self, candidate: Candidate) -> bool:
        """Whether a file is to be read by the columns."""
        try:
            sheet = read_sheet(candidate.path, candidate.head, _FEW_ROWS)
        except UnusableLog as error:
            self.findings.append(error.finding)
            return False
        except OSError as error:
            self.findings.append(unreadable(candidate.path, error, "file"))
            return False
        if sheet is None:
            return False
        if self.columns.fits(sheet):
            self._taken += 1
            return True
        if any(as_number(cell) is not None for row in sheet.rows for cell in row.values()):  # else a text
            self._others.append((candidate.path, sheet.columns))
        return False

    def group(self, candidate: Candidate) -> Group:
        """A file as the group of one run."""
        return Group(self._format, self._rank, candidate.root, [candidate.path])

    def check(self) -> None:
        """Raise InputError where no file has the columns."""
        if self._taken:
            return
        named = ", ".join(repr(name) for name in self.columns.named)
        if not self._others:
            text = f"no table with the columns {named}: CSV, TSV, JSON, JSON lines and Parquet are read"
            text += _MONITOR_HINT if self.columns.has_metrics_only else ""
            raise NothingFound(text, self.findings)
        tables = [other for other in self._others if step_name(other[1]) is not None] or self._others
        path, columns = min(tables, key=lambda table: len(self.columns.lacking(table[1])))
        lacking = self.columns.lacking(columns)
        more = f" and {len(tables) - 1} more table{'s' * (len(tables) > 2)}" if len(tables) > 1 else ""
        raise InputError(
            f"{printable(path)}{more}: no column {list_names(map(repr, lacking))}; it has"
            f" {printable(list_names(columns, 12))}{did_you_mean(lacking[0], columns)}"
            f"{_MONITOR_HINT if self.columns.has_metrics_only else ''}"
        )


def _endings() -> frozenset[str]:
    """The endings of files that a format reads, although most files with such an ending are no logs."""
    return frozenset().union(*(format.endings for format in registry().formats))


def _sketches(files: Sequence[tuple[Path, bytes]], findings: Sequence[Finding]) -> list[Finding]:
    """Findings on a few files that no format recognises, those that could be read by their columns first."""
    named = {finding.log for finding in findings}
    sketched = [
        Finding(Kind.LFS_POINTER, log=str(path))
        if is_lfs_pointer(head)
        else Finding(Kind.UNKNOWN_FORMAT, log=str(path), facts=sketch(path, head))
        for path, head in files
        if str(path) not in named
    ]
    sketched.sort(key=lambda finding: (not finding.get("options"), not finding.get("columns")))
    return sketched[:_MOST_SHOWN]


def _find_unrecognised(candidate: Candidate) -> Finding | None:
    """What is wrong with a file that no format recognises; None unless it is named like a log or was given by
    name.
    """
    path, head = candidate.path, candidate.head
    patterns = [pattern for format in registry().formats for pattern in format.files.split(", ")]
    known = any(fnmatch(path.name.lower(), pattern) for pattern in patterns)
    known = known or (is_lfs_pointer(head) and path.suffix.lower() in _endings())
    if not candidate.named and not known:
        return None
    kind, facts = None, dict[str, Any]()
    if is_lfs_pointer(head):
        kind = Kind.LFS_POINTER
    elif not head.strip(b"\0 \t\r\n"):
        kind, facts = Kind.EMPTY_FILE, {"blank": bool(head)}
    elif head.startswith(PARQUET):
        kind, facts = Kind.UNKNOWN_FORMAT, sketch(path, head)
    elif b"\0" in head[:4096] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind, facts = Kind.BINARY_FILE, {"suffix": path.suffix}
    elif path.name.lower() in patterns:
        kind = Kind.MISNAMED_FILE
    elif candidate.named:
        kind, facts = Kind.UNKNOWN_FORMAT, sketch(path, head)
    return None if kind is None else Finding(kind, log=str(path), facts=facts)


def _nothing(roots: Sequence[Path], result: ReadResult) -> str:
    where = ", ".join(str(root) for root in roots[:3]) + (
        f" and {len(roots) - 3} more" if len(roots) > 3 else ""
    )
    count = f"{result.files} file{'s' * (result.files != 1)} looked at"
    return f"no log found below {printable(where)} ({count})"


def _say_place(roots: Sequence[Path]) -> str:
    """What is in folders in which no file was looked at, and what to give instead."""
    skipped = next((name for root in roots for _, _, files in os.walk(root) for name in files), None)
    holds = "The folder holds" if len(roots) == 1 else "The folders hold"
    what = "no files" if skipped is None else f"only files that are never logs, such as {printable(skipped)}"
    if skipped is not None and skipped.lower().endswith(_CURVES):
        what += (
            ". A pickle is never loaded, and arrays have no names of steps; save the curves as CSV or JSON"
        )
    return (
        f"{holds} {what}. Give a log, such as trainer_state.json, metrics.csv or an event file of"
        f" TensorBoard, or a folder with logs in it. {_FORMATS_HINT}"
    )

"""Reads very many logs in bounded memory: first all of them one by one, then those that belong together.

A run may have logs in several places, so logs cannot simply be read folder by folder. In the first pass each
log is read, put aside in a temporary file, and reduced to what it may have in common with other logs: its
training folder, the place of a process that goes on where it ended, and the first values of its series.
Logs that have something in common come back together in the second pass, and are joined and compared as
`replay.readers.read` does it.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np

from replay.data.run import Run, Series
from replay.readers import ColumnMap, ReadResult, Search
from replay.readers.agreement import LoggedCurve, logged_curve
from replay.readers.continuations import piece_of, places_of
from replay.readers.duplicates import Entry, training_folder
from replay.readers.load import load_groups
from replay.readers.naming import Group
from replay.readers.processes import Span, begins_in_the_middle, begins_later

__all__ = ["read_in_batches"]

#: Up to so many groups of files, with so many bytes, are read at once.
MOST_GROUPS, MOST_BYTES = 500, 128 * 1024**2
#: Bytes of runs that are taken back at a time.
BATCH_BYTES = 16 * 1024**2
#: Logs that belong together are taken back together up to so many bytes; of more, those are compared that
#: follow each other in natural order.
MOST_TOGETHER = 128 * 1024**2
#: Runs in one folder and in those below it are related, unless there are more folders than this.
_MOST_BELOW = 64
#: Values with fewer digits than this may have been rounded.
_EXACT = 7


def read_in_batches(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
    columns: ColumnMap | None = None,
) -> tuple[ReadResult, Iterator[Run]]:
    """Every run below the paths, one after the other, and what was left out and why.

    The result has no runs. Its findings are complete, and its duplicates when the last run was taken. The
    errors are those of `replay.readers.read`. Where there are many logs, two runs may have the same id.
    """
    search = Search(paths, columns)
    groups, result = search.groups, search.result
    many = len(groups) > MOST_GROUPS or sum(map(_size, groups)) > MOST_BYTES
    spool = _Spool(many)
    links = _Links()
    with progress(groups) as counted, np.errstate(all="ignore"):
        for number, (group, (runs, more)) in enumerate(zip(counted, load_groups(groups), strict=True)):
            result.findings += more
            spool.add(runs)
            if many:
                for run in runs:
                    links.add(number, Entry(run, group.folder, group.rank))
    if not spool.runs:
        raise search.nothing()
    batches = spool.batches(links.clusters(len(groups))) if many else [list(range(len(groups)))]
    return result, _runs(search, spool, batches)


def _runs(search: Search, spool: _Spool, batches: Iterable[Sequence[int]]) -> Iterator[Run]:
    for batch in batches:
        groups = [search.groups[number] for number in batch]
        yield from search.assemble(groups, [spool.take(number) for number in batch])
    spool.close()


def _size(group: Group) -> int:
    """The bytes of the files of a group; 0 of those that cannot be seen."""
    total = 0
    for file in group.files:
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


class _Spool:
    """The runs of each group in a temporary file that has no name, or in memory where they are few."""

    def __init__(self, many: bool) -> None:
        self._file: IO[bytes] | None = tempfile.TemporaryFile() if many else None  # noqa: SIM115
        self._held: list[Sequence[Run]] = []
        self._bounds = [0]
        self.runs = 0

    def add(self, runs: Sequence[Run]) -> None:
        """Put the runs of the next group aside."""
        self.runs += len(runs)
        if self._file is None:
            self._held.append(runs)
            return
        pickle.dump(list(runs), self._file, pickle.HIGHEST_PROTOCOL)
        self._bounds.append(self._file.tell())

    def take(self, number: int) -> Sequence[Run]:
        """The runs of a group, which are asked for once."""
        if self._file is None:
            runs, self._held[number] = self._held[number], ()
            return runs
        self._file.seek(self._bounds[number])
        taken: list[Run] = pickle.load(self._file)
        return taken

    def batches(self, clusters: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Groups that are assembled together: whole clusters where they are not too large."""
        batch: list[int] = []
        size = 0
        for cluster in clusters:
            whole = sum(map(self._bytes, cluster)) <= MOST_TOGETHER
            for part in [cluster] if whole else [[number] for number in cluster]:
                more = sum(map(self._bytes, part))
                if batch and size + more > BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
                batch += part
                size += more
        if batch:
            yield batch

    def _bytes(self, number: int) -> int:
        return self._bounds[number + 1] - self._bounds[number]

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()


class _Links:
    """Which groups of files may have logs of one run, by a little that is kept of each."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._first: dict[object, int] = {}
        self._homes: dict[Path, int] = {}
        self._exact: dict[object, int] = {}
        self._rounded: dict[object, list[tuple[int, bool]]] = {}
        self._places: dict[object, dict[frozenset[tuple[str, float]], list[int]]] = {}
        self._later: list[tuple[int, object, frozenset[tuple[str, float]]]] = []
        self._begins: dict[frozenset[tuple[str, float]], frozenset[tuple[str, float]]] = {}

    def add(self, number: int, entry: Entry) -> None:
        """Take in a run of a group."""
        self._join_first(self._homes, training_folder(entry.folder), number)
        piece = piece_of(entry)
        place = places_of(piece)[0]
        begins = self._begins.setdefault(piece.span.begins, piece.span.begins)
        alike = self._places.setdefault(place, {}).setdefault(begins, [])
        if not alike or alike[-1] != number:
            alike.append(number)
        if begins_in_the_middle(piece.span):
            self._later.append((number, place, begins))
        for curve in _first_curves(entry.run):
            self._add_curve(number, curve)

    def _add_curve(self, number: int, curve: LoggedCurve) -> None:
        """Two logs of one run begin with the same values, which one of them may have rounded."""
        values = curve.value[np.isfinite(curve.value)]
        values = values[np.sort(np.unique(values, return_index=True)[1])][:2]
        if len(values) < 2 or curve.digits < 2:
            return
        self._join_first(self._exact, values.astype(np.float32).tobytes(), number)
        rounded = curve.digits < _EXACT
        # cells of a relative width of 0.2 %, in two grids, so that values beside a border share one
        cells = np.arcsinh(values / 0.1) / 0.002
        for first in (0.0, 0.5):
            for second in (0.0, 0.5):
                key = first, second, int(np.floor(cells[0] + first)), int(np.floor(cells[1] + second))
                others = self._rounded.setdefault(key, [])
                for other, was_rounded in others:
                    if rounded or was_rounded:
                        self._join(number, other)
                if all(was_rounded != rounded or other != number for other, was_rounded in others):
                    others.append((number, rounded))

    def clusters(self, groups: int) -> list[list[int]]:
        """The groups that may have logs of one run, together, in the order of their first ones."""
        for number, place, begins in self._later:
            span = _FirstSteps(begins)
            for others, numbers in self._places[place].items():
                if begins_later(span, _FirstSteps(others)):
                    for other in numbers:
                        self._join(number, other)
        below: dict[Path, list[int]] = {}
        for folder, number in self._homes.items():
            above = next((one for one in folder.parents if one in self._homes), None)
            if above is not None:
                below.setdefault(above, []).append(number)
        for folder, numbers in below.items():
            if len(numbers) <= _MOST_BELOW:
                for number in numbers:
                    self._join(number, self._homes[folder])
        clusters: dict[int, list[int]] = {}
        for number in range(groups):
            clusters.setdefault(self._root(number), []).append(number)
        return list(clusters.values())

    def _join_first(self, known: dict[Any, int], key: object, number: int) -> None:
        self._join(number, known.setdefault(key, number))

    def _root(self, number: int) -> int:
        root = number
        while self._parent.get(root, root) != root:
            root = self._parent[root]
        while self._parent.get(number, number) != root:
            self._parent[number], number = root, self._parent.get(number, number)
        return root

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first


class _FirstSteps(Span):
    """A span of which only the first step of each series is known."""

    def __init__(self, begins: frozenset[tuple[str, float]]) -> None:
        super().__init__({name: np.array([step]) for name, step in begins})


def _first_curves(run: Run) -> list[LoggedCurve]:
    """The held-out series of a run, or its train series where it has none."""
    series = [
        Series(run.steps[column.present], column.values[column.present])
        for column in (run.columns[name] for name in run.metrics)
        if column.present.any()
    ]
    return [logged_curve(0, "", one, held_out=True) for one in series or run.train.values()]

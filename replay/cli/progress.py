"""Progress bars, on a terminal and only where it takes long enough."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from replay.cli.columns import stated_columns, stated_filter
from replay.cli.output import exists, keep_findings, keep_inputs

if TYPE_CHECKING:
    from replay.data.run import Run
    from replay.readers import ReadResult

__all__ = [
    "Bar",
    "computing",
    "count_policies",
    "keep_logs",
    "open_logs",
    "read_logs",
    "run_in_turn",
    "show_files",
]

#: Seconds that work takes before its bar is shown.
_SHOWN_AFTER = 1.0
#: Seconds between two drawings.
_REDRAWN_EVERY = 0.2


class Bar:
    """A progress bar that appears once the work has taken a second, and shows the time since it began.

    A thread draws it, so that it also moves while one item takes long. ``length`` is None where the amount
    of work is not known.
    """

    def __init__(self, label: str, length: int | None = None) -> None:
        self._label, self._length, self._done = label, length, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(sys.stderr,), daemon=True)

    def __enter__(self) -> Bar:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def update(self, done: int) -> None:
        """Say how many are done."""
        self._done = done

    def _draw(self, terminal: TextIO) -> None:
        begin = time.monotonic()
        if self._ended.wait(_SHOWN_AFTER):
            return
        # without a length, the mark moves with a number that goes up by one per drawing
        bar: Any = click.progressbar(
            itertools.count() if self._length is None else None,
            length=self._length,
            label=self._label,
            file=terminal,
            item_show_func=lambda item: f"{time.monotonic() - begin:.0f} s",
        )
        with bar:
            while True:
                ended = self._ended.wait(_REDRAWN_EVERY)
                bar.update(1 if self._length is None else self._done - bar.pos)
                bar.render_progress()
                if ended:
                    return

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each counted as done when the next one is asked for."""
        for done, item in enumerate(items, 1):
            yield item
            self.update(done)


def read_logs(paths: Sequence[Path], most: int | None = None) -> ReadResult:
    """Read all logs below the paths, and the runs of stores, of each at most ``most``."""
    from replay.api import read

    keep_inputs(paths)
    columns, where = stated_columns(), stated_filter()
    logs = (
        read(paths, partial(_counting, "reading"), columns, partial(_counting, "fetching"), where, most)
        if sys.stderr.isatty()
        else read(paths, columns=columns, where=where, most=most)
    )
    keep_findings(logs.findings)
    keep_logs(logs)
    return logs


def keep_logs(logs: ReadResult) -> None:
    """Note the files of what was read; raises InputError where an option asks to write to one of them."""
    keep_inputs(_files_of(logs))


def open_logs(paths: Sequence[Path]) -> tuple[ReadResult, Iterator[Run]]:
    """The runs of all logs below the paths, and of stores, one after the other; the result has none."""
    from replay.api import explaining
    from replay.store.importing import read_for_import

    keep_inputs(paths)
    columns, where = stated_columns(), stated_filter()
    with explaining():
        if not sys.stderr.isatty():
            return read_for_import(paths, columns=columns, where=where)
        return read_for_import(
            paths, partial(_counting, "reading"), columns, where, fetching=partial(_counting, "fetching")
        )


@contextlib.contextmanager
def _counting(label: str, items: Iterable[Any]) -> Iterator[Any]:
    with Bar(label, len(items) if isinstance(items, Sized) else None) as bar:
        yield bar.count(items)


def _files_of(logs: ReadResult) -> Iterator[Path]:
    """The files that runs were read from, and those that something was found about; a file inside an archive
    stands for the archive.
    """
    from replay.data.finding import Kind

    no_logs = {Kind.UNKNOWN_FORMAT, Kind.BINARY_FILE, Kind.EMPTY_FILE}
    of_runs = (source for run in logs.runs for source in run.info.sources)
    damaged = (finding.log for finding in logs.findings if finding.log and finding.kind not in no_logs)
    for name in (*of_runs, *damaged):
        yield next((path for path in (Path(name), *Path(name).parents) if exists(path)), Path(name))


def run_in_turn(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    """The results of a function for each file of a store, with a bar on a terminal."""
    yield from show_files(map(function, tasks), len(tasks))


def show_files(results: Iterable[Any], count: int) -> Iterator[Any]:
    """The results for so many files of a store, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from results
        return
    with Bar("replaying files", count) as bar:
        yield from bar.count(results)


@contextlib.contextmanager
def count_policies(policies: int) -> Iterator[Callable[[int], None] | None]:
    """A function that takes the number of policies done and shows it; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Bar("trying policies", policies) as bar:
        yield bar.update


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Show, on a terminal, that outcomes and intervals are being computed."""
    if not sys.stderr.isatty():
        yield
        return
    with Bar("computing outcomes and intervals"):
        yield

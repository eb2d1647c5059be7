"""Progress bars, on a terminal and only where it takes long enough."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.columns import stated_columns
from replay.cli.output import exists, keep_findings, keep_inputs

if TYPE_CHECKING:
    from replay.readers import ReadResult

__all__ = ["Bar", "count_policies", "read_logs"]

#: Seconds that work takes before its bar is shown.
_SHOWN_AFTER = 1.0


class Bar:
    """A progress bar that appears once the work has taken a second."""

    def __init__(self, label: str, length: int) -> None:
        self._label, self._length, self._begin = label, length, time.monotonic()
        self._stack = contextlib.ExitStack()
        self._bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def update(self, done: int) -> None:
        """Show how many are done."""
        if self._bar is None and time.monotonic() - self._begin >= _SHOWN_AFTER:
            bar: Any = click.progressbar(length=self._length, label=self._label, file=sys.stderr)
            self._bar = self._stack.enter_context(bar)
        if self._bar is not None:
            self._bar.update(done - self._bar.pos)

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each counted as done when the next one is asked for."""
        for done, item in enumerate(items):
            self.update(done)
            yield item
        self.update(self._length)


def read_logs(paths: Sequence[Path]) -> ReadResult:
    """Read all logs below the paths."""
    from replay.api import read

    @contextlib.contextmanager
    def count_logs(items: Any) -> Iterator[Any]:
        with Bar("reading", len(items)) as bar:
            yield bar.count(items)

    keep_inputs(paths)
    columns = stated_columns()
    logs = read(paths, count_logs, columns) if sys.stderr.isatty() else read(paths, columns=columns)
    keep_findings(logs.findings)
    keep_inputs(_files_of(logs))
    return logs


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


@contextlib.contextmanager
def count_policies(policies: int) -> Iterator[Callable[[int], None] | None]:
    """A function that takes the number of policies done and shows it; None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Bar("trying policies", policies) as bar:
        yield bar.update

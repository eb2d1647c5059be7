"""Progress bars, on a terminal and only where it takes long enough."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.columns import stated_columns
from replay.cli.output import exists, keep_findings, keep_inputs
from replay.data.finding import Kind

if TYPE_CHECKING:
    from replay.readers import ReadResult

__all__ = ["count_policies", "read_logs"]

#: Findings about files that are no logs.
_NO_LOGS = {Kind.UNKNOWN_FORMAT, Kind.BINARY_FILE, Kind.EMPTY_FILE}
_MANY_OUTCOMES = 200_000  # policies times runs that take about a second
_MANY_LOGS = 50


def read_logs(paths: Sequence[Path]) -> ReadResult:
    """Read all logs below the paths."""
    from replay.api import read

    def bar(items: Any) -> Any:
        if len(items) <= _MANY_LOGS:
            return contextlib.nullcontext(items)
        return click.progressbar(items, label="reading", file=sys.stderr)

    keep_inputs(paths)
    columns = stated_columns()
    logs = read(paths, bar, columns) if sys.stderr.isatty() else read(paths, columns=columns)
    keep_findings(logs.findings)
    keep_inputs(_files_of(logs))
    return logs


def _files_of(logs: ReadResult) -> Iterator[Path]:
    """The files that runs were read from, and those that something was found about; a file inside an archive
    stands for the archive.
    """
    of_runs = (source for run in logs.runs for source in run.info.sources)
    damaged = (finding.log for finding in logs.findings if finding.log and finding.kind not in _NO_LOGS)
    for name in (*of_runs, *damaged):
        yield next((path for path in (Path(name), *Path(name).parents) if exists(path)), Path(name))


@contextlib.contextmanager
def count_policies(policies: int, runs: int) -> Iterator[Callable[[int], None] | None]:
    """A function that takes the number of policies done and shows it, or None where no bar is shown."""
    if not sys.stderr.isatty() or policies * runs < _MANY_OUTCOMES:
        yield None
        return
    with click.progressbar(length=policies, label="sweeping", file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)

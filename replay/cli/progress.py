"""Progress bars, on a terminal and only where it takes long enough."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.columns import stated_columns
from replay.cli.output import keep_findings

if TYPE_CHECKING:
    from replay.readers import ReadResult

__all__ = ["count_policies", "read_logs"]

_MANY_OUTCOMES = 200_000  # policies times runs that take about a second
_MANY_LOGS = 50


def read_logs(paths: Sequence[Path]) -> ReadResult:
    """Read all logs below the paths."""
    from replay.api import read

    def bar(items: Any) -> Any:
        if len(items) <= _MANY_LOGS:
            return contextlib.nullcontext(items)
        return click.progressbar(items, label="reading", file=sys.stderr)

    columns = stated_columns()
    logs = read(paths, bar, columns) if sys.stderr.isatty() else read(paths, columns=columns)
    keep_findings(logs.findings)
    return logs


@contextlib.contextmanager
def count_policies(policies: int, runs: int) -> Iterator[Callable[[int], None] | None]:
    """A function that takes the number of policies done and shows it, or None where no bar is shown."""
    if not sys.stderr.isatty() or policies * runs < _MANY_OUTCOMES:
        yield None
        return
    with click.progressbar(length=policies, label="sweeping", file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)

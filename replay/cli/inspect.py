"""``replay inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.columns import columns_options, columns_words
from replay.cli.options import output_options, paths_argument, watch_options
from replay.cli.output import show
from replay.cli.progress import read_logs

if TYPE_CHECKING:
    from replay.data.types import Mode

__all__ = ["command"]


@click.command("inspect")
@paths_argument
@watch_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...], monitor: str | None, mode: Mode | None, style: str, out: Path | None
) -> None:
    """What was found below the paths, and how it is read.

    Runs, formats, metrics, evals, the monitor and mode with the reason, eval noise, censoring, duplicates,
    and what was dropped. A log without evals is shown with the setting that would have logged them.

    \b
      replay inspect logs/
      replay inspect logs/ --monitor eval_rougeL --format json
    """
    from replay.engine.inspect import inspect
    from replay.report.inspect import build

    inspection = inspect(read_logs(paths), monitor, mode)
    show(build(inspection, paths, columns_words()), style, out)

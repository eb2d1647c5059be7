"""``replay inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.columns import columns_options
from replay.cli.options import output_options, paths_argument, question_words, watch_options
from replay.cli.output import show
from replay.cli.progress import read_logs
from replay.urls import is_url

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
    """Show what was found below the paths and how it is read.

    The output lists the runs, their formats, metrics and evals, the monitor with the reason why it was taken,
    eval noise, censored runs, duplicates, and what could not be read. For a log without evals it names the
    setting that would have logged them. For a store it lists the imports, the files and the schema version.

    \b
      replay inspect logs/
      replay inspect logs/ --monitor eval_rougeL --format json
    """
    from replay.engine.inspect import inspect
    from replay.report.inspect import build
    from replay.store import Manifest, is_store

    inspection = inspect(read_logs(paths), monitor, mode)
    manifests = [Manifest.read(path) for path in paths if not is_url(str(path)) and is_store(path)]
    show(build(inspection, paths, question_words(), manifests), style, out)

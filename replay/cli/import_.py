"""``replay import``."""

from __future__ import annotations

from pathlib import Path

import click

from replay.cli.columns import columns_options
from replay.cli.options import paths_argument, verbose_option
from replay.cli.output import warn
from replay.cli.progress import open_logs
from replay.errors import printable

__all__ = ["command"]


@click.command("import")
@paths_argument
@click.option(
    "--out",
    "store",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="STORE",
    help="The store: a folder, which is made where there is none.",
)
@columns_options()
@verbose_option
def command(paths: tuple[Path, ...], store: Path) -> None:
    """Keep the runs of logs in a store of Parquet files.

    A run whose content the store has already is counted as a duplicate, and not added again. An import that
    is killed leaves the store as it was. Every command that takes logs takes a store as well.

    \b
      replay import logs/ --out runs.store
      replay simulate runs.store --policy patience=3
      replay inspect runs.store --where "model = 'x' and evals >= 20"
    """
    from replay import __version__
    from replay.report.render.text import suggested
    from replay.report.sentences.store import say_added, say_waiting
    from replay.store import Origin, Store

    logs, runs = open_logs(paths)
    origin = Origin(
        [str(path) for path in paths],
        __version__,
        logs.findings,
        logs.duplicates,
        [str(path) for path in logs.skipped],
    )
    added = Store.add(store, runs, origin, lambda who: click.echo(say_waiting(who), err=True))
    warn([*logs.findings, *added.findings])
    for line in say_added(added.runs, added.duplicates, added.renamed, store):
        click.echo(printable(line))
    for line in suggested([["replay", "inspect", str(store)]]):
        click.echo(line)

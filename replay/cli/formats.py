"""``replay formats``."""

from __future__ import annotations

from pathlib import Path

import click

from replay.cli.options import output_options
from replay.cli.output import show, warn

__all__ = ["command"]


@click.command("formats")
@click.argument("name", required=False)
@output_options
def command(name: str | None, style: str, out: Path | None) -> None:
    """List the log formats that can be read.

    With NAME, the output says of one format what is read of it and what is not. With --verbose it says so of
    all.

    \b
      replay formats
      replay formats csv
    """
    from replay.readers.registry import registry
    from replay.report.formats import build

    warn(registry().findings)
    show(build(name), style, out)

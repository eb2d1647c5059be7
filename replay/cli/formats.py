"""``replay formats``."""

from __future__ import annotations

from pathlib import Path

import click

from replay.cli.options import output_options
from replay.cli.output import show, warn

__all__ = ["command"]


@click.command("formats")
@output_options
def command(style: str, out: Path | None) -> None:
    """List the log formats that can be read."""
    from replay.readers.registry import registry
    from replay.report.formats import build

    warn(registry().findings)
    show(build(), style, out)

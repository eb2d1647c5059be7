"""``replay policies``."""

from __future__ import annotations

from pathlib import Path

import click

from replay.cli.options import output_options
from replay.cli.output import show

__all__ = ["command"]


@click.command("policies")
@output_options
def command(style: str, out: Path | None) -> None:
    """List the stop policies, their parameters and modifiers."""
    from replay.report.policies import build

    show(build(), style, out)

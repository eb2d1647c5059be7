"""``replay policies``."""

from __future__ import annotations

from pathlib import Path

import click

from replay.cli.options import output_options
from replay.cli.output import show

__all__ = ["command"]


@click.command("policies")
@click.argument("name", required=False)
@output_options
def command(name: str | None, style: str, out: Path | None) -> None:
    """List the stop policies, their parameters and modifiers.

    With NAME, the output is about one policy, one modifier, or the policies of one tool. With --verbose it
    is about all of them.

    \b
      replay policies
      replay policies patience
    """
    from replay.report.policies import build

    show(build(name), style, out)

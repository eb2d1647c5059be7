"""``replay export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from replay.cli.options import policy_option, watch_options
from replay.cli.output import show

if TYPE_CHECKING:
    from replay.data.types import Mode

__all__ = ["command"]


@click.command("export")
@policy_option
@click.option(
    "--to",
    "framework",
    required=True,
    type=click.Choice(["transformers", "keras", "lightning"]),
    help="For which framework.",
)
@watch_options
def command(spec: str, framework: str, monitor: str | None, mode: Mode | None) -> None:
    """Print a policy as code for a training script.

    \b
      replay export --policy patience=3 --to transformers
    """
    from replay.policies.spec import parse_policy
    from replay.report.export import build

    show(build(parse_policy(spec), framework, monitor=monitor, mode=mode), "text")

"""``replay verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.columns import columns_options, columns_words
from replay.cli.options import output_options, paths_argument, policy_option, watch_options
from replay.cli.output import show, warn
from replay.cli.progress import read_logs

if TYPE_CHECKING:
    from replay.data.types import Mode

__all__ = ["command"]


@click.command("verify")
@paths_argument
@policy_option
@watch_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...], spec: str, monitor: str | None, mode: Mode | None, style: str, out: Path | None
) -> None:
    """Check that a policy stops a live training where its replay stops.

    \b
      replay verify logs/ --policy 'patience=3,smooth=ema:0.3'

    The exit code is 1 if any run is stopped elsewhere.
    """
    from replay.errors import InputError
    from replay.live.verify import verify
    from replay.policies.spec import parse_policy
    from replay.report.verify import build

    policy = parse_policy(spec)
    logs = read_logs(paths)
    runs = [run for run in logs.runs if len(run)]
    if not runs:
        raise InputError("no run has an eval to verify the policy on")
    results = [result for run in runs for result in verify(run, policy, monitor=monitor, mode=mode)]
    warn(logs.findings)
    words = [
        "--policy",
        spec,
        *(
            word
            for name in ("monitor", "mode")
            if (value := click.get_current_context().params[name])
            for word in (f"--{name}", str(value))
        ),
    ]
    show(
        build(spec, results, explain=["replay", "explain", *map(str, paths), *words, *columns_words()]),
        style,
        out,
    )
    if not all(result.same for result in results):
        sys.exit(1)

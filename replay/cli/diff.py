"""``replay diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import DEFAULT_POLICIES
from replay.cli.columns import columns_options
from replay.cli.options import given_settings, output_options, question_options
from replay.cli.output import show, warn
from replay.cli.progress import read_logs

if TYPE_CHECKING:
    from replay.engine.question import Question

__all__ = ["command"]


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.argument("paths", nargs=-1, metavar="[LOGS]...", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy to compare two sets of logs by (repeatable).",
)
@question_options
@columns_options()
@output_options
def command(
    before: str,
    after: str,
    paths: tuple[Path, ...],
    specs: tuple[str, ...],
    question: Question,
    style: str,
    out: Path | None,
) -> None:
    """Show which runs stop elsewhere under B than under A, and what that changes.

    A and B are two policies or two files of policies, on the same LOGS; two locks, as replay check writes
    them; or two sets of logs, under the same policies. Runs are paired by their ids, and the differences have
    intervals.

    \b
      replay diff transformers@4.46:patience=3 transformers:patience=3 logs/
      replay diff old/policies.toml policies.toml logs/
      replay diff old/replay.lock replay.lock
      replay diff old_logs/ new_logs/ --policy patience=3
    """
    from replay.check.diff import diff
    from replay.report.diff import build

    # settings that were not typed are those of the files or locks that are compared
    result = diff(
        before, after, paths, specs, read_logs, defaults=DEFAULT_POLICIES, given=given_settings(question)
    )
    warn(result.findings)
    show(build(result), style, out)

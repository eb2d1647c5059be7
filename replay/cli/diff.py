"""``replay diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import DEFAULT_POLICIES
from replay.cli.columns import columns_options
from replay.cli.options import given_settings, output_options, question_options, question_words
from replay.cli.output import show, warn_unless_noted
from replay.cli.progress import read_logs
from replay.urls import as_path, is_url

if TYPE_CHECKING:
    from replay.engine.question import Question

__all__ = ["command"]


@click.command("diff")
@click.argument("words", nargs=-1, metavar="A B [LOGS]...")
@click.option(
    "--rev",
    "revisions",
    multiple=True,
    metavar="REVISION",
    help="Compare A as it is in a git revision, such as HEAD~1, with that of now (or of a second --rev).",
)
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
    words: tuple[str, ...],
    revisions: tuple[str, ...],
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
      replay diff --rev HEAD~1 policies.toml
      replay diff --rev v1 --rev v2 replay.lock

    With --rev there is one A: a file of policies (with its logs), a lock, or logs. Git gives it as it was;
    nothing is checked out.
    """
    from replay.check.diff import diff
    from replay.check.revision_diff import diff_revisions, stored
    from replay.report.diff import build

    needed = 1 if revisions else 2
    if len(words) < needed:
        raise click.UsageError("give A, such as policies.toml" if revisions else "give A and B to compare")
    typed = words
    words = tuple(str(as_path(word)) if is_url(word) else word for word in words)
    logs = [as_path(word) for word in words[needed:]]
    # settings that were not typed are those of the files or locks that are compared
    given = given_settings(question)
    if revisions:
        result = diff_revisions(
            revisions, Path(words[0]), logs, specs, read_logs, defaults=DEFAULT_POLICIES, given=given
        )
    else:
        with stored(words[:2]) as ((before, after), renamed):
            result = renamed(
                diff(before, after, logs, specs, read_logs, defaults=DEFAULT_POLICIES, given=given)
            )
    warn_unless_noted(style, result.findings)
    revision_words = [word for revision in revisions for word in ("--rev", revision)]
    policy_words = [word for spec in specs for word in ("--policy", spec)]
    again = ["replay", "diff", *revision_words, *typed, *policy_words, *question_words()]
    show(build(result, again=again, logs=[*typed[needed:], *question_words()]), style, out)

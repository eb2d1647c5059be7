"""``replay check``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.columns import columns_options, columns_words, stated_columns, stated_filter
from replay.cli.options import LogPath, file_option, setting_words, verbose_option
from replay.cli.output import (
    append,
    error_words,
    keep_inputs,
    keep_place,
    refuse_overlaps,
    show,
    warn,
    write,
)
from replay.cli.page import MOST_RUNS, report_option
from replay.cli.progress import read_logs, run_in_turn
from replay.errors import InputError, ReplayError, Undecidable
from replay.urls import Url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay.check.config import Config
    from replay.check.model import Checked
    from replay.check.simulated import LargeStore
    from replay.readers import ReadResult

__all__ = ["command"]


@dataclass(frozen=True)
class Reports:
    """The files that CI systems read, of those that were asked for."""

    junit: Path | None
    sarif: Path | None
    code_quality: Path | None
    comment: Path | None

    def write(self, checked: Checked) -> None:
        """Write the outcome of a check."""
        if self.junit is not None:
            from replay.report.junit import as_junit

            write(as_junit(checked), self.junit, "--junit")
        if self.sarif is not None:
            from replay.report.sarif import as_sarif

            write(as_sarif(checked), self.sarif, "--sarif")
        if self.code_quality is not None:
            from replay.report.code_quality import as_code_quality

            write(as_code_quality(checked), self.code_quality, "--code-quality")
        if self.comment is not None:
            from replay.report.job_summary import pull_request_comment

            write(pull_request_comment(checked), self.comment, "--comment")

    def write_failure(self, file: Path, error: ReplayError) -> None:
        """Write that nothing could be checked, and note where a CI system is to show the error."""
        from replay import __version__
        from replay.check.error_places import place_error
        from replay.check.model import Checked

        place_error(error, file)
        failed = Checked.failed(
            str(file),
            __version__,
            error_words(error),
            undecidable=isinstance(error, Undecidable),
            place=error.file,
            line=error.line,
        )
        with suppress(ReplayError):  # of two errors, the first is the one to read
            self.write(failed)


@click.command("check")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("logs", nargs=-1, metavar="[LOGS]...", type=LogPath())
@click.option(
    "--lock",
    type=click.Path(path_type=Path),
    metavar="LOCK",
    help="The lock (default: replay.lock beside FILE).",
)
@click.option(
    "--update",
    is_flag=True,
    help="Write the lock: what the policies do now is what later checks compare with.",
)
@click.option(
    "--policy",
    "only",
    multiple=True,
    metavar="NAME",
    help="With --update: write only this policy, and keep the rest of the lock (repeatable).",
)
@click.option(
    "--against",
    metavar="REVISION",
    help="Compare with the lock of a git revision, such as main, or with what its policies did to its logs.",
)
@click.option("--require-lock", is_flag=True, help="Do not pass without a lock (exit code 3).")
@click.option(
    "--strict",
    is_flag=True,
    help="Also fail on warnings and on a lock that is not up to date (exit code 1).",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown", "github"]),
    default="text",
    show_default=True,
    help="Output format; github is markdown for the page of a job, with a picture.",
)
@verbose_option
@file_option("--out", "Write to a file instead of the terminal.")
@file_option("--junit", "Also write JUnit XML.")
@file_option("--sarif", "Also write SARIF.")
@file_option("--code-quality", "Also write GitLab's code quality.")
@file_option("--comment", "Also write markdown for a comment to a pull request.")
@file_option("--plot", "Also draw saved against lost, now and in the lock.")
@report_option
@columns_options()
def command(
    file: Path,
    logs: tuple[Path, ...],
    lock: Path | None,
    update: bool,
    only: tuple[str, ...],
    against: str | None,
    require_lock: bool,
    strict: bool,
    style: str,
    out: Path | None,
    junit: Path | None,
    sarif: Path | None,
    code_quality: Path | None,
    comment: Path | None,
    plot: Path | None,
    report: Path | None,
) -> None:
    """Check that policies still meet their limits and stop where the lock file says.

    FILE is a TOML file of policies with limits; LOGS are the logs to replay (default: those that it names).
    What the policies did when the lock was made is compared on the same logs.

    \b
      replay check policies.toml logs/
      replay check policies.toml --update
      replay check policies.toml --require-lock --junit check.xml
      replay check policies.toml --against main

    The exit code is 1 for a broken limit or a regression, 2 for a mistake, and 3 where it cannot be decided:
    too few runs, or no lock where one is required.
    """
    from replay.check.checking import examine, lock_beside, read_logs_of
    from replay.check.config import read_config
    from replay.check.lock import write_lock
    from replay.check.partial import write_policies
    from replay.check.simulated import LargeStore
    from replay.report.check import build

    reports = Reports(junit, sarif, code_quality, comment)
    lock_path = lock_beside(file) if lock is None else lock
    again = ["replay", "check", str(file), *map(str, logs), *([] if lock is None else ["--lock", str(lock)])]
    again += columns_words()
    try:
        keep_inputs([lock_path])
        keep_place(lock_path, "the lock")
        config = read_config(file)
        if only and not update:
            raise InputError("--policy says which part of the lock --update writes; give both")
        baseline = None
        if against is not None:
            from replay.check.against import lock_of_revision

            if update:
                raise InputError("--update writes the lock anew, and --against compares; give one of the two")
            baseline = lock_of_revision(against, file, lock_path, logs, read_logs)
        roots, logs_read = read_logs_of(config, logs, read_logs, _open_large)
        checked, made = examine(
            config,
            logs_read,
            roots,
            lock_path,
            require_lock=require_lock,
            strict=strict,
            update=update,
            only=only,
            against=baseline,
            again=again,
        )
    except ReplayError as error:
        reports.write_failure(file, error)
        raise
    if style != "text":  # the text has them as notes
        warn(checked.warnings)
    reports.write(checked)
    if plot is not None:
        from replay.report.plots.check import save

        refuse_overlaps()
        save(checked, plot)
        click.echo(f"drew {plot}", err=True)
    if report is not None:
        shown = read_logs(roots, MOST_RUNS) if isinstance(logs_read, LargeStore) else logs_read
        warn([one for one in shown.findings if one not in logs_read.findings])
        _write_report(report, config, roots, shown)
    steps = [] if against is not None else again
    words = [*map(_short_path, roots), *setting_words(config.question)]
    document = build(checked, again=steps, logs=words, update=update)
    if update:
        wrote = write_policies(lock_path, made, only) if only else write_lock(lock_path, made)
        click.echo(f"wrote {lock_path}" if wrote else f"{lock_path} is up to date", err=True)
    if style == "github":
        from replay.report.job_summary import job_summary

        write(job_summary(checked, plot.name if plot else None, picture=True), out)
    else:
        show(document, style, out)
    if os.environ.get("GITHUB_ACTIONS"):
        from replay.report.annotations import as_annotations
        from replay.report.job_summary import job_summary

        click.echo(as_annotations(checked), nl=False, err=style != "text" and out is None)
        if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            page = job_summary(checked, plot.name if plot else None, picture=True)
            append(page, Path(step_summary))
    sys.exit(checked.exit_code)


def _open_large(paths: Sequence[Path]) -> LargeStore | None:
    """The store at the paths, if it has so many runs that they are simulated file by file."""
    from replay.check.simulated import large_store
    from replay.store.reading import refuse_columns

    large = large_store(paths, stated_filter(), run_in_turn)
    if large is not None:
        refuse_columns(stated_columns())
        keep_inputs(paths)
    return large


def _short_path(path: Path) -> str:
    """A path without steps back, where that names the same."""
    if isinstance(path, Url):
        return str(path)
    short = Path(os.path.normpath(path))
    return str(short if short.resolve() == path.resolve() else path)


def _write_report(target: Path, config: Config, roots: Sequence[Path], logs: ReadResult) -> None:
    """Write the page of `replay report` for the policies of the file.

    The tolerance and the confidence are the strictest that the file demands of a policy.
    """
    from replay.cli.candidates import Candidates
    from replay.cli.page import write_page
    from replay.engine.study import Study
    from replay.search.tolerance import parse_tolerance

    max_lost, max_regret = config.strictest()
    candidates = Candidates((), (), (config.path,), max_lost, max_regret)
    grids, singles = candidates.parse()
    write_page(
        target,
        roots,
        logs,
        Study(logs.runs, singles, config.question),
        candidates,
        grids,
        singles,
        parse_tolerance(max_regret, max_lost),
        confidence=config.confidence_wanted,
        group=config.group,
        settings=setting_words(config.question),
    )

"""``replay watch``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.candidates import read_specs
from replay.cli.columns import columns_options, stated_columns, stated_filter
from replay.cli.options import (
    output_options,
    paths_argument,
    policies_option,
    question_options,
    question_words,
)
from replay.cli.output import is_verbose, keep_inputs, show, text_width
from replay.errors import InputError
from replay.urls import Url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay.cli.hooks import StopHook
    from replay.cli.serving import LivePage
    from replay.cli.watching import Watch
    from replay.engine.question import Question
    from replay.report.watch import Frame

__all__ = ["command"]

#: The policy that is shown where none is given.
_DEFAULT_POLICY = "patience=3"


@click.command("watch")
@paths_argument
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy to follow (repeatable).  [default: patience=3]",
)
@policies_option
@click.option("--once", is_flag=True, help="Print where the runs stand now, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=86400),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look at the logs.",
)
@click.option(
    "--on-stop",
    "on_stop",
    metavar="COMMAND",
    help="Run COMMAND RUN POLICY STEP when a policy stops a run, once per run and without a shell.",
)
@click.option(
    "--serve",
    "port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also serve the page of `replay report` on this machine; 0 takes any free port.",
)
@question_options
@columns_options()
@output_options
def command(
    paths: tuple[Path, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    once: bool,
    interval: float,
    on_stop: str | None,
    port: int | None,
    question: Question,
    style: str,
    out: Path | None,
) -> None:
    """Show where stop policies stand on trainings that are running now.

    For each run the screen has the latest evals, the counter of each policy against its threshold, what the
    policy will do at the next eval, and the compute since it would have stopped. Ctrl-C ends it (exit code
    130).

    \b
      replay watch logs/
      replay watch logs/ --policy patience=3 --policy transformers:patience=5
      replay watch logs/ --on-stop 'python tell_team.py'
      replay watch logs/ --serve 8000
      replay watch logs/ --once --format json
    """
    from replay.cli.watching import Watch
    from replay.engine.scoring import parse_policies

    texts = list(dict.fromkeys(read_specs(specs, files))) or [_DEFAULT_POLICY]
    policies = list(zip(texts, parse_policies(texts), strict=True))
    if not once and (style != "table" or out is not None):
        option = f"--format {style}" if style != "table" else "--out"
        raise InputError(f"{option} is for one frame; give --once too")
    if once and on_stop is not None:
        raise InputError(
            "--on-stop runs a command when a policy stops a run while replay watch runs, and --once ends"
            " after one frame. Leave out one of the two"
        )
    if once and port is not None:
        raise InputError(
            "--serve shows the page while replay watch runs, and --once ends after one frame. Leave out one"
            " of the two. For a page in a file, use replay report"
        )
    if stated_filter() is not None:
        raise InputError("--where filters the runs of a store, and replay watch follows logs; leave it out")
    remote = next((path for path in paths if isinstance(path, Url)), None)
    if remote is not None:
        raise InputError(
            f"replay watch follows logs on this machine, and {remote} is a URL; run replay inspect {remote}"
            " again for its present state, or watch a folder to which the logs are synchronised"
        )
    keep_inputs(paths)
    watch = Watch(paths, policies, question, stated_columns())
    if once:
        _show_once(watch, style, out)
        return
    hook = None
    if on_stop is not None:
        from replay.cli.hooks import StopHook

        hook = StopHook(on_stop)
    if port is None:
        _follow(watch, interval, hook)
        return
    from replay.cli.serving import serve

    page = _live_page(paths, specs, files, question)
    page.update(None, "The logs are being read.")
    with serve(port, page) as address:
        click.echo(f"The page is at {address}", err=True)
        _follow(watch, interval, hook, page, address)


def _live_page(
    paths: Sequence[Path], specs: tuple[str, ...], files: tuple[Path, ...], question: Question
) -> LivePage:
    """The page on the policies that were given, or on those of `replay report` where none was."""
    from replay.cli.candidates import Candidates
    from replay.cli.serving import LivePage

    candidates = Candidates((), specs, files, None, None)
    words = ["replay", "report", *(str(path) for path in paths), *candidates.words(), *question_words()]
    return LivePage(paths, candidates, question, words)


def _show_once(watch: Watch, style: str, out: Path | None) -> None:
    """One frame, as the other commands show their results."""
    from replay.cli.progress import keep_logs
    from replay.cli.screen import takes_bars
    from replay.report.watch import build

    logs = watch.read()
    keep_logs(logs)
    frame = watch.frame(logs)
    width, ascii = text_width(), out is None and not takes_bars()
    most = None
    if style == "table" and out is None and not is_verbose():
        most = _count_fitting(frame, width)
    show(build(frame, width=width, most=most, ascii=ascii, how=" with --verbose"), style, out)


def _count_fitting(frame: Frame, width: int) -> int:
    """How many runs fit on the first screen; at least one."""
    from replay.report.render import render
    from replay.report.render.text import HEIGHT
    from replay.report.watch import build

    for most in range(min(len(frame.states), HEIGHT), 1, -1):
        text = render(build(frame, width=width, most=most), "table", verbose=False, width=width)
        if len(text.splitlines()) <= HEIGHT:
            return most
    return 1


def _follow(
    watch: Watch,
    interval: float,
    hook: StopHook | None,
    page: LivePage | None = None,
    address: str = "",
) -> None:
    """Show frame after frame until the user ends it."""
    from dataclasses import replace

    from replay.cli.screen import clock, open_screen

    frame = watch.update(first=True)
    with open_screen() as show_frame:
        while True:
            if hook is not None:
                hook.look(frame.states)
                frame = replace(frame, notes=tuple(hook.problems[-3:]))
            if page is not None:
                page.update(watch.logs, frame.message)
            show_frame(frame, f"{clock()}  Ctrl-C ends  {address}".rstrip())
            sys.stdout.flush()
            time.sleep(interval)
            frame = watch.update()

"""The command line of replay: the group of commands and the entry point.

Each module of this package that has a ``command`` is a command: it parses, calls and prints. What is heavy is
imported inside the commands, so that ``--help`` starts fast.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import click

from replay.cli.exits import Guarded, remove_copies_when_ended
from replay.cli.output import Failure, exists, report_failure, warn_of_kept, warnings_on_stderr
from replay.errors import ReplayError
from replay.files import closest_path
from replay.urls import is_url

__all__ = ["cli", "main"]


#: The commands by what they are for.
_TASKS = {
    "Look at logs": ("import", "inspect", "explain", "formats"),
    "Compare policies": ("simulate", "sweep", "choose", "plan", "budget", "report", "policies"),
    "Guard a policy": ("init", "check", "diff"),
    "Use a policy in a training": ("export", "watch", "verify"),
}


class _Replay(Guarded):
    """The group of commands; ``replay PATH`` answers the whole question about the logs of a path."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            if is_url(name) or exists(Path(name)):
                return super().resolve_command(ctx, [_command_for(args), *args])
            shown = [
                one for one in self.list_commands(ctx) if not getattr(self.get_command(ctx, one), "hidden", 0)
            ]
            path = closest_path(Path(name))
            near = [*shown, *([] if path is None else [str(path)])]
            close = difflib.get_close_matches(name, near, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(
                f"{name!r} is neither a file or folder nor a command; the commands are"
                f" {', '.join(shown)}.{hint}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by task."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        listed = {name: one for name, one in commands.items() if one is not None and not one.hidden}
        width = max(len(name) for name in listed)
        for task, names in _TASKS.items():
            rows = [
                (name.ljust(width), listed.pop(name).get_short_help_str(200))
                for name in names
                if name in listed
            ]
            with formatter.section(task):
                formatter.write_dl(rows)
        if listed:
            with formatter.section("Other commands"):
                formatter.write_dl([(name, one.get_short_help_str(200)) for name, one in listed.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings_on_stderr():
                return super().invoke(ctx)
        except ReplayError as error:
            warn_of_kept()
            raise Failure(error) from error

    def report_failure(self, text: str, code: int, error: Exception) -> None:
        report_failure(text, code, getattr(error, "file", None), getattr(error, "line", None))


def _command_for(words: Sequence[str]) -> str:
    """The command that ``replay PATH`` stands for: the whole answer, or the simulation of given policies."""
    simulated = ("--policy", "--policies", "--per-run", "--plot", "--weight")
    return "simulate" if any(word.split("=")[0] in simulated for word in words) else "overview"


@click.group(
    cls=_Replay,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    no_args_is_help=True,
)
@click.version_option(package_name="stop-replay", prog_name="replay")
def cli() -> None:
    """Replay early-stop policies on finished training logs.

    The output shows what each stop policy would have saved in compute and what it would have lost in the best
    metric. Logs of many tools are read (see replay formats). They are found in all folders below a path and
    recognised by their content.

    \b
      replay logs/                              the whole answer
      replay simulate logs/ --policy patience=3
      replay choose logs/ --max-lost 5%

    The exit code is 0 for success, 1 for a broken limit or a regression, 2 for a mistake in what was given,
    and 3 where the logs cannot decide. It is 70 after a crash, 74 where the output could not be written, 130
    after an interrupt and 141 where the reader of the output has gone.
    """


for _entry in iter_modules(__path__):
    _module = import_module(f"{__name__}.{_entry.name}")
    if hasattr(_module, "command"):
        cli.add_command(_module.command)


def main() -> None:
    """Run the command line; the console script ``replay``."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    remove_copies_when_ended()
    cli()

"""What commands print: documents, files, warnings and errors."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.errors import InputError, ReplayError, ReplayWarning, printable

if TYPE_CHECKING:
    from replay.data.finding import Finding
    from replay.report.document import Document

__all__ = [
    "VERBOSE",
    "Failure",
    "append",
    "keep_findings",
    "show",
    "warn",
    "warn_of_kept",
    "warn_unless_noted",
    "warnings_on_stderr",
    "write",
]

#: Where the context of a command keeps whether --verbose was given.
VERBOSE = "replay.verbose"


class Failure(click.ClickException):
    """A ReplayError as click shows it: one message on stderr, and the error's own exit code."""

    def __init__(self, error: ReplayError) -> None:
        super().__init__(_text(error))
        self.code = error.exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self.code

    def format_message(self) -> str:
        return _safe("\n".join(printable(line) for line in self.message.splitlines()))


def _text(error: ReplayError) -> str:
    if error.because is None:
        return str(error)
    from replay.report.sentences import error_text

    return error_text(error)


def _safe(text: str) -> str:
    """Text as it may be printed here: on GitHub, none of it may be a command to the runner."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return text
    from replay.report.annotations import without_commands

    return without_commands(text)


def show(document: Document, style: str, out: Path | None = None) -> None:
    """Print a document in a style, or write it to a file; as text in the form that --verbose asks for."""
    from replay.report.render import render

    terminal = out is None and sys.stdout.isatty()
    color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    write(render(document, style, verbose=_is_verbose(), width=_width(terminal), color=color), out)


def _is_verbose() -> bool:
    """Whether --verbose was given."""
    return bool(click.get_current_context().meta.get(VERBOSE))


def _width(terminal: bool) -> int:
    """The columns of the terminal, within bounds; 80 where the output goes elsewhere."""
    columns = shutil.get_terminal_size().columns if terminal or "COLUMNS" in os.environ else 80
    return min(max(columns, 40), 160)


def write(text: str, out: Path | None = None) -> None:
    """Print text, or write it to a file; raises InputError where the file cannot be written."""
    if out is None:
        click.echo(_safe(text), nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror or error}") from None
    click.echo(f"wrote {out}", err=True)


def append(text: str, path: Path) -> None:
    """Add to a file that a CI system shows; a file that cannot be written is only warned about."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        click.echo(f"warning: {path}: {error.strerror or error}", err=True)


_KEPT = "replay.findings"


def keep_findings(findings: Sequence[Finding]) -> None:
    """Keep what reading the logs found until it is printed, so that an error that comes before does not hide
    it.
    """
    click.get_current_context().meta.setdefault(_KEPT, []).extend(findings)


def warn_of_kept() -> None:
    """Print what reading the logs found, where the command ended before it was printed."""
    kept = click.get_current_context().meta.get(_KEPT)
    if kept:
        warn(kept)


def warn(findings: Iterable[Finding]) -> None:
    """Print findings as warnings on stderr."""
    from replay.report.sentences import sentences

    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.pop(_KEPT, None)
    for text in sentences(findings):
        _print_warning(text)


def warn_unless_noted(style: str, findings: Iterable[Finding]) -> None:
    """Print findings as warnings on stderr in the styles that show no notes, which say the same."""
    if style in ("json", "csv"):
        warn(findings)


def _print_warning(text: str) -> None:
    from replay.report.render.text import wrapped

    for line in wrapped(f"warning: {text}", hanging=2):
        click.echo(_safe(line), err=True)


@contextlib.contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Print a ReplayWarning as the command line prints its warnings, without a line of code."""
    with warnings.catch_warnings():
        show_other = warnings.showwarning

        def show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ReplayWarning):
                _print_warning(str(message))
            else:
                show_other(message, category, *where, **more)

        warnings.showwarning = show_warning
        yield

"""What commands print: documents, files, warnings and errors."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.errors import InputError, ReplayError, ReplayWarning, printable
from replay.files import write_file

if TYPE_CHECKING:
    from replay.data.finding import Finding
    from replay.report.document import Document

__all__ = [
    "VERBOSE",
    "Failure",
    "append",
    "error_words",
    "exists",
    "is_verbose",
    "keep_findings",
    "keep_inputs",
    "keep_output",
    "keep_place",
    "refuse_overlaps",
    "report_failure",
    "safe_text",
    "show",
    "text_width",
    "warn",
    "warn_of_kept",
    "warn_unless_noted",
    "warnings_on_stderr",
    "wrapped_error",
    "write",
]

#: Where the context of a command keeps whether --verbose was given.
VERBOSE = "replay.verbose"


class Failure(click.ClickException):
    """A ReplayError as click shows it: one message on stderr, and the error's own exit code."""

    def __init__(self, error: ReplayError) -> None:
        super().__init__(error_words(error))
        self.code = error.exit_code
        self.file, self.line = error.file, error.line

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self.code

    def format_message(self) -> str:
        return safe_text("\n".join(printable(line) for line in self.message.splitlines()))


def error_words(error: ReplayError) -> str:
    """The text of an error, with the sentence of the finding that explains it."""
    if error.because is None:
        return str(error)
    from replay.report.sentences import error_text

    return error_text(error)


def safe_text(text: str) -> str:
    """Text as it may be printed here: on GitHub, none of it may be a command to the runner."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return text
    from replay.report.annotations import without_commands

    return without_commands(text)


def wrapped_error(text: str) -> str:
    """The lines of an error as a terminal shows them; where a CI system reads the output, as they are.

    A name or a path that is longer than a line stays whole.
    """
    if os.environ.get("GITHUB_ACTIONS"):
        return text
    width = _width(sys.stderr is not None and sys.stderr.isatty())
    lines: list[str] = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        ) or [""]
    return "\n".join(lines)


def show(document: Document, style: str, out: Path | None = None) -> None:
    """Print a document in a style, or write it to a file; as text in the form that --verbose asks for."""
    from replay.report.render import render

    terminal = out is None and sys.stdout is not None and sys.stdout.isatty()
    color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = render(document, style, verbose=is_verbose(), width=_width(terminal), color=color)
    write(_json_for_stdout(text) if style == "json" and out is None else text, out)


def _json_for_stdout(text: str) -> str:
    """JSON that stays the same JSON in the encoding of standard output, and in a log on GitHub."""
    if (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8":
        text = "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
    # what the runner would take for a command can only be inside a string
    return text.replace("##[", "#\\u0023[") if os.environ.get("GITHUB_ACTIONS") else text


def is_verbose() -> bool:
    """Whether --verbose was given."""
    return bool(click.get_current_context().meta.get(VERBOSE))


def text_width() -> int:
    """The columns that text on standard output may have."""
    return _width(sys.stdout is not None and sys.stdout.isatty())


def _width(terminal: bool) -> int:
    """The columns of the terminal, within bounds; 80 where the output goes elsewhere."""
    columns = shutil.get_terminal_size().columns if terminal or "COLUMNS" in os.environ else 80
    return min(max(columns, 40), 160)


def write(text: str, out: Path | None = None, option: str = "--out") -> None:
    """Print text, or write it to the file that an option names.

    Raises InputError where the file cannot be written, or is one of those that were read.
    """
    if out is None:
        click.echo(safe_text(text), nl=False)
        return
    refuse_overlaps()
    write_file(out, text.encode("utf-8", "backslashreplace"), option)
    click.echo(safe_text(printable(f"wrote {out}")), err=True)


_OUTPUTS, _INPUTS, _PLACES = "replay.outputs", "replay.inputs", "replay.places"


def keep_output(option: str, path: Path) -> None:
    """Note a file that an option asks to be written; raises InputError where another option names it too."""
    outputs: dict[str, Path] = click.get_current_context().meta.setdefault(_OUTPUTS, {})
    for other, taken in outputs.items():
        if _same(path, taken) and not _is_special(path):
            raise InputError(f"{other} and {option} both name {path}; give each a file of its own")
    outputs[option] = path


def keep_inputs(paths: Iterable[Path | str]) -> None:
    """Note files that are read; raises InputError where an option asks to write to one of them."""
    context = click.get_current_context(silent=True)
    if context is None or not context.meta.get(_OUTPUTS):  # every option for a file has been noted by now
        return
    context.meta.setdefault(_INPUTS, []).extend(map(Path, paths))
    refuse_overlaps()


def keep_place(path: Path, name: str) -> None:
    """Note a file that the command itself needs, whether it is there or not yet; raises InputError where an
    option asks to write something else to it.
    """
    click.get_current_context().meta.setdefault(_PLACES, []).append((path, name))
    refuse_overlaps()


def refuse_overlaps() -> None:
    """Raise InputError where an option asks to write to a file that is read."""
    context = click.get_current_context(silent=True)
    outputs = {} if context is None else context.meta.get(_OUTPUTS, {})
    if context is None or not outputs:
        return
    written = {option.lstrip("-").replace("-", "_") for option in outputs}
    named = _paths(value for name, value in context.params.items() if name not in written)
    inputs: list[Path] = [*named, *context.meta.get(_INPUTS, [])]
    places: list[tuple[Path, str]] = context.meta.get(_PLACES, [])
    for option, output in outputs.items():
        for path, name in places:
            if not exists(output) and _same(output, path):
                raise InputError(f"{option} {output} is {name}; give another file")
        if not exists(output) or _is_special(output):
            continue
        for path in inputs:
            if _is_same_file(output, path):
                raise InputError(
                    f"{option} {output} would overwrite {path}, which is read; give another file"
                )


def _paths(values: Iterable[Any]) -> Iterator[Path]:
    for value in values:
        if isinstance(value, Path):
            yield value
        elif isinstance(value, tuple):
            yield from _paths(value)
        elif isinstance(value, str) and len(value) < 4096 and exists(Path(value)):
            yield Path(value)


def _same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return _is_same_file(one, other)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _is_special(path: Path) -> bool:
    """Whether a path is a device or pipe, which several outputs may share."""
    try:
        return not path.is_file() and path.exists()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether there is something at a path, as far as the system lets us see."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def report_failure(text: str, code: int, file: str | None = None, line: int | None = None) -> None:
    """On GitHub, show a failure as an annotation and on the page of the job."""
    if not os.environ.get("GITHUB_ACTIONS") or code in (1, 141):
        return
    from replay.report.annotations import as_annotation
    from replay.report.job_summary import failure_summary

    click.echo(as_annotation(text, file, line), err=True)
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append(failure_summary(text), Path(step_summary))


def append(text: str, path: Path) -> None:
    """Add to a file that a CI system shows; a file that cannot be written is only warned about."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        click.echo(safe_text(printable(f"warning: {path}: {error.strerror or error}")), err=True)


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
        click.echo(safe_text(line), err=True)


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

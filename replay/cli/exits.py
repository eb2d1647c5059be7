"""How a command ends: its exit code, whatever happens, and what is said of it.

0 is success. 1 is a result of the command: a limit that is broken, a regression. 2 is a mistake of the user,
3 what the logs cannot decide. What is neither has a code of its own, as other programs have it (sysexits.h,
and 128 + the number of the signal).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from replay.cli.output import wrapped_error
from replay.errors import printable
from replay.files import FULL
from replay.urls import hide_credentials, remove_copies

__all__ = [
    "CLOSED_PIPE",
    "CRASH",
    "INTERRUPTED",
    "UNWRITTEN",
    "Guarded",
    "exit_code_of",
    "remove_copies_when_ended",
]

CRASH, UNWRITTEN, INTERRUPTED, CLOSED_PIPE = 70, 74, 130, 141

_REPORT = "This is a bug of {name}, not of your input; please report it with the lines above."


class _ClosedPipe(Exception):
    """Nobody reads the output any more. (click would end a BrokenPipeError with exit code 1.)"""


class Guarded(click.Group):
    """A group of commands that ends as `exit_code_of` says; ``program`` is its name in messages."""

    program = "replay"

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _named_pipe():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _named_pipe():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        def run() -> Any:
            return super(Guarded, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        sys.exit(exit_code_of(run, self.program, self.report_failure))

    def report_failure(self, text: str, code: int, error: Exception) -> None:
        """Called with what was said of an error, after it was printed."""


@contextlib.contextmanager
def _named_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _ClosedPipe from None


def remove_copies_when_ended() -> None:
    """Have a signal that ends the process remove the copies of remote logs first."""
    process = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() == process:
            remove_copies()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def exit_code_of(run: Callable[[], Any], name: str, report: Callable[[str, int, Exception], None]) -> int:
    """Run a command and return its exit code; errors are printed, and handed to ``report``.

    ``run`` returns an exit code (anything else is success) or raises.
    """
    try:
        code, text, error = _run(run, name)
        if error is not None:
            report(text, code, error)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (BrokenPipeError, _ClosedPipe):
        code = CLOSED_PIPE
    except OSError as failure:
        code = _unwritten(failure)
    if code in (CLOSED_PIPE, UNWRITTEN):
        _silence()
    return code


def _run(run: Callable[[], Any], name: str) -> tuple[int, str, Exception | None]:
    """The exit code, and an error with what was said of it."""
    try:
        result = run()
    except SystemExit as end:
        result = end.code
        if result is not None and not isinstance(result, int):
            click.echo(str(result), err=True)
            result = CRASH
    except click.ClickException as error:
        error.message = hide_credentials(error.message)  # type: ignore[misc]
        shown = io.StringIO()
        error.show(file=shown)
        # collect reports the last line of a job's errors, which therefore stays one line
        text = shown.getvalue().rstrip("\n")
        click.echo(wrapped_error(text) if name == "replay" else text, err=True)
        return error.exit_code, error.format_message(), error
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for an interrupt
            return _crashed(error.__cause__, name)
        click.echo("Interrupted.", err=True)
        return INTERRUPTED, "", None
    except (BrokenPipeError, _ClosedPipe):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise
        return _crashed(error, name)
    except Exception as error:
        return _crashed(error, name)
    return (result if isinstance(result, int) and not isinstance(result, bool) else 0), "", None


def _crashed(error: BaseException, name: str) -> tuple[int, str, Exception | None]:
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        click.echo(_quiet(printable(hide_credentials(line))), err=True)
    text = f"{type(error).__name__}: {printable(hide_credentials(str(error)))}"
    click.echo(_quiet(f"Error: {text}\n{_REPORT.format(name=name)}"), err=True)
    return CRASH, f"{name} crashed with {text}", error if isinstance(error, Exception) else None


def _quiet(text: str) -> str:
    if not os.environ.get("GITHUB_ACTIONS"):
        return text
    from replay.report.annotations import without_commands

    return without_commands(text)


def _unwritten(error: OSError) -> int:
    """The exit code of an output stream that takes no more."""
    if error.errno == errno.EPIPE:
        return CLOSED_PIPE
    with contextlib.suppress(OSError):
        name = error.filename or "the output"
        click.echo(f"Error: {name} could not be written: {error.strerror or error}", err=True)
    return UNWRITTEN


def _silence() -> None:
    """Send the streams nowhere, so that Python does not try to write what is left in them when it ends."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
            continue
        with contextlib.suppress(Exception):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

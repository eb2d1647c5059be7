"""What can go wrong, as types with the exit code that the command line returns.

A separate module so that every layer can raise and catch them without importing another layer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "InputError",
    "OutputError",
    "PolicyError",
    "ReplayError",
    "ReplayWarning",
    "Undecidable",
    "did_you_mean",
    "list_names",
    "printable",
    "suggestion",
]


class ReplayError(Exception):
    """Base of all errors that a user can cause; the message is one sentence that says what to do.

    ``because`` is the finding that explains the error, where there is one; a report adds its sentence.
    ``key`` are the keys of the settings file that the error is about, from the top down, where it is about
    one. ``file`` and ``line`` say where a page of a CI system is to show it.
    """

    file: str | None = None
    line: int | None = None

    exit_code = 2

    def __init__(self, message: str, *, because: object = None, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.because = because
        self.key = key


class InputError(ReplayError):
    """A log, a path, a metric or a mode is not usable as given."""


class OutputError(InputError):
    """An output could not be written because the device is full or broken."""

    exit_code = 74


class PolicyError(ReplayError):
    """A policy specification is unknown, incomplete or out of range."""


class Undecidable(ReplayError):
    """The logs cannot answer the question (too few runs, no baseline)."""

    exit_code = 3


class ReplayWarning(UserWarning):
    """Something was dropped, guessed or bounded; the good part was kept."""


def printable(text: object) -> str:
    """Text with what would steer a terminal shown as an escape: logs, and names of files and runs, are
    untrusted.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)


def list_names(names: Iterable[str], most: int = 3) -> str:
    """The first names, separated by commas, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def suggestion(name: str, allowed: Iterable[str], *, otherwise: Iterable[str] = ()) -> str:
    """The part of a message that says what would have worked: ``"b, a and 40 more. Did you mean b?"``.

    The closest name by spelling is suggested; without one, the first of ``otherwise``. With a suggestion, few
    names are listed, so that it is not hidden behind them.
    """
    options = sorted(set(allowed))
    if not options:
        return "none"
    hint = did_you_mean(name, options, otherwise=otherwise)
    return list_names(options, 4 if hint and len(options) > 12 else 12) + hint


def did_you_mean(name: str, allowed: Iterable[str], *, otherwise: Iterable[str] = ()) -> str:
    """``". Did you mean b?"`` with the closest name, else the first of ``otherwise``, else none."""
    close = [*difflib.get_close_matches(name, sorted(set(allowed)), n=1, cutoff=0.5), *otherwise]
    return f". Did you mean {close[0]}?" if close else ""

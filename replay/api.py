"""Reading logs for people: what could not be read becomes warnings and the text of errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from replay import readers
from replay.data.run import Run
from replay.errors import InputError, ReplayWarning
from replay.report.sentences import sentences

__all__ = ["load", "read"]

_MOST = 20  # findings that an error lists


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
) -> readers.Found:
    """`replay.readers.read`, but the error for paths without any run says what could not be read."""
    try:
        return readers.read(paths, progress)
    except readers.NothingFound as error:
        lines = [str(error), *(f"  {text}" for text in sentences(error.findings[:_MOST]))]
        raise InputError("\n".join(lines)) from None


def load(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Every run below a path, or below several: files and folders, which are searched to any depth.

    Formats are recognised by content. Logs of the same run (checkpoints, several formats) count once. What
    could not be read is reported as a ReplayWarning. Raises InputError where a path does not exist or where
    there is no run at all.
    """
    found = read(paths)
    for text in sentences(found.findings):
        warnings.warn(text, ReplayWarning, stacklevel=2)
    return found.runs

"""Where an error is shown: the file, and the line of the key that it is about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from replay.check.config import Config, Entry
from replay.check.places import path_in_repository
from replay.check.toml_lines import KeyPath, key_lines
from replay.errors import ReplayError
from replay.files import read_file
from replay.policies import Policy

__all__ = ["about", "about_simulation", "place_error"]


@contextlib.contextmanager
def about(key: KeyPath) -> Iterator[None]:
    """A block whose errors are about a key of the policies file, unless they say so themselves."""
    try:
        yield
    except ReplayError as error:
        error.key = error.key or key
        raise


@contextlib.contextmanager
def about_simulation(config: Config, simulate: Callable[[list[Policy]], object]) -> Iterator[None]:
    """A block that simulates the policies of a file, whose errors are about one of them or a setting.

    ``simulate`` does the same with some policies only.
    """
    try:
        yield
    except ReplayError as error:
        error.key = _key_of(config, simulate, error.key)
        raise


def _key_of(config: Config, simulate: Callable[[list[Policy]], object], setting: KeyPath) -> KeyPath:
    """The spec of the first policy that fails where others do not; else the setting that the error names, if
    the file has it, and the spec of the only policy.
    """
    failing = [entry for entry in config.policies if _fails(entry, simulate)]
    if 0 < len(failing) < len(config.policies):
        return ("policies", failing[0].name, "spec")
    if setting in config.lines:
        return setting
    return ("policies", config.policies[0].name, "spec") if len(config.policies) == 1 else ()


def _fails(entry: Entry, simulate: Callable[[list[Policy]], object]) -> bool:
    try:
        simulate([entry.policy])
    except ReplayError:
        return True
    return False


def place_error(error: ReplayError, file: Path) -> None:
    """Set where an error is shown, if it does not say so: in the policies file, at the key that it is about.

    An error on a key that the file does not have is shown at the table that should have it.
    """
    if error.file is not None:
        return
    error.file = path_in_repository(file)
    if error.line is not None or not error.key:
        return
    try:
        lines = key_lines(read_file(file).decode("utf-8"))
    except (OSError, ValueError, ReplayError):
        return
    ends = range(len(error.key), 0, -1)
    error.line = next((lines[error.key[:end]] for end in ends if error.key[:end] in lines), None)

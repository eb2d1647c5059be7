"""Where the file of policies lies in its repository, as annotations and reports of CI systems name it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["path_in_repository"]

#: Where CI systems keep the checkout, for one that was made without git.
_CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


def path_in_repository(file: Path) -> str:
    """The path of a file relative to the root of its repository, with slashes.

    The root is the nearest folder above the file with a ``.git`` in it, or else the folder that a CI system
    names. A file that is in neither keeps the path that it was given by.
    """
    absolute = Path(os.path.abspath(file))  # noqa: PTH100
    for path in (absolute, Path(os.path.realpath(absolute))):
        for folder in path.parents:
            if (folder / ".git").exists():
                return path.relative_to(folder).as_posix()
    for name in _CHECKOUTS:
        root = os.environ.get(name)
        if root and absolute.is_relative_to(root):
            return absolute.relative_to(root).as_posix()
    return Path(os.path.normpath(file)).as_posix()

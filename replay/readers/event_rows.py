"""The scalars of the event files that some trackers (Guild, Ray) write, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from replay.data.finding import Finding
from replay.readers.event_files import EventFile, read_each
from replay.readers.tracker_rows import Row, joined

__all__ = ["event_rows", "read_in_order"]


def read_in_order(folder: Path, findings: list[Finding]) -> list[EventFile]:
    """The event files of a folder, the first that was written first; ``findings`` as for `read_each`."""
    paths = [path for path in sorted(folder.glob("*tfevents*")) if path.is_file() and not path.is_symlink()]
    return sorted(read_each(paths, findings), key=lambda file: file.first)


def event_rows(files: Sequence[EventFile], prefix: str = "") -> tuple[list[Row], list[int]]:
    """The rows of files that follow each other, and the indices of those with which a further file begins.

    Tags stand without ``prefix``; those that lack it are left out.
    """
    rows: list[Row] = []
    starts: list[int] = []
    for file in files:
        own = _rows(file, prefix)
        if rows and own:
            starts.append(len(rows))
        rows += own
    return rows, starts


def _rows(file: EventFile, prefix: str) -> list[Row]:
    """The rows of a file in its own order."""
    points = [
        (position, step, wall, tag.removeprefix(prefix), value)
        for tag, scalars in file.scalars.items()
        if tag.startswith(prefix)
        for position, step, wall, value in zip(*(column.tolist() for column in scalars), strict=True)
    ]
    points.sort(key=lambda point: point[0])
    return joined([Row(float(step), {tag: value}, wall) for _, step, wall, tag, value in points])

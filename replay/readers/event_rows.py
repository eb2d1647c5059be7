"""The scalars of an event file as rows, for trackers that store event files of their own."""

from __future__ import annotations

from replay.readers.event_files import EventFile
from replay.readers.tracker_rows import Row, joined

__all__ = ["event_rows"]


def event_rows(file: EventFile, prefix: str = "") -> list[Row]:
    """The rows of a file in its own order, under the tags without ``prefix``; tags that lack it are left
    out.
    """
    points = [
        (position, step, wall, tag.removeprefix(prefix), value)
        for tag, scalars in file.scalars.items()
        if tag.startswith(prefix)
        for position, step, wall, value in zip(*(column.tolist() for column in scalars), strict=True)
    ]
    points.sort(key=lambda point: point[0])
    return joined([Row(float(step), {tag: value}, wall) for _, step, wall, tag, value in points])

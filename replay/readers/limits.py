"""Limits on what is read from one log, so that a broken or hostile one cannot take all memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from replay.data.finding import Finding, Kind

__all__ = ["LONGEST_LINE", "LONGEST_TEXT", "MOST_NAMES", "over_limit"]

#: Characters of one line.
LONGEST_LINE = 1 << 21
#: Characters of a file that is read as a whole, and bytes that a compressed one may hold.
LONGEST_TEXT = 1 << 28
#: Names of metrics and series. Held-out ones are counted apart, so that others do not crowd them out.
MOST_NAMES = 10_000


def over_limit(
    path: Path, part: Literal["line", "record", "text", "name"], limit: int, count: int | None = None
) -> Finding:
    """The finding that parts of a log are beyond a limit and were not read, and how many, where that is
    known.
    """
    return Finding(Kind.OVER_LIMIT, log=str(path), facts={"part": part, "limit": limit, "count": count})

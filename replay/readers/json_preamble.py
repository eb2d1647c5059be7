"""A JSON object in front of a table or of lines, as scripts print their configuration.

JSON of which nothing but JSON follows is a log of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain

__all__ = ["behind_json", "lines_behind_json"]

_DECODER = json.JSONDecoder()
_OBJECT = re.compile(r"\{\s*[\"}]")
_BLANK = "\ufeff \t\r\n"
#: Lines and characters that such an object may have.
_MOST_LINES, _LONGEST = 2000, 64 * 1024


def behind_json(text: str) -> str:
    """The text behind a JSON object that it begins with; all of it where it does not, or where JSON follows,
    or nothing.
    """
    bare = text.lstrip(_BLANK)
    if _OBJECT.match(bare) is None:
        return text
    try:
        _, end = _DECODER.raw_decode(bare[:_LONGEST])
    except (ValueError, RecursionError):
        return text
    rest = bare[end:].lstrip()
    between = bare[end : len(bare) - len(rest)]
    # what goes on in the line of the object is no table: "{…}, …"
    is_apart = "\n" in between or "\r" in between
    return text if not rest or rest[0] in "{[" or not is_apart else rest


def lines_behind_json(lines: Iterator[str]) -> Iterator[str]:
    """The lines behind a JSON object that the first of them begin, else all of them."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return iter(())
    if _OBJECT.match(first.lstrip(_BLANK)) is None and first.strip(_BLANK) != "{":
        return chain([first], lines)
    block = [first]
    size = len(first)
    for line in lines:
        block.append(line)
        size += len(line)
        if line.strip() and not line.startswith((" ", "\t", "}", "]", '"')):
            return chain(behind_json("".join(block)).splitlines(keepends=True), lines)
        if len(block) > _MOST_LINES or size > _LONGEST:
            break
    return chain(block, lines)

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
#: Lines and characters that such an object may have.
_MOST_LINES, _LONGEST = 2000, 64 * 1024


def behind_json(text: str) -> str:
    """The text behind a JSON object that it begins with; all of it where it does not, or where JSON follows,
    or nothing.
    """
    if _OBJECT.match(text) is None:
        return text
    try:
        _, end = _DECODER.raw_decode(text[:_LONGEST])
    except (ValueError, RecursionError):
        return text
    rest = text[end:].lstrip()
    # what goes on in the line of the object is no table: "{…}, …"
    is_apart = "\n" in text[end : len(text) - len(rest)] or "\r" in text[end : len(text) - len(rest)]
    return text if not rest or rest[0] in "{[" or not is_apart else rest


def lines_behind_json(lines: Iterator[str]) -> Iterator[str]:
    """The lines behind a JSON object that the first of them begin, else all of them."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return iter(())
    if _OBJECT.match(first.lstrip("\ufeff \t")) is None and first.strip("\ufeff \t\r\n") != "{":
        return chain([first], lines)
    block = [first]
    size = len(first)
    for line in lines:
        block.append(line)
        size += len(line)
        text = "".join(block).lstrip("\ufeff \t\r\n")
        if line.strip() and not line.startswith((" ", "\t", "}", "]", '"')):
            rest = behind_json(text)
            return chain([rest], lines) if rest is not text else chain(block, lines)
        if len(block) > _MOST_LINES or size > _LONGEST:
            break
    return chain(block, lines)

"""The outputs of a Jupyter notebook, as lines: what its cells printed, and the tables that they show.

Only the saved outputs are read. No code of the notebook is run.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.partial_json import parse_partly
from replay.readers.points import open_text
from replay.readers.text.lines import Line, lines_of

__all__ = ["SUFFIX", "notebook_lines"]

SUFFIX = ".ipynb"
#: Characters of a notebook that are read at most: its pictures are part of it.
_LONGEST = 256 * 1024 * 1024
_LONGEST_OUTPUT = 16 * 1024 * 1024
_ROW = re.compile(r"<tr\b[^>]{0,200}>(.*?)</tr>", re.IGNORECASE | re.DOTALL)
_CELL = re.compile(r"<t[hd]\b[^>]{0,200}>(.*?)</t[hd]>", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])")
_TAG = re.compile(r"<[^<>]{0,2000}>")


def notebook_lines(path: Path, findings: list[Finding]) -> Iterator[Line]:
    """The lines of all outputs of a notebook, in the order of its cells; none of a file that is no notebook.
    Raises OSError.

    Of a notebook that is cut off or broken, the outputs before that, and one of the findings.
    """
    with open_text(path) as file:
        parsed = parse_partly(file.read(_LONGEST))
        findings += file.findings(path)
    listed = parsed.value.get("cells") if isinstance(parsed.value, dict) else None
    cells = listed if isinstance(listed, list) else []
    if parsed.broken is not None and cells:
        facts = {"character": parsed.broken, "kept": len(cells)}
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
    yield from lines_of(_pieces(cells))


def _pieces(cells: list[Any]) -> Iterator[str]:
    """The outputs, cut after each line end."""
    for cell in cells:
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        for output in outputs if isinstance(outputs, list) else []:
            if isinstance(output, dict):
                text = _text(output)[:_LONGEST_OUTPUT]
                yield from _LINE.findall(text if text.endswith(("\r", "\n")) else f"{text}\n")


def _text(output: dict[str, Any]) -> str:
    """One output as text: a table of HTML as lines with bars between the cells."""
    data = output.get("data")
    if not isinstance(data, dict):
        return _joined(output.get("text"))
    markup = _joined(data.get("text/html"))
    if "<t" not in markup.lower():
        return _joined(data.get("text/plain"))
    lines = [_plain(markup[: markup.lower().find("<t")])]
    for row in _ROW.findall(markup):
        cells = [_plain(cell) for cell in _CELL.findall(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _joined(item: Any) -> str:
    """Text that may be cut into a list of lines."""
    parts = item if isinstance(item, list) else [item]
    return "".join(part for part in parts if isinstance(part, str))


def _plain(markup: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", markup)).split())

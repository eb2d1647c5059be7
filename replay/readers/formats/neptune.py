"""The operations that the Neptune client 1.x keeps on disk: ``data-1.log``, ``data-2.log``, … in a folder.

Each line is an operation. ``LogFloats`` appends to a series, ``ClearFloatLog`` empties one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.readers.find import natural
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.json_lines import JsonLines, parse_lines
from replay.readers.points import number, open_text
from replay.readers.tracker_rows import Row, place_by_arrival
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_ASSIGNED = {"AssignFloat", "AssignInt", "AssignString", "AssignBool"}
_PART = re.compile(r"data-\d+\.log")


def _sniff(path: Path, head: bytes) -> bool:
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or b'"obj"' not in head:
        return False
    return any(
        isinstance(line, dict)
        and {"obj", "version"} <= line.keys()
        and isinstance(line["obj"], dict)
        and {"type", "path"} <= line["obj"].keys()
        for line in parse_lines(head, 3)
    )


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The parts of a folder are one run."""
    groups: dict[Path, list[Path]] = {}
    for path in sorted(paths, key=lambda path: natural(path.name)):
        groups.setdefault(path.parent if _PART.fullmatch(path.name) else path, []).append(path)
    return list(groups.values())


class _Operations:
    """The rows and settings that operations leave."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.settings: dict[str, Any] = {}

    def take(self, lines: Iterable[Any]) -> None:
        for line in lines:
            operation = line.get("obj") if isinstance(line, dict) else None
            parts = operation.get("path") if isinstance(operation, dict) else None
            if not isinstance(operation, dict) or not isinstance(parts, list):
                continue
            name, kind = "/".join(str(part) for part in parts), str(operation.get("type"))
            if kind == "LogFloats" and isinstance(operation.get("values"), list):
                self._append(name, operation["values"])
            elif kind == "ClearFloatLog":
                self.rows = [row for row in self.rows if name not in row.values]
            elif kind in _ASSIGNED and parts[:1] != ["sys"]:
                self.settings[name.removeprefix("parameters/")] = operation.get("value")

    def _append(self, name: str, values: Sequence[Any]) -> None:
        for entry in values:
            value = number(entry.get("value")) if isinstance(entry, dict) else None
            if value is None:
                continue
            step, wall = number(entry.get("step")), number(entry.get("ts"))
            self.rows.append(
                Row(
                    math.nan if step is None else step,
                    {name: value},
                    math.nan if wall is None else wall,
                )
            )


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    operations = _Operations()
    for path in files:
        try:
            with open_text(path) as text:
                lines = JsonLines(text, str(path))
                operations.take(lines)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        findings += lines.findings
    rows = place_by_arrival(operations.rows)
    facts = {**settings_of(operations.settings), "format": FORMAT.name, "sources": files}
    runs = tracker_runs(run_id, rows, facts, counts_calls=False)
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(files[0]), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


FORMAT = Format(
    name="neptune",
    summary="Neptune client 1.x: the operations of offline runs, data-1.log",
    files="data-*.log",
    sniff=_sniff,
    load=_load,
    group=_group,
    hidden_folders=frozenset({".neptune"}),
    limits=(
        "Series without steps are placed by how often the longest of them had been logged by then; Neptune"
        " leaves out NaN and infinity."
    ),
    tested_on="neptune 1.14.0.post2",
)

"""Guild AI's runs: the hidden folder ``.guild`` of each run, with event files of the scalars that Guild takes
from the output, and one file per attribute.

A run that was restarted has a second event file, which wins. Guild stores float32.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.readers.event_rows import event_rows, read_in_order
from replay.readers.format import Format, Loaded, UnusableLog
from replay.readers.points import open_text
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    if path.name == ".guild":
        return "attrs" in names and (path / "attrs").is_dir()
    # deleted runs are moved to a folder beside those that count
    return path.name == "trash" and "runs" in names and (path.parent / "runs").is_dir()


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (home,) = files
    if home.name == "trash":
        return Loaded([], [])
    findings: list[Finding] = []
    read = read_in_order(home, findings)
    rows, starts = event_rows(read)
    if not rows:
        raise UnusableLog(*(findings or [Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id)]))
    attributes = home / "attrs"
    exit_status = _attribute(attributes / "exit_status")
    began = _microseconds(_attribute(attributes / "started"))
    facts: dict[str, Any] = {
        **settings_of(_flags(_attribute(attributes / "flags"))),
        "format": FORMAT.name,
        "sources": [file.path for file in read],
        "complete": exit_status == "0",
        "group": _operation(home),
        "run_name": _unquoted(_attribute(attributes / "label")) or None,
        "run": _attribute(attributes / "id") or home.parent.name,
    }
    runs = tracker_runs(run_id, rows, facts, starts=starts, counts_calls=False, began=began)
    if not runs:
        raise UnusableLog(*findings, Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id))
    return Loaded(runs, findings)


def _attribute(path: Path) -> str:
    """The text of an attribute; empty where there is none."""
    try:
        with open_text(path) as file:
            return file.read(64 * 1024).strip()
    except OSError:
        return ""


def _operation(home: Path) -> str | None:
    """The name of the operation, with which a run's reference ends."""
    words = _attribute(home / "opref").split()
    return _unquoted(words[-1]) if words else None


def _unquoted(text: str) -> str:
    """A text that YAML may have put into quotes."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(re.sub(r"\\x(?=[0-9A-Fa-f]{2})", r"\\u00", text)))
        except ValueError:
            return text[1:-1]
    return text


def _flags(text: str) -> dict[str, str]:
    """The flags of a run, of which plain ones are on a line of their own."""
    lines = (re.fullmatch(r"([\w.-]+): *(\S.*)", line) for line in text.splitlines())
    return {line[1]: line[2].strip().strip("'\"") for line in lines if line}


def _microseconds(text: str) -> float | None:
    return int(text) / 1e6 if text.isdecimal() and len(text) < 20 else None


FORMAT = Format(
    name="guild",
    summary="Guild AI's runs (.guild/runs/<id>/.guild), with the scalars that Guild took from the output",
    files=".guild/events.out.tfevents.*",
    sniff_folder=_sniff_folder,
    load=_load,
    hidden_folders=frozenset({".guild"}),
    limits=(
        "Values are float32. Scalars that a script did not print in the form that Guild looks for are not"
        " there."
    ),
    tested_on="Guild AI 0.9.0",
)

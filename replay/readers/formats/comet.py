"""Comet's offline experiments: ``messages.json`` in an archive per process, or in the temporary folder that
stays behind where a process was killed.

Each line of ``messages.json`` is a message; those of the type ``metric_msg`` hold one value. Archives of one
experiment key are one run, in the order in which their processes began.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.readers.archives import EMPTY, MemberText, is_archive, list_members, read_small
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.json_lines import JsonLines, parse_lines
from replay.readers.points import number, open_text
from replay.readers.tracker_rows import Row, place_by_arrival
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_MESSAGES, _EXPERIMENT = "messages.json", "experiment.json"
_ARCHIVE = re.compile(r"[0-9a-zA-Z]{32,50}(-\w{6})?")
_HARDWARE = re.compile(r"sys\..*|process duration")


def _sniff(path: Path, head: bytes) -> bool:
    if is_archive(head):
        try:
            return {_MESSAGES, _EXPERIMENT} <= {member.name for member in list_members(path)}
        except OSError:
            return False
    if head.startswith(EMPTY):
        return _ARCHIVE.fullmatch(path.stem) is not None
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or b'"payload"' not in head:
        return False
    return any(
        isinstance(message, dict)
        and message.keys() == {"payload", "type"}
        and isinstance(message["payload"], dict)
        and "message_id" in message["payload"]
        for message in parse_lines(head, 3)
    )


def _experiment(path: Path) -> dict[str, Any]:
    """What the archive of a process says of its experiment; empty for other files."""
    try:
        with path.open("rb") as file:
            if not is_archive(file.read(4)):
                return {}
        (member,) = (member for member in list_members(path) if member.name == _EXPERIMENT)
        stated = json.loads(read_small(path, member) or b"")
    except (OSError, ValueError, RecursionError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The archives of one experiment key together, by the time at which their processes began."""
    groups: dict[str, list[tuple[float, Path]]] = {}
    for path in paths:
        stated = _experiment(path)
        key = stated.get("offline_id")
        began = number(stated.get("start_time"))
        groups.setdefault(key if isinstance(key, str) else f"/{path}", []).append((began or 0.0, path))
    ordered = []
    for parts in groups.values():
        seen: dict[float, Path] = {}
        for began, path in sorted(parts):
            seen.setdefault(began, path)  # a copy of an archive is the same process again
        ordered.append(list(seen.values()))
    return ordered


@dataclass
class _Messages:
    rows: list[Row] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    by_epoch: bool = False


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    messages, starts, ended = _Messages(), list[int](), True
    for path in files:
        begin = len(messages.rows)
        try:
            found = _read(path, messages)
        except UnusableLog as error:
            findings.append(error.finding)
            continue
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        findings += found
        starts.append(begin)
        ended = number(_experiment(path).get("stop_time")) is not None
    facts = {
        **settings_of(messages.parameters),
        "format": FORMAT.name,
        "sources": files,
        "step_unit": "epoch" if messages.by_epoch else "step",
        "complete": None if ended else False,
        "project_name": _experiment(files[-1]).get("project_name"),
    }
    rows = messages.rows
    if all(math.isnan(row.step) for row in rows):
        rows = place_by_arrival(rows)
        facts["findings"] = [Finding(Kind.STEPS_NOT_LOGGED, Severity.NOTE)]
    runs = tracker_runs(run_id, rows, facts, starts=starts[1:], counts_calls=False)
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(files[0]), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _read(path: Path, messages: _Messages) -> list[Finding]:
    """Add the messages of a file; returns what could not be read."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin == EMPTY:
        raise UnusableLog(Finding(Kind.EMPTY_ARCHIVE, log=str(path)))
    if not is_archive(begin):
        with open_text(path) as text:
            lines = JsonLines(text, str(path))
            _take(lines, messages)
        return lines.findings
    members = {member.name: member for member in list_members(path)}
    cut = Finding(Kind.CUT_OFF, log=str(path), facts={"part": "archive"})
    if _MESSAGES not in members:
        raise UnusableLog(cut)
    member = MemberText(path, members[_MESSAGES])
    lines = JsonLines(member, str(path))
    _take(lines, messages)
    return lines.findings or ([cut] if member.cut else [])


def _take(lines: Iterable[Any], messages: _Messages) -> None:
    step: float | None = None
    for message in lines:
        payload = message.get("payload") if isinstance(message, dict) else None
        if not isinstance(payload, dict):
            continue
        metric, parameter = payload.get("metric"), payload.get("param")
        if isinstance(parameter, dict) and isinstance(parameter.get("paramName"), str):
            if parameter.get("source") != "auto-logged":
                messages.parameters[parameter["paramName"]] = parameter.get("paramValue")
            continue
        if message.get("type") != "metric_msg" or not isinstance(metric, dict):
            continue
        name, value = metric.get("metricName"), number(metric.get("metricValue"))
        if not isinstance(name, str) or value is None or _HARDWARE.fullmatch(name):
            continue
        stated, epoch = number(metric.get("step")), number(metric.get("epoch"))
        if stated is None and step is None and epoch is not None:
            messages.by_epoch = True
        step = epoch if messages.by_epoch else step if stated is None else stated
        context = payload.get("context")
        if isinstance(context, str) and context:
            name = f"{context}/{name}"
        values = {name: value}
        if epoch is not None and not messages.by_epoch and name != "epoch":
            values["epoch"] = epoch
        milliseconds = number(payload.get("local_timestamp"))
        wall = math.nan if milliseconds is None else milliseconds / 1000
        messages.rows.append(Row(math.nan if step is None else step, values, wall))


FORMAT = Format(
    name="comet",
    summary="Comet offline experiments: archives with messages.json, and what a killed process leaves",
    files="<key>.zip, tmp*/messages.json",
    sniff=_sniff,
    load=_load,
    group=_group,
    endings=frozenset({".zip"}),
    limits=(
        "A killed process leaves its values in a temporary folder that does not name its experiment, so it is"
        " not joined with the process that resumed it."
    ),
    tested_on="Comet 3.58.8",
)

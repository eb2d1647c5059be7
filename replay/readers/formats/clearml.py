"""ClearML's offline sessions: ``metrics.jsonl`` in a folder ``offline-…``, or in the archive of that folder.

Each line is a list of events, one per value. A series is the pair of an event's metric (the title of a plot)
and variant. ClearML writes NaN and infinity as 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.names import infer_mode
from replay.data.run import Run
from replay.readers.archives import MemberText, is_archive, list_members, read_small
from replay.readers.format import Format, Loaded, UnusableLog
from replay.readers.json_lines import JsonLines, complete_elements, parse_lines
from replay.readers.points import number, open_text
from replay.readers.tracker_rows import Row
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_METRICS, _TASK = "metrics.jsonl", "task.json"
_SINGLE = -(2**31)  # the iteration of a single value, which is not part of a curve
_KEYS = {"type", "iter", "metric", "variant", "value"}


def _sniff(path: Path, head: bytes) -> bool:
    if is_archive(head):
        try:
            return {_METRICS, _TASK} <= {member.name for member in list_members(path)}
        except OSError:
            return False
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"[{"):
        return False
    first = complete_elements(text.split(b"\n", 1)[0].decode("utf-8", "replace"))
    batches = [*first[:1], *(value for value in parse_lines(head, 2) if isinstance(value, list))]
    return any(isinstance(event, dict) and event.keys() >= _KEYS for batch in batches for event in batch[:5])


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    with path.open("rb") as file:
        archive = is_archive(file.read(4))
    findings: list[Finding] = []
    if archive:
        members = {member.name: member for member in list_members(path)}
        if _METRICS not in members:
            raise UnusableLog(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "archive"}))
        text = MemberText(path, members[_METRICS])
        lines = JsonLines(text, str(path))
        rows = list(_rows(lines))
        if text.cut and not lines.findings:
            findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "archive"}))
        task = read_small(path, members[_TASK]) if _TASK in members else None
    else:
        with open_text(path) as file:
            lines = JsonLines(file, str(path))
            rows = list(_rows(lines))
        task = _beside(path)
    findings = [*lines.findings, *findings]
    facts = {"format": FORMAT.name, "sources": files, **_settings(task)}
    runs = tracker_runs(run_id, rows, facts, counts_calls=False)
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    for run in runs:
        findings += _suspect_zeros(run, str(path))
    return Loaded(runs, findings)


def _rows(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        for event in batch if isinstance(batch, list) else [batch]:
            if not isinstance(event, dict) or event.get("type") != "training_stats_scalar":
                continue
            metric, variant = str(event.get("metric", "")), str(event.get("variant", ""))
            step, value = number(event.get("iter")), number(event.get("value"))
            if step is None or value is None or step == _SINGLE:
                continue
            parts = dict.fromkeys(part for part in (metric, variant) if part)
            milliseconds = number(event.get("timestamp"))
            wall = math.nan if milliseconds is None else milliseconds / 1000
            yield Row(step, {"/".join(parts): value}, wall)


def _beside(path: Path) -> bytes | None:
    """The task's file in the folder of the metrics, if there is one."""
    try:
        with (path.parent / _TASK).open("rb") as file:
            return file.read(1 << 20)
    except OSError:
        return None


def _settings(task: bytes | None) -> dict[str, Any]:
    """What the task says of the run: its name, its project and its hyperparameters."""
    try:
        stated = json.loads(task or b"")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(stated, dict):
        return {}
    facts = {name: stated[name] for name in ("name", "project_name") if isinstance(stated.get(name), str)}
    sections = stated.get("hyperparams")
    settings = {}
    for section in sections.values() if isinstance(sections, dict) else ():
        for name, entry in section.items() if isinstance(section, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("value"), str):
                settings[name] = _typed(entry)
    return {**facts, **settings_of(settings)}


def _typed(entry: Mapping[str, Any]) -> str | float | int:
    value = str(entry["value"])
    kind = {"float": float, "int": int}.get(str(entry.get("type")))
    try:
        return value if kind is None else kind(value)
    except ValueError:
        return value


def _suspect_zeros(run: Run, log: str) -> Iterable[Finding]:
    """Losses and errors that are exactly 0 at some evals: ClearML writes 0 where a value was not finite."""
    for name in run.metrics:
        values, present = run.columns[name]
        mode = infer_mode(name)
        zero = present & (values == 0)
        if mode is not None and mode.mode == "min" and zero.any() and np.any(values[present] != 0):
            steps = tuple(run.steps[zero].tolist())
            yield Finding(
                Kind.ZERO_FOR_NAN, log=log, facts={"metric": name, "steps": steps, "tool": "ClearML"}
            )


FORMAT = Format(
    name="clearml",
    summary="ClearML offline sessions: metrics.jsonl in a folder offline-…, or its archive",
    files="metrics.jsonl, offline-*.zip",
    sniff=_sniff,
    load=_load,
    endings=frozenset({".zip"}),
    limits=(
        "ClearML writes NaN and infinity as 0, and a session that is continued begins a new folder, which is"
        " read as another run."
    ),
    tested_on="ClearML 2.1.12",
)

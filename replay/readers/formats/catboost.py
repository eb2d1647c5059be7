"""CatBoost's ``catboost_training.json``: every iteration of a training, and which way each metric is better.

The event files and the tables beside it hold the same values, so one of them is kept as the run; it gets the
modes and the planned iterations from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.data.types import Mode
from replay.readers.assemble import assemble
from replay.readers.format import GZIP, Format, Loaded, UnusableLog
from replay.readers.partial_json import parse_partly
from replay.readers.points import PointsBuilder, number, open_text, round_interval

__all__ = ["FORMAT"]

_MODES: dict[str, Mode] = {"Min": "min", "Max": "max"}


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"{") or b'"test_sets"' not in text or b'"learn_sets"' not in text:
        return False
    document = parse_partly(text.decode("utf-8", "replace")).value
    return isinstance(document, dict) and isinstance(document.get("meta"), dict)


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    with open_text(path) as file:
        parsed = parse_partly(file.read())
        findings = file.findings(path)
    document: dict[str, Any] = parsed.value if isinstance(parsed.value, dict) else {}
    stated = document.get("meta")
    meta: dict[str, Any] = stated if isinstance(stated, dict) else {}
    listed = document.get("iterations")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    if rows and any(rows[-1] is one for one in parsed.open):
        rows.pop()
    learn, test = _metrics(meta, "learn"), _metrics(meta, "test")
    points, modes, held_out = PointsBuilder(), dict[str, Mode](), set[str]()
    for row in rows:
        step = number(row.get("iteration"))
        if step is None:
            continue
        values = {"passed_time": seconds} if (seconds := number(row.get("passed_time"))) is not None else {}
        for data, item in row.items():
            if not isinstance(item, list):
                continue
            names = learn if data in _names(meta, "learn_sets") else test
            for (metric, mode), value in zip(names, map(number, item), strict=False):
                if value is None:
                    continue
                name = f"{data}/{metric}"
                values[name] = value
                if names is test:
                    held_out.add(name)
                    if mode is not None:
                        modes[name] = mode
        points.add(step, values)
    if parsed.broken is not None:
        facts = {"character": parsed.broken, "kept": len(rows)}
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
    planned = number(meta.get("iteration_count"))
    runs = assemble(
        run_id,
        points.points(),
        held_out=held_out,
        counters={"passed_time": "wall_seconds"},
        companions={
            f"{data}/{metric}": "train_loss" for data in _names(meta, "learn_sets") for metric, _ in learn[:1]
        },
        info=RunInfo.of(
            {
                "format": FORMAT.name,
                "sources": files,
                "modes": modes,
                "validation_sets": _names(meta, "test_sets"),
                "planned_steps": int(planned) if planned is not None and 0 < planned < 1e15 else None,
            }
        ),
        hint=lambda steps: {"tool": "jsonl", "every": round_interval(steps)},
    )
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _names(meta: Mapping[str, Any], key: str) -> list[str]:
    names = meta.get(key)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _metrics(meta: Mapping[str, Any], kind: str) -> list[tuple[str, Mode | None]]:
    """The metrics of a kind of sets with their modes, in the order of the values."""
    stated = meta.get(f"{kind}_metrics")
    return [
        (str(metric.get("name")), _MODES.get(str(metric.get("best_value"))))
        for metric in (stated if isinstance(stated, list) else [])
        if isinstance(metric, dict)
    ]


FORMAT = Format(
    name="catboost",
    summary="CatBoost's catboost_training.json, with the mode of each metric",
    files="catboost_training.json",
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    limits="The file does not say whether the overfitting detector ended a training: it counts as cut short.",
    tested_on="CatBoost 1.2.10",
)

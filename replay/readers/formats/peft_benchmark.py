"""Results of PEFT's method comparison: a JSON file per training, with its evals in ``train_info.metrics``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.readers.assemble import assemble
from replay.readers.format import GZIP, Format, Loaded, UnusableLog
from replay.readers.partial_json import parse_partly
from replay.readers.points import PointsBuilder, number, open_text, round_interval
from replay.readers.series_names import held_out_of, is_bookkeeping

__all__ = ["FORMAT"]

_COUNTERS = {"eval time": "eval_seconds", "elapsed time": "wall_seconds"}
_TEST = "test "  # of the finished model, after the training


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"{") or b'"run_info"' not in text:
        return False
    about = _part(parse_partly(text.decode("utf-8", "replace")).value, "run_info")
    return {"train_config", "peft_config"} <= about.keys()


def _part(document: Any, *keys: str) -> Mapping[str, Any]:
    """The object under these keys; empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    with open_text(path) as file:
        parsed = parse_partly(file.read())
        findings = file.findings(path)
    trained = _part(parsed.value, "train_info")
    listed = trained.get("metrics")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    if rows and any(rows[-1] is one for one in parsed.open):
        rows.pop()
    points, after = PointsBuilder(), dict[str, float]()
    for row in rows:
        values = {str(name): value for name, item in row.items() if (value := number(item)) is not None}
        step = values.pop("step", None)
        tested = {name: value for name, value in values.items() if name.startswith(_TEST)}
        after |= tested
        if step is not None and not tested:
            points.add(step, values)
    series = points.points()
    held_out = held_out_of(series)
    used = {
        name: one
        for name, one in series.items()
        if name in held_out or name in _COUNTERS or not is_bookkeeping(name)
    }
    if parsed.broken is not None:
        facts = {"character": parsed.broken, "kept": len(rows)}
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
    status = trained.get("status")
    info = {
        "format": FORMAT.name,
        "sources": files,
        "complete": status == "success" if isinstance(status, str) else None,
        **_settings(parsed.value),
        **after,
    }
    runs = assemble(
        run_id,
        used,
        held_out=held_out,
        counters=_COUNTERS,
        companions={"train loss": "train_loss"},
        info=RunInfo.of(info),
        hint=lambda steps: {"tool": "jsonl", "every": round_interval(steps)},
    )
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _settings(document: Any) -> dict[str, Any]:
    train, method = _part(document, "run_info", "train_config"), _part(document, "run_info", "peft_config")
    settings = {
        name: value
        for name, value in {**train, **method}.items()
        if isinstance(value, str | int | float) and value != ""
    }
    steps = number(train.get("max_steps"))
    model = train.get("model_id")
    return {
        "hyperparameters": settings or None,
        "planned_steps": int(steps) if steps is not None and 0 < steps < 1e15 else None,
        "model": model if isinstance(model, str) else None,
    }


FORMAT = Format(
    name="peft-benchmark",
    summary="Results of PEFT's method comparison: JSON with the evals in train_info.metrics",
    files="results/*.json",
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    limits="The test metric of the finished model is not an eval of the training, and is skipped.",
    tested_on="result files of PEFT's repository of 2025 and 2026",
)

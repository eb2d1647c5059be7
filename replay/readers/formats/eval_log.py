"""The eval log, version 1: the format that ``collect`` writes and ``replay`` reads. This file is its
definition.

JSONL, one strict JSON object per line, UTF-8, only ever appended to; every line is on disk before training
goes on, so a kill loses at most the line that was being written. Finite numbers have as many digits as are
needed to read back the same double (at most 17). A logged NaN or infinity is the string ``"NaN"``,
``"Infinity"`` or ``"-Infinity"``; a value that is undefined or unknown is ``null``, or its key is left out.

The first line is the header; the others have a ``kind``:

``{"format": "replay-eval-log", "version": 1, "run": …, "created": …, "modes": {"eval_loss": "min"}, …}``
    ``modes``: the mode of every metric as the task states it. Further keys, all optional: ``monitor`` (the
    metric meant for choosing), ``planned_steps``, ``planned_epochs``, ``model``, ``dataset``, ``group`` (runs
    that are alike), ``hyperparameters``, ``seed``, ``versions``, ``hardware``, ``data`` (digests and sizes),
    ``rows`` (for each file: how many rows were read, left out for which reason, and used in which split),
    ``config``, ``devices``, ``lora`` (the adapted modules: lists ``modules``, ``rank``, ``scale``,
    ``parameters`` and ``weight_norm``, the Frobenius norm of the original weight beneath; ``dora``, where
    there is any module whose magnitude is learned: its change is that of the weight, and its ``stable_rank``
    is null; ``shifted``, where there is any module of whose weight an initialisation moved a part into the
    adapter, as PiSSA does: its change is that of the original weight; ``undefined``, where there is any
    module whose signals are null: the reason, or null).
``{"kind": "reference", "metrics": {…}}``
    What the base model gives on the eval sets, the adapter switched off: once per run.
``{"kind": "segment", "segment": 1, "resumed_from": 20, "time": …, "wasted": {…}}`` The process was started
    again from the checkpoint of step 20. What earlier segments logged after that step is void; ``wasted`` are
    the counters of what it cost, as far as is known.
``{"kind": "train", "step": …, "epoch": …, "loss": …, "learning_rate": …, "grad_norm": …, "compute": {…}}``
    One training log entry; ``loss`` is the mean since the entry before, ``grad_norm`` is that before
    clipping. ``compute``: what has been used so far, which a kill would waste.
``{"kind": "eval", "step": …, "epoch": …, "segment": …, "time": …, "metrics": {…}, "train": {…}, "compute":
    {…}, "saved": …}`` One evaluation. ``metrics``: qualified by data set (``eval_`` validation, ``test_``
    test). ``counts``: over how many tokens or examples a metric is a mean. ``train``: ``loss`` (mean since
    the eval before), ``learning_rate``, ``grad_norm``, ``grad_norm_clipped``. ``compute``: the counters of
    `replay.data.run.COUNTERS`, and others; ``wasted_…`` is what void segments have cost on top. ``saved``:
    whether a checkpoint of this step was written; left out where one is still to be written. ``signals``: how
    far the adapter is (``delta_norm``, ``delta_ratio``, ``cosine``, ``relative_change``, ``stable_rank``);
    ``modules``: the same for each module of the header's list, rounded to 7 digits. With
    ``"continues": true`` it is more of the evaluation before it, on a further data set: metrics are added,
    counters replaced.
``{"kind": "checkpoint", "step": …, "kept": true, "compute": {…}}`` A checkpoint of this step is complete.
    ``kept``: it stays, so that the step counts as saved; one that is not kept only serves to resume.
    ``compute``: the cumulative counters at this step.
``{"kind": "extended", "step": 20, "planned_steps": 40, "planned_epochs": …, "before": {…}, …}`` The training
    had ended at step 20, and goes on under another plan: the ``end`` before this line is void. ``before`` has
    the plan until then, and the ``learning_rate`` of its last step. ``scheduler`` names the schedule of the
    learning rate, ``learning_rate`` is that of the next step, and ``same_schedule`` says whether the rates so
    far are those of a training of 40 steps from the start, as a constant one's are.
``{"kind": "end", "step": …, "reason": …, "compute": {…}}``
    The training ended by itself. A log without this line was cut short.

A reader refuses a version that it does not know, and ignores keys and kinds that it does not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import COUNTERS
from replay.readers.assemble import assemble
from replay.readers.format import GZIP, Format, Loaded, UnusableLog
from replay.readers.growing import read_text
from replay.readers.json_parser import parser
from replay.readers.points import PointsBuilder

__all__ = ["FORMAT", "FORMAT_NAME", "VERSION", "decode", "encode", "entries", "number"]

FORMAT_NAME = "replay-eval-log"
VERSION = 1
_HEADER = (
    "run",
    "created",
    "modes",
    "monitor",
    "planned_steps",
    "planned_epochs",
    "model",
    "dataset",
    "group",
    "hyperparameters",
    "seed",
    "versions",
    "hardware",
    "data",
    "config",
    "devices",
)
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(record: Mapping[str, Any]) -> str:
    """One line of the log, newline included; raises ValueError on what JSON cannot hold."""
    return json.dumps(_strict(record), allow_nan=False, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def decode(line: str) -> dict[str, Any]:
    """The record of one line; raises ValueError where the line is not an object of strict JSON."""
    try:
        record = parser(_DECODER.decode)(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def number(value: Any) -> float | None:
    """A number as the log spells it; None for null and for what is not a number."""
    if isinstance(value, str):
        return _WORDS.get(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not strict JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _sniff(path: Path, head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return (
        first.lstrip().startswith(b"{")
        and b'"format"' in first
        and b'"' + FORMAT_NAME.encode() + b'"' in first
    )


@dataclass
class _Log:
    """What the lines of a log say."""

    path: Path
    count: int = 0
    header: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    resumes: list[tuple[int, float]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    saved: dict[float, float] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    wasted: dict[str, float] = field(default_factory=dict)
    extensions: list[dict[str, Any]] = field(default_factory=list)
    segments: set[float] = field(default_factory=set)
    #: The first line that shows that several processes wrote the log at once.
    mixed_at: int | None = None
    findings: list[Finding] = field(default_factory=list)

    def copy(self) -> _Log:
        """A copy that may take more lines; records themselves never change."""
        return replace(
            self,
            resumes=list(self.resumes),
            rows=list(self.rows),
            saved=dict(self.saved),
            reference=dict(self.reference),
            wasted=dict(self.wasted),
            extensions=list(self.extensions),
            segments=set(self.segments),
            findings=list(self.findings),
        )

    def take_all(self, lines: Sequence[str]) -> None:
        """More lines. Raises UnusableLog where the first is not a header."""
        for line in lines:
            self.take(line)

    def take(self, line: str) -> None:
        """One more line. Raises UnusableLog where the first is not a header."""
        self.count += 1
        if not line.strip("\0 \t\r\n"):
            return
        log = str(self.path)
        try:
            record = decode(line.lstrip("\0"))  # a crash may leave zero bytes before the next line
        except ValueError as error:
            if self.header is None:
                facts = {"format": FORMAT.name, "error": str(error)}
                raise UnusableLog(Finding(Kind.INVALID_HEADER, log=log, facts=facts)) from None
            self.findings.append(
                Finding(Kind.INVALID_JSON, log=log, facts={"line": self.count})
                if line.endswith("\n")
                else Finding(Kind.CUT_OFF, log=log, facts={"part": "line"})
            )
            return
        if self.header is None:
            self.header = record
            if record.get("version") != VERSION:
                versions = {"version": record.get("version"), "supported": VERSION}
                raise UnusableLog(Finding(Kind.UNSUPPORTED_VERSION, log=log, facts=versions))
            return
        self._add(record)

    def _add(self, record: dict[str, Any]) -> None:
        kind, rows = record.get("kind"), self.rows
        step = number(record.get("step"))
        if self.mixed_at is None and self._is_of_another_writer(record):
            self.mixed_at = self.count
        if kind == "segment":
            if (segment := number(record.get("segment"))) is not None:
                self.segments.add(segment)
            at = number(record.get("resumed_from"))
            if at is not None:
                self.resumes.append((len(rows) + 1, at))
                self.saved = {step: kept for step, kept in self.saved.items() if step <= at}
                for name, value in _numbers(entries(record, "wasted")).items():
                    self.wasted[name] = self.wasted.get(name, 0.0) + value
        elif kind == "end":
            self.end = record
        elif kind == "extended":
            self.end = None
            self.extensions.append(record)
        elif kind == "reference":
            self.reference |= _numbers(entries(record, "metrics"))
        elif step is None:
            return
        elif kind == "checkpoint":
            self.saved[step] = float(record.get("kept") is not False)
        elif kind == "eval" and record.get("continues") is True and rows and _is_more(rows[-1], step):
            rows[-1] = _continue(rows[-1], record)
        elif kind in ("train", "eval"):
            rows.append(record)

    def _is_of_another_writer(self, record: dict[str, Any]) -> bool:
        """Whether a line comes from a process that did not know of lines before: a segment or an end that is
        there already, or an evaluation of a segment that is over.
        """
        segment = number(record.get("segment"))
        if record.get("kind") == "segment":
            return segment in self.segments
        if record.get("kind") == "end":
            return self.end is not None
        return (
            record.get("kind") == "eval" and segment is not None and segment < max(self.segments, default=0)
        )


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    log, left_out = read_text(path, "eval-log", lambda: _Log(path))
    findings = [*log.findings, *left_out]
    header, rows, saved, wasted = log.header, log.rows, log.saved, log.wasted
    if header is None:
        raise UnusableLog(Finding(Kind.EMPTY_FILE, log=str(path)))
    held_out: set[str] = set()
    points = PointsBuilder()
    for record in rows:
        held_out |= set(_numbers(entries(record, "metrics")))
        points.add(number(record["step"]) or 0.0, _values(record, saved))
    findings += points.findings(path)
    runs = assemble(
        run_id,
        points.points(),
        held_out=held_out,
        epoch="epoch",
        counters={f"compute/{name}": name for name in COUNTERS},
        companions={
            "train/loss": "train_loss",
            "train/learning_rate": "learning_rate",
            "train/grad_norm": "grad_norm",
            "wall_time": "wall_time",
            "saved": "saved",
        },
        resumes=log.resumes,
        info=RunInfo.of(
            {
                **_facts(header | _newest_plan(log.extensions), log.end or {}),
                "reference": log.reference,
                "findings": [
                    *([_trained_again(wasted)] if wasted.get("steps") else []),
                    *map(_extended, log.extensions),
                    *([] if log.mixed_at is None else [_mixed(log.mixed_at)]),
                ],
                **({"wasted": wasted} if wasted.get("steps") else {}),
                "format": FORMAT.name,
                "sources": files,
            }
        ),
    )
    return Loaded(runs, findings)


def _trained_again(wasted: Mapping[str, float]) -> Finding:
    facts = {"steps": wasted["steps"], "seconds": wasted.get("train_seconds")}
    return Finding(Kind.TRAINED_AGAIN, Severity.NOTE, facts=facts)


def _mixed(line: int) -> Finding:
    return Finding(Kind.SEVERAL_WRITERS, Severity.WARNING, facts={"line": line})


def _newest_plan(extensions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the last extension plans, in place of the header's entries."""
    newest = extensions[-1] if extensions else {}
    return {name: newest[name] for name in ("planned_steps", "planned_epochs") if newest.get(name)}


def _extended(record: Mapping[str, Any]) -> Finding:
    before = entries(record, "before")
    is_same = record.get("same_schedule") is True
    facts = {
        "step": number(record.get("step")),
        "planned": number(record.get("planned_steps")),
        "planned_before": number(before.get("planned_steps")),
        "scheduler": str(record["scheduler"]) if record.get("scheduler") else None,
        "same_schedule": is_same,
        "learning_rate": number(record.get("learning_rate")),
        "learning_rate_before": number(before.get("learning_rate")),
    }
    return Finding(Kind.EXTENDED, Severity.NOTE if is_same else Severity.WARNING, facts=facts)


def _is_more(record: Mapping[str, Any], step: float) -> bool:
    return record["kind"] == "eval" and number(record["step"]) == step


def _continue(record: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation with a further data set's figures."""
    record = dict(record)
    for key in ("metrics", "counts", "signals"):
        record[key] = {**entries(more, key), **entries(record, key)}
    for key in ("compute", "train"):
        record[key] = {**entries(record, key), **entries(more, key)}
    return record


def _values(record: Mapping[str, Any], saved: Mapping[float, float]) -> dict[str, float]:
    """What a training log entry or an evaluation says of its step, under the names of `assemble`."""
    if record["kind"] == "train":
        return _numbers(record, ("epoch", "loss", "learning_rate", "grad_norm"))
    values = _numbers(entries(record, "metrics"))
    for key in ("train", "signals", "compute"):
        values |= {f"{key}/{name}": value for name, value in _numbers(entries(record, key)).items()}
    values |= _numbers(record, ("epoch",))
    step = number(record["step"])
    if isinstance(record.get("saved"), bool) or saved:
        values["saved"] = max(
            float(record.get("saved") is True), saved.get(step, 0.0) if step is not None else 0.0
        )
    if (time := number(record.get("time"))) is not None:
        values["wall_time"] = time
    return values


def _facts(header: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    """What header and end say of the run; an entry of the wrong kind is left out, since logs are
    untrusted.
    """
    meta = {key: header[key] for key in _HEADER if header.get(key) is not None}
    modes = header.get("modes")
    meta["modes"] = (
        {str(name): mode for name, mode in modes.items() if mode in ("min", "max")}
        if isinstance(modes, dict)
        else {}
    )
    for key in ("planned_steps", "planned_epochs", "devices"):
        value = number(header.get(key))
        if value is not None and math.isfinite(value) and value > 0:
            meta[key] = value
        else:
            meta.pop(key, None)
    for key in ("monitor", "group", "model", "dataset"):
        if key in meta:
            meta[key] = str(meta[key])
    compute = end.get("compute")
    totals = _numbers(compute) if isinstance(compute, dict) else {}
    for name in ("tokens", "flops"):
        if name in totals:
            meta[f"trained_{name}"] = totals[name]
    if "train_seconds" in totals:
        meta["trained_seconds"] = totals["train_seconds"]
    return {**meta, "trained_steps": number(end.get("step")), "complete": bool(end)}


def entries(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key of a record; empty where there is none."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _numbers(record: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, float]:
    numbers = {}
    for name in record if names is None else names:
        value = number(record.get(name))
        if value is not None:
            numbers[name] = value
    return numbers


FORMAT = Format(
    name="eval-log",
    summary="the eval log that collect writes, version 1 (JSONL with a header line)",
    files="*.jsonl, *.jsonl.gz",
    sniff=_sniff,
    load=_load,
    only_its_files=True,
    endings=frozenset({GZIP}),
    tested_on="every run of collect's own tests",
)

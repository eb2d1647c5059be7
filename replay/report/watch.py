"""The report of ``replay watch``: where policies stand on the runs that are training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.types import Floats
from replay.engine.standing import RunState, Standing
from replay.errors import printable
from replay.report.document import Block, Document, Notes, Paragraph, Records
from replay.report.format import number
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.watch import say_bars, say_count, say_progress, say_standing

__all__ = ["COLUMNS", "Frame", "build", "sparkline"]

#: Columns of the CSV, one row per run and policy.
COLUMNS = (
    "run",
    "monitor",
    "mode",
    "evals",
    "step",
    "planned_steps",
    "ended",
    "value",
    "best",
    "policy",
    "spec",
    "counter",
    "threshold",
    "stopped_eval",
    "stopped_step",
    "reason",
    "unit",
    "since",
    "next",
    "next_bound",
    "next_strict",
)
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_WIDE = 72
_SEPARATORS = "-_/. "
#: What a log says of itself while it is being written.
_BEING_WRITTEN = {Kind.CUT_OFF}


@dataclass(frozen=True)
class Frame:
    """What is shown at one moment.

    ``states`` are the runs in the order in which they are shown. ``message`` says why there is none.
    ``notes`` are sentences of the command itself.
    """

    states: Sequence[RunState]
    unit: str
    findings: Sequence[Finding] = ()
    message: str = ""
    notes: Sequence[str] = ()


def build(
    frame: Frame, *, width: int = 80, most: int | None = None, ascii: bool = False, how: str = ""
) -> Document:
    """Report the runs, at most ``most`` of them on a screen, in lines for a ``width``.

    ``how`` says how the others are shown.
    """
    return Document(
        lambda: _blocks(frame, width, most, ascii, how),
        lambda: {
            "runs": [_run_data(state, frame.unit) for state in frame.states],
            "message": frame.message or None,
            "warnings": [*sentences(_lasting(frame.findings)), *frame.notes],
        },
        lambda: Records(COLUMNS, [row for state in frame.states for row in _rows(state, frame.unit)]),
    )


def _lasting(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind not in _BEING_WRITTEN]


def _blocks(frame: Frame, width: int, most: int | None, ascii: bool, how: str) -> list[Block]:
    shown = frame.states if most is None else frame.states[:most]
    bars = f" {text}." if (text := say_bars(shown, _bars(width))) else ""
    blocks: list[Block] = [Paragraph((f"{say_count(frame.states)}.{bars}",))]
    if frame.message:
        blocks.append(Paragraph((frame.message,)))
    labels = max((len(one.policy) for state in shown for one in state.standings), default=0)
    names = _short_names([state.run.id for state in shown], 24 if width >= _WIDE else width - 2)
    for index, (state, name) in enumerate(zip(shown, names, strict=True)):
        blocks.append(
            Paragraph(tuple(_head(state, name, width, ascii)), tight=index > 0 and most is not None)
        )
        blocks += [
            Paragraph(
                (_policy_line(one, state, frame.unit, labels, width),),
                indent=2,
                hanging=4,
                tight=True,
                answer=one.stopped_eval is not None and not state.ended,
            )
            for one in state.standings
        ]
        if state.problem is not None:
            blocks.append(Paragraph((printable(state.problem),), indent=2, hanging=2, tight=True))
    if len(shown) < len(frame.states):
        more = len(frame.states) - len(shown)
        blocks.append(Paragraph((f"{more} more run{'s' * (more != 1)}{how}.",)))
    notes = [*frame.notes, *make_notes(_lasting(frame.findings), ())]
    if notes:
        blocks.append(Notes(notes))
    return blocks


def _head(state: RunState, name: str, width: int, ascii: bool) -> list[str]:
    """The line of a run; two lines where there is little room."""
    if not len(state.values):
        return [name]
    last = f"{number(float(state.values[-1]), 5)} at eval {len(state.values)}"
    if width >= _WIDE:
        bars = sparkline(state.values, _bars(width), ascii=ascii)
        return [f"{name:<24}  {bars:<14}  {last:<19} {say_progress(state)}".rstrip()]
    bars = sparkline(state.values, _bars(width), ascii=ascii)
    return [name, f"  {bars} {last}"]


def _bars(width: int) -> int:
    """How many evals are drawn as bars."""
    return 14 if width >= _WIDE else max(width - 24, 6)


def _policy_line(one: Standing, state: RunState, unit: str, labels: int, width: int) -> str:
    text = say_standing(one, state, unit)
    counter = "" if one.problem is not None else _counter(one)
    if width >= _WIDE:
        return f"{one.policy:<{min(labels, 24)}}  {counter:>5}  {text}".rstrip()
    return f"{one.policy} {counter}: {text}" if counter else f"{one.policy}: {text}"


def _counter(one: Standing) -> str:
    """The signal against the threshold; after a stop, that it is reached."""
    if one.stopped_eval is not None:
        return "STOP"
    if one.threshold is None:
        return ""
    return f"{'-' if one.counter is None else number(one.counter, 3)}/{number(one.threshold, 3)}"


def sparkline(values: Floats, most: int, *, ascii: bool = False) -> str:
    """The latest values as bars, at most ``most`` of them; NaN and infinities are question marks."""
    latest = [float(value) for value in values[-most:]]
    bars = _ASCII_BARS if ascii else _BARS
    finite = [value for value in latest if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(bars) - 1) / (high - low) if high > low and math.isfinite(high - low) else 0.0
    return "".join(
        bars[round((value - low) * scale) if scale else len(bars) // 2] if math.isfinite(value) else "?"
        for value in latest
    )


def _short_names(names: Sequence[str], most: int) -> list[str]:
    """Names that fit: without what all of them begin with, and without their middle, where they are long."""
    shown = [printable(name) for name in names]
    if len(shown) > 1 and max(map(len, shown)) > most:
        shared = _shared_beginning(min(shown), max(shown))
        begin = max(shared.rfind(sign) for sign in _SEPARATORS) + 1
        if begin > 3:
            shown = [f"...{name[begin:]}" for name in shown]
    short = []
    for name in shown:
        if len(name) > most:
            begin = (most - 3) // 3
            name = f"{name[:begin]}...{name[len(name) - (most - 3 - begin) :]}"
        short.append(name)
    return short


def _shared_beginning(one: str, other: str) -> str:
    """What two texts begin with; of the first and the last of sorted texts, what all begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    end = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    return one[:end]


def _run_data(state: RunState, unit: str) -> dict[str, Any]:
    return {
        **_facts(state),
        "values": [float(value) for value in state.values],
        "steps": [float(step) for step in state.steps],
        "problem": None if state.problem is None else str(state.problem),
        "policies": [_standing_data(one, unit) for one in state.standings],
    }


def _facts(state: RunState) -> dict[str, Any]:
    best = state.best
    return {
        "run": state.run.id,
        "monitor": state.metric or None,
        "mode": state.mode if state.metric else None,
        "evals": len(state.values),
        "step": float(state.steps[-1]) if len(state.steps) else None,
        "planned_steps": state.planned,
        "ended": state.ended,
        "value": float(state.values[-1]) if len(state.values) else None,
        "best": None if best is None else float(state.values[best]),
    }


def _standing_data(one: Standing, unit: str) -> dict[str, Any]:
    coming = one.next
    return {
        "policy": one.policy,
        "spec": one.spec,
        "counter": one.counter,
        "threshold": one.threshold,
        "stopped_eval": one.stopped_eval,
        "stopped_step": one.stopped_step,
        "reason": one.reason,
        "unit": unit,
        "since": one.since,
        "next": None if coming is None else str(coming.kind),
        "next_bound": None if coming is None else coming.bound,
        "next_strict": None if coming is None or coming.bound is None else coming.strict,
        "problem": None if one.problem is None else str(one.problem),
    }


def _rows(state: RunState, unit: str) -> list[dict[str, Any]]:
    facts = _facts(state)
    if not state.standings:
        return [{name: facts.get(name) for name in COLUMNS}]
    rows = ({**facts, **_standing_data(one, unit)} for one in state.standings)
    return [{name: row[name] for name in COLUMNS} for row in rows]

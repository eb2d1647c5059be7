"""From the rows that an experiment tracker stored to runs: where a row belongs in the training, and which of
its names are metrics.

Trackers number log calls where they are not given a step, so that train and eval calls share one counter. The
step of the training then is among the values: ``train/global_step`` (transformers), ``trainer/global_step``
(Lightning) or the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import Run
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based
from replay.readers.interleaved import name_sets
from replay.readers.placeholders import drop_placeholders_by_step
from replay.readers.points import Points, PointsBuilder, round_interval
from replay.readers.series_names import companions_of, held_out_of, is_bookkeeping, is_held_out
from replay.readers.tracker_rows import Row
from replay.readers.tracker_settings import with_known_monitor

__all__ = ["numbered_from_zero", "tracker_runs"]

_GLOBAL_STEPS = ("train_global_step", "trainer_global_step", "global_step")
#: The last one is what accelerate logs to ClearML.
_EPOCHS = ("epoch", "train_epoch", "epoch_epoch", "epoch_train")
_TOKENS = ("num_input_tokens_seen", "num_tokens", "tokens_seen", "total_tokens")
_ONCE = {"train_runtime": "train_runtime", "total_flos": "total_flos"}
#: First parts of the names under which trackers log the machine.
_SYSTEM = ("system", "__system__", "__swanlab__", "monitoring", ":monitor:machine", ":monitor:gpu")


def tracker_runs(
    run_id: str,
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    *,
    starts: Iterable[int] = (),
    axes: Sequence[str] = (),
    counts_calls: bool = True,
    began: float | None = None,
) -> list[Run]:
    """The runs that the rows of one tracked run hold: one, or one per restart; none where nothing was logged.

    Rows are in the order in which they were stored; ``starts`` are indices of rows with which a further
    process begins. ``facts`` are fields of `RunInfo`. ``axes`` names what the user declared as the step of
    the metrics. ``counts_calls`` says that the tracker numbers log calls where it is not given a step.
    ``began`` is the time at which the run was started.
    """
    rows = [row._replace(values=_without_system(row.values)) for row in rows]
    starts = frozenset(starts)
    steps, by_epoch, axis = _place(rows, axes, starts if counts_calls else None)
    names = dict.fromkeys(name for row in rows for name in row.values)
    runtimes = {name for name in names if _is_runtime(name)}
    once = {name: field for name in names for key, field in _ONCE.items() if _last_words(name) == key}
    held_out = {
        name for name in held_out_of(names) if name not in runtimes and _last_words(name) not in _TOKENS
    }
    builder = PointsBuilder()
    summary: dict[str, Any] = {}
    clock = _Clock(rows, starts, began)
    begins: list[int] = []
    for index, (row, step) in enumerate(zip(rows, steps, strict=True)):
        if index in clock.starts:
            begins.append(builder.row + 1)
        if not math.isfinite(step):
            continue
        summary |= {once[name]: value for name, value in row.values.items() if name in once}
        ends = any(name in once for name in row.values)  # transformers' summary of the whole training
        kept = {
            name: value
            for name, value in row.values.items()
            if name != axis
            and name not in once
            and name not in runtimes
            and not (ends and _last_words(name) == "train_loss")
        }
        if any(is_held_out(name) for name in kept) and not math.isnan(row.wall):
            kept |= {"wall time": row.wall, "active time": clock.seconds[index]}
        builder.add(step, kept)
        for name in sorted(runtimes & row.values.keys()):
            builder.add_parts(step, "eval runtime", {name: row.values[name]})
    runs = _assembled(run_id, builder.points(), held_out, begins, {**summary, **facts}, by_epoch)
    return [with_known_monitor(run) for run in runs]


def _assembled(
    run_id: str,
    points: dict[str, Points],
    held_out: set[str],
    begins: Sequence[int],
    facts: Mapping[str, Any],
    by_epoch: bool,
) -> list[Run]:
    points, filled = drop_placeholders_by_step(points, held_out)
    points, interleaved = name_sets(points, held_out)
    held_out |= {name for finding in interleaved for name in finding["names"]}
    held_out = {name for name in held_out if name in points}
    epoch = None if by_epoch else next((name for name in points if canonical(name) in _EPOCHS), None)
    counters = {"eval runtime": "eval_seconds", "active time": "wall_seconds"}
    counters |= {
        name: "tokens"
        for name, series in points.items()
        if _last_words(name) in _TOKENS and not is_held_out(name) and (np.diff(series.value) >= 0).all()
    }
    aside = {"wall time", *counters, epoch}
    used = {
        name: series
        for name, series in points.items()
        if name in held_out
        or name in aside
        or not (is_bookkeeping(name) or canonical(name) in (*_EPOCHS, *_GLOBAL_STEPS))
    }
    train = [name for name in used if name not in held_out and name not in aside]
    series = {name: one for name, one in used.items() if name in held_out or name in train}
    if by_epoch:  # a plan in steps says nothing of epochs
        facts = {**facts, "step_unit": "epoch", "planned_steps": None}
    return assemble(
        run_id,
        used,
        held_out=held_out,
        epoch=epoch,
        counters=counters,
        companions={**companions_of(train), "wall time": "wall_time"},
        starts=begins,
        zero_based=numbered_from_zero(series, held_out),
        info=RunInfo.of({**facts, "findings": [*facts.get("findings", ()), *filled, *interleaved]}),
        hint=lambda steps: {"tool": "jsonl", "every": round_interval(steps)},
    )


def numbered_from_zero(points: Mapping[str, Points], held_out: Iterable[str]) -> bool:
    """Whether steps number epochs or log calls from 0, so that the first eval was made after one of them.

    That is so where the evals are at 0, 1, 2, …; but an eval at 0 that comes before all train figures was
    made before the training.
    """
    evals = [points[name].step for name in held_out if len(points[name].step)]
    if not evals:
        return False
    steps = np.unique(np.concatenate(evals))
    if len(steps) < 2 or not np.array_equal(steps, np.arange(len(steps))):
        return False
    first = min(int(series.order[0]) for series in points.values() if len(series.order))
    names = {name for name, series in points.items() if len(series.order) and series.order[0] == first}
    train = points.keys() - set(held_out)
    at_zero = {name for name in train if (points[name].step == 0).any()}
    return is_zero_based(points, set(held_out), names | at_zero)


def _without_system(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not _is_system(name)}


def _is_system(name: str) -> bool:
    """Whether a name is the tracker's own or measures the machine."""
    return name.startswith("_") or name.split("/", 1)[0].split(".", 1)[0] in _SYSTEM


def _last_words(name: str) -> str:
    return canonical(name.rsplit("/", 1)[-1])


def _is_runtime(name: str) -> bool:
    words = canonical(name)
    return words.endswith("runtime") and words.startswith(("eval", "test"))


def _place(
    rows: Sequence[Row], axes: Sequence[str], starts: frozenset[int] | None
) -> tuple[list[float], bool, str | None]:
    """The step of every row, whether it is an epoch, and the name that it was taken from. ``starts`` is None
    where the tracker does not number log calls.
    """
    counted = starts is not None and _counts_calls(rows, starts)
    names = dict.fromkeys(name for row in rows for name in row.values)
    declared = [name for name in axes if name in names]
    known = [name for key in _GLOBAL_STEPS for name in names if canonical(name) == key]
    for name in (*declared, *known):
        if name not in declared and _is_the_step(rows, name):
            return [row.step for row in rows], False, name
        steps = _filled(rows, name)
        if steps is not None:
            return steps, canonical(name) in _EPOCHS, name
    if counted:
        for name in names:
            if canonical(name) in _EPOCHS and (steps := _by_epoch(rows, name)) is not None:
                return steps, True, name
    return [row.step for row in rows], False, None


def _counts_calls(rows: Sequence[Row], starts: frozenset[int]) -> bool:
    """Whether the tracker's step goes up by one with every row, from 0 or 1 on; a further process may go on
    or begin again.
    """
    if len(rows) < 2 or rows[0].step not in (0, 1):
        return False
    return all(
        later.step == earlier.step + 1 or (index in starts and later.step in (0, 1))
        for index, (earlier, later) in enumerate(pairwise(rows), 1)
    )


def _is_the_step(rows: Sequence[Row], name: str) -> bool:
    """Whether a name is the tracker's own step wherever it is logged: the rows without it then have that
    step, and not the one of the row before.
    """
    pairs = [(row.values[name], row.step) for row in rows if name in row.values]
    return any(value for value, _ in pairs) and all(value == step for value, step in pairs)


def _filled(rows: Sequence[Row], name: str) -> list[float] | None:
    """The values of a name as steps, with that of the row before where a row has none; None where they are
    not steps.
    """
    values = [row.values.get(name, math.nan) for row in rows]
    known = [value for value in values if not math.isnan(value)]
    if not known or not all(0 <= value < math.inf for value in known) or known[-1] == known[0] == 0:
        return None
    last = known[0]
    steps = []
    for value in values:
        last = last if math.isnan(value) else value
        steps.append(last)
    return steps


def _by_epoch(rows: Sequence[Row], name: str) -> list[float] | None:
    """Epochs as steps, where every eval has one of its own; None where the number of the call is better,
    since whole epochs do not tell several train values apart.
    """
    steps = _filled(rows, name)
    if steps is None:
        return None
    last: dict[str, tuple[float, float]] = {}
    again = 0
    for row, step in zip(rows, steps, strict=True):
        repeated = {
            metric for metric in row.values if metric != name and metric in last and last[metric][0] == step
        }
        others = {metric for metric in repeated if last[metric][1] != row.values[metric]}
        if any(is_held_out(metric) and (metric in others or name not in row.values) for metric in row.values):
            return None
        again += bool(repeated)
        last |= {metric: (step, value) for metric, value in row.values.items()}
    whole = all(step == int(step) for step in steps)
    return None if whole and 10 * again > len(rows) else steps


class _Clock:
    """Seconds that the run was going on up to a row: pauses before a further process do not count."""

    def __init__(self, rows: Sequence[Row], starts: frozenset[int], began: float | None) -> None:
        self.starts = starts
        self.seconds: list[float] = []
        total, last = 0.0, math.nan if began is None else began
        for index, row in enumerate(rows):
            if not math.isnan(row.wall):
                if index not in starts and row.wall > last:
                    total += row.wall - last
                last = row.wall if index in starts or math.isnan(last) else max(row.wall, last)
            self.seconds.append(total)

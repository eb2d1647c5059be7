"""What every importer gives and gets: the Format type, and the assembly of logged points into runs.

Order, duplicates and restarts are resolved here, once, by these rules:

- Rows of one step are one eval. A value that is logged again for the same step in the same segment is a
  re-evaluation (Ultralytics validates its best checkpoint at the last step, two processes write every row):
  the first is kept.
- A series that goes back to a step after its first one is a *resume*: the later segment wins from the step
  at which it goes on, and what the earlier one had logged from there is dropped.
- A series that goes back to its first step or before is a *restart*: another training in the same place,
  which becomes a run of its own (``name#1``, ``name#2``), in the same group.
- Two writers whose rows interleave (each a point or two late) are neither: their rows are put in order, and the
  first value of a step is kept.
- Where the log states its segments (``resumed_from``), that is used instead.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

from replay.run import HELD_OUT_WORDS, Column, Run, Series, canonical, infer_mode

__all__ = [
    "Format",
    "Loaded",
    "Points",
    "PointsBuilder",
    "assemble",
    "clocks_of",
    "companions_of",
    "held_out_of",
    "is_bookkeeping",
    "is_held_out",
    "is_metric",
    "is_zero_based",
    "measures_of",
    "number",
    "open_text",
    "per_batch",
    "round_interval",
    "split_of",
    "step_name",
    "words",
]

_TIMES = {"runtime", "time", "seconds", "secs", "duration", "elapsed", "eta", "timestamp", "second", "sec", "fps", "ips", "throughput"}
_PLACES = {"step", "steps", "epoch", "epochs", "iter", "iters", "iteration", "iterations", "samples", "batches"}
_TRAIN = {"train", "training", "learn"}
_STEPS = (
    "global_step", "train_global_step", "trainer_global_step", "step", "current_steps", "iteration", "iter", "steps", "iters", "iterations",
    "training_step", "train_step", "num_updates", "update", "training_iteration",
)  # fmt: skip
_CLOCKS = {
    "time",
    "elapsed",
    "elapsed_time",
    "wall_time",
    "walltime",
    "runtime",
    "time_total_s",
    "total_time",
    "timestamp",
    "seconds",
    "relative_time",
}
_TOKENS = ("num_input_tokens_seen", "num_tokens", "tokens_seen", "total_tokens", "tokens")
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}


class Loaded(NamedTuple):
    """What an importer made of its files: runs, and sentences on what it had to leave out."""

    runs: list[Run]
    problems: list[str]


@dataclass(frozen=True)
class Format:
    """One log format.

    ``sniff(path, head)`` recognises a file by its content: ``head`` is its first 64 KiB. ``group`` says which of the
    recognised files belong to one run (default: every file alone). ``load(files, run_id)`` reads one such group; it raises
    InputError where nothing in it can be used. ``files`` are file name patterns, separated by commas: they are shown to
    users, and decide whether a file that nothing recognises is worth a word. Files are read, never executed or unpickled,
    and no path inside a log is followed.
    """

    name: str
    summary: str
    files: str
    sniff: Callable[[Path, bytes], bool]
    load: Callable[[Sequence[Path], str], Loaded]
    group: Callable[[Sequence[Path]], list[list[Path]]] = field(default=lambda paths: [[path] for path in paths])


@lru_cache(4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a logged name in lower case: ``validation/epochLoss`` has validation, epoch and loss."""
    return tuple(canonical(re.sub(r"([a-z])([A-Z])", r"\1_\2", name)).split("_"))


@lru_cache(4096)
def is_held_out(name: str) -> bool:
    """Whether a series' name says that it was measured on held-out data (``val_loss``, ``eval/loss``, ``DEV_F1``)."""
    return bool(HELD_OUT_WORDS & set(words(name))) and not is_bookkeeping(name)


@lru_cache(4096)
def is_bookkeeping(name: str) -> bool:
    """Whether a name counts time, speed, memory or places in the data (``eval_samples_per_second``, ``test/time``): no metric."""
    parts = words(name)
    rest = [part for part in parts if part not in HELD_OUT_WORDS and part not in ("num", "total", "n", "global")]
    return bool(rest) and (
        rest[-1] in _TIMES
        or rest in ([place] for place in _PLACES)
        or {"per", "second"} <= set(parts)
        or not {"memory", "speed"}.isdisjoint(parts)
        or ("mem" in parts and not {"cpu", "gpu"}.isdisjoint(parts))
    )


def per_batch(names: Iterable[str]) -> set[str]:
    """Those names that are the noisy per-batch side of a per-epoch metric: ``val_loss_step`` beside ``val_loss_epoch``.

    Lightning logs both; the per-batch one may be split further by epoch (``val_loss_step/epoch_0``) and has a step of its own.
    """
    names = list(names)
    whole = {name.removesuffix("_epoch") for name in names if name.endswith("_epoch")}
    return {name for name in names if (found := re.fullmatch(r"(.+)_step(/epoch_\d+)?", name)) and (found[2] or found[1] in whole)}


def held_out_of(names: Iterable[str]) -> set[str]:
    """The held-out metrics among the names of one log, by name alone.

    Beside those that name a held-out split these are Ultralytics' ``metrics/…`` next to its ``val/…``. The per-batch side of
    a per-epoch metric is none.
    """
    names = list(names)
    found = {name for name in names if is_held_out(name) and canonical(name) != "hp_metric"}
    if any(name.startswith("val/") for name in found):
        found |= {name for name in names if name.startswith("metrics/") and not is_bookkeeping(name)}
    return found - per_batch(names)


def companions_of(names: Iterable[str]) -> dict[str, str]:
    """Which train series are the train loss, learning rate and gradient norm, by name: the first that fits each."""
    found: dict[str, str] = {}
    for name in names:
        parts = [part for part in words(name) if part not in ("train", "training", "learn", "epoch", "step", "fit")]
        target = None
        if parts == ["loss"] or parts == ["total", "loss"]:
            target = "train_loss"
        elif parts[:1] == ["lr"] or parts[:2] == ["learning", "rate"]:
            target = "learning_rate"
        elif parts == ["grad", "norm"]:
            target = "grad_norm"
        if target and target not in found.values():
            found[name] = target
    return found


def is_metric(name: str) -> bool:
    """Whether a name looks like a metric: what tells a training log from other tables."""
    return not is_bookkeeping(name) and (is_held_out(name) or infer_mode(name) is not None)


def split_of(text: str) -> str | None:
    """``train`` or ``held-out`` where a word is the name of a split, such as a folder's or the value of a ``mode`` field."""
    word = text.strip().lower()
    return "train" if word in _TRAIN else "held-out" if word in HELD_OUT_WORDS else None


def step_name(names: Sequence[str]) -> tuple[str, bool] | None:
    """Which of a log's names is the step, and whether that is the epoch for want of a better one; None where none is."""
    plain = {canonical(name): name for name in reversed(names)}
    for wanted in _STEPS:
        if wanted in plain:
            return plain[wanted], False
    for wanted in ("epoch", "epochs"):
        if wanted in plain:
            return plain[wanted], True
    return None


def clocks_of(points: Mapping[str, Points]) -> dict[str, str]:
    """Which series are clocks: ``wall_time`` (seconds since 1970) or ``wall_seconds`` (since the begin: it must always grow)."""
    found: dict[str, str] = {}
    for name, (_, step, value) in points.items():
        if canonical(name) not in _CLOCKS or len(value) < 2 or not np.isfinite(value).all():
            continue
        gain = np.diff(value)[np.diff(step) >= 0]
        if not len(gain) or not (gain >= 0).all() or not gain.any() or value[0] < 0:
            continue
        if value[0] > 1e9:
            target = "wall_time"
        elif len(value) >= 5 or value[-1] > 1.5 * value[0]:
            target = "wall_seconds"
        else:
            continue
        if target not in found.values():
            found[name] = target
    return found


def measures_of(points: Mapping[str, Points], held_out: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Counters and companions among the series of a table, by name and values, as `assemble` takes them."""
    clocks = clocks_of({name: series for name, series in points.items() if name not in held_out})
    counters = {name: target for name, target in clocks.items() if target == "wall_seconds"}
    counters |= {name: "tokens" for name in points if name in _TOKENS and (np.diff(points[name].value) >= 0).all()}
    companions = {name: target for name, target in clocks.items() if target == "wall_time"}
    return counters, companions | companions_of(name for name in points if name not in held_out)


def is_zero_based(points: Mapping[str, Points], held_out: Collection[str], first_row: Collection[str]) -> bool:
    """Whether epochs are counted from 0; an eval of epoch 0 without any train figures was made before the training.

    ``first_row`` are the names that the first row has a value for.
    """
    if not points or min(float(series.step[0]) for series in points.values() if len(series.step)) != 0:
        return False
    train = points.keys() - set(held_out)
    return not set(held_out) & set(first_row) or not train or bool(train & set(first_row))


def number(value: Any) -> float | None:
    """A logged number; the words NaN and Infinity count, null, booleans and other text do not (None)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        text = value.strip().lower()
        word = _WORDS.get(text.lstrip("+-"))
        return None if word is None else -word if text.startswith("-") else word
    return None


def open_text(path: Path) -> TextIO:
    """The file as text: UTF-8 unless a byte order mark says UTF-16; bytes that are no text become U+FFFD. Raises OSError."""
    with path.open("rb") as raw:
        mark = raw.read(2)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.open(encoding=encoding, errors="replace", newline="")


def round_interval(steps: float) -> int:
    """An interval of 1, 2 or 5 times a power of ten that gives about 20 evals over ``steps``: for hints."""
    wanted = max(steps / 20, 1.0)
    power = 10 ** math.floor(math.log10(wanted))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= wanted))


class Points(NamedTuple):
    """One logged name: arrival order within the source (shared by all its names), step and value of every point."""

    order: npt.NDArray[np.int64]
    step: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


class PointsBuilder:
    """Collects points row by row, for sources that are read as rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._points: dict[str, tuple[list[int], list[float], list[float]]] = {}
        self._parts: dict[str, set[str]] = {}

    def add(self, step: float, values: Mapping[str, float]) -> None:
        """One row: all its names get the same place in the arrival order."""
        self._rows += 1
        for name, value in values.items():
            orders, steps, column = self._points.setdefault(name, ([], [], []))
            orders.append(self._rows)
            steps.append(step)
            column.append(value)

    def add_parts(self, step: float, name: str, parts: Mapping[str, float]) -> None:
        """Add to the sum of what rows of one step log in parts: the runtimes of several eval sets. A part counts once a step."""
        orders, steps, column = self._points.setdefault(name, ([], [], []))
        seen = self._parts.setdefault(name, set())
        if not steps or steps[-1] != step:
            seen.clear()
            orders.append(self._rows)
            steps.append(step)
            column.append(0.0)
        for part in parts.keys() - seen:
            column[-1] += parts[part]
        seen.update(parts)

    @property
    def row(self) -> int:
        """Place in the arrival order of the last row."""
        return self._rows

    def points(self) -> dict[str, Points]:
        """The points of every name, in arrival order."""
        return {
            name: Points(np.array(orders, dtype=np.int64), np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64))
            for name, (orders, steps, values) in self._points.items()
        }


class _Segment(NamedTuple):
    start: int  # first place in the arrival order
    resumed_at: float | None  # first step that belongs to it; None: a training of its own


def _segments(points: Mapping[str, Points], starts: Sequence[int]) -> list[_Segment]:
    """Where series go backwards, split into resumes and restarts; ``starts`` are places where a process is known to begin."""
    begins = np.array(starts, dtype=np.int64)
    backward: list[tuple[int, int, str, int]] = []  # place, place of the point before, name, index
    for name, (order, step, _) in points.items():
        change = np.diff(step)
        turned = change < 0
        if len(begins) and len(step) > 2:
            # a new process that logs the last step again and goes on took it up from before that step; one that logs no more
            # evaluated once more (as is done with the best checkpoint)
            process = np.searchsorted(begins, order, side="right")
            goes_on = np.append((process[2:] == process[1:-1]) & (change[1:] > 0), False)
            turned |= (change == 0) & (process[1:] > process[:-1]) & goes_on
        backward += [(int(order[index]), int(order[index - 1]), name, index) for index in (np.flatnonzero(turned) + 1).tolist()]
    backward.sort()
    segments = [_Segment(0, None)]
    run_start = 0
    interleaved: set[str] = set()
    for place, before, name, index in backward:
        if before < segments[-1].start:
            continue  # the same turn back, seen in another series
        order, step, _ = points[name]
        known = begins[(begins > segments[-1].start) & (begins > before) & (begins <= place)]
        if not len(known) and _is_interleaved(step, int(np.searchsorted(order, segments[-1].start)), index, name in interleaved):
            interleaved.add(name)
            continue
        start, back = (int(known[-1]), float(step[index])) if len(known) else _first_again(points, place, float(step[index]))
        if _from_begin(points, start, run_start):
            segments.append(_Segment(start, None))
            run_start = start
        else:
            segments.append(_Segment(start, back))
    return segments


def _from_begin(points: Mapping[str, Points], start: int, run_start: int) -> bool:
    """Whether the process that begins at ``start`` trains from the begin: no series that goes back does so to after its first step."""
    for order, step, _ in points.values():
        first, here = np.searchsorted(order, run_start), np.searchsorted(order, start)
        if first < here < len(order) and step[first] < step[here] <= step[first:here].max():
            return False
    return True


def _first_again(points: Mapping[str, Points], place: int, step: float) -> tuple[int, float]:
    """Place and step at which a turn back seen at ``place`` began.

    The rows right before may be of the new process too: those of other names, which repeat the last step of their own series
    and so do not go back themselves.
    """
    rows: dict[int, list[float]] = {}  # steps of a row's points, NaN for a point that repeats nothing
    for series in points.values():
        high = int(np.searchsorted(series.order, place))
        for index in range(max(high - 4, 0), high):
            again = index > 0 and series.step[index] == series.step[index - 1]
            rows.setdefault(int(series.order[index]), []).append(float(series.step[index]) if again else np.nan)
    for before in sorted(rows, reverse=True):
        if not all(other <= step for other in rows[before]):
            break
        place, step = before, min(rows[before])
    return place, step


def _is_interleaved(step: npt.NDArray[np.float64], begin: int, index: int, before: bool) -> bool:
    """Whether a turn back at ``index`` is two writers out of step with each other, rather than a process that begins again.

    A process that begins again logs all that comes after its first step once more. Of two writers, one is a point or two
    late, and the other's next point passes over what was logged already. ``before`` says that the series did that earlier;
    then only many points in a row are taken for a process that begins again.
    """
    old = step[begin:index]
    top = old.max()
    few = 8 if before else 2
    new = step[index : index + few + 2]
    fall = np.flatnonzero(np.diff(new) < 0)
    new = new[: fall[0] + 1] if len(fall) else new
    again = new[new <= top]
    if len(again) > few:
        return False
    if before or new[-1] <= top:  # where the log ends or turns back once more, nothing was passed over yet
        return before
    passed = np.unique(old[old > step[index]])
    return not np.isin(passed, again).all() or (not np.isin(again, old).any())


def _merge(points: Points, segments: Sequence[_Segment]) -> tuple[Series, npt.NDArray[np.float64], int, int]:
    """One name within one training: ascending steps, the segment of each, and how many points were resolved away."""
    kept_step = np.empty(0)
    kept_value = np.empty(0)
    kept_segment = np.empty(0)
    repeated = overlapped = 0
    bounds = [*(segment.start for segment in segments), np.iinfo(np.int64).max]
    for number, segment in enumerate(segments):
        low, high = np.searchsorted(points.order, bounds[number]), np.searchsorted(points.order, bounds[number + 1])
        step, value = points.step[low:high], points.value[low:high]
        if number and segment.resumed_at is not None:
            cut = min(segment.resumed_at, float(step.min(initial=np.inf)))
            keep = kept_step < cut
            overlapped += int((~keep).sum())
            kept_step, kept_value, kept_segment = kept_step[keep], kept_value[keep], kept_segment[keep]
        unique, first = np.unique(step, return_index=True)
        repeated += len(step) - len(unique)
        kept_step = np.concatenate([kept_step, unique])
        kept_value = np.concatenate([kept_value, value[first]])
        kept_segment = np.concatenate([kept_segment, np.full(len(unique), number)])
    return Series(kept_step, kept_value), kept_segment, repeated, overlapped


def assemble(
    run_id: str,
    points: Mapping[str, Points],
    *,
    held_out: Collection[str],
    meta: Mapping[str, Any],
    epoch: str | None = None,
    counters: Mapping[str, str] | None = None,
    companions: Mapping[str, str] | None = None,
    starts: Sequence[int] = (),
    resumes: Sequence[tuple[int, float]] | None = None,
    zero_based: bool = False,
) -> list[Run]:
    """Runs from the points of one source: one, or one for each restart that the source holds.

    ``points`` maps a logged name to its points. ``held_out`` names those that are metrics of an eval; the others stay
    train-only series. ``epoch`` names the series that holds the epoch. ``counters`` maps a logged name to one of
    `replay.run.COUNTERS`, ``companions`` one to ``train_loss`` (averaged since the last eval), ``learning_rate``,
    ``grad_norm`` or ``wall_time``. ``starts`` are places in the arrival order where a new process is known to begin;
    ``resumes`` states the segments as (place, resumed_from step) instead of looking for them. ``zero_based`` says that
    steps are 0-based numbers of finished epochs, and shifts them by one, so that a step counts what has been trained.
    """
    counters = dict(counters or {})
    companions = dict(companions or {})
    finite = {name: _finite(series) for name, series in points.items()}
    if zero_based:
        finite = {name: Points(series.order, series.step + 1, series.value) for name, series in finite.items()}
    if resumes is not None:
        segments = [_Segment(0, None), *(_Segment(place, float(np.nextafter(at, np.inf))) for place, at in resumes)]
    else:
        derived = {epoch, *counters, *(name for name, target in companions.items() if target in ("wall_time", "saved"))}
        watched = {name: series for name, series in finite.items() if name not in derived and canonical(name) != "hp_metric"}
        segments = _segments(watched, sorted(starts))
    trainings: list[list[_Segment]] = []
    for segment in segments:
        if segment.resumed_at is None or not trainings:
            trainings.append([])
        trainings[-1].append(segment)
    ends = [*(training[0].start for training in trainings[1:]), np.iinfo(np.int64).max]
    runs = []
    for number, (training, end) in enumerate(zip(trainings, ends, strict=True), 1):
        own: dict[str, Points] = {}
        for name, series in finite.items():
            low, high = np.searchsorted(series.order, training[0].start), np.searchsorted(series.order, end)
            if high > low:
                own[name] = Points(series.order[low:high], series.step[low:high], series.value[low:high])
        notes = [*meta.get("notes", ())]
        extra: dict[str, Any] = {}
        if len(trainings) > 1:
            notes.append(f"restart {number} of {len(trainings)} in the same place")
            extra["group"] = meta.get("group") or run_id
        run = _one(
            run_id if len(trainings) == 1 else f"{run_id}#{number}",
            own,
            training,
            held_out,
            {**meta, **extra, "notes": notes},
            epoch,
            counters,
            companions,
        )
        if run.train or len(run):
            runs.append(run)
    return runs


def _finite(series: Points) -> Points:
    good = np.isfinite(series.step)
    return series if good.all() else Points(series.order[good], series.step[good], series.value[good])


def _one(
    run_id: str,
    points: Mapping[str, Points],
    segments: Sequence[_Segment],
    held_out: Collection[str],
    meta: dict[str, Any],
    epoch: str | None,
    counters: Mapping[str, str],
    companions: Mapping[str, str],
) -> Run:
    merged: dict[str, Series] = {}
    segment_of: dict[str, npt.NDArray[np.float64]] = {}
    repeated = overlapped = 0
    for name, series in points.items():
        own, segment, again, replaced = _merge(series, segments)
        if len(own.step):  # a resumed process may not have come as far as a name's first point
            merged[name], segment_of[name] = own, segment
        if name in held_out:
            repeated, overlapped = repeated + again, overlapped + replaced
    notes: list[str] = meta["notes"]
    if repeated:
        notes.append(f"{repeated} values logged again for the same step (the first is kept)")
    if len(segments) > 1:
        at = ", ".join(f"{segment.resumed_at:g}" for segment in segments[1:] if segment.resumed_at is not None)
        notes.append(f"resumed at step {at}; {overlapped} older values replaced")
    head = _missing_head(merged)
    if head is not None:
        notes.append(f"begins at step {head:g}; what was logged before is not there")
    metrics = [name for name in merged if name in held_out]
    steps = np.unique(np.concatenate([merged[name].step for name in metrics])) if metrics else np.empty(0)
    columns: dict[str, Column] = {"step": Column(steps, np.ones(len(steps), dtype=bool))}
    if epoch in merged:
        columns["epoch"] = _last(merged[epoch], steps)
    if len(segments) > 1 and metrics:
        number = np.zeros(len(steps))
        for name in metrics:
            number[np.searchsorted(steps, merged[name].step)] = segment_of[name]
        columns["segment"] = Column(number, np.ones(len(steps), dtype=bool))
    for name, target in [*counters.items(), *companions.items()]:
        if name not in merged or target in columns:
            continue
        if target == "train_loss":
            column = _mean_since(merged[name], steps)
        elif target.startswith("eval_"):
            column = _exact(merged[name], steps)
        else:
            column = _last(merged[name], steps)
        if column.present.any():
            columns[target] = column
    for name in metrics:
        columns[name if name not in columns else f"{name} (metric)"] = _exact(merged[name], steps)
    aside = {epoch, *held_out, *counters, *(name for name, target in companions.items() if target == "wall_time")}
    train = {name: series for name, series in merged.items() if name not in aside}
    last = max((float(series.step[-1]) for series in merged.values() if len(series.step)), default=0.0)
    meta["trained_steps"] = max(last, float(meta.get("trained_steps") or 0.0)) if len(points) else last
    return Run(run_id, columns, meta, train)


def _missing_head(series: Mapping[str, Series]) -> float | None:
    """The first step of all where it comes far later than the distance of the points suggests: the log begins in the middle.

    So is a log whose writer began a new file when the training was resumed.
    """
    if not series:
        return None
    first = min(series.values(), key=lambda one: float(one.step[0]))
    if len(first.step) < 3 or not float(first.step[0]) > 2.5 * float(np.median(np.diff(first.step))):
        return None
    return float(first.step[0])


def _exact(series: Series, steps: npt.NDArray[np.float64]) -> Column:
    values = np.full(len(steps), np.nan)
    present = np.zeros(len(steps), dtype=bool)
    index = np.searchsorted(steps, series.step)
    hit = (index < len(steps)) & (steps[np.minimum(index, len(steps) - 1)] == series.step) if len(steps) else np.zeros(len(index), bool)
    values[index[hit]] = series.value[hit]
    present[index[hit]] = True
    return Column(values, present)


def _last(series: Series, steps: npt.NDArray[np.float64]) -> Column:
    index = np.searchsorted(series.step, steps, side="right") - 1
    present = index >= 0
    values = np.where(present, series.value[np.maximum(index, 0)], np.nan) if len(series.step) else np.full(len(steps), np.nan)
    return Column(values, present)


def _mean_since(series: Series, steps: npt.NDArray[np.float64]) -> Column:
    """Mean of the points after the eval before and up to this one."""
    high = np.searchsorted(series.step, steps, side="right")
    low = np.concatenate([[0], high[:-1]]) if len(high) else high
    present = high > low
    values = np.array([series.value[a:b].mean() if b > a else np.nan for a, b in zip(low, high, strict=True)], dtype=np.float64)
    return Column(values, present)

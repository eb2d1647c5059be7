"""From logged points to runs.

Rows of one step are one eval. A restart becomes a run of its own (``name#1``, ``name#2``) in the same group.
Where the log states its segments (``resumed_from``), they are used; otherwise they are derived
(`replay.readers.segments`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import Column, Run, Series
from replay.readers.points import Points, StepOrder, distinct_steps, finite_points
from replay.readers.segments import Segment, find_segments, merge_segments
from replay.readers.two_clocks import place_on_one_clock

__all__ = ["assemble"]

_BEGIN = np.zeros(1, dtype=np.int64)


def assemble(
    run_id: str,
    points: Mapping[str, Points],
    *,
    held_out: Collection[str],
    info: RunInfo,
    epoch: str | None = None,
    counters: Mapping[str, str] | None = None,
    companions: Mapping[str, str] | None = None,
    starts: Sequence[int] = (),
    resumes: Sequence[tuple[int, float]] | None = None,
    zero_based: bool = False,
    hint: Callable[[float], Mapping[str, Any]] | None = None,
) -> list[Run]:
    """Runs from the points of one source: one run, or one per restart in the source.

    ``points`` maps a logged name to its points. ``held_out`` names those that are metrics of an eval; the
    others stay train-only series. ``epoch`` names the series that holds the epoch. ``counters`` maps a logged
    name to one of `replay.data.run.COUNTERS`, ``companions`` one to ``train_loss`` (averaged since the last
    eval), ``learning_rate``, ``grad_norm`` or ``wall_time``. ``starts`` are places in the arrival order where
    a new process is known to begin; ``resumes`` states the segments as (place, resumed_from step) instead of
    looking for them. ``zero_based`` says that steps are 0-based numbers of finished epochs, and shifts them
    by one, so that a step counts what has been trained, unless the train series count something else.
    ``hint`` gives the facts of the hint on how to log evals, from the steps trained, for a run that has none.
    """
    counters = dict(counters or {})
    companions = dict(companions or {})
    order = StepOrder()
    finite = finite_points(points, order)
    as_stated = info
    if resumes is None and info.step_unit == "step":
        finite, epoch, info = _on_one_clock(finite, held_out, epoch, info, {*counters, *_aside(companions)})
    if zero_based and info is as_stated:  # evals that have a place among the train steps count those
        later = {key: step + 1 for key, step in distinct_steps(finite.values()).items()}
        finite = {
            name: Points(series.order, later[id(series.step)], series.value)
            for name, series in finite.items()
        }
    if resumes is not None:
        segments = [
            Segment(0, None),
            *(Segment(place, float(np.nextafter(at, np.inf)), float(at)) for place, at in resumes),
        ]
    else:
        derived = {epoch, *counters, *_aside(companions)}
        watched = {
            name: series
            for name, series in finite.items()
            if name not in derived and canonical(name) != "hp_metric"
        }
        segments = find_segments(watched, sorted(starts), order)
    trainings: list[list[Segment]] = []
    for segment in segments:
        if segment.resumed_at is None or not trainings:
            trainings.append([])
        trainings[-1].append(segment)
    ends = [*(training[0].start for training in trainings[1:]), np.iinfo(np.int64).max]
    runs = []
    for number, (training, end) in enumerate(zip(trainings, ends, strict=True), 1):
        logged: dict[str, Points] = {}
        for name, series in finite.items():
            part = series
            if len(trainings) > 1:
                part = series.at(slice(*np.searchsorted(series.order, [training[0].start, end]).tolist()))
            if len(part.order):
                logged[name] = part
        stated = info
        if len(trainings) > 1:
            note = _note(Kind.RESTART, number=number, of=len(trainings))
            stated = info.replace(group=info.group or run_id, findings=(*info.findings, note))
        run = _one(
            run_id if len(trainings) == 1 else f"{run_id}#{number}",
            logged,
            training,
            held_out,
            stated,
            epoch,
            counters,
            companions,
            order,
        )
        if not len(run) and hint is not None:
            facts = hint(run.trained_steps)
            run = run.replace(info=run.info.replace(eval_hint=_note(Kind.EVAL_HINT, **facts)))
        if run.train or len(run):
            runs.append(run)
    return runs


def _aside(companions: Mapping[str, str]) -> set[str]:
    """The companions that say nothing of the order of a log."""
    return {name for name, target in companions.items() if target in ("wall_time", "saved")}


def _on_one_clock(
    points: dict[str, Points], held_out: Collection[str], epoch: str | None, info: RunInfo, aside: set[str]
) -> tuple[dict[str, Points], str | None, RunInfo]:
    """Points whose steps all count one thing, the series of epochs, and what is said of the run."""
    watched = {name: series for name, series in points.items() if name not in aside and name != epoch}
    clock = place_on_one_clock(watched, [name for name in held_out if name in watched])
    if clock.finding is None:
        return points, epoch, info
    info = info.replace(findings=(*info.findings, clock.finding))
    if clock.by_epoch:
        return clock.points, None, info.replace(step_unit="epoch", planned_steps=None)
    placed = clock.points
    for name in aside & points.keys():
        # clocks and counters have the steps of the rows that they were logged with
        steps = {
            int(order): float(step)
            for series in placed.values()
            for order, step in zip(series.order, series.step, strict=True)
        }
        one = points[name]
        moved = [
            steps.get(order, step) for order, step in zip(one.order.tolist(), one.step.tolist(), strict=True)
        ]
        placed[name] = one._replace(step=np.array(moved))
    if epoch is None and clock.epochs is not None:
        epoch = "epoch"
        placed[epoch] = clock.epochs
    elif epoch is not None:
        placed[epoch] = points[epoch]
    return placed, epoch, info


def _one(
    run_id: str,
    points: Mapping[str, Points],
    segments: Sequence[Segment],
    held_out: Collection[str],
    info: RunInfo,
    epoch: str | None,
    counters: Mapping[str, str],
    companions: Mapping[str, str],
    order: StepOrder,
) -> Run:
    merged: dict[str, Series] = {}
    segment_of: dict[str, npt.NDArray[np.float64]] = {}
    repeated = overlapped = 0
    for name, series in points.items():
        if len(segments) == 1 and order.ascends(series.step):
            merged[name] = Series(series.step, series.value)
            continue
        resolved, segment, again, replaced = merge_segments(series, segments, held_out=name in held_out)
        if len(resolved.step):  # a resumed process may not have come as far as a name's first point
            merged[name], segment_of[name] = resolved, segment
        if name in held_out:
            repeated, overlapped = repeated + again, overlapped + replaced
    findings = list(info.findings)
    resumes = tuple(
        segment.resumed_at if segment.resumed_from is None else segment.resumed_from
        for segment in segments[1:]
        if segment.resumed_at is not None
    )
    if repeated:
        findings.append(_note(Kind.REPEATED_VALUES, count=repeated))
    if len(segments) > 1:
        findings.append(_note(Kind.RESUMED, steps=resumes, replaced=overlapped))
    # the epoch is logged in the rows of the training and of the evals, which need not have one distance
    head = _missing_head({name: one for name, one in merged.items() if name != epoch} or merged)
    if head is not None:
        findings.append(_note(Kind.MISSING_HEAD, step=head))
    metrics = [name for name in merged if name in held_out]
    steps = _all_steps([merged[name].step for name in metrics])
    evals = _Evals(steps)
    columns: dict[str, Column] = {"step": Column(steps, evals.every)}
    if epoch in merged:
        columns["epoch"] = evals.last(merged[epoch])
    if len(segments) > 1 and metrics:
        number = np.zeros(len(steps))
        for name in metrics:
            number[np.searchsorted(steps, merged[name].step)] = segment_of[name]
        columns["segment"] = Column(number, evals.every)
    for name, target in [*counters.items(), *companions.items()]:
        if name not in merged or target in columns:
            continue
        if target == "train_loss":
            column = evals.mean_since(merged[name])
        elif target.startswith("eval_"):
            column = evals.exact(merged[name])
        else:
            column = evals.last(merged[name])
        counted = name not in counters or np.isfinite(column.values[column.present]).all()
        if column.present.any() and counted:
            columns[target] = column
    for name in metrics:
        columns[name if name not in columns else f"{name} (metric)"] = evals.exact(merged[name])
    aside = {
        epoch,
        *held_out,
        *counters,
        *(name for name, target in companions.items() if target == "wall_time"),
    }
    train = {name: series for name, series in merged.items() if name not in aside}
    last = max((float(series.step[-1]) for series in merged.values() if len(series.step)), default=0.0)
    info = info.replace(
        trained_steps=max(last, float(info.trained_steps or 0.0)) if len(points) else last,
        resumes=resumes,
        findings=tuple(findings),
    )
    for column in columns.values():
        for array in column:
            array.flags.writeable = False  # so that the run need not copy it
    make = Run.of_parts if order.ascends(steps) else Run
    return make(run_id, columns, info, train)


def _note(kind: Kind, **facts: Any) -> Finding:
    return Finding(kind, Severity.NOTE, facts=facts)


def _missing_head(series: Mapping[str, Series]) -> float | None:
    """The first step, if it comes much later than the distance of the next points suggests; else None.

    Such a log begins in the middle: its writer began a new file when the training was resumed.
    """
    if not series:
        return None
    first = min(series.values(), key=lambda one: float(one.step[0]))
    begin = first.step[:6].tolist()
    distances = sorted(later - earlier for earlier, later in pairwise(begin))
    if len(begin) < 3:
        return None
    middle = len(distances) // 2
    usual = distances[middle] if len(distances) % 2 else (distances[middle - 1] + distances[middle]) / 2
    return begin[0] if begin[0] > 2.5 * usual else None


def _all_steps(steps: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """All steps of some series, each of them ascending."""
    distinct = list({id(step): step for step in steps}.values())
    if len(distinct) == 1:
        return distinct[0]
    return np.unique(np.concatenate(distinct)) if distinct else np.empty(0)


class _Evals:
    """The steps of all evals, and columns with the values of a series at them; ``every`` are all evals.

    Series share their arrays of steps, so what is found for one of them is kept.
    """

    def __init__(self, steps: npt.NDArray[np.float64]) -> None:
        self.steps = steps
        self.every = np.ones(len(steps), dtype=bool)
        self._reached: dict[int, npt.NDArray[np.int64]] = {}

    def exact(self, series: Series) -> Column:
        """The values that were logged at the steps of the evals."""
        steps = self.steps
        if series.step is steps:
            return Column(series.value, self.every)
        if len(series.step) == len(steps) and (series.step == steps).all():
            return Column(series.value, self.every)
        values = np.full(len(steps), np.nan)
        present = np.zeros(len(steps), dtype=bool)
        index = np.searchsorted(steps, series.step)
        hit = (
            (index < len(steps)) & (steps[np.minimum(index, len(steps) - 1)] == series.step)
            if len(steps)
            else np.zeros(len(index), bool)
        )
        values[index[hit]] = series.value[hit]
        present[index[hit]] = True
        return Column(values, present)

    def last(self, series: Series) -> Column:
        """The last value at or before each eval."""
        if series.step is self.steps:
            return Column(series.value, self.every)
        index = self._reach(series.step)
        if not len(index) or index[0] >= 0:
            return Column(series.value[index], self.every)
        present = index >= 0
        values = (
            np.where(present, series.value[np.maximum(index, 0)], np.nan)
            if len(series.step)
            else np.full(len(self.steps), np.nan)
        )
        return Column(values, present)

    def mean_since(self, series: Series) -> Column:
        """Mean of the points after the eval before and up to each one."""
        high = self._reach(series.step) + 1
        low = np.concatenate([_BEGIN, high[:-1]])[: len(high)]
        counts = high - low
        several = set(counts.tolist())
        if len(several) == 1 and max(several) > 1:  # an eval every so many entries
            cells = series.value[: high[-1]].reshape(-1, max(several))
            return Column(np.add.reduce(cells, axis=1) / max(several), self.every)
        values = np.full(len(high), np.nan)
        for count in several - {0}:
            at = counts == count
            first = low[at]
            if count == 1:
                values[at] = series.value[first]
            else:
                cells = series.value[first[:, None] + np.arange(count)]
                values[at] = np.add.reduce(cells, axis=1) / count
        return Column(values, counts > 0)

    def _reach(self, step: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The place of the last of some steps at or before each eval; −1 where there is none."""
        index = self._reached.get(id(step))
        if index is None:
            index = self._reached[id(step)] = np.searchsorted(step, self.steps, side="right") - 1
        return index

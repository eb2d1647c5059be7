"""From logged points to runs.

Rows of one step are one eval. A restart becomes a run of its own (``name#1``, ``name#2``) in the same group.
Where the log states its segments (``resumed_from``), they are used; otherwise they are derived
(`replay.readers.segments`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, note
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import Run, Series
from replay.readers.counted_on import count_on
from replay.readers.finished_model import without_finished_model
from replay.readers.layout import Layout
from replay.readers.points import Points, StepOrder, distinct_steps, finite_points
from replay.readers.segments import Segment, find_segments, merge_segments, repeated_rows
from replay.readers.shared_arrays import Known
from replay.readers.two_clocks import place_on_one_clock

__all__ = ["assemble"]


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
    if resumes is None and not starts:
        uses = _Uses(
            frozenset(held_out),
            epoch,
            tuple(counters.items()),
            tuple(companions.items()),
            zero_based,
            info.step_unit,
        )
        plain = _known_plain(points, uses)
        if plain is not None:
            return _finished(plain.run(run_id, points, info), hint)
    order = StepOrder()
    finite = finite_points(points, order)
    if resumes is None and not starts and info.step_unit == "step":
        finite, begun_again = count_on(finite, epoch)
        if begun_again is not None:
            info = info.replace(findings=(*info.findings, begun_again))
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
        begins = sorted(starts) or repeated_rows(watched, held_out)
        segments = find_segments(watched, begins, order)
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
            restart = note(Kind.RESTART, number=number, of=len(trainings))
            stated = info.replace(group=info.group or run_id, findings=(*info.findings, restart))
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
        runs += _finished(run, hint)
    return runs


def _finished(run: Run, hint: Callable[[float], Mapping[str, Any]] | None) -> list[Run]:
    """The run, with the hint where it has no eval; nothing where it has no train series either."""
    if not len(run) and hint is not None:
        facts = hint(run.trained_steps)
        run = run.replace(info=run.info.replace(eval_hint=note(Kind.EVAL_HINT, **facts)))
    return [run] if run.train or len(run) else []


class _Plain(NamedTuple):
    """What follows from the steps of a run that was logged in one piece, with steps that never go back.

    ``firsts`` are the points to keep of the series that have several at a step.
    """

    layout: Layout
    firsts: Mapping[str, npt.NDArray[np.bool_]]
    findings: tuple[Finding, ...]

    def run(self, run_id: str, points: Mapping[str, Points], info: RunInfo) -> Run:
        """The run of points that have these steps."""
        values = {name: series.value for name, series in points.items()}
        for name, first in self.firsts.items():
            values[name] = values[name][first]
        return self.layout.run(run_id, values, info, self.findings)


class _Uses(NamedTuple):
    """Those arguments of `assemble` that say what the names and the steps of a log mean."""

    held_out: frozenset[str]
    epoch: str | None
    counters: tuple[tuple[str, str], ...]
    companions: tuple[tuple[str, str], ...]
    zero_based: bool
    step_unit: str


_PLAIN: Known[_Plain | None] = Known(64)


def _known_plain(points: Mapping[str, Points], uses: _Uses) -> _Plain | None:
    """What `_find_plain` finds, which is found once for all runs of a sweep: they share their steps."""
    arrays = [array for series in points.values() for array in series[:2]]
    return _PLAIN.get(arrays, (tuple(points), uses), lambda: _find_plain(points, uses))


def _find_plain(points: Mapping[str, Points], uses: _Uses) -> _Plain | None:
    """What follows from the steps of a run; None where it was interrupted, or has two clocks."""
    held_out, epoch, counters, companions = (
        uses.held_out,
        uses.epoch,
        dict(uses.counters),
        dict(uses.companions),
    )
    if not points or not all(map(_never_goes_back, points.values())):
        return None
    aside = {*counters, *_aside(companions), epoch}
    watched = {name: series for name, series in points.items() if name not in aside}
    if uses.step_unit == "step":
        clock = place_on_one_clock(watched, [name for name in held_out if name in watched])
        if clock.finding is not None:
            return None
    steps = {name: series.step for name, series in points.items()}
    if uses.zero_based:
        later = {key: step + 1 for key, step in distinct_steps(points.values()).items()}
        steps = {name: later[id(step)] for name, step in steps.items()}
    merged, firsts, repeated = dict(steps), {}, 0
    once: dict[int, tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = {}
    for name, step in steps.items():
        if id(step) not in once:
            first = np.append(True, step[1:] > step[:-1])
            once[id(step)] = first, step if first.all() else step[first]
        first, merged[name] = once[id(step)]
        if merged[name] is not step:
            firsts[name] = first
            repeated += (len(step) - len(merged[name])) * (name in held_out)
    findings = [note(Kind.REPEATED_VALUES, count=repeated)] if repeated else []
    if firsts and repeated_rows(watched, held_out, differing=False):
        return None
    layout, kept, finished = _laid_out(merged, held_out, epoch, counters, companions)
    for name, points_kept in kept.items():
        firsts[name] = firsts.get(name, np.ones(len(steps[name]), dtype=bool)).copy()
        firsts[name][firsts[name]] = points_kept
    return _Plain(layout, firsts, (*findings, *finished))


def _laid_out(
    steps: Mapping[str, npt.NDArray[np.float64]],
    held_out: Collection[str],
    epoch: str | None,
    counters: Mapping[str, str],
    companions: Mapping[str, str],
) -> tuple[Layout, dict[str, npt.NDArray[np.bool_]], list[Finding]]:
    """The layout of series with these steps, without a test of the finished model; which points are kept of
    the series that have some there, and the finding on it.
    """
    kept, finished = without_finished_model(steps, held_out, {epoch, *counters, *_aside(companions)})
    if finished is None:
        return Layout(steps, held_out, epoch, counters, companions), {}, []
    left = {name: step[kept[name]] if name in kept else step for name, step in steps.items()}
    left = {name: step for name, step in left.items() if len(step)}
    return Layout(left, held_out, epoch, counters, companions), kept, [finished]


def _never_goes_back(series: Points) -> bool:
    step = series.step
    return bool(len(step) and np.isfinite(step).all() and (step[1:] >= step[:-1]).all())


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
    findings: list[Finding] = []
    resumes = tuple(
        segment.resumed_at if segment.resumed_from is None else segment.resumed_from
        for segment in segments[1:]
        if segment.resumed_at is not None
    )
    if repeated:
        findings.append(note(Kind.REPEATED_VALUES, count=repeated))
    if len(segments) > 1:
        findings.append(note(Kind.RESUMED, steps=resumes, replaced=overlapped))
    steps = {name: one.step for name, one in merged.items()}
    layout, kept, finished = _laid_out(steps, held_out, epoch, counters, companions)
    values = {name: one.value for name, one in merged.items()}
    for name, points_kept in kept.items():
        values[name] = values[name][points_kept]
        if name in segment_of:
            segment_of[name] = segment_of[name][points_kept]
    segments_of = segment_of if len(segments) > 1 else None
    return layout.run(run_id, values, info.replace(resumes=resumes), [*findings, *finished], segments_of)

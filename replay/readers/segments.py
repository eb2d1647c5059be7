"""Where a log was resumed or restarted: the segments of its points.

- A value that is logged again for the same step in the same segment is a re-evaluation (Ultralytics
  validates its best checkpoint at the last step, two processes write every row): the first is kept.
- A series that goes back to a step after its first one is a *resume*: the later segment wins from the step
  at which it goes on, and what the earlier one had logged from there is dropped.
- A process that begins again at the first step or before is a *restart*: another training in the same place.
  The series that are logged most often decide: a resumed process may repeat the first eval, but its train
  loss goes on from the checkpoint.
- A process that is known to begin and goes on where the log ended is a *resume* too. So is a row that repeats
  all names of the row before at its step, with other values, where the log goes on behind it.
- Two writers whose rows interleave (each a point or two late) are neither: their rows are put in order, and
  the first value of a step is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.run import Series
from replay.readers.points import Points, StepOrder, distinct_steps

__all__ = ["Segment", "find_segments", "merge_segments", "repeated_rows"]

#: More rows than these that repeat a step are not those of resumed processes.
_FEW_REPEATED = 4


class Segment(NamedTuple):
    """One process of a training: the points from ``start`` on, up to the next segment.

    ``start`` is an index in the arrival order; ``resumed_at`` is the first step of the segment, or None where
    it is a training from the beginning. ``resumed_from`` is the step of the checkpoint, where the log states
    it; the segment begins right after it then.
    """

    start: int
    resumed_at: float | None
    resumed_from: float | None = None


def find_segments(points: Mapping[str, Points], starts: Sequence[int], order_of: StepOrder) -> list[Segment]:
    """Where series go backwards, split into resumes and restarts; ``starts`` are positions in the arrival
    order where a process is known to begin.
    """
    if not starts and not any(
        (step[1:] < step[:-1]).any()
        for step in distinct_steps(points.values()).values()
        if not order_of.ascends(step)
    ):
        return [Segment(0, None)]
    begins = np.array(starts, dtype=np.int64)
    backward: list[tuple[int, int, str, int]] = []  # position, position of the point before, name, index
    for name, (order, step, _) in points.items():
        change = step[1:] - step[:-1]
        turned = change < 0
        if not len(begins) and not turned.any():
            continue
        if len(begins) and len(step) > 2:
            # a new process that logs the last step again and goes on took it up from before that step; one
            # that logs no more evaluated once more (as is done with the best checkpoint)
            process = np.searchsorted(begins, order, side="right")
            goes_on = np.append((process[2:] == process[1:-1]) & (change[1:] > 0), False)
            turned |= (change == 0) & (process[1:] > process[:-1]) & goes_on
        backward += [
            (int(order[index]), int(order[index - 1]), name, index)
            for index in (np.flatnonzero(turned) + 1).tolist()
        ]
    backward.sort()
    segments = [Segment(0, None)]
    run_start = 0
    interleaved: set[str] = set()
    turns: dict[str, _Turns] = {}
    for position, before, name, index in backward:
        if before < segments[-1].start:
            continue  # the same turn back, seen in another series
        order, step, _ = points[name]
        known = begins
        if len(begins):
            known = begins[(begins > segments[-1].start) & (begins > before) & (begins <= position)]
        if not len(known):
            if name not in turns or turns[name].start != segments[-1].start:
                turns[name] = _Turns(points[name], segments[-1].start)
            if turns[name].is_interleaved(index, name in interleaved):
                interleaved.add(name)
                continue
        start, back = (
            (int(known[-1]), min(float(step[index]), _first_step(points, int(known[-1]))))
            if len(known)
            else _first_again(points, position, float(step[index]))
        )
        if _from_begin(points, start, run_start):
            segments.append(Segment(start, None))
            run_start = start
        else:
            segments.append(Segment(start, back))
    return _with_seamless(points, segments, begins)


def repeated_rows(
    points: Mapping[str, Points], held_out: Collection[str], *, differing: bool = True
) -> list[int]:
    """Places in the arrival order of rows that a resumed process logged for the last step of the process
    before: with the same names as the row there, train series and evals, and with other values, unless
    ``differing`` is false.

    Two processes that write every row, and a last row that is logged once more, are none.
    """
    pairs: dict[tuple[int, int], list[str]] = {}
    for name, (order, step, _) in points.items():
        again = np.flatnonzero(
            (step[1:] == step[:-1]) & np.append(step[2:] > step[1:-1], False)[: len(step) - 1]
        )
        if len(again) > _FEW_REPEATED or 4 * len(again) > len(step):
            return []
        for index in again.tolist():
            pairs.setdefault((int(order[index]), int(order[index + 1])), []).append(name)
    if len(pairs) > _FEW_REPEATED:
        return []
    return sorted(
        row
        for (before, row), names in pairs.items()
        if _is_remade(points, held_out, before, row, names, differing=differing)
    )


def _is_remade(
    points: Mapping[str, Points],
    held_out: Collection[str],
    before: int,
    row: int,
    names: Sequence[str],
    *,
    differing: bool,
) -> bool:
    """Whether a row logs all that the one before at the same step does, and nothing else."""
    if set(names) <= set(held_out) or not set(names) & set(held_out):
        return False
    differs = not differing
    for name, (order, _, value) in points.items():
        first, last = np.searchsorted(order, [before, row]).tolist()
        here = [at < len(order) and order[at] == place for at, place in ((first, before), (last, row))]
        if here != [name in names] * 2:
            return False
        differs |= name in names and name not in held_out and bool(value[first] != value[last])
    return differs


def _with_seamless(
    points: Mapping[str, Points], segments: list[Segment], begins: npt.NDArray[np.int64]
) -> list[Segment]:
    """The segments, and those processes that went on where the log ended, so that no series goes back.

    A process that logs nothing beyond that has only evaluated once more. Two files that begin at the same
    step are those of one process.
    """
    for begin in begins.tolist():
        place = next((at for at, one in enumerate(segments) if one.start >= begin), len(segments))
        if place < len(segments) and segments[place].start == begin:
            continue
        low = segments[place - 1].start
        high = segments[place].start if place < len(segments) else np.iinfo(np.int64).max
        earlier, later = [], []
        for order, step, _ in points.values():
            first, here, last = np.searchsorted(order, [low, begin, high]).tolist()
            earlier.append(step[first:here])
            later.append(step[here:last])
        logged, added = np.concatenate(earlier), np.concatenate(later)
        if not len(logged) or not len(added) or not added.max() > logged.max():
            continue
        first_step = float(added.min())
        same_process = segments[place - 1].resumed_at is not None and not (
            first_step > (segments[place - 1].resumed_at or 0.0)
        )
        if first_step >= logged.max() and not same_process:
            segments.insert(place, Segment(begin, first_step))
    return segments


def _first_step(points: Mapping[str, Points], start: int) -> float:
    """The least step that a process logs first in a series, which begins at ``start`` in the arrival
    order.
    """
    firsts = []
    for order, step, _ in points.values():
        here = int(np.searchsorted(order, start))
        if here < len(order):
            firsts.append(float(step[here]))
    return min(firsts)


def _from_begin(points: Mapping[str, Points], start: int, run_start: int) -> bool:
    """Whether the process that begins at ``start`` trains from the begin, by the series that are logged most
    often.

    A series goes on where its first step comes later than that of the training before. That is no evidence
    where the new process logs it less often: its first step is then the first that was due.
    """
    votes: list[tuple[int, bool]] = []
    for order, step, _ in points.values():
        first, here = np.searchsorted(order, [run_start, start]).tolist()
        if not first < here < len(order):
            continue
        new = step[here:]
        fall = np.flatnonzero(np.diff(new) < 0)
        new = new[: fall[0] + 1] if len(fall) else new
        old = step[first:here]
        goes_on = bool(new[0] > old[0])
        if goes_on and new[0] > old.max():
            every, before = _spacing(new), _spacing(old)
            goes_on = every is not None and (new[0] > 1.5 * every or (before or 0.0) >= 0.99 * every)
        elif goes_on:
            every, before = _spacing(new), _spacing(old)
            rarer = every is not None and before is not None and every > 1.01 * before
            goes_on = not (rarer and every is not None and new[0] <= 1.01 * every)
        votes.append((len(old), goes_on))
    most = max((count for count, _ in votes), default=0)
    return not any(goes_on for count, goes_on in votes if 2 * count >= most)


def _spacing(step: npt.NDArray[np.float64]) -> float | None:
    """The usual distance of the steps of a series; None of a single one."""
    distances = np.diff(step)
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else None


def _first_again(points: Mapping[str, Points], position: int, step: float) -> tuple[int, float]:
    """Position and step at which a turn back seen at ``position`` began.

    The rows right before may be of the new process too: those of other names, which repeat the last step of
    their own series and so do not go back themselves.
    """
    rows: dict[int, list[float]] = {}  # steps of a row's points, NaN for a point that repeats nothing
    for series in points.values():
        high = int(np.searchsorted(series.order, position))
        for index in range(max(high - 4, 0), high):
            again = index > 0 and series.step[index] == series.step[index - 1]
            rows.setdefault(int(series.order[index]), []).append(
                float(series.step[index]) if again else np.nan
            )
    for before in sorted(rows, reverse=True):
        if not all(other <= step for other in rows[before]):
            break
        position, step = before, min(rows[before])
    return position, step


class _Turns:
    """The turns back of a series within one segment, which begins at ``start`` in the arrival order."""

    def __init__(self, points: Points, start: int) -> None:
        self.start = start
        self._begin = int(np.searchsorted(points.order, start))
        self._step = points.step
        self._steps: list[float] = points.step.tolist()
        self._tops: list[float] = np.maximum.accumulate(points.step[self._begin :]).tolist()

    def is_interleaved(self, index: int, before: bool) -> bool:
        """Whether a turn back at ``index`` is two writers out of step with each other, rather than a process
        that begins again.

        A process that begins again logs all that comes after its first step once more. Of two writers, one is
        a point or two late, and the other's next point passes over what was logged already. ``before`` says
        that the series did that earlier; then only many points in a row are taken for a process that begins
        again.
        """
        top = self._tops[index - self._begin - 1]
        few = 8 if before else 2
        first = last = self._steps[index]
        again = list[float]()
        for step in self._steps[index : index + few + 2]:
            if step < last:
                break
            last = step
            if step <= top:
                again.append(step)
        if len(again) > few:
            return False
        if before or last <= top:  # where the log ends or turns back once more, nothing was passed over yet
            return before
        old = self._step[self._begin : index]
        passed = np.unique(old[old > first])
        return not np.isin(passed, again).all() or (not np.isin(again, old).any())


def merge_segments(
    points: Points, segments: Sequence[Segment], *, held_out: bool = True
) -> tuple[Series, npt.NDArray[np.float64], int, int]:
    """One name within one training: ascending steps, the segment of each, and how many points were resolved
    away.

    A process that evaluates when it begins has no train loss of that step: that of the process before is
    kept.
    """
    if len(segments) == 1 and (points.step[1:] > points.step[:-1]).all():
        return Series(points.step, points.value), np.zeros(len(points.step)), 0, 0
    if len(segments) == 1 and (points.step[1:] >= points.step[:-1]).all():
        first = np.append(True, points.step[1:] > points.step[:-1])
        step = points.step[first]
        return Series(step, points.value[first]), np.zeros(len(step)), len(first) - len(step), 0
    kept_step = np.empty(0)
    kept_value = np.empty(0)
    kept_segment = np.empty(0)
    repeated = overlapped = 0
    bounds = [*(segment.start for segment in segments), np.iinfo(np.int64).max]
    for number, segment in enumerate(segments):
        low, high = (
            np.searchsorted(points.order, bounds[number]),
            np.searchsorted(points.order, bounds[number + 1]),
        )
        step, value = points.step[low:high], points.value[low:high]
        if number and segment.resumed_at is not None:
            cut = min(segment.resumed_at, float(step.min(initial=np.inf)))
            keep = kept_step < cut
            if not held_out and not (step <= cut).any():
                keep |= kept_step == cut
            overlapped += int((~keep).sum())
            kept_step, kept_value, kept_segment = kept_step[keep], kept_value[keep], kept_segment[keep]
        if (step[1:] > step[:-1]).all():
            unique, first = step, np.arange(len(step))
        else:
            unique, first = np.unique(step, return_index=True)
        repeated += len(step) - len(unique)
        kept_step = np.concatenate([kept_step, unique])
        kept_value = np.concatenate([kept_value, value[first]])
        kept_segment = np.concatenate([kept_segment, np.full(len(unique), number)])
    return Series(kept_step, kept_value), kept_segment, repeated, overlapped

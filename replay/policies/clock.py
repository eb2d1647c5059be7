"""Clock: replays an arrival order of runs on some workers, event by event."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from replay.policies.across import PAUSE, STOP, Scheduler
from replay.policies.stops import NEVER

__all__ = ["Played", "Timing", "play"]


class Timing(NamedTuple):
    """When runs report, in compute used since their beginning.

    ``evals`` and ``times`` have, for each run, the evals to report and what the run has used by each;
    ``ends`` what each run has used when it has trained to the end of its log.
    """

    evals: Sequence[Sequence[int]]
    times: Sequence[Sequence[float]]
    ends: Sequence[float]


class Played(NamedTuple):
    """How an order went.

    ``stops`` has the 0-based eval at which each run was stopped (NEVER: it was not); ``used`` what each run
    had used when it ended, or when the clock stopped; ``begun`` says which runs
    had begun.
    """

    stops: list[int]
    used: list[float]
    begun: list[bool]


def play(
    order: Sequence[int],
    workers: int,
    timing: Timing,
    scheduler: Scheduler,
    most: float = math.inf,
) -> Played:
    """Replay one arrival order.

    The runs of ``order`` begin one after the other, as soon as one of the ``workers`` is free. Each reports
    its evals after the compute that they took; a report that is due at the same moment as another comes in
    the order in which the runs began. Stopped and finished runs free their worker at once. The clock stops
    when all runs together have used ``most``.
    """
    evals, times, ends = timing
    runs = len(ends)
    stops, used, begun = [NEVER] * runs, [0.0] * runs, [False] * runs
    waiting, paused = deque(order), deque[tuple[int, int]]()
    report, turn = scheduler.report, 0
    # (moment, turn, run, index of the report, moment at which the run would have begun without a pause)
    heap: list[tuple[float, int, int, int, float]] = []

    def following(now: float) -> tuple[float, int, int, int, float] | None:
        nonlocal turn
        turn += 1
        if waiting:
            run = waiting.popleft()
            begun[run] = True
            scheduler.start(run)
            due = times[run][0] if times[run] else ends[run]
            return now + due, turn, run, 0, now
        if paused:
            run, index = paused.popleft()
            begin = now - times[run][index - 1]
            due = times[run][index] if index < len(times[run]) else ends[run]
            return begin + due, turn, run, index, begin
        return None

    for _ in range(min(workers, len(order))):
        event = following(0.0)
        if event is not None:
            heap.append(event)
    heapify(heap)
    limited, spent, last = math.isfinite(most), 0.0, 0.0
    while heap:
        now, number, run, index, begin = heap[0]
        if limited:
            step = (now - last) * len(heap)
            if spent + step > most:
                now = last + (most - spent) / len(heap)
                for _, _, other, reports, since in heap:
                    used[other] = max(now - since, times[other][reports - 1] if reports else 0.0)
                break
            spent, last = spent + step, now
        if index == len(evals[run]):
            used[run] = ends[run]
            scheduler.end(run, False)
        else:
            eval = evals[run][index]
            decision = report(run, eval)
            index += 1
            if decision == STOP:
                stops[run], used[run] = eval, times[run][index - 1]
                scheduler.end(run, True)
            elif decision == PAUSE and (waiting or paused):
                used[run] = times[run][index - 1]
                paused.append((run, index))
            else:
                due = times[run][index] if index < len(times[run]) else ends[run]
                heapreplace(heap, (begin + due, number, run, index, begin))
                continue
        event = following(now)
        if event is None:
            heappop(heap)
        else:
            heapreplace(heap, event)
    return Played(stops, used, begun)

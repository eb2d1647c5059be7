"""The stops of many patiences and gains at once: one pass over the evals.

Patience does not feed back into the reference. So where the count of evals since the last gain first reaches
P is the stop of patience P, and one pass for each gain serves all patiences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from replay.data.types import Floats, Ints

__all__ = ["patience_stops"]

#: Runs × gains that are looked at together: their state fits into a core's cache.
_TOGETHER = 16_384
#: Stops that are given at a time.
_HELD = 1_000_000


def patience_stops(
    oriented: Floats, lengths: Ints, deltas: Sequence[float], waits: Sequence[int]
) -> Iterator[tuple[int, Ints]]:
    """0-based evals at which rules of patience stop, −1 where they do not: of some gains at a time, the
    first's place and the stops.

    ``oriented`` has one row a run, lower is better; ``deltas`` are the gains that count and ``waits`` the
    patiences, ascending. The stops have a row for each gain and patience, those of a gain together, and a
    column a run. As `replay.policies.rules.patience.Patience`, bit for bit.
    """
    runs, evals = oriented.shape
    if not runs or not evals:
        yield 0, np.full((len(deltas) * len(waits), runs), -1, dtype=np.int64)
        return
    gains, patiences = (
        np.asarray(deltas, dtype=np.float64),
        np.array([min(wait, evals + 1) for wait in waits], dtype=np.int64),
    )
    values = np.ascontiguousarray(oriented.T)
    held = max(1, _HELD // (runs * len(waits)))
    together = min(held, max(1, _TOGETHER // runs))
    for begin in range(0, len(gains), together):
        yield from enumerate(_pass(values, lengths, gains[begin : begin + together], patiences), begin)


def _pass(values: Floats, lengths: Ints, deltas: Floats, waits: Ints) -> Ints:
    """The stops (gains × patiences × runs), from values of shape evals × runs.

    Between two gains the count runs from 1 up to some highest number. Where that is higher than ever before
    in the run, the patiences in between run out there. So it is enough to look at the gains.
    """
    evals, runs = values.shape
    count = len(deltas)
    gain = np.repeat(deltas, runs)
    best = np.full(count * runs, np.inf)
    last = np.full(count * runs, -1, dtype=np.int32)
    most = np.zeros(count * runs, dtype=np.int32)
    run_of = np.tile(np.arange(runs, dtype=np.int32), count)
    fall, improved = np.empty((count, runs)), np.empty(count * runs, dtype=bool)
    cells, begins, lows, highs = [], [], [], []

    def record(cell: Ints, highest: npt.NDArray[np.int32]) -> None:
        """Note where the count since the last gain came higher than before."""
        higher = highest > most[cell]
        cell, highest = cell[higher], highest[higher]
        cells.append(cell)
        begins.append(last[cell])
        lows.append(most[cell])
        highs.append(highest)
        most[cell] = highest

    with np.errstate(invalid="ignore", over="ignore"):
        for eval, value in enumerate(values):
            np.subtract(best.reshape(count, runs), value, out=fall)
            np.greater(fall.reshape(-1), gain, out=improved)
            cell = np.flatnonzero(improved)
            if len(cell):
                record(cell, eval - 1 - last[cell])
                best[cell] = value[run_of[cell]]
                last[cell] = eval
    every = np.arange(count * runs)
    record(every, np.tile(lengths.astype(np.int32), count) - 1 - last)
    cell, begin = np.concatenate(cells), np.concatenate(begins)
    shorter = np.searchsorted(waits, np.arange(evals + 1), side="right")  # patiences up to each count
    first = shorter[np.concatenate(lows)]
    number = shorter[np.concatenate(highs)] - first
    # one entry per patience that runs out
    slot = np.repeat(first - np.cumsum(number) + number, number) + np.arange(number.sum())
    cell, begin = np.repeat(cell, number), np.repeat(begin, number)
    stops = np.full((count, len(waits), runs), -1, dtype=np.int64)
    # a cell is the run's index in the row of its gain, which here has a row for each patience
    begin_of_gain = np.repeat(np.arange(count) * ((len(waits) - 1) * runs), runs)
    stops.reshape(-1)[cell + begin_of_gain[cell] + slot * runs] = begin + waits[slot]
    return stops

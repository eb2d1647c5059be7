"""The stops of many patiences and gains at once: one pass over the evals.

Patience does not feed back into the reference. So where the count of evals since the last gain first reaches
P is the stop of patience P, and one pass for each gain serves all patiences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

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
    """The stops (gains × patiences × runs), from values of shape evals × runs."""
    evals, runs = values.shape
    slots = np.full(evals + 2, -1, dtype=np.int64)
    within = waits <= evals
    slots[waits[within]] = np.flatnonzero(within)
    stops = np.full((len(deltas), len(waits), runs), -1, dtype=np.int64)
    count = len(deltas)
    gain = np.repeat(deltas, runs).reshape(count, runs)
    best = np.full((count, runs), np.inf)
    wait = np.zeros((count, runs), dtype=np.int64)
    most = np.zeros((count, runs), dtype=np.int64)
    base = (np.arange(count)[:, None] * stops.shape[1] * runs + np.arange(runs)[None, :]).ravel()
    flat = stops.reshape(-1)
    ragged = int(lengths.min()) < evals
    fewest = int(lengths.min())
    with np.errstate(invalid="ignore", over="ignore"):
        for eval, value in enumerate(values):
            improved = best - value > gain
            np.copyto(best, np.broadcast_to(value, best.shape), where=improved)
            wait += 1
            wait[improved] = 0
            new = np.flatnonzero(wait > most)
            if not len(new):
                continue
            waited = wait.reshape(-1)[new]
            most.reshape(-1)[new] = waited
            slot = slots[waited]
            keep = slot >= 0
            if ragged and eval >= fewest:
                keep &= lengths[new % runs] > eval
            if keep.all():
                flat[base[new] + slot * runs] = eval
            elif keep.any():
                flat[base[new[keep]] + slot[keep] * runs] = eval
    return stops

"""The stops of many patiences and gains at once: one pass over the evals, in numpy or, with the extra ``fast``, compiled.

Patience does not feed back into the reference. So where the count of evals since the last gain first reaches P is the stop of
patience P, and one pass for each gain serves all patiences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from replay.run import Floats, Ints

__all__ = ["COMPILE_FROM", "gated_stops"]

#: Values looked at (runs × evals × gains) from which the compiled pass is used: below, loading the compiler takes longer.
COMPILE_FROM = 20_000_000
#: Runs × gains that are looked at together: their state fits into a core's cache.
_TOGETHER = 16_384
#: Stops that are held at a time.
_HELD = 4_000_000


def gated_stops(oriented: Floats, lengths: Ints, deltas: Sequence[float], waits: Sequence[int]) -> Iterator[tuple[int, Ints]]:
    """0-based evals at which rules of patience stop, −1 where they do not: for each of some gains in turn, the first's place and the stops.

    ``oriented`` has one row a run, lower is better; ``deltas`` are the gains that count and ``waits`` the patiences, ascending. The
    stops have shape gains × patiences × runs. As `replay.policies.patience.Patience`, bit for bit.
    """
    runs, evals = oriented.shape
    if not runs or not evals:
        yield 0, np.full((len(deltas), len(waits), runs), -1, dtype=np.int64)
        return
    slots = np.full(evals + 2, -1, dtype=np.int64)
    within = [(wait, slot) for slot, wait in enumerate(waits) if wait <= evals]
    for wait, slot in within:
        slots[wait] = slot
    longest = within[-1][0] if within else 0
    compiled = _compiled() if oriented.size * len(deltas) >= COMPILE_FROM else None
    gains = np.asarray(deltas, dtype=np.float64)
    together = max(1, min(_HELD // (runs * len(waits)), len(gains) if compiled else max(1, _TOGETHER // runs)))
    values = np.ascontiguousarray(oriented) if compiled else np.ascontiguousarray(oriented.T)
    for begin in range(0, len(gains), together):
        some = gains[begin : begin + together]
        stops = np.full((len(some), len(waits), runs), -1, dtype=np.int64)
        if compiled:
            compiled(values, lengths, some, slots, longest, stops)
        else:
            _pass(values, lengths, some, slots, longest, stops)
        yield begin, stops


def _pass(values: Floats, lengths: Ints, deltas: Floats, slots: Ints, longest: int, stops: Ints) -> None:
    """Fill the stops, from values of shape evals × runs."""
    evals, runs = values.shape
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


def _compiled() -> Callable[..., None] | None:
    """The compiled pass, or None where numba is not installed."""
    try:
        from replay.policies.compiled import gated_pass
    except (ImportError, RuntimeError):  # no numba, or no folder where it can keep what it compiles
        return None
    return gated_pass

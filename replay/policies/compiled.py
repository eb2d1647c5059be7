"""Compiled passes (numba, extra ``fast``), imported on demand by the modules that also have them in numpy."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["gated_pass"]


@njit(cache=True, nogil=True, boundscheck=False)
def gated_pass(values, lengths, deltas, waits, stops):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill stops (runs × gains × patiences) from values (runs × evals); see
    `replay.policies.kernels.patience_stops`.
    """
    for run in range(len(lengths)):
        row = values[run]
        for number in range(len(deltas)):
            delta = deltas[number]
            own = stops[run, number]
            best = np.inf
            last = -1
            slot = 0
            due = last + waits[slot]  # the eval at which the next patience runs out, if no gain comes before
            for eval in range(lengths[run]):
                value = row[eval]
                if best - value > delta:
                    best = value
                    last = eval
                    due = last + waits[slot]
                elif eval == due:
                    own[slot] = eval
                    slot += 1
                    if slot == len(waits):
                        break
                    due = last + waits[slot]
            for rest in range(slot, len(waits)):
                own[rest] = -1

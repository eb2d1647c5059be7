"""Compiled passes (numba, extra ``fast``), imported on demand by the modules that also have them in numpy."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["gated_pass"]


@njit(cache=True, nogil=True, boundscheck=False)
def gated_pass(values, lengths, deltas, slots, longest, stops):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill stops (gains × patiences × runs) from values (runs × evals); see `replay.policies.kernels.gated_stops`."""
    for number in range(len(deltas)):
        delta = deltas[number]
        for run in range(len(lengths)):
            best = np.inf
            wait = 0
            most = 0
            for eval in range(lengths[run]):
                value = values[run, eval]
                if best - value > delta:
                    best = value
                    wait = 0
                else:
                    wait += 1
                    if wait > most:
                        most = wait
                        slot = slots[wait]
                        if slot >= 0:
                            stops[number, slot, run] = eval
                        if wait >= longest:
                            break

"""Whether there are enough runs and evals to rank policies by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from replay.data.types import Ints

__all__ = ["ENOUGH_EVALS", "ENOUGH_RUNS", "Shortage", "find_shortage"]

#: Fewer runs, or runs with fewer evals than this, are too few to rank policies by.
ENOUGH_RUNS = 8
ENOUGH_EVALS = 5


class Shortage(NamedTuple):
    """Why runs are too few to rank policies by: the number of ``runs``, or the median number of ``evals``."""

    runs: int | None = None
    evals: float | None = None


def find_shortage(evals: Sequence[int] | Ints) -> Shortage | None:
    """What there is too little of to rank policies by runs with these numbers of evals; None: enough."""
    if len(evals) < ENOUGH_RUNS:
        return Shortage(runs=len(evals))
    middle = float(np.median(evals))
    return Shortage(evals=middle) if middle < ENOUGH_EVALS else None

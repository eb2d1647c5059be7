"""Step signals: what every optimizer step did to every LoRA module."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["StepSignals", "settled"]


class StepSignals(NamedTuple):
    """Step signals as arrays: ``steps`` and ``segments`` (N), ``totals`` (N x totals), ``values`` (N x
    columns x modules).
    """

    header: dict[str, Any]
    steps: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]
    totals: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """One of the columns, N x modules."""
        values: npt.NDArray[np.float32] = self.values[:, self.header["columns"].index(name)]
        return values


def settled(
    signals: StepSignals, column: str, at: npt.NDArray[np.float64], first: int, share: float
) -> npt.NDArray[np.float64]:
    """At each of the steps ``at``, the least value that ``share`` of the modules had reached in a step from
    ``first`` on.

    A module has reached the lowest of its known values of the column so far; infinity where too few modules
    have one.
    """
    values = signals.column(column).astype(np.float64)
    known = np.where(np.isnan(values) | (signals.steps < first)[:, None], np.inf, values)
    lowest = np.minimum.accumulate(known, axis=0)
    modules = values.shape[1]
    needed = max(int(np.ceil(share * modules - 1e-9)), 1)
    if not modules or not len(lowest):
        return np.full(len(at), np.inf)
    reached = np.sort(lowest, axis=1)[:, needed - 1]
    place = np.searchsorted(signals.steps, at, side="right") - 1
    return np.where(place >= 0, reached[np.maximum(place, 0)], np.inf)

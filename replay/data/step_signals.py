"""Step signals: what every optimizer step of a run did to every LoRA module."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["StepSignals", "StepSignalsSource", "settled"]


class StepSignals(NamedTuple):
    """Step signals as arrays: ``steps`` and ``segments`` of shape (N,), ``totals`` of shape (N, totals), and
    ``values`` of shape (N, columns, modules). The lists ``totals``, ``columns`` and ``modules`` of ``header``
    name them.
    """

    header: dict[str, Any]
    steps: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]
    totals: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """One of the columns, of shape (N, modules)."""
        values: npt.NDArray[np.float32] = self.values[:, self.header["columns"].index(name)]
        return values


class StepSignalsSource(Protocol):
    """Where the step signals of a run are; nothing is read before they are asked for."""

    @property
    def path(self) -> Path:
        """The file that holds them."""

    def read(self) -> StepSignals:
        """Read them. Raises InputError or OSError."""


def settled(
    signals: StepSignals, column: str, at: npt.NDArray[np.float64], first: int, share: float
) -> npt.NDArray[np.float64]:
    """At each of the steps ``at``, the least value that ``share`` of the modules had reached since step
    ``first``.

    A module has reached the lowest of its known values of the column so far. The result is infinity where too
    few modules have a known value.
    """
    values = signals.column(column).astype(np.float64)
    known = np.where(np.isnan(values) | (signals.steps < first)[:, None], np.inf, values)
    lowest = np.minimum.accumulate(known, axis=0)
    modules = values.shape[1]
    needed = max(int(np.ceil(share * modules - 1e-9)), 1)
    if not modules or not len(lowest):
        return np.full(len(at), np.inf)
    reached = np.sort(lowest, axis=1)[:, needed - 1]
    index = np.searchsorted(signals.steps, at, side="right") - 1
    return np.where(index >= 0, reached[np.maximum(index, 0)], np.inf)

"""Curve and CurveBatch: one metric of a run at the evals that logged it, and many curves as one padded array.

Values keep full precision: a logged NaN or infinity is a value that policies must see, while an eval that
did not log the metric is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.data.noise import noise
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import InputError

if TYPE_CHECKING:
    from replay.data.run import Run

__all__ = ["Curve", "CurveBatch", "censoring", "pad"]


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one run, at the evals that logged it.

    ``values`` and ``steps`` have one entry per eval; ``rows`` are their rows in ``run.columns`` (None where
    the metric is a train-only series, whose points then stand for the evals).
    """

    run: Run | None
    metric: str
    mode: Mode
    values: Floats
    steps: Floats
    rows: Ints | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, values: Sequence[float] | Floats, mode: Mode, steps: Sequence[float] | None = None) -> Curve:
        """A bare curve, for values that exist only in memory; steps default to 1, 2, 3, …"""
        array = np.asarray(values, dtype=np.float64).reshape(-1)
        at = (
            np.arange(1, len(array) + 1, dtype=np.float64)
            if steps is None
            else np.asarray(steps, dtype=np.float64)
        )
        return cls(None, "metric", mode, array, at)

    @cached_property
    def noise(self) -> float | None:
        """Eval-to-eval noise where it matters: of the evals up to the best and two after it (7 at least), see
        `noise`.

        A run that overfits gets much noisier beyond its best, which says nothing of how sure the best is.
        """
        best = self.best()
        return None if best is None else noise(self.values[: max(best + 3, 7)])

    def best(self) -> int | None:
        """0-based index of the best value (ties: the first; NaN is never best), or None."""
        values = self.values if self.mode == "min" else -self.values
        if not len(values) or np.isnan(values).all():
            return None
        return int(np.nanargmin(values))


@dataclass(frozen=True, eq=False)
class CurveBatch:
    """Curves of many runs, padded to runs × evals, with what policies need beside them.

    ``values`` is NaN beyond a run's ``lengths``. ``steps`` has the same shape. ``columns`` holds companion
    columns by name, each of the same shape and aligned on the same evals; a policy declares the names that it
    needs.
    """

    values: Floats
    steps: Floats
    lengths: Ints
    mode: Mode
    columns: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, curves: Sequence[Curve], columns: Mapping[str, Sequence[Floats]] | None = None) -> CurveBatch:
        """Pad curves of one mode; ``columns`` maps a companion's name to one array per curve."""
        modes = {curve.mode for curve in curves}
        if len(modes) > 1:
            raise InputError("curves of both modes cannot share a batch: watch metrics of one mode at a time")
        lengths = np.array([len(curve) for curve in curves], dtype=np.int64)
        mode: Mode = modes.pop() if modes else "min"
        return cls(
            values=pad([curve.values for curve in curves], lengths),
            steps=pad([curve.steps for curve in curves], lengths),
            lengths=lengths,
            mode=mode,
            columns={name: pad(arrays, lengths) for name, arrays in (columns or {}).items()},
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(runs, longest number of evals)."""
        return self.values.shape[0], self.values.shape[1]

    @cached_property
    def mask(self) -> Bools:
        """True where a run has an eval."""
        return np.arange(self.shape[1])[None, :] < self.lengths[:, None]

    @cached_property
    def oriented(self) -> Floats:
        """Values with the sign that makes lower better; exact, since negation is."""
        return self.values if self.mode == "min" else -self.values

    def replace(self, **changes: Any) -> CurveBatch:
        """A copy with some fields replaced."""
        current = {name: getattr(self, name) for name in ("values", "steps", "lengths", "mode", "columns")}
        return CurveBatch(**{**current, **changes})


def censoring(curve: Curve) -> str | None:
    """Why a log does not show what would have come next, or None where it does.

    In this order: the log was itself stopped early; it ends before its planned steps; its best value is its
    last; or it was still improving within noise (from 8 evals on: the last value is within one noise of the
    best, and the median of the last quarter is better than that of the quarter before by more than one
    noise).
    """
    run = curve.run
    if run is not None:
        if run.info.stopped_by:
            return f"stopped early by {run.info.stopped_by}"
        planned = run.info.planned_steps
        if planned and run.trained_steps < float(planned):
            return f"cut short at step {run.trained_steps:g} of {float(planned):g}"
    best = curve.best()
    if best is None or len(curve) < 2:
        return None
    if best == len(curve) - 1:
        return "its best eval is its last"
    spread = curve.noise
    if len(curve) >= 8 and spread is not None and math.isfinite(curve.values[-1]):
        oriented = curve.values if curve.mode == "min" else -curve.values
        quarter = max(2, len(curve) // 4)
        last, before = oriented[-quarter:], oriented[-2 * quarter : -quarter]
        if not (np.isfinite(last).any() and np.isfinite(before).any()):
            return None
        gain = float(np.median(before[np.isfinite(before)]) - np.median(last[np.isfinite(last)]))
        if gain > spread and oriented[-1] - oriented[best] <= spread:
            return "still improving within noise"
    return None


def pad(arrays: Iterable[Floats], lengths: Ints) -> Floats:
    """Stack ragged rows into one array, NaN beyond each row's length."""
    out = np.full((len(lengths), int(lengths.max(initial=0))), np.nan)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out

"""Curve and CurveBatch: one metric of a run at the evals that logged it, and many curves as one padded array.

Values keep full precision: a logged NaN or infinity is a value that policies must see, while an eval that
did not log the metric is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from replay.data.noise import noise
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import InputError

if TYPE_CHECKING:
    from replay.data.run import Run

__all__ = ["Curve", "CurveBatch", "MetricColumn", "pad", "values_at"]


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one run, at the evals that logged it.

    ``values`` and ``steps`` have one entry an eval; ``rows`` are their rows in ``run.columns`` (None where
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
        known = ~np.isnan(values)
        if not known.any():
            return None
        return int((values == values[known].min()).argmax())


class MetricColumn(NamedTuple):
    """A metric at given evals: its values, NaN where it was not logged, and where it was logged."""

    values: Floats
    logged: Bools


@dataclass(frozen=True, eq=False)
class CurveBatch:
    """Curves of many runs, padded to runs × evals, with what policies need beside them.

    ``values`` is NaN beyond a run's ``lengths``. ``steps`` has the same shape. ``columns`` holds companion
    columns by name, each of the same shape and aligned on the same evals; a policy declares the companions
    that it needs. Where a combined policy monitors several metrics, ``metrics`` holds each of them by the
    name that the policy gives it (None: the metric that the command monitors); else it is empty.
    """

    values: Floats
    steps: Floats
    lengths: Ints
    mode: Mode
    columns: dict[str, Floats] = field(default_factory=dict)
    metrics: Mapping[str | None, MetricColumn] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        curves: Sequence[Curve],
        columns: Mapping[str, Sequence[Floats]] | None = None,
        metrics: Mapping[str | None, Sequence[MetricColumn]] | None = None,
        *,
        mode: Mode | None = None,
    ) -> CurveBatch:
        """Pad curves of one mode; ``columns`` and ``metrics`` have one entry per curve under each name.

        ``mode`` is that of the batch, needed only where there may be no curves.
        """
        modes = {curve.mode for curve in curves}
        if len(modes) > 1:
            raise InputError("curves of both modes cannot share a batch: watch metrics of one mode at a time")
        lengths = np.array([len(curve) for curve in curves], dtype=np.int64)
        mode = mode or (modes.pop() if modes else "min")
        return cls(
            values=pad([curve.values for curve in curves], lengths),
            steps=pad([curve.steps for curve in curves], lengths),
            lengths=lengths,
            mode=mode,
            columns={name: pad(arrays, lengths) for name, arrays in (columns or {}).items()},
            metrics={
                name: MetricColumn(
                    pad([part.values for part in parts], lengths),
                    pad([part.logged.astype(np.float64) for part in parts], lengths) == 1,
                )
                for name, parts in (metrics or {}).items()
            },
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
    def best(self) -> Ints:
        """0-based index of the best value of each run (ties: the first; NaN is never best), −1 without
        one.
        """
        known = ~np.isnan(self.values)
        if not self.shape[1]:
            return np.full(self.shape[0], -1)
        lowest = np.where(known, self.oriented, np.inf).min(axis=1, keepdims=True)
        return np.where(known.any(axis=1), (self.oriented == lowest).argmax(axis=1), -1)

    @cached_property
    def oriented(self) -> Floats:
        """Values with the sign that makes lower better; exact, since negation is."""
        return self.values if self.mode == "min" else -self.values

    def replace(self, **changes: Any) -> CurveBatch:
        """A copy with some fields replaced."""
        return replace(self, **changes)


def values_at(run: Run, name: str | None, steps: Floats) -> MetricColumn:
    """Values of a metric, under the log's own name, that were logged exactly at the given steps.

    None as the name stands for a metric that the run does not have: it was logged nowhere.
    """
    values, logged = np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool)
    if name is None:
        return MetricColumn(values, logged)
    curve = run.curve(name, "min")
    index = np.searchsorted(curve.steps, steps)
    inside = index < len(curve)
    logged[inside] = curve.steps[index[inside]] == steps[inside]
    values[logged] = curve.values[index[logged]]
    return MetricColumn(values, logged)


def pad(arrays: Iterable[Floats], lengths: Ints) -> Floats:
    """Stack ragged rows into one array, NaN beyond each row's length."""
    out = np.full((len(lengths), int(lengths.max(initial=0))), np.nan)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out

"""Keras' EarlyStopping: a gated reference, compared in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_value, param
from replay.policies.presets.counting import describe_gain, describe_wait

__all__ = ["Keras"]


@dataclass(frozen=True)
class Keras(Policy):
    """Keras' EarlyStopping: the reference moves on a gain > min_delta, in float32; patience 0 acts as 1.

    A value improves when v + min_delta < best (min) or v − min_delta > best (max), strictly, both sides
    rounded to float32; gains below float32's resolution are none. The first value is the first reference,
    even a NaN, over which nothing improves ever after; a later NaN is no improvement. With a baseline the
    counter restarts only when the value also improves on that, but a stop is only ever asked for at an eval
    without an improvement. Evals before start_from_epoch (0-based, one eval an epoch) neither count nor
    become the reference; the sign of min_delta is dropped.

    Source: keras 3.15.1, src/callbacks/early_stopping.py and monitor_callback.py.

    Examples
    --------
    >>> Keras(2).stop_eval([1 - 1e-9 * i for i in range(8)])  # the same number in float32
    3
    >>> # improving, never better than the baseline
    >>> Keras(2, baseline=0.5).stop_eval([1.0, 0.9, 0.8, 0.7]) is None
    True
    """

    name: ClassVar[str] = "keras"
    checked_against: ClassVar[str | None] = "keras 3.15.1"

    patience: int = param(
        "epochs (evals) without an improvement; 0 acts as 1", 0, minimum=0, sets_threshold=True
    )
    min_delta: float = param("the gain that counts", 0.0)
    baseline: float | None = param("a value that must be improved on, too, for the counter to restart", None)
    start_from_epoch: int = param("evals to skip at the beginning", 0, minimum=0)

    def signal_threshold(self, mode: Mode) -> float:
        return float(max(self.patience, 1))

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        delta = abs(self.min_delta) if batch.mode == "min" else -abs(self.min_delta)
        better = np.less if batch.mode == "min" else np.greater
        best = np.full(runs, np.nan)
        wait = np.zeros(runs)
        signal = np.full((evals, runs), -np.inf)
        reference = np.full((evals, runs), np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, value in enumerate(np.ascontiguousarray(batch.values.T)):
                if eval < self.start_from_epoch:
                    continue
                first = eval == self.start_from_epoch
                shifted = (value + delta).astype(np.float32)
                reference[eval] = best
                improved: Bools = (
                    np.ones(runs, dtype=bool) if first else better(shifted, best.astype(np.float32))
                )
                beats = (
                    improved
                    if self.baseline is None
                    else improved & better(shifted, np.float32(self.baseline))
                )
                best = np.where(improved, value, best)
                wait = np.where(beats, 0.0, wait + 1)
                signal[eval] = np.where(improved, np.where(beats, 0.0, -np.inf), wait)
        return Trace(batch, signal.T, reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if eval < self.start_from_epoch:
            return f"not looked at (start_from_epoch={self.start_from_epoch})"
        assert trace.reference is not None
        wait, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        first = eval == self.start_from_epoch
        if wait == -np.inf:
            assert self.baseline is not None
            better = "first eval" if first else "an improvement"
            return (
                f"{better}, but not on the baseline {format_value(self.baseline)}: the wait goes on, no stop"
                " here"
            )
        return describe_wait(
            wait,
            value,
            best,
            self.signal_threshold(trace.batch.mode),
            describe_gain(abs(self.min_delta)),
            first=first,
        )

"""What most tools' rules share: a reference, and a count of the evals since the last improvement over it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value

__all__ = ["Counting", "describe_gain", "describe_wait", "is_better"]


class Counting(Policy):
    """Base of rules whose signal is the number of evals since the last improvement.

    A subclass defines what `improves` on the reference and, where the reference is not simply the last
    improvement, the `next_reference`. Values keep the metric's own sign, since some tools' formulas differ
    between the modes in the last bit. The reference is the worst value (±inf) before the first eval; with
    ``takes_first`` the first value becomes the reference whatever it is, even a NaN, over which nothing
    improves ever after.
    """

    takes_first: ClassVar[bool] = False

    @abstractmethod
    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        """Which runs improve at an eval, from their values and references."""

    def next_reference(self, mode: Mode, value: Floats, best: Floats, improved: Bools) -> Floats:
        """The reference of every run after an eval: by default it moves to an improvement only."""
        return np.where(improved, value, best)

    @property
    def wanted(self) -> str:
        """The improvement that resets the counter, in words."""
        return "gain"

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        best = np.full(runs, np.inf if batch.mode == "min" else -np.inf)
        counter = np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.empty((evals, runs))
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, value in enumerate(
                np.ascontiguousarray(batch.values.T)
            ):  # one eval of all runs lies together in memory
                reference[eval] = best if eval else np.nan
                first = self.takes_first and eval == 0
                improved = np.ones(runs, dtype=bool) if first else self.improves(batch.mode, value, best)
                best = self.next_reference(batch.mode, value, best, improved)
                counter = np.where(improved, 0.0, counter + 1)
                signal[eval] = counter if self.off_reason is None else -np.inf
        return Trace(batch, signal.T, reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if self.off_reason is not None:
            return self.off_reason
        assert trace.reference is not None
        counter, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        return describe_wait(
            counter, value, best, self.signal_threshold(trace.batch.mode), self.wanted, first=eval == 0
        )


def is_better(mode: Mode, value: Floats, best: Floats) -> Bools:
    """Which values are strictly better, however little."""
    better: Bools = value < best if mode == "min" else value > best
    return better


def describe_wait(
    counter: float, value: float, best: float, threshold: float, wanted: str, *, first: bool
) -> str:
    """Describe an eval by its counter, its value, the reference that it was compared with and the threshold.

    ``wanted`` is the improvement that resets the counter, in words.
    """
    if counter == 0:
        if first:
            start = "first eval: nothing to compare"
            return start if threshold > 0 else f"{start}, and a patience of 0 is used up at once"
        if np.isnan(value):
            return "NaN counts as an improvement"
        gain = abs(value - best)
        return (
            f"better by {format_value(gain)}"
            if np.isfinite(gain) and gain
            else f"{format_value(value)} counts as an improvement"
        )
    over = "so far" if np.isnan(best) or (np.isinf(best) and first) else f"over {format_value(best)}"
    if counter >= threshold:
        return f"no {wanted} {over}, {format_parameter(counter)} eval{'s' * (counter != 1)} in a row"
    what = "NaN: no gain" if np.isnan(value) else f"no {wanted}"
    return f"{what} ({format_parameter(counter)} of {format_parameter(threshold)})"


def describe_gain(delta: float) -> str:
    """``gain > DELTA``, or just gain where the delta is 0."""
    return f"gain > {format_parameter(delta)}" if delta else "gain"

"""Rules that look at one value: target, divergence, nonfinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import count_consecutive

__all__ = ["Divergence", "Nonfinite", "Target"]


def _sign(mode: Mode) -> float:
    return 1.0 if mode == "min" else -1.0


@dataclass(frozen=True)
class Target(Policy):
    """Stop when the metric is as good as TARGET or better.

    At or below the target for min, at or above it for max. NaN never is.

    Examples
    --------
    >>> Target(0.9).stop_eval([0.5, 0.8, 0.9], mode="max")
    3
    """

    name: ClassVar[str] = "target"

    target: float = param("the value that is good enough, in the metric's own unit", sets_threshold=True)

    def signal_threshold(self, mode: Mode) -> float:
        return -_sign(mode) * self.target

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(
            batch,
            np.where(np.isnan(batch.values), -np.inf, -batch.oriented),
            np.full(batch.shape, self.target),
        )

    def trace_shape(self) -> tuple[Any, ...]:
        return (*self.shape(), self.target)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        value = float(trace.batch.values[run, eval])
        reached = trace.signal[run, eval] >= self.signal_threshold(trace.batch.mode)
        return (
            f"{format_value(value)} {'reaches' if reached else 'has not reached'} the target"
            f" {format_parameter(self.target)}"
        )


@dataclass(frozen=True)
class Divergence(Policy):
    """Stop when the metric is worse than DIVERGENCE, or not finite.

    Above that value for min, below it for max, strictly (Lightning's divergence_threshold); NaN and ±inf stop
    too.

    Examples
    --------
    >>> Divergence(5.0).stop_eval([1.0, 5.0, 5.1])
    3
    """

    name: ClassVar[str] = "divergence"

    divergence: float = param(
        "the value beyond which training has failed, in the metric's own unit",
        sets_threshold=True,
        example="5",
    )

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(_sign(mode) * self.divergence, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(
            batch,
            np.where(np.isfinite(batch.values), batch.oriented, np.inf),
            np.full(batch.shape, self.divergence),
        )

    def trace_shape(self) -> tuple[Any, ...]:
        return (*self.shape(), self.divergence)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        value = float(trace.batch.values[run, eval])
        if not np.isfinite(value):
            return f"{value} is not finite"
        worse = trace.signal[run, eval] >= self.signal_threshold(trace.batch.mode)
        return (
            f"{format_value(value)} is {'' if worse else 'not '}worse than"
            f" {format_parameter(self.divergence)}"
        )


@dataclass(frozen=True)
class Nonfinite(Policy):
    """Stop when NONFINITE evals in a row gave NaN or an infinity (default 1).

    Examples
    --------
    >>> Nonfinite().stop_eval([1.0, float("nan"), 0.9])
    2
    >>> Nonfinite(2).stop_eval([1.0, float("nan"), 0.9]) is None
    True
    """

    name: ClassVar[str] = "nonfinite"

    nonfinite: int = param("evals in a row", 1, minimum=1, sets_threshold=True)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.nonfinite)

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(batch, count_consecutive(~np.isfinite(batch.values)))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        count = int(trace.signal[run, eval])
        if not count:
            return "finite"
        return f"{float(trace.batch.values[run, eval])} is not finite: {count} of {self.nonfinite} in a row"

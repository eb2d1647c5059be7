"""Ray Tune's TrialPlateauStopper: stop when the last results hardly differ, good or bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param

__all__ = ["RayPlateau"]


@dataclass(frozen=True)
class RayPlateau(Policy):
    """Ray Tune's TrialPlateauStopper: stops when the last num_results values have a standard deviation < std.

    The deviation is that of the population (divided by n), and must be strictly smaller. Nothing is stopped
    before grace_period results, nor before there are num_results. With metric_threshold the last value must
    be at least as good as it. Where it is not given the rule has no direction: it stops on a bad plateau as
    on a good one. NaN and infinities in the window prevent a stop.

    Source: ray 2.60.0, tune/stopper/trial_plateau.py, run as it stands there.

    Examples
    --------
    >>> RayPlateau(std=0.05).stop_eval([1.0, 0.7, 0.5, 0.46, 0.44, 0.43])
    6
    """

    name: ClassVar[str] = "ray-plateau"
    checked_against: ClassVar[str | None] = "ray 2.60.0"
    grid: ClassVar[Mapping[str, str]] = {"std": "0.001,0.003,0.01,0.03,0.1", "num_results": "3,4,6,8"}

    std: float = param("the standard deviation below which the results are a plateau", 0.01)
    num_results: int = param("results (evals) that it is taken over", 4, minimum=1)
    grace_period: int = param("results before which nothing is stopped", 4, minimum=0)
    metric_threshold: float | None = param("stop only where the last value is at least as good as this", None)

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        signal = np.zeros((runs, evals))
        window = self.num_results
        with np.errstate(invalid="ignore", over="ignore"):
            for eval in range(window - 1, evals):
                deviation = np.std(
                    np.ascontiguousarray(batch.values[:, eval - window + 1 : eval + 1]), axis=1
                )
                flat = deviation < self.std
                if self.metric_threshold is not None:
                    last = batch.values[:, eval]
                    flat &= ~(
                        last > self.metric_threshold if batch.mode == "min" else last < self.metric_threshold
                    )
                signal[:, eval] = flat & (eval + 1 >= self.grace_period)
        return Trace(batch, signal)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        needed = max(self.grace_period, self.num_results)
        if eval + 1 < needed:
            return f"{eval + 1} of the {needed} evals that it needs"
        window = trace.batch.values[run, eval - self.num_results + 1 : eval + 1]
        with np.errstate(invalid="ignore", over="ignore"):
            deviation = float(np.std(np.ascontiguousarray(window)))
        measured = f"standard deviation of the last {self.num_results} is {format_value(deviation)}"
        if not deviation < self.std:
            return f"{measured}, not < {format_parameter(self.std)}"
        return f"{measured}, < {format_parameter(self.std)}" + (
            "" if trace.signal[run, eval] else ", but metric_threshold is not reached"
        )

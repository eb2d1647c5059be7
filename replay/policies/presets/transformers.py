"""transformers' EarlyStoppingCallback, as it acts together with the Trainer that owns the best metric."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param

__all__ = ["OfTransformers", "Transformers"]


@dataclass(frozen=True)
class Transformers(Policy):
    """transformers' EarlyStoppingCallback: any gain moves its reference, only a gain > threshold resets its
    counter.

    At each eval the callback compares with the best of the evals *before* (an improvement is strictly better
    and differs by > threshold); afterwards the Trainer moves that best on any strict gain, whatever the
    threshold. So gains below the threshold are swallowed one by one, and a slowly falling loss is stopped.
    The first eval never counts (its counter is 0, so that patience 0 stops there); NaN counts as no
    improvement and never becomes the best; an eval at step 0 (eval_on_start) is seen by the callback but
    never becomes the best.

    Source: transformers 5.24.0, trainer_callback.py (EarlyStoppingCallback) and trainer.py
    (_determine_best_metric). The rule holds from 4.47 on; before, the best moved only where a checkpoint was
    written.

    Examples
    --------
    >>> Transformers(3, threshold=0.01).stop_eval([1.0, 0.996, 0.992, 0.988, 0.984])
    4
    """

    name: ClassVar[str] = "transformers"
    checked_against: ClassVar[str | None] = "transformers 5.24.0"

    patience: int = param(
        "early_stopping_patience: evals without an improvement",
        1,
        minimum=0,
        aliases=("early_stopping_patience",),
        sets_threshold=True,
    )
    threshold: float = param(
        "early_stopping_threshold: the gain that resets the counter",
        0.0,
        aliases=("early_stopping_threshold", "min_delta"),
    )

    def caution(self, metric: str, mode: Mode) -> str | None:
        if mode == ("min" if metric.endswith("loss") else "max"):
            return None
        default = "higher" if mode == "min" else "lower"
        return (
            f"transformers takes {default} as better for {metric} unless greater_is_better={mode == 'max'} is"
            f" set (it looks whether the name ends in 'loss'); this simulates mode {mode}"
        )

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        values = np.ascontiguousarray(batch.oriented.T)  # one eval of all runs lies together in memory
        started = np.zeros(runs, dtype=bool)
        best = np.full(runs, np.inf)
        counter = np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.empty((evals, runs))
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, (value, step) in enumerate(zip(values, batch.steps.T, strict=True)):
                better = value < best
                improved = ~started | (better & (np.abs(value - best) > self.threshold))
                counter = np.where(improved, 0.0, counter + 1)
                signal[eval] = counter
                reference[eval] = np.where(started, best, np.nan)
                entered = step != 0
                started |= entered
                moved = better & entered
                best[moved] = value[moved]
        return Trace(batch, signal.T, reference.T if batch.mode == "min" else -reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        counter = int(trace.signal[run, eval])
        value = float(trace.batch.values[run, eval])
        assert trace.reference is not None
        best = float(trace.reference[run, eval])
        if np.isnan(best):
            return "first eval: nothing to compare"
        if not counter:
            return "first finite value" if np.isinf(best) else f"better by {format_value(abs(value - best))}"
        wanted = f"gain > {format_parameter(self.threshold)}" if self.threshold else "gain"
        if counter >= self.patience:
            return f"no {wanted} over {format_value(best)}, {counter} eval{'s' * (counter != 1)} in a row"
        better = value < best if trace.batch.mode == "min" else value > best
        what = "NaN: no gain" if np.isnan(value) else "gain <= threshold, best moves" if better else "no gain"
        return f"{what} ({counter} of {self.patience})"


class OfTransformers(Policy):
    """Base of tools that hand a number to transformers' EarlyStoppingCallback: their `patience` under another
    name.
    """

    checked_against: ClassVar[str | None] = Transformers.checked_against

    @property
    @abstractmethod
    def patience(self) -> int:
        """What the callback gets as its patience."""

    @property
    def _rule(self) -> Transformers:
        return Transformers(self.patience)

    def caution(self, metric: str, mode: Mode) -> str | None:
        return self._rule.caution(metric, mode)

    def signal_threshold(self, mode: Mode) -> float:
        return self._rule.signal_threshold(mode)

    def trace(self, batch: CurveBatch) -> Trace:
        return self._rule.trace(batch)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return self._rule.reason(trace, run, eval)

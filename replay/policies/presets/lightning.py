"""Lightning's EarlyStopping: a gated reference in float32, and stops on non-finite values and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Mode
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, Finished
from replay.policies.param import format_parameter, format_value, param
from replay.policies.presets.counting import describe_gain, describe_wait

__all__ = ["Lightning"]

_EPOCHS, _STEPS = Finished("epoch"), Finished("step")


@dataclass(frozen=True)
class Lightning(Policy):
    """Lightning's EarlyStopping: stops at once on NaN, else a gated reference in float32; patience 0 acts as
    1.

    In this order, at each check: a value that is not finite stops (check_finite); a value strictly better
    than stopping_threshold stops; a value strictly worse than divergence_threshold stops; a value that
    improves on the best by > min_delta becomes the best and restarts the counter; any other counts. All
    numbers are float32 tensors, and so is v − min_delta. The best begins at ±inf, so that with check_finite
    off a leading NaN does no harm. A negative min_delta tolerates a worsening. Where the metric is missing,
    ``strict`` (True) makes Lightning raise; replay names the metrics there are. Patience counts checks: train
    epochs, or validations where they are more frequent or rarer.

    The trainer's min_epochs and min_steps put a stop off: the callback asks for it, and the trainer stops as
    soon as both are reached, however much better the metric has become since. Where min_steps ends between
    two evals of the log, the stop counts at the later one.

    Source: lightning 2.6.6, pytorch/callbacks/early_stopping.py (_evaluate_stopping_criteria) and
    pytorch/loops/fit_loop.py (_can_stop_early).

    Examples
    --------
    >>> Lightning(3).stop_eval([1.0, float("nan"), 0.5])
    2
    >>> Lightning(1, min_delta=-0.1).stop_eval([1.0, 1.05, 1.04, 1.3])
    4
    """

    name: ClassVar[str] = "lightning"
    checked_against: ClassVar[str | None] = "lightning 2.6.6"

    patience: int = param("checks without an improvement; 0 acts as 1", 3, minimum=0, sets_threshold=True)
    min_delta: float = param("the gain that counts; negative: the worsening that is tolerated", 0.0)
    check_finite: bool = param("stop at a value that is NaN or infinite", True)
    stopping_threshold: float | None = param("stop at a value strictly better than this", None)
    divergence_threshold: float | None = param("stop at a value strictly worse than this", None)
    min_epochs: int = param("the trainer's min_epochs: a stop waits until they are finished", 0, minimum=0)
    min_steps: int = param("the trainer's min_steps: a stop waits until they are made", 0, minimum=0)

    @property
    def companions(self) -> tuple[Companion, ...]:
        epochs = (_EPOCHS,) if self.min_epochs else ()
        return (*epochs, _STEPS) if self.min_steps else epochs

    def signal_threshold(self, mode: Mode) -> float:
        return float(max(self.patience, 1))

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        low = batch.mode == "min"
        better, worse = (np.less, np.greater) if low else (np.greater, np.less)
        delta = np.float32(self.min_delta if not low else -self.min_delta)
        best = np.full(runs, np.inf if low else -np.inf, dtype=np.float32)
        wait = np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.empty((evals, runs))
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, value in enumerate(np.ascontiguousarray(batch.values.T).astype(np.float32)):
                reference[eval] = best
                out = np.zeros(runs, dtype=bool)
                if self.check_finite:
                    out |= ~np.isfinite(value)
                if self.stopping_threshold is not None:
                    out |= better(value, np.float32(self.stopping_threshold))
                if self.divergence_threshold is not None:
                    out |= worse(value, np.float32(self.divergence_threshold))
                improved = ~out & better(value - delta, best)
                best = np.where(improved, value, best)
                wait = np.where(out, wait, np.where(improved, 0.0, wait + 1))
                signal[eval] = np.where(out, np.inf, wait)
        if not self.companions or not evals:
            return Trace(batch, signal.T, reference.T)
        # a stop that was asked for stays asked for
        asked = np.maximum.accumulate(signal.T, axis=1)
        return Trace(batch, np.where(self._may_stop(batch), asked, -np.inf), reference.T)

    def _may_stop(self, batch: CurveBatch) -> Bools:
        may = np.ones(batch.shape, dtype=bool)
        with np.errstate(invalid="ignore"):
            if self.min_epochs:
                may &= batch.columns[_EPOCHS.name] >= self.min_epochs
            if self.min_steps:
                may &= batch.columns[_STEPS.name] >= self.min_steps
        return may

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.reference is not None
        wait, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        low = trace.batch.mode == "min"
        if self.companions:
            return self._describe_asked(wait, trace.batch.mode)
        if wait == np.inf:
            with np.errstate(over="ignore"):
                single = np.float32(value)
            if self.check_finite and not np.isfinite(single):
                return f"{value:g} is not finite{' in float32' * bool(np.isfinite(value))}: stop at once"
            reached = self.stopping_threshold is not None and (
                single < np.float32(self.stopping_threshold)
                if low
                else single > np.float32(self.stopping_threshold)
            )
            name, threshold = (
                ("stopping_threshold", self.stopping_threshold)
                if reached
                else ("divergence_threshold", self.divergence_threshold)
            )
            assert threshold is not None
            return (
                f"{format_value(value)} {'better' if reached else 'worse'} than {name}"
                f" {format_value(threshold)}: stop at once"
            )
        first = np.isinf(best)
        return describe_wait(
            wait,
            value,
            best,
            self.signal_threshold(trace.batch.mode),
            describe_gain(self.min_delta),
            first=bool(first),
        )

    def _describe_asked(self, asked: float, mode: Mode) -> str:
        """The reason where the trainer has a minimum, from the most that the callback has counted so far."""
        minimum = " and ".join(
            f"{name}={format_parameter(value)}"
            for name, value in (("min_epochs", self.min_epochs), ("min_steps", self.min_steps))
            if value
        )
        if asked == -np.inf:
            return f"before {minimum}"
        if asked == np.inf:
            return f"{minimum} reached, and a value asked to stop at once"
        threshold = self.signal_threshold(mode)
        counted = f"{asked:g} of {threshold:g} checks without a gain"
        if asked >= threshold:
            return f"{minimum} reached after {counted}: a stop that was asked for stays asked for"
        return f"at most {counted} so far"

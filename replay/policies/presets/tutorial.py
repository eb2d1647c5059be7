"""The early-stopping callback that LoRA tutorials copy from each other; no library has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.names import canonical
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import param
from replay.policies.presets.counting import describe_gain, describe_wait

__all__ = ["Tutorial"]


@dataclass(frozen=True)
class Tutorial(Policy):
    """The callback of LoRA tutorials: gated reference, lower is better whatever the mode, monitors val_loss.

    The best begins at +inf; a value below best − min_delta becomes the best and clears the counter, any other
    counts (NaN too), and at patience of them it stops. It has no mode: an accuracy that rises is stopped like
    a loss that rises. It looks for ``val_loss``, a name that transformers never logs (it logs ``eval_loss``),
    and does nothing where the name is missing: then the callback never stops. replay refuses such a log
    instead and names what there is.

    Source: no library and no version; the class is copied from text to text, with its ``monitor="val_loss"``.

    Examples
    --------
    >>> Tutorial(2).stop_eval([1.0, 0.9, 0.95, 0.96])
    4
    >>> Tutorial(2).stop_eval([0.5, 0.6, 0.7], mode="max")  # a rising accuracy
    3
    """

    name: ClassVar[str] = "tutorial"

    patience: int = param("evals without an improvement; 0 acts as 1", 3, minimum=0, sets_threshold=True)
    min_delta: float = param("the gain that counts", 0.0)
    monitor: str = param("the metric that it monitors; transformers logs eval_loss", "val_loss")

    def absence_note(self) -> str | None:
        if canonical(self.monitor) != "val_loss":
            return f"on such a log the callback never fires, without a word: there is no {self.monitor}"
        return (
            "on such a log the callback never fires, without a word: transformers logs eval_loss, never"
            " val_loss; add monitor=eval_loss to the policy (in the callback: monitor='eval_loss')"
        )

    def caution(self, metric: str, mode: Mode) -> str | None:
        if mode == "max":
            return (
                f"tutorial takes lower as better, also for {metric}: it stops a run whose {metric} rises;"
                " write transformers:patience=… with metric_for_best_model, or patience=… here"
            )
        return None

    def signal_threshold(self, mode: Mode) -> float:
        return float(max(self.patience, 1))

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        best, counter = np.full(runs, np.inf), np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.empty((evals, runs))
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, value in enumerate(np.ascontiguousarray(batch.values.T)):
                reference[eval] = best if eval else np.nan
                improved = value < best - self.min_delta
                best = np.where(improved, value, best)
                counter = np.where(improved, 0.0, counter + 1)
                signal[eval] = counter
        return Trace(batch, signal.T, reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.reference is not None
        counter, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        return describe_wait(
            counter,
            value,
            best,
            self.signal_threshold(trace.batch.mode),
            describe_gain(self.min_delta),
            first=eval == 0,
        )

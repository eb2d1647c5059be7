"""transformers' EarlyStoppingCallback as it acted up to 4.46, where the best moved only with a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import param
from replay.policies.presets.counting import describe_gain, describe_wait

__all__ = ["Transformers446"]


@dataclass(frozen=True)
class Transformers446(Policy):
    """transformers' early stopping up to 4.46: the best moves only at evals that write a checkpoint.

    The callback is that of today: an eval improves when it is strictly better than the best by > threshold
    (any eval does while there is no best), else the counter goes up. But the Trainer of then moved its best
    only where it saved a checkpoint, after every save_every-th eval, on any strict gain; the first
    checkpoint's value became the best even where it was NaN, over which nothing improves ever after. An eval
    at step 0 writes none.

    Source: transformers 4.46.3, trainer_callback.py and trainer.py (_save_checkpoint), run as they stand
    there; 4.45.2 is the same.

    Examples
    --------
    >>> Transformers446(2, save_every=3).stop_eval([1.0, 0.5, 0.6, 0.7, 0.8, 0.9])
    5
    >>> Transformers446(2).stop_eval([1.0, 0.5, 0.6, 0.7, 0.8, 0.9])
    4
    """

    name: ClassVar[str] = "transformers@4.46"
    checked_against: ClassVar[str | None] = "transformers 4.46.3"

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
    save_every: int = param("evals between checkpoints: save_steps / eval_steps", 1, minimum=1)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        started = np.zeros(runs, dtype=bool)
        best = np.full(runs, np.nan)
        counter, made = np.zeros(runs), np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.full((evals, runs), np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            for eval, (value, step) in enumerate(
                zip(np.ascontiguousarray(batch.oriented.T), batch.steps.T, strict=True)
            ):
                better = value < best
                improved = ~started | (better & (np.abs(value - best) > self.threshold))
                counter = np.where(improved, 0.0, counter + 1)
                signal[eval] = counter
                reference[eval] = best
                made += step != 0
                saved = (step != 0) & (made % self.save_every == 0)
                best = np.where(saved & (better | ~started), value, best)
                started |= saved
        return Trace(batch, signal.T, reference.T if batch.mode == "min" else -reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.reference is not None
        counter, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        if np.isnan(best) and not counter:
            return "no checkpoint yet: nothing to compare"
        return describe_wait(
            counter,
            value,
            best,
            self.signal_threshold(trace.batch.mode),
            describe_gain(self.threshold),
            first=False,
        )

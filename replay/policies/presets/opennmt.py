"""OpenNMT-py's early stopping with one scorer: worse values and ties have a counter each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import param
from replay.policies.presets.counting import describe_wait

__all__ = ["OpenNMT"]


@dataclass(frozen=True)
class OpenNMT(Policy):
    """OpenNMT-py's --early_stopping: worse values and ties are counted apart, and either count stops; 0 is
    off.

    A strictly better value becomes the best (which begins at ±inf) and clears both counters; a strictly worse
    one adds to the first, anything else (a tie, NaN) to the second; it stops where the counter that has just
    gone up reaches early_stopping. This is the rule for one metric, as with --early_stopping_criteria ppl;
    with OpenNMT's default two, perplexity and accuracy, a validation where they disagree counts like a tie.

    Source: OpenNMT-py 3.5.1, onmt/utils/earlystopping.py, run as it stands there.

    Examples
    --------
    >>> OpenNMT(2).stop_eval([1.0, 1.1, 1.0, 1.1])
    4
    """

    name: ClassVar[str] = "opennmt"
    checked_against: ClassVar[str | None] = "OpenNMT-py 3.5.1"

    early_stopping: int = param(
        "validations without a gain; 0: off",
        0,
        minimum=0,
        aliases=("tolerance", "patience"),
        sets_threshold=True,
    )

    @property
    def off_reason(self) -> str | None:
        return None if self.early_stopping else "early_stopping=0 switches early stopping off"

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.early_stopping)

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        best = np.full(runs, np.inf)
        decreasing, stalled = np.zeros(runs), np.zeros(runs)
        signal = np.empty((evals, runs))
        reference = np.empty((evals, runs))
        for eval, value in enumerate(np.ascontiguousarray(batch.oriented.T)):
            reference[eval] = best if eval else np.nan
            better, worse = value < best, value > best
            decreasing = np.where(better, 0.0, decreasing + worse)
            stalled = np.where(better, 0.0, stalled + ~(better | worse))
            best = np.where(better, value, best)
            signal[eval] = np.where(better, 0.0, np.where(worse, decreasing, stalled))
        if self.off_reason is not None:
            signal[:] = -np.inf
        return Trace(batch, signal.T, reference.T if batch.mode == "min" else -reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if self.off_reason is not None:
            return self.off_reason
        assert trace.reference is not None
        count, value, best = (
            float(array[run, eval]) for array in (trace.signal, trace.batch.values, trace.reference)
        )
        worse = value > best if trace.batch.mode == "min" else value < best
        wanted = "gain, but worse," if worse else "gain" if np.isnan(value) else "gain, nor worse,"
        return describe_wait(
            count, value, best, self.signal_threshold(trace.batch.mode), wanted, first=eval == 0
        )

"""Gap: stop when the generalization gap widens, the train loss falling while the monitored metric gets
worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, LastKnown
from replay.policies.fits import trend, windows
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import PROGRESS_UNITS, WHOLE_EVALS, progress_of, require_patience

__all__ = ["Gap"]

_TRAIN_LOSS = LastKnown("train_loss")


@dataclass(frozen=True)
class Gap(Policy):
    """Stop when the train loss has fallen while the metric got worse, over WINDOW evals, PATIENCE evals in a
    row.

    At each eval, lines are laid by least squares through the last WINDOW train losses and metric values,
    against the number of the eval. The gap widens where the slope of the train loss is below 0 and that of
    the metric is to the worse (above 0 for min, below 0 for max), both strictly. Only evals count at which
    both are finite; with fewer than 3 of those, or before the first WINDOW evals are there, it does not
    widen. The rule stops when it has widened at PATIENCE evals in a row, or with another unit when the last
    eval at which it did not lies PATIENCE steps, epochs or tokens back.

    Reads the companion ``train_loss`` (mean since the last eval).

    A definition of our own of the textbook sign of overfitting (Goodfellow, Bengio & Courville, Deep
    Learning, 2016, section 7.8).

    Examples
    --------
    >>> metric, train = [1.0, 0.8, 0.7, 0.8, 0.9, 1.0], [1.0, 0.8, 0.6, 0.5, 0.4, 0.3]
    >>> # slopes of the metric: -0.15, 0, 0.1, 0.1
    >>> Gap(2, window=3).stop_eval(metric, columns={"train_loss": train})
    6
    """

    name: ClassVar[str] = "gap"

    patience: float = param(
        "evals in a row (or steps, epochs, tokens: see unit) that the gap widens for",
        3,
        minimum=0,
        sets_threshold=True,
        allowed=WHOLE_EVALS,
    )
    window: int = param("evals that the trends are taken over", 5, minimum=3)
    unit: str = param("what patience and start count", "evals", choices=tuple(PROGRESS_UNITS))

    def __post_init__(self) -> None:
        require_patience(self.name, self.patience, self.unit)
        super().__post_init__()

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (_TRAIN_LOSS, *PROGRESS_UNITS[self.unit])

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def trace(self, batch: CurveBatch) -> Trace:
        train, metric = np.full(batch.shape, np.nan), np.full(batch.shape, np.nan)
        losses, values = (
            windows(batch.columns[_TRAIN_LOSS.name], self.window),
            windows(batch.oriented, self.window),
        )
        if len(values):
            known = np.isfinite(losses) & np.isfinite(values)
            for out, rows in ((train, losses), (metric, values)):
                out[:, self.window - 1 :] = np.where(
                    known.sum(axis=1) < 3, np.nan, trend(rows, known)[0]
                ).reshape(len(out), -1)
        widens = (train < 0) & (metric > 0)
        where = progress_of(batch, self.unit)
        before = np.where(widens, 0, np.arange(batch.shape[1]))
        if batch.shape[1]:
            before = np.maximum.accumulate(
                before, axis=1
            )  # the last eval at which it did not widen: there is one, the first
        since = where - np.take_along_axis(where, before, axis=1)
        return Trace(
            batch, since, figures={"train": train, "metric": metric if batch.mode == "min" else -metric}
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        train, metric, waited = (
            float(array[run, eval])
            for array in (trace.figures["train"], trace.figures["metric"], trace.signal)
        )
        if np.isnan(train):
            return "no trend yet" if eval + 1 < self.window else "no trend: too few values"
        slopes = f"train loss {format_value(train)} and metric {format_value(metric)} per eval"
        if not (train < 0 and (metric > 0 if trace.batch.mode == "min" else metric < 0)):
            return f"the gap does not widen: {slopes}"
        unit = "" if self.unit == "evals" else f" {self.unit}"
        return (
            f"the gap widens, {slopes}: {format_parameter(waited)} of {format_parameter(self.patience)}{unit}"
            " in a row"
        )

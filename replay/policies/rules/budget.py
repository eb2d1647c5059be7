"""Budget: stop when a given amount of compute is used, whatever the metric does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, ComputeUsed, Progress
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import progress_of

__all__ = ["Budget", "OneEpoch"]

#: What the end of an epoch may be short of a whole number.
_ROUNDING = 0.05


@dataclass(frozen=True)
class Budget(Policy):
    """Stop at the first eval by which BUDGET is used (steps, or see unit).

    In any unit of `replay.data.compute`: the compute of the evals counts as well as that of training, where
    the log has it.

    Examples
    --------
    >>> Budget(250).stop_eval([1.0, 0.9, 0.8], steps=[100, 200, 300])
    3
    """

    name: ClassVar[str] = "budget"

    budget: float = param("the amount that may be used", minimum=0, sets_threshold=True, example="500")
    unit: str = param(
        "what is counted",
        "steps",
        choices=("steps", "evals", "epochs", "tokens", "flops", "seconds", "gpu_hours", "cost"),
    )

    @property
    def companions(self) -> tuple[Companion, ...]:
        if self.unit in ("steps", "evals"):
            return ()
        return (Progress("epoch"),) if self.unit == "epochs" else (ComputeUsed(self.unit),)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.budget)

    def trace(self, batch: CurveBatch) -> Trace:
        used = batch.columns[self.companions[0].name] if self.companions else progress_of(batch, self.unit)
        if self.unit == "epochs":
            used = _whole_epochs(used)
        return Trace(batch, np.where(np.isnan(used), -np.inf, used))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return (
            f"{format_value(float(trace.signal[run, eval]))} of {format_parameter(float(self.budget))}"
            f" {self.unit} used"
        )


def _whole_epochs(used: Floats) -> Floats:
    """Epochs used, with the end of an epoch taken for a whole number: tools that drop the last batch or
    accumulate gradients call it 0.99.

    That is so within 5 % of an epoch, and within half the distance to the eval before.
    """
    before = np.concatenate([np.zeros((len(used), 1)), used[:, :-1]], axis=1)
    whole = np.ceil(used)
    with np.errstate(invalid="ignore"):
        near = whole - used <= np.minimum(_ROUNDING, (used - before) / 2)
    return np.where(near, whole, used)


@dataclass(frozen=True)
class OneEpoch(Budget):
    """Stop at the first eval after one pass over the data.

    A baseline: many fine-tunes need no more. Needs the epoch in the log.
    """

    name: ClassVar[str] = "one-epoch"

    budget: float = param("epochs to train", 1.0, minimum=0, aliases=("epochs",), sets_threshold=True)
    unit: str = param("what is counted", "epochs", choices=("epochs",))

"""Never: the policy that does nothing, the baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.policies.base import Policy, Trace

__all__ = ["Never"]


@dataclass(frozen=True)
class Never(Policy):
    """Never stop: train to the end of the log.

    Examples
    --------
    >>> Never().stop_eval([1.0, 2.0, 3.0]) is None
    True
    """

    name: ClassVar[str] = "never"

    def signal_threshold(self, mode: Mode) -> float:
        return np.inf

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(batch, np.full(batch.shape, -np.inf))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return "never stops"

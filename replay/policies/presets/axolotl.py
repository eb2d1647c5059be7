"""axolotl's early_stopping_patience: transformers' rule, off at 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.policies.base import Trace
from replay.policies.param import param
from replay.policies.presets.transformers import OfTransformers

__all__ = ["Axolotl"]


@dataclass(frozen=True)
class Axolotl(OfTransformers):
    """axolotl's early_stopping_patience: transformers' EarlyStoppingCallback, counting evals; 0 is off.

    A number that is not 0 is handed to EarlyStoppingCallback as its patience, with the threshold left at 0;
    see transformers.

    Source: axolotl, src/axolotl/core/builders/causal.py, read, not run; the rule itself is checked against
    transformers 5.24.0.

    Examples
    --------
    >>> Axolotl(2).stop_eval([1.0, 0.9, 0.95, 0.96])
    4
    """

    name: ClassVar[str] = "axolotl"

    early_stopping_patience: int = param(
        "evals without a gain; 0: off", minimum=0, aliases=("patience",), sets_threshold=True
    )

    @property
    def patience(self) -> int:
        return self.early_stopping_patience

    @property
    def off_reason(self) -> str | None:
        return (
            None if self.early_stopping_patience else "early_stopping_patience=0 switches early stopping off"
        )

    def trace(self, batch: CurveBatch) -> Trace:
        trace = super().trace(batch)
        return (
            trace if self.off_reason is None else Trace(batch, np.full(batch.shape, -np.inf), trace.reference)
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return self.off_reason or super().reason(trace, run, eval)

"""LLaMA-Factory's early_stopping_steps: transformers' rule under another name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.policies.param import param
from replay.policies.presets.transformers import OfTransformers

__all__ = ["LlamaFactory"]


@dataclass(frozen=True)
class LlamaFactory(OfTransformers):
    """LLaMA-Factory's early_stopping_steps: transformers' EarlyStoppingCallback; it counts evals, not steps.

    The number is handed to EarlyStoppingCallback as its patience, with the threshold left at 0; see
    transformers.

    Source: LLaMA-Factory, src/llamafactory/train/tuner.py (_training_function), read, not run; the rule
    itself is checked against transformers 5.24.0.

    Examples
    --------
    >>> LlamaFactory(2).stop_eval([1.0, 0.9, 0.95, 0.96])
    4
    """

    name: ClassVar[str] = "llamafactory"

    early_stopping_steps: int = param(
        "evals (not steps) without a gain", minimum=0, aliases=("patience",), sets_threshold=True
    )

    @property
    def patience(self) -> int:
        return self.early_stopping_steps

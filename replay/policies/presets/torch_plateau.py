"""torch's ReduceLROnPlateau as a trigger: where it would first lower the learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import format_parameter, param
from replay.policies.presets.counting import Counting, describe_gain

__all__ = ["TorchPlateau"]


@dataclass(frozen=True)
class TorchPlateau(Counting):
    """torch's ReduceLROnPlateau as a stop rule: stops where it would first lower the learning rate.

    A value improves when v < best·(1 − threshold) (rel, min), v < best − threshold (abs, min) or, for max, v
    > best·(1 + threshold) and v > best + threshold; the best begins at ±inf and moves only then. It fires at
    *more than* patience values in a row without an improvement. NaN is no improvement and never the best.
    With rel and a negative metric the bound lies on the other side of the best: a slight worsening improves.
    Cooldown comes after the first reduction and plays no part.

    Source: torch 2.13.0, optim/lr_scheduler.py (ReduceLROnPlateau).

    Examples
    --------
    >>> TorchPlateau(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98])
    6
    """

    name: ClassVar[str] = "torch-plateau"
    checked_against: ClassVar[str | None] = "torch 2.13.0"

    patience: int = param(
        "evals without an improvement that are allowed: it fires at one more",
        10,
        minimum=0,
        sets_threshold=True,
    )
    threshold: float = param("the gain that counts", 1e-4, aliases=("min_delta",))
    threshold_mode: str = param(
        "whether threshold is relative to the best or absolute", "rel", choices=("rel", "abs")
    )

    @property
    def wanted(self) -> str:
        return (
            describe_gain(self.threshold)
            if self.threshold_mode == "abs"
            else f"gain > {format_parameter(self.threshold)} of the best"
        )

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience + 1)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        if self.threshold_mode == "rel":
            return (
                value < best * (1.0 - self.threshold)
                if mode == "min"
                else value > best * (self.threshold + 1.0)
            )
        return value < best - self.threshold if mode == "min" else value > best + self.threshold

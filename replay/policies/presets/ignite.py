"""Ignite's EarlyStopping: NaN counts as an improvement, and the reference creeps along unless it is
cumulative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.types import Bools, Floats, Mode
from replay.errors import PolicyError
from replay.policies.param import format_parameter, param
from replay.policies.presets.counting import Counting, describe_gain

__all__ = ["Ignite"]


@dataclass(frozen=True)
class Ignite(Counting):
    """Ignite's EarlyStopping: any gain moves its reference, only a gain > threshold resets; NaN is an
    improvement.

    The first score is the first reference. A score is no improvement when v >= best − threshold (min) or v <=
    best + threshold (max); with threshold_mode rel the bound is best·(1 ∓ threshold), which turns round for
    negative scores. Then the counter goes up and the reference moves to the better of the two, unless
    cumulative is set. Since a comparison with NaN is false, NaN is an improvement and becomes the reference,
    and so is whatever follows it: a run of NaN is never stopped.

    Source: pytorch-ignite 0.5.5, handlers/early_stopping.py. It takes higher as better unless it is
    given mode="min".

    Examples
    --------
    >>> Ignite(2, threshold=0.05).stop_eval([1.0, 0.96, 0.92, 0.88])
    3
    >>> Ignite(2, threshold=0.05, cumulative=True).stop_eval([1.0, 0.96, 0.92, 0.88]) is None
    True
    """

    name: ClassVar[str] = "ignite"
    checked_against: ClassVar[str | None] = "pytorch-ignite 0.5.5"
    takes_first: ClassVar[bool] = True

    patience: int = param("evals without an improvement, at least 1", sets_threshold=True)
    threshold: float = param("the gain that resets the counter", 0.0, minimum=0, aliases=("min_delta",))
    cumulative: bool = param(
        "measure the gain from the last reset, not from the best", False, aliases=("cumulative_delta",)
    )
    threshold_mode: str = param(
        "whether threshold is absolute or relative to the reference",
        "abs",
        choices=("abs", "rel"),
        aliases=("min_delta_mode",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise PolicyError(
                f"ignite: patience must be at least 1, not {self.patience}: Ignite raises a ValueError there"
            )

    @property
    def wanted(self) -> str:
        return (
            describe_gain(self.threshold)
            if self.threshold_mode == "abs"
            else f"gain > {format_parameter(self.threshold)} of the reference"
        )

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        threshold = -self.threshold if mode == "min" else self.threshold
        bound = best + threshold if self.threshold_mode == "abs" else best * (1 + threshold)
        return ~(value >= bound if mode == "min" else value <= bound)

    def next_reference(self, mode: Mode, value: Floats, best: Floats, improved: Bools) -> Floats:
        if self.cumulative:
            return np.where(improved, value, best)
        better = value < best if mode == "min" else value > best
        return np.where(improved | better, value, best)

"""LightGBM's early_stopping callback: a gated reference in float64; 0 rounds switch it off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import param
from replay.policies.presets.counting import Counting, describe_gain

__all__ = ["LightGBM"]


@dataclass(frozen=True)
class LightGBM(Counting):
    """LightGBM's early_stopping: the reference moves on a gain > min_delta, in float64; 0 rounds switch it
    off.

    The first iteration is the first reference, even a NaN, over which nothing improves ever after. An
    iteration improves when v < best − min_delta (min) or v > best + min_delta (max), strictly. LightGBM stops
    for *any* of its data sets and metrics unless first_metric_only is set: join several by ``|``.
    best_iteration is the gated reference.

    Source: lightgbm 4.7.0, callback.py (_EarlyStoppingCallback).

    Examples
    --------
    >>> LightGBM(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97])
    5
    >>> LightGBM(0).stop_eval([1.0, 1.1, 1.2]) is None
    True
    """

    name: ClassVar[str] = "lightgbm"
    checked_against: ClassVar[str | None] = "lightgbm 4.7.0"
    takes_first: ClassVar[bool] = True

    stopping_rounds: int = param(
        "iterations (evals) without an improvement; 0 or less: off",
        aliases=("early_stopping_round", "patience"),
        sets_threshold=True,
    )
    min_delta: float = param("the gain that counts", 0.0, minimum=0)

    @property
    def off_reason(self) -> str | None:
        return (
            None
            if self.stopping_rounds > 0
            else f"stopping_rounds={self.stopping_rounds} switches early stopping off"
        )

    @property
    def wanted(self) -> str:
        return describe_gain(self.min_delta)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.stopping_rounds)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return value < best - self.min_delta if mode == "min" else value > best + self.min_delta

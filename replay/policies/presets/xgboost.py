"""XGBoost's EarlyStopping callback: a gated reference in float64; the first round poisons it where it is
NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import param
from replay.policies.presets.counting import Counting, describe_gain

__all__ = ["XGBoost"]


@dataclass(frozen=True)
class XGBoost(Counting):
    """XGBoost's EarlyStopping: the reference moves on a gain > min_delta, in float64; rounds 0 stops at once.

    The first round is the first reference, even a NaN, over which nothing improves ever after. A round
    improves when best − min_delta > v (min) or v − min_delta > best (max), strictly; the two are no mirror
    images in the last bit. The count is looked at after every round, improving or not. best_iteration is the
    gated reference, not the best value.

    Source: xgboost 3.2.0, callback.py (EarlyStopping._update_rounds).

    Examples
    --------
    >>> XGBoost(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97])
    5
    """

    name: ClassVar[str] = "xgboost"
    checked_against: ClassVar[str | None] = "xgboost 3.2.0"
    takes_first: ClassVar[bool] = True

    rounds: int = param(
        "rounds (evals) without an improvement",
        minimum=0,
        aliases=("early_stopping_rounds", "patience"),
        sets_threshold=True,
    )
    min_delta: float = param("the gain that counts", 0.0, minimum=0)

    @property
    def wanted(self) -> str:
        return describe_gain(self.min_delta)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.rounds)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return best - self.min_delta > value if mode == "min" else value - self.min_delta > best

"""Ultralytics' EarlyStopping (YOLO): while the best fitness is exactly 0, every epoch is a new best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import param
from replay.policies.presets.counting import Counting, is_better

__all__ = ["Ultralytics"]


@dataclass(frozen=True)
class Ultralytics(Counting):
    """Ultralytics' EarlyStopping: epochs since the best fitness; a best of exactly 0 is replaced by anything.

    The best begins at 0.0; a value becomes the best when it is strictly better, or while the best is exactly
    0 (so that the fitness of 0 at the beginning of a training does not count). The first value always does,
    even a NaN, over which nothing improves ever after. Fitness is higher-is-better; a loss enters with its
    sign turned. patience 0 is off. Before 2025 ties restarted the clock.

    Source: ultralytics 8.4.190, utils/torch_utils.py (EarlyStopping), run as it stands there.

    Examples
    --------
    >>> Ultralytics(3).stop_eval([0, 0, 0, 0, 0, 0.1, 0.1, 0.1, 0.1], mode="max")
    9
    """

    name: ClassVar[str] = "ultralytics"
    checked_against: ClassVar[str | None] = "ultralytics 8.4.190"
    takes_first: ClassVar[bool] = True

    patience: int = param("epochs (evals) since the best; 0: off", 100, minimum=0, sets_threshold=True)

    @property
    def off_reason(self) -> str | None:
        return None if self.patience > 0 else "patience=0 switches early stopping off"

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        improved: Bools = is_better(mode, value, best) | (best == 0)
        return improved

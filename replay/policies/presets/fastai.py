"""fastai's EarlyStoppingCallback: a gated reference in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import param
from replay.policies.presets.counting import Counting, describe_gain

__all__ = ["Fastai"]


@dataclass(frozen=True)
class Fastai(Counting):
    """fastai's EarlyStoppingCallback: the reference moves on a gain > min_delta, in float64; patience 0 acts
    as 1.

    A value improves when v + min_delta < best (min) or v − min_delta > best (max), strictly; the best begins
    at ±inf and moves only then, so that NaN never is one. A negative min_delta tolerates a worsening. fastai
    takes lower as better where the monitor's name has ``loss`` or ``error`` in it, else higher.

    Source: fastai 2.8.12, callback/tracker.py (TrackerCallback, EarlyStoppingCallback), run as it stands
    there.

    Examples
    --------
    >>> Fastai(2).stop_eval([float("nan"), 1.0, 0.9, 0.95, 0.96])
    5
    """

    name: ClassVar[str] = "fastai"
    checked_against: ClassVar[str | None] = "fastai 2.8.12"

    patience: int = param(
        "epochs (evals) without an improvement; 0 acts as 1", 1, minimum=0, sets_threshold=True
    )
    min_delta: float = param("the gain that counts", 0.0)

    @property
    def wanted(self) -> str:
        return describe_gain(self.min_delta)

    def signal_threshold(self, mode: Mode) -> float:
        return float(max(self.patience, 1))

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return value + self.min_delta < best if mode == "min" else value - self.min_delta > best

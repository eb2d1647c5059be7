"""fairseq's --patience: evals in a row without a strict gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.policies.param import param
from replay.policies.presets.counting import Counting, is_better

__all__ = ["Fairseq"]


@dataclass(frozen=True)
class Fairseq(Counting):
    """fairseq's --patience: that many validations in a row without a gain, however small; 0 or less is off.

    The first value is the first reference, even a NaN, over which nothing improves ever after. Validations
    within an epoch count too. The counter is not in the checkpoint, so that a resumed training begins it
    anew.

    Source: fairseq 0.12.2, fairseq_cli/train.py (should_stop_early), run as it stands there.

    Examples
    --------
    >>> Fairseq(2).stop_eval([1.0, 0.9, 0.95, 0.96])
    4
    >>> Fairseq(0).stop_eval([1.0, 1.1, 1.2]) is None
    True
    """

    name: ClassVar[str] = "fairseq"
    checked_against: ClassVar[str | None] = "fairseq 0.12.2"
    takes_first: ClassVar[bool] = True

    patience: int = param("validations without a gain; 0 or less: off", -1, sets_threshold=True)

    @property
    def off_reason(self) -> str | None:
        return None if self.patience > 0 else f"patience={self.patience} switches early stopping off"

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return is_better(mode, value, best)

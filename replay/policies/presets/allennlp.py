"""AllenNLP's patience: epochs in a row without a strict gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replay.data.types import Bools, Floats, Mode
from replay.errors import PolicyError
from replay.policies.param import param
from replay.policies.presets.counting import Counting, is_better

__all__ = ["AllenNLP"]


@dataclass(frozen=True)
class AllenNLP(Counting):
    """AllenNLP's patience: that many epochs in a row without a gain, however small; at least 1.

    The first value is the first reference, even a NaN, over which nothing improves ever after. AllenNLP takes
    the mode from the sign before the metric's name (``-loss``, ``+accuracy``) and sums several metrics by
    their signs.

    Source: AllenNLP 2.10.1, training/metric_tracker.py, run as it stands there, and
    gradient_descent_trainer.py, read.

    Examples
    --------
    >>> AllenNLP(2).stop_eval([1.0, 0.9, 0.95, 0.96])
    4
    """

    name: ClassVar[str] = "allennlp"
    checked_against: ClassVar[str | None] = "allennlp 2.10.1"
    takes_first: ClassVar[bool] = True

    patience: int = param("epochs (evals) without a gain, at least 1", sets_threshold=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise PolicyError(
                f"allennlp: patience must be at least 1, not {self.patience}: AllenNLP's trainer raises an"
                " error there"
            )

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return is_better(mode, value, best)

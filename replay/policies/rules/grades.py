"""GradES as far as a log shows: stop when every adapted module has once changed by less than a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, SettledModules
from replay.policies.param import format_parameter, format_value, param

__all__ = ["Grades"]


@dataclass(frozen=True)
class Grades(Policy):
    """Stop when SHARE of the adapted modules have once changed by less than GRADES in a step (approximate
    GradES).

    GradES freezes a matrix at the first step from ALPHA · planned steps on (rounded down) whose change is
    below GRADES, and stops when SHARE of all matrices are frozen. Freezing changes the training, so no log of
    a training without it can replay it: **approximate**. This rule asks by which eval SHARE of the modules
    have had such a step, in a training that freezes none; a module is a LoRA pair, A and B together. The
    change is the element-wise L1 norm that ``collect`` logs at every step, summed over the pair and not
    divided by its size: of the weights (as in GradES' code) or of the gradient since the step before (as in
    its paper). A step whose change is not known does not count.

    Reads ``step_signals.bin`` beside the eval log and the planned steps. The companion is, at each eval, the
    least value of GRADES above which the rule stops.

    Source: Wen et al., GradES, arXiv:2509.01842; defaults and use of the weights as in its code of commit
    2bc0294a.

    Examples
    --------
    >>> companion = "step_signals:weight_change_l1:0.3:1"
    >>> Grades(0.01).stop_eval([1.0, 0.9, 0.8], columns={companion: [float("inf"), 0.02, 0.009]})
    3
    """

    name: ClassVar[str] = "grades"

    grades: float = param(
        "change of a module in one step below which it counts as settled",
        1e-4,
        minimum=0,
        aliases=("tau",),
        sets_threshold=True,
    )
    alpha: float = param("share of the planned steps before which no step counts", 0.3, minimum=0)
    share: float = param(
        "share of the modules that must have settled", 1.0, minimum=0, aliases=("max_frozen_ratio",)
    )
    of: str = param(
        "what the change is of", "weight_change_l1", choices=("weight_change_l1", "gradient_change_l1")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha > 1 or not 0 < self.share <= 1:
            raise PolicyError("grades: alpha is from 0 to 1, and share above 0, up to 1")

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (SettledModules(self.of, float(self.alpha), float(self.share)),)

    def caution(self, metric: str, mode: Mode) -> str | None:
        return (
            "grades is approximate: GradES freezes modules one by one, which changes the training that"
            " follows; this log has none frozen"
        )

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(-self.grades, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        least = batch.columns[self.companions[0].name]
        return Trace(batch, np.where(np.isnan(least), -np.inf, -least))

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        least = -float(trace.signal[run, eval])
        if np.isinf(least):
            return (
                f"no step counts yet (they do from {format_parameter(float(self.alpha))} of the planned"
                " steps on)"
            )
        who = "every module" if self.share == 1 else f"{format_parameter(float(self.share))} of the modules"
        below = "below" if least < self.grades else "not below"
        return (
            f"{who} had a step with a change of {format_value(least)} or less: {below}"
            f" {format_parameter(self.grades)}"
        )

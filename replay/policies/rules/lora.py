"""Rules on what only a fine-tune shows, as collect logs it: adapter (has the adapter settled?) and drift
(what the base model loses).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.companions import BaseReference, Companion, LoggedMetric
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import count_consecutive

__all__ = ["Adapter", "Drift"]

_CHANGE = LoggedMetric("signals/relative_change")
_RANK = LoggedMetric("signals/stable_rank")
_GENERIC = LoggedMetric("eval_generic_loss")
_BASE_GENERIC = BaseReference("eval_generic_loss")


@dataclass(frozen=True)
class Adapter(Policy):
    """Stop when the adapter changes by less than ADAPTER from eval to eval, PATIENCE evals in a row.

    The change is |D − D'| / |D'| (Frobenius), D the product sBA of all adapted modules at this eval and D'
    that at the eval before: the companion ``signals/relative_change``. With RANK above 0 the stable rank
    (``signals/stable_rank``) must have settled too: its change relative to the eval before, |r / r' − 1|, is
    below RANK. Both are compared strictly, and what is not known (as at the first eval) is not below. The
    metric is not looked at. The change is that of one eval interval: logs with rarer evals show larger ones.

    A rule of our own, on the signals that ``collect`` logs; stable rank as in Rudelson & Vershynin, J. ACM 54
    (2007) 21.

    Examples
    --------
    >>> change = [float("nan"), 0.4, 0.009, 0.02, 0.009, 0.008]
    >>> Adapter(0.01, patience=2).stop_eval([1.0] * 6, columns={"signals/relative_change": change})
    6
    """

    name: ClassVar[str] = "adapter"
    grid: ClassVar[Mapping[str, str]] = {"adapter": "0.003,0.01,0.03,0.1,0.3", "patience": "1,2,3,5"}

    adapter: float = param(
        "relative change of the adapter per eval below which it counts as settled", minimum=0, example="0.01"
    )
    patience: int = param("evals in a row", 3, minimum=1, sets_threshold=True)
    rank: float = param(
        "relative change of the stable rank below which it counts as settled; 0: not used", 0.0, minimum=0
    )

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (_CHANGE, _RANK) if self.rank else (_CHANGE,)

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def trace(self, batch: CurveBatch) -> Trace:
        settled = batch.columns[_CHANGE.name] < self.adapter
        turn = np.full(batch.shape, np.nan)
        if self.rank:
            rank = batch.columns[_RANK.name]
            with np.errstate(all="ignore"):
                turn[:, 1:] = np.abs(rank[:, 1:] / rank[:, :-1] - 1)
            settled &= turn < self.rank
        return Trace(batch, count_consecutive(settled), figures={"turn": turn})

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        change = float(trace.batch.columns[_CHANGE.name][run, eval])
        turn = float(trace.figures["turn"][run, eval])
        if np.isnan(change):
            return "the adapter's change is not known here"
        moved = f"the adapter changed by {format_value(change)}"
        if not change < self.adapter:
            return f"{moved}: not below {format_parameter(self.adapter)}"
        if self.rank and not turn < self.rank:
            return f"{moved}, but its stable rank " + (
                "is not known"
                if np.isnan(turn)
                else f"by {format_value(turn)}: not below {format_parameter(self.rank)}"
            )
        turned = f" and its stable rank by {format_value(turn)}" if self.rank else ""
        return f"{moved}{turned}: settled at {int(trace.signal[run, eval])} of {self.patience} evals in a row"


@dataclass(frozen=True)
class Drift(Policy):
    """Stop when the loss on generic text rose by more than DRIFT and the metric has gained less than
    MIN_GAIN.

    Generic text (the companion ``eval_generic_loss``) stands for what the base model could do already. Its
    rise is counted from its first finite value, or, with ``base=model``, from what the base model gave (the
    log's reference). The gain is what the metric is better by than its first finite value. The rule stops at
    an eval where the rise is > DRIFT and the gain < MIN_GAIN, both strictly, in the units of loss and metric;
    an eval without one of the two cannot stop.

    A rule of our own, on what ``collect`` logs; forgetting under LoRA as in Biderman et al., TMLR 2024
    (arXiv:2405.09673).

    Examples
    --------
    >>> metric, generic = [2.0, 1.5, 1.4, 1.45], [3.0, 3.05, 3.2, 3.3]
    >>> # eval 3 has gained 0.6 at a rise of 0.2
    >>> Drift(0.1, min_gain=0.58).stop_eval(metric, columns={"eval_generic_loss": generic})
    4
    """

    name: ClassVar[str] = "drift"

    drift: float = param(
        "the rise of the loss on generic text that is too much", minimum=0, sets_threshold=True, example="0.1"
    )
    min_gain: float = param(
        "the gain of the metric that is worth such a rise, in its own unit", example="0.01"
    )
    base: str = param("what the rise is counted from", "first", choices=("first", "model"))

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (_GENERIC, _BASE_GENERIC) if self.base == "model" else (_GENERIC,)

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(self.drift, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        generic = batch.columns[_GENERIC.name]
        begin = batch.columns[_BASE_GENERIC.name] if self.base == "model" else _first_finite(generic)
        with np.errstate(all="ignore"):
            rise, gain = generic - begin, _first_finite(batch.oriented) - batch.oriented
        fires = (gain < self.min_gain) & ~np.isnan(rise)
        return Trace(batch, np.where(fires, rise, -np.inf), figures={"rise": rise, "gain": gain})

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        rise, gain = (float(trace.figures[name][run, eval]) for name in ("rise", "gain"))
        if np.isnan(rise) or np.isnan(gain):
            return f"{'the loss on generic text' if np.isnan(rise) else 'the gain'} is not known here"
        rose = f"the loss on generic text rose by {format_value(rise)}"
        if not rise > self.drift:
            return f"{rose}: not above {format_parameter(self.drift)}"
        return (
            f"{rose} for a gain of {format_value(gain)}:"
            f" {'less than' if gain < self.min_gain else 'at least'} {format_parameter(self.min_gain)}"
        )


def _first_finite(array: Floats) -> Floats:
    """The first finite value of each row so far; NaN before there is one."""
    out = np.full(array.shape, np.nan)
    first = np.full(len(array), np.nan)
    for eval in range(array.shape[1]):
        value = array[:, eval]
        first = np.where(np.isnan(first) & np.isfinite(value), value, first)
        out[:, eval] = first
    return out

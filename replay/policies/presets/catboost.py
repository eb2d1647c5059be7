"""CatBoost's overfitting detector: rounds since the best, or the odds that it will be reached again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param

__all__ = ["CatBoost"]

_FORGET, _MEMORY, _SCALE, _TINY = 0.99, 2000, 0.5, 1e-10


@dataclass(frozen=True)
class CatBoost(Policy):
    """CatBoost's overfitting detector: od_wait rounds since the best (Iter), or a small p-value then
    (IncToDec).

    With e the metric with the sign that makes higher better, and M its best so far (strictly): stop where p <
    od_pval, with p = 1 for the first od_wait − 1 rounds after M, then p = exp(−0.5 / max(x, 1e-10)), x = E /
    max(M − e, 1e-10), and E the expected gain: the larger of 0.99·(E of the round before) and max 0.99^i·(e −
    the value i rounds before), over 2000 rounds. Iter is the same with od_pval 1, which stops unless p rounds
    to 1 (a tie with the best after a jump of millions). Without od_type it is IncToDec where od_pval is
    given, whatever it is, and else Iter, as for early_stopping_rounds; od_pval 0, the default of IncToDec,
    switches that off. CatBoost without any of these parameters has no detector: that is the policy never.
    CatBoost itself fails at a value that is not finite; here NaN is no gain and no stop.

    Source: catboost 1.2.10, catboost/libs/overfitting_detector/overfitting_detector.cpp and
    catboost/private/libs/options/overfitting_detector_options.cpp.

    Examples
    --------
    >>> CatBoost(od_wait=3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98])
    5
    >>> CatBoost("IncToDec", od_wait=3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98]) is None
    True
    """

    name: ClassVar[str] = "catboost"
    checked_against: ClassVar[str | None] = "catboost 1.2.10"

    od_type: str = param(
        "the detector; auto: IncToDec where od_pval is given, else Iter",
        "auto",
        choices=("auto", "IncToDec", "Iter"),
    )
    od_wait: int = param(
        "rounds (evals) since the best", 20, minimum=1, aliases=("early_stopping_rounds", "patience")
    )
    od_pval: float | None = param("IncToDec: the p-value below which it stops; none and 0: off", None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.od_type == "Iter" and self.od_pval:
            raise PolicyError("catboost: od_pval belongs to od_type=IncToDec; CatBoost refuses it with Iter")
        if self.od_pval is not None and self.od_pval < 0:
            raise PolicyError(f"catboost: od_pval must be at least 0, not {format_parameter(self.od_pval)}")

    @property
    def _iter(self) -> bool:
        return self.od_type == "Iter" or (self.od_type == "auto" and self.od_pval is None)

    @property
    def _bound(self) -> float:
        return 1.0 if self._iter else self.od_pval or 0.0

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        values = np.ascontiguousarray(-batch.oriented.T)
        powers = np.multiply.accumulate(
            np.concatenate([[1.0], np.full(max(min(evals, _MEMORY) - 1, 0), _FORGET)])
        )
        most, expected, since = np.full(runs, np.nan), np.zeros(runs), np.zeros(runs)
        signal = np.zeros((evals, runs))
        reference = np.full((evals, runs), np.nan)
        with np.errstate(all="ignore"):
            for eval, value in enumerate(values):
                reference[eval] = most
                best = np.ones(runs, dtype=bool) if eval == 0 else value > most
                most = np.where(best, value, most)
                since = np.where(best, 0.0, since + 1)
                window = values[max(0, eval + 1 - _MEMORY) : eval + 1][::-1]
                gains = np.fmax.reduce(powers[: len(window), None] * (value - window), axis=0, initial=0.0)
                expected = np.fmax(expected * _FORGET, gains)
                behind = most - value
                ratio = expected / np.where(behind < _TINY, _TINY, behind)
                power = -_SCALE / np.where(ratio < _TINY, _TINY, ratio)
                chance = [
                    math.exp(number) for number in power.tolist()
                ]  # the C library's: numpy's own is off in the last bit
                signal[eval] = np.where(since >= self.od_wait, chance, 1.0) < self._bound
        if not self._bound:
            signal[:] = -np.inf
        return Trace(batch, signal.T, -reference.T if batch.mode == "min" else reference.T)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if not self._bound:
            return "od_pval=0 switches the detector off"
        assert trace.reference is not None
        best, value = float(trace.reference[run, eval]), float(trace.batch.values[run, eval])
        if eval == 0:
            return "first eval: nothing to compare"
        if value < best if trace.batch.mode == "min" else value > best:
            return f"better by {format_value(abs(value - best))}"
        if not trace.signal[run, eval]:
            return (
                "NaN: no gain, and no stop"
                if np.isnan(value)
                else f"no gain over {format_value(best)}, no stop yet"
            )
        odds = "" if self._iter else f", with p < {format_parameter(self._bound)}"
        return f"no gain over {format_value(best)} for {self.od_wait} evals or more{odds}"

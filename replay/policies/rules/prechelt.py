"""Prechelt's three classes of stop rules: generalization loss (gl), its quotient with the training's progress
(pq), and strips (up).

E is the validation error and E_opt(t) its lowest value up to eval t. Where Prechelt counts epochs, these
count evals.

Source: L. Prechelt, Early Stopping - But When? In: Neural Networks: Tricks of the Trade, LNCS 1524 (1998)
55-69.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, LastKnown
from replay.policies.param import format_parameter, format_value, param

__all__ = ["Gl", "Pq", "Up"]

_TRAIN_LOSS = LastKnown("train_loss")


def _generalization_loss(batch: CurveBatch) -> tuple[Floats, Floats]:
    """100 · (E / E_opt − 1) at every eval, and E_opt; NaN where that is undefined, −inf where E is NaN or has
    no finite value yet.
    """
    best = np.fmin.accumulate(batch.values, axis=1) if batch.shape[1] else batch.values
    with np.errstate(all="ignore"):
        loss = 100 * (batch.values / best - 1)
    loss = np.where(np.isnan(batch.values) | (best == np.inf), -np.inf, loss)
    return np.where((best <= 0) | (batch.mode == "max"), np.nan, loss), best


def _undefined(trace: Trace, run: int, eval: int) -> str:
    if trace.batch.mode == "max":
        return "generalization loss is defined for an error, where lower is better, not for mode max"
    values = trace.batch.values[run, : eval + 1]
    where = int(np.flatnonzero(values <= 0)[0])
    at = f"{format_value(float(values[where]))} at step {trace.batch.steps[run, where]:g}"
    return f"it is {at}, and generalization loss is defined for errors > 0 only"


@dataclass(frozen=True)
class Gl(Policy):
    """Stop when the generalization loss 100 · (E / E_opt − 1) is above GL, a percentage (Prechelt's GL).

    E_opt(t) is the lowest error up to and including eval t; the comparison is strict. NaN is passed over: it
    neither stops nor is E_opt; an infinite error stops once there is a finite one. Undefined, and refused,
    for mode max and for errors ≤ 0.

    Source: Prechelt (1998), class GL_alpha.

    Examples
    --------
    >>> Gl(5).stop_eval([1.0, 0.8, 0.84, 0.85])  # 100 · (0.85 / 0.8 − 1) = 6.25; that of 0.84 is 5
    4
    """

    name: ClassVar[str] = "gl"

    gl: float = param(
        "the generalization loss that is too much, in percent (the paper's alpha)",
        5.0,
        minimum=0,
        aliases=("alpha",),
        sets_threshold=True,
    )

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(self.gl, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        return Trace(batch, *_generalization_loss(batch))

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        return _undefined(trace, run, eval)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        loss = float(trace.signal[run, eval])
        if not np.isfinite(loss):
            return _not_finite(trace, run, eval)
        assert trace.reference is not None
        over = "above" if loss >= self.signal_threshold(trace.batch.mode) else "not above"
        return (
            f"{format_value(loss)} % over the lowest, {format_value(float(trace.reference[run, eval]))}:"
            f" {over} {format_parameter(self.gl)} %"
        )


def _not_finite(trace: Trace, run: int, eval: int) -> str:
    if np.isnan(trace.signal[run, eval]):
        return "undefined: " + _undefined(trace, run, eval)
    value = trace.batch.values[run, eval]
    return (
        "NaN: passed over"
        if np.isnan(value)
        else "no finite value yet"
        if trace.signal[run, eval] < 0
        else f"{value} is not finite"
    )


@dataclass(frozen=True)
class Pq(Policy):
    """Stop when generalization loss by progress of the training is above PQ at the end of a strip (Prechelt's
    PQ).

    Evals k, 2k, 3k, … end strips of k = STRIP evals; only there can the rule stop. The progress at the end of
    a strip is P_k = 1000 · (sum of the strip's train losses / (k · the lowest of them) − 1), and the rule
    stops where GL / P_k > PQ, strictly. Where the train loss was constant, P_k = 0: the quotient is infinite
    if GL > 0, and 0 if GL = 0.

    Reads the companion ``train_loss`` (mean since the last eval). A strip with a train loss that is missing,
    NaN or infinite has no progress, and the rule cannot stop at its end. Undefined, and refused, where gl is,
    and for train losses ≤ 0.

    Source: Prechelt (1998), class PQ_alpha with strips of k = 5 epochs.

    Examples
    --------
    >>> curve, train = [1.0, 0.8, 0.9, 1.0], [1.0, 0.9, 0.8, 0.79]
    >>> # GL = 25; P = 1000 · (1.59 / (2 · 0.79) − 1) = 6.33
    >>> Pq(1, strip=2).stop_eval(curve, columns={"train_loss": train})
    4
    """

    name: ClassVar[str] = "pq"
    grid: ClassVar[Mapping[str, str]] = {"pq": "0.05,0.1,0.2,0.5,1,2,5", "strip": "2,3,5"}

    pq: float = param(
        "the quotient that is too much (the paper's alpha)",
        0.5,
        minimum=0,
        aliases=("alpha",),
        sets_threshold=True,
    )
    strip: int = param("evals in a strip (the paper's k)", 5, minimum=1, aliases=("k",))

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (_TRAIN_LOSS,)

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(self.pq, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        loss, best = _generalization_loss(batch)
        progress = _progress(batch.columns[_TRAIN_LOSS.name], self.strip)
        with np.errstate(all="ignore"):
            quotient = np.where((loss == 0) & (progress == 0), 0.0, loss / progress)
        quotient = np.where((loss == -np.inf) | (progress == np.inf), -np.inf, quotient)
        quotient = np.where(np.isnan(loss) | np.isnan(progress), np.nan, quotient)
        return Trace(
            batch,
            np.where(_ends(batch, self.strip), quotient, -np.inf),
            best,
            figures={"loss": loss, "progress": progress},
        )

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        if np.isnan(trace.figures["loss"][run, eval]):
            return _undefined(trace, run, eval)
        train = trace.batch.columns[_TRAIN_LOSS.name][run, : eval + 1]
        where = int(np.flatnonzero(train <= 0)[-1])
        at = f"{format_value(float(train[where]))} at step {trace.batch.steps[run, where]:g}"
        return f"its train_loss is {at}, and progress is defined for losses > 0 only"

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if not _ends(trace.batch, self.strip)[eval]:
            return f"within a strip (eval {eval % self.strip + 1} of {self.strip})"
        quotient = float(trace.signal[run, eval])
        if np.isnan(quotient):
            return "undefined: " + self.undefined(trace, run, eval)
        progress, loss = float(trace.figures["progress"][run, eval]), float(trace.figures["loss"][run, eval])
        if quotient == -np.inf:
            return (
                "a train loss of the strip is not known"
                if progress == np.inf
                else _not_finite(trace, run, eval)
            )
        over = "above" if quotient >= self.signal_threshold(trace.batch.mode) else "not above"
        return (
            f"generalization loss {format_value(loss)} by progress {format_value(progress)} is"
            f" {format_value(quotient)}: {over} {format_parameter(self.pq)}"
        )


def _ends(batch: CurveBatch, strip: int) -> Bools:
    """Which evals end a strip: every strip-th."""
    ends: Bools = np.arange(1, batch.shape[1] + 1) % strip == 0
    return ends


def _progress(train: Floats, strip: int) -> Floats:
    """Prechelt's P_k at the ends of strips; inf where a train loss is not finite, NaN where one is ≤ 0, and
    inf elsewhere.
    """
    out = np.full(train.shape, np.inf)
    for end in range(strip, train.shape[1] + 1, strip):
        total = np.zeros(len(train))
        lowest = np.full(len(train), np.inf)
        known = np.ones(len(train), dtype=bool)
        with np.errstate(all="ignore"):
            for column in train[:, end - strip : end].T:  # one by one: the same sum as a plain loop's
                total = total + column
                lowest = np.fmin(lowest, column)
                known &= np.isfinite(column)
            progress = np.maximum(1000 * (total / (strip * lowest) - 1), 0.0)  # below 0 by rounding only
        out[:, end - 1] = np.where(lowest <= 0, np.nan, np.where(known, progress, np.inf))
    return out


@dataclass(frozen=True)
class Up(Policy):
    """Stop when the metric got worse in UP successive strips of evals, from end to end (Prechelt's UP).

    Evals k, 2k, 3k, … end strips of k = STRIP evals; only there does the rule look. A strip got worse where
    its last value is strictly worse than that of the strip before, E(t) > E(t − k); the first has none before
    it, and NaN is never worse, nor anything worse than NaN.

    Source: Prechelt (1998), class UP_s with strips of k = 5 epochs.

    Examples
    --------
    >>> Up(2, strip=2).stop_eval([9, 1.0, 9, 1.1, 9, 1.2, 9, 1.3])
    6
    """

    name: ClassVar[str] = "up"
    grid: ClassVar[Mapping[str, str]] = {"up": "1..4", "strip": "1,2,3,5"}

    up: int = param(
        "successive strips that got worse (the paper's s)", 2, minimum=1, aliases=("s",), sets_threshold=True
    )
    strip: int = param("evals in a strip (the paper's k)", 5, minimum=1, aliases=("k",))

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.up)

    def trace(self, batch: CurveBatch) -> Trace:
        signal, reference = np.full(batch.shape, -np.inf), np.full(batch.shape, np.nan)
        count = np.zeros(batch.shape[0])
        for end in range(self.strip - 1, batch.shape[1], self.strip):
            if end >= self.strip:
                count = np.where(batch.oriented[:, end] > batch.oriented[:, end - self.strip], count + 1, 0.0)
                reference[:, end] = batch.values[:, end - self.strip]
            signal[:, end] = count
        return Trace(batch, signal, reference)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if not _ends(trace.batch, self.strip)[eval]:
            return f"within a strip (eval {eval % self.strip + 1} of {self.strip})"
        if eval < self.strip:
            return "the first strip: none before it"
        count = int(trace.signal[run, eval])
        assert trace.reference is not None
        before = format_value(float(trace.reference[run, eval]))
        value = format_value(float(trace.batch.values[run, eval]))
        if not count:
            return f"{value} is not worse than {before}, the strip before"
        return f"{value} is worse than {before}, the strip before: {count} of {self.up} in a row"

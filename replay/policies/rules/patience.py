"""Patience: stop when the metric has not improved for a while (the textbook rule).

The reference moves only on a gain of more than ``min_delta`` (so small gains add up), in float64; NaN is
never an improvement, and evals before the first improvement count too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion
from replay.policies.kernels import patience_stops
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import PROGRESS_UNITS, WHOLE_EVALS, progress_of, require_patience

__all__ = ["Patience", "since_improvement"]

#: From this many policies on it pays to look for the stops of all at once.
FEW = 4


@dataclass(frozen=True)
class Patience(Policy):
    """Stop when PATIENCE evals (or steps, epochs) have passed since the last gain > min_delta.

    The first finite value is the first reference. A value improves on the reference r when its gain (r − v
    for min, v − r for max) is > min_delta, strictly; only then does the reference move to it. NaN never
    improves, and a run that has had no improvement yet counts from its first eval.

    Textbook rule (Goodfellow, Bengio & Courville, Deep Learning, 2016, algorithm 7.1) with the min_delta of
    Keras.

    Examples
    --------
    >>> Patience(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97])
    5
    >>> Patience(2, min_delta=0.05).stop_eval([1.0, 0.96, 0.92, 0.88]) is None  # small gains add up
    True
    """

    name: ClassVar[str] = "patience"
    grid: ClassVar[Mapping[str, str]] = {"patience": "1..8,10,15,20", "min_delta": "0,1e-3,1e-2"}

    patience: float = param(
        "evals (or steps, epochs, tokens: see unit) to wait for an improvement",
        minimum=0,
        sets_threshold=True,
        allowed=WHOLE_EVALS,
    )
    min_delta: float = param("the gain that counts, in the metric's own unit", 0.0, minimum=0)
    unit: str = param("what patience and start count", "evals", choices=tuple(PROGRESS_UNITS))

    def __post_init__(self) -> None:
        if self.patience == 0:
            raise PolicyError(
                "patience must be at least 1, not 0: the first eval without a gain already is one. Tools"
                " disagree on patience 0 (transformers stops at the first eval, Keras waits for one): name"
                " the tool, as in transformers:patience=0"
            )
        require_patience("", self.patience, self.unit)
        super().__post_init__()

    @property
    def companions(self) -> tuple[Companion, ...]:
        return PROGRESS_UNITS[self.unit]

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    @classmethod
    def family_stops(cls, policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
        rules = [policy for policy in policies if isinstance(policy, Patience)]
        counting = [index for index, rule in enumerate(rules) if rule.unit == "evals"]
        if len(counting) < FEW:
            yield from super().family_stops(policies, batch)
            return
        deltas = sorted({rules[index].min_delta for index in counting})
        waits = sorted({int(rules[index].patience) for index in counting})
        delta_index = {delta: index for index, delta in enumerate(deltas)}
        wait_index = {wait: index for index, wait in enumerate(waits)}
        rows = np.array(
            [
                delta_index[rules[index].min_delta] * len(waits) + wait_index[int(rules[index].patience)]
                for index in counting
            ]
        )
        order = np.argsort(rows, kind="stable")
        rows, indices = rows[order], np.array(counting)[order]
        for begin, stops in patience_stops(batch.oriented, batch.lengths, deltas, waits):
            first, end = np.searchsorted(rows, [begin * len(waits), begin * len(waits) + len(stops)])
            chosen = rows[first:end] - begin * len(waits)
            yield (
                indices[first:end].tolist(),
                stops if np.array_equal(chosen, np.arange(len(stops))) else stops[chosen],
            )
        others = [index for index, rule in enumerate(rules) if rule.unit != "evals"]
        for members, stops in super().family_stops([rules[index] for index in others], batch):
            yield [others[member] for member in members], stops

    def trace(self, batch: CurveBatch) -> Trace:
        last, reference = since_improvement(batch, self.min_delta)
        where = progress_of(batch, self.unit)
        at_last = np.take_along_axis(where, np.maximum(last, 0), axis=1) if batch.shape[1] else where
        before = where if self.unit == "evals" else where - where[:, :1]
        return Trace(batch, np.where(last >= 0, where - at_last, before), reference)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.reference is not None
        waited, reference = trace.signal.item(run, eval), trace.reference.item(run, eval)
        value = trace.batch.values.item(run, eval)
        if waited == 0 and not math.isnan(value):
            return (
                "first value: the reference"
                if math.isnan(reference)
                else f"better by {format_value(abs(value - reference))}"
            )
        wanted = f"gain > {format_parameter(self.min_delta)}" if self.min_delta else "gain"
        if waited >= self.patience:
            over = "so far" if math.isnan(reference) else f"over {format_value(reference)}"
            unit = self.unit if waited != 1 else self.unit[:-1]
            return f"no {wanted} {over} for {format_parameter(waited)} {unit}"
        what = "NaN: no gain" if math.isnan(value) else f"no {wanted}"
        return f"{what} ({format_parameter(waited)} of {format_parameter(float(self.patience))})"


def since_improvement(batch: CurveBatch, min_delta: float) -> tuple[Ints, Floats]:
    """0-based eval of the last improvement up to each eval (−1: none yet), and the reference that each was
    compared with.

    The reference is gated: it moves only on a gain > min_delta. Both have shape runs × evals.
    """
    runs, evals = batch.shape
    values = np.ascontiguousarray(batch.oriented.T)  # one eval of all runs lies together in memory
    best = np.full(runs, np.inf)
    last = np.full(runs, -1, dtype=np.int64)
    lasts = np.empty((evals, runs), dtype=np.int64)
    references = np.empty((evals, runs))
    with np.errstate(invalid="ignore", over="ignore"):
        for eval, value in enumerate(values):
            references[eval] = np.where(last >= 0, best, np.nan)
            improved = best - value > min_delta
            best[improved] = value[improved]
            last[improved] = eval
            lasts[eval] = last
    return lasts.T, references.T if batch.mode == "min" else -references.T

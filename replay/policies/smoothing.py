"""Smoothing of a monitored metric: exponential moving average, moving mean and moving median."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats, Ints
from replay.errors import PolicyError

__all__ = ["smoother"]


def smoother(spec: str) -> Callable[[CurveBatch], Floats]:
    """The smoothing that a specification names; raises PolicyError where it names none.

    A value that is not finite stays as it is, and does not enter the average.
    """
    if spec == "none":
        return lambda batch: batch.values
    match = re.fullmatch(r"(ema|mean|median):([0-9.eE+-]+)", spec)
    allowed = "smooth is none, ema:WEIGHT (0 < WEIGHT <= 1, of the new value), mean:EVALS or median:EVALS"
    if match is None:
        raise PolicyError(f"{allowed}; not {spec!r}")
    method, text = match.groups()
    try:
        number = float(text)
    except ValueError:
        raise PolicyError(f"{allowed}; not {spec!r}") from None
    if method == "ema":
        if not 0 < number <= 1:
            raise PolicyError(f"{allowed}; not {spec!r}")
        return lambda batch: _ema(batch.values, number)
    if not math.isfinite(number) or number != int(number) or number < 1:
        raise PolicyError(f"{allowed}; not {spec!r}")
    return lambda batch: _window(batch.values, int(number), method)


def _ema(values: Floats, weight: float) -> Floats:
    out = np.array(values.T, order="C")  # one eval of all runs lies together in memory
    state = np.full(len(values), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        for value, finite in zip(out, np.isfinite(out), strict=True):
            new = np.where(np.isnan(state), value, weight * value + (1 - weight) * state)
            state = np.where(finite, new, state)
            np.copyto(value, state, where=finite)
    return np.ascontiguousarray(out.T)


def _window(values: Floats, evals: int, method: str) -> Floats:
    finite = np.isfinite(values)
    smoothed = (_mean if method == "mean" else _median)(values, finite, min(evals, values.shape[1]))
    return np.where(finite, smoothed, values)


def _mean(values: Floats, finite: Bools, evals: int) -> Floats:
    total = np.zeros(values.shape)
    known = np.where(finite, values, 0.0)
    count: Ints = np.cumsum(finite, axis=1, dtype=np.int64)
    count[:, evals:] -= count[:, : values.shape[1] - evals].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for ago in reversed(range(evals)):  # oldest first, one by one: the same sum as a plain loop's
            total[:, ago:] += known[:, : values.shape[1] - ago]
        return total / np.maximum(count, 1)


def _median(values: Floats, finite: Bools, evals: int) -> Floats:
    out = values.copy()
    runs = np.arange(len(values))
    ordered = np.where(finite, values, np.inf)
    for eval in range(values.shape[1]):
        begin = max(0, eval - evals + 1)
        window, count = np.sort(ordered[:, begin : eval + 1], axis=1), finite[:, begin : eval + 1].sum(axis=1)
        low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, window.shape[1] - 1)
        with np.errstate(over="ignore"):
            out[:, eval] = np.where(
                count % 2 == 1, window[runs, low], (window[runs, low] + window[runs, high]) / 2
            )
    return out

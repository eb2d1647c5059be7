"""Optimism of the best of a noisy curve, and regret corrected for it.

**The correction assumes** that the movements of a curve from eval to eval are noise of the measurement, and
that this noise is independent between evals: that evaluating the same checkpoint once more, on other data of
the same kind, would give another value. Where the movements are differences between the checkpoints, there is
nothing to correct, and the corrected regret is too low. It is an estimate under this assumption, no better
figure than the observed regret. A second held-out metric tells whether the assumption holds
(`replay.stats.second_metric`): if its movements follow those of the objective, it does not.

Under the assumption, the best value of a curve looks better than the checkpoint behind it is: of many noisy
values the best one is as a rule a lucky one (the winner's curse). A full log has had more draws than the part
of it up to an early stop, so the observed regret of the stop, the kept value against the best of the full
log, overstates on average what was lost. This is estimated for each curve by a parametric bootstrap: a smooth
of the curve stands for the curve without noise, normal noise of the curve's own size
(`replay.data.noise.noise`) is drawn anew, and each draw shows by how much its best value flatters the eval it
belongs to.

On simulated curves with independent normal noise this takes away nearly all of the excess of patience's mean
regret; where the noise has heavy tails or is correlated from eval to eval, its size is underestimated and
about half of the excess remains. On curves whose movements are real it takes away regret that is real: on
logs of 26 LoRA fine-tunings, whose losses on the validation and the test set move together (a rank
correlation of 0.93), a mean regret of 0.0020 became −0.0076, while on the test set it was 0.0031.

Source: bootstrap estimate of bias: B. Efron & R. J. Tibshirani, An Introduction to the Bootstrap (1993),
chapter 10; the bias of a curve's minimum: R. J. Tibshirani & R. Tibshirani, "A bias correction for the
minimum error rate in cross-validation", Ann. Appl. Stat. 3 (2009) 822. The smooth: windows that grow while
intervals intersect, A. Goldenshluger & A. Nemirovski, Math. Methods Statist. 6 (1997) 135.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from replay.data.curve import Curve
from replay.data.types import Floats, Ints, Mode

__all__ = ["Rule", "corrected_regret", "smooth_curve"]

#: How the stop came about: by waiting in vain for a better eval, at an eval that was set beforehand, or by a
#: function from drawn curves (draws × evals, NaN where the curve has no finite value) to the 0-based eval at
#: which each is stopped, −1 for never.
Rule = Literal["patience", "fixed"] | Callable[[Floats], Ints]

DRAWS = 256
_SEED = 20090822
_BLOCK = 1_000_000  # drawn values at a time
_WIDTHS = (3, 4, 5, 7, 10, 15, 22, 33, 50, 75, 112)
_GAMMA = 1.5
_ENOUGH = 1 / 8  # share of the draws


def corrected_regret(
    values: Sequence[float] | Floats,
    mode: Mode,
    kept_index: int,
    stop_index: int | None = None,
    *,
    rule: Rule = "patience",
    chosen: bool = True,
    noise: float | None = None,
    draws: int = DRAWS,
    smooth: Sequence[float] | Floats | None = None,
) -> float:
    """Regret of the kept eval, corrected for the full log's best being the more optimistic one, on the
    assumption that the curve moves from eval to eval by independent measurement noise; in the metric's unit.

    Where the movements are real differences between checkpoints, the result is too low (see this module's
    introduction).

    The observed regret less the mean over draws of what the noise adds to it: the optimism of the draw's best
    minus that of its kept eval. Only draws whose kept eval is not their best are counted, as the others have
    no regret, with noise or without; for the same reason the result is exactly zero where the kept eval is
    the best of the curve. Under the assumption it is right on average over runs, not for each, and a value
    below zero says that the kept checkpoint is, within noise, as good as the best of the full log or better.
    NaN where the kept value is not finite or the noise is not known.

    Parameters
    ----------
    values, mode:
        The curve that regret is measured on, to its end.
    kept_index, stop_index:
        0-based evals: the one whose checkpoint is kept, and the last one before the stop (None: never
        stopped).
    rule:
        How the stop came about. A stop after waiting in vain comes after a lucky eval more often than a stop
        that was set beforehand does, so what it kept is more optimistic. ``"patience"`` stops each draw once
        it has waited as long as the curve had at its stop, ``"fixed"`` at the same eval as the curve; a
        function gives the stops of the drawn curves.
    chosen:
        Whether the kept eval was chosen as the best of this very curve. False where another metric chose it
        or where the last weights are kept: its value is then as likely too bad as too good.
    noise:
        One standard deviation of an eval; default: that of `replay.data.curve.Curve.noise`.
    draws:
        Number of noisy curves that are drawn. They are seeded: the same curve gives the same figure.
    smooth:
        What stands for the curve without noise; default: `smooth_curve`.

    Examples
    --------
    >>> values = [1.0, 0.52, 0.47, 0.53, 0.51, 0.55, 0.46, 0.52, 0.54, 0.48, 0.51, 0.45, 0.53]
    >>> round(values[2] - min(values), 3)
    0.02
    >>> round(corrected_regret(values, "min", kept_index=2, stop_index=5), 3)
    -0.01
    """
    oriented = _orient(values, mode)
    count = len(oriented)
    kept_value = oriented[kept_index]
    if not math.isfinite(kept_value):
        return math.nan
    best = int(np.nanargmin(oriented))
    observed = float(kept_value - oriented[best])
    spread = _noise(oriented) if noise is None else noise
    if observed == 0 or spread == 0:
        return observed
    if spread is None:
        return math.nan
    noiseless = _without_noise(oriented, mode, spread, smooth)
    stop = count - 1 if stop_index is None else stop_index
    waited = stop - int(np.nanargmin(oriented[: stop + 1])) if np.isfinite(oriented[: stop + 1]).any() else 0
    if rule == "patience" and waited == 0:
        rule = "fixed"  # a stop right at a new best was no waiting in vain
    for tried in (rule,) if rule == "fixed" else (rule, "fixed"):
        excess, used = 0.0, 0
        for normals in _blocks(draws, count):
            drawn = noiseless + spread * normals
            so_far = _best_so_far(drawn)
            top = so_far[:, -1]
            rows = np.arange(len(drawn))
            if not chosen:
                excess -= spread * float(normals[rows, top].sum())
                used += len(drawn)
                continue
            stops = _stops(tried, drawn, so_far, stop, waited, mode)
            kept = so_far[rows, stops]
            differ = (kept != top) & np.isfinite(drawn[rows, kept])
            excess -= spread * float((normals[rows, top] - normals[rows, kept])[differ].sum())
            used += int(differ.sum())
        # where the rule hardly ever stops a draw before its best, the few are extremes: look at where it did
        # stop the curve
        if used >= (draws * _ENOUGH if tried != "fixed" else 1):
            return observed - excess / used
    return observed


def _orient(values: Sequence[float] | Floats, mode: Mode) -> Floats:
    """Values with the sign that makes lower better, NaN where not finite."""
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    return np.where(np.isfinite(array), array if mode == "min" else -array, np.nan)


def _noise(oriented: Floats) -> float | None:
    return Curve.of(oriented, "min").noise


def _without_noise(
    oriented: Floats, mode: Mode, noise: float, smooth: Sequence[float] | Floats | None
) -> Floats:
    """What stands for the curve without noise, lower better; infinite at evals that can never be best."""
    noiseless = smooth_curve(oriented, noise) if smooth is None else _orient(smooth, mode)
    return np.where(np.isnan(oriented) | np.isnan(noiseless), np.inf, noiseless)


def smooth_curve(oriented: Floats, noise: float) -> Floats:
    """A smooth of the curve (lower is better) that neither follows its noise nor flattens its best; NaN at
    evals that are not finite.

    A running median of 3, then at each eval a straight line through the last evals up to it, and one through
    the next ones (for a window of one eval, its own median). Each window grows as long as the intervals of
    its estimate (± 1.5 standard errors) and of all shorter windows still have a point in common, so it is
    short where the curve bends and long where it is straight. The two estimates are averaged with weights by
    their variance. With no noise the curve is its own smooth.
    """
    known = np.isfinite(oriented)
    out = np.full(len(oriented), np.nan)
    values = oriented[known]
    if noise == 0 or len(values) < 3:
        out[known] = values if noise == 0 or not len(values) else values.mean()
        return out
    base = float(values.min())
    with np.errstate(over="ignore"):
        # a value far above the best is never best, but would cost the running sums their digits
        heights = np.minimum((values - base) / noise, 1e6)
    heights[1:-1] = np.sort([heights[:-2], heights[1:-1], heights[2:]], axis=0)[1]
    before, variance_before = _lines(heights)
    after, variance_after = (array[::-1] for array in _lines(heights[::-1]))
    share = variance_after / (variance_before + variance_after)
    out[known] = base + noise * (share * before + (1 - share) * after)
    return out


def _lines(heights: Floats) -> tuple[Floats, Floats]:
    """At each value (in units of the noise) a line through the last ones up to it: its estimate there and the
    variance of that.
    """
    count = len(heights)
    index = np.arange(count)
    widths = np.array([width for width in _WIDTHS if width <= count])[:, None]
    end = np.maximum(index + 1, 3)
    begin = np.maximum(end - widths, 0)
    size = (end - begin).astype(np.float64)
    middle = (begin + end - 1) / 2
    centre, mean = (count - 1) / 2, heights.mean()
    sums = np.concatenate([[0.0], np.cumsum(heights - mean)])
    moments = np.concatenate([[0.0], np.cumsum((heights - mean) * (index - centre))])
    total = sums[end] - sums[begin]
    lever = (index - middle) / (size * (size * size - 1) / 12)
    estimate = mean + total / size + (moments[end] - moments[begin] - (middle - centre) * total) * lever
    variance = 1 / size + (index - middle) * lever
    estimate = np.concatenate([heights[None], estimate])  # the shortest window, of one value
    variance = np.concatenate([np.ones((1, count)), variance])
    reach = _GAMMA * np.sqrt(variance)
    low = np.maximum.accumulate(estimate - reach, axis=0)
    high = np.minimum.accumulate(estimate + reach, axis=0)
    widest = np.maximum((low <= high).sum(axis=0) - 1, 0)
    return estimate[widest, index], variance[widest, index]


def _blocks(draws: int, count: int) -> list[Floats]:
    """Standard normals, draws × count, in blocks that fit memory."""
    rows = max(1, min(draws, _BLOCK // max(count, 1)))
    return [_normals(min(rows, draws - begin), count, begin) for begin in range(0, draws, rows)]


@lru_cache(maxsize=8)
def _normals(rows: int, count: int, begin: int) -> Floats:
    half = np.random.default_rng([_SEED, begin]).standard_normal(((rows + 1) // 2, count))
    normals = np.concatenate([half, -half])[
        :rows
    ]  # in pairs of opposite sign, so that no eval is lucky in the mean
    normals.flags.writeable = False
    return normals


def _best_so_far(drawn: Floats) -> Ints:
    """Index of the best of each row up to each column (ties: the first; 0 before there is a finite value)."""
    improved = np.zeros(drawn.shape, dtype=bool)
    lowest = np.minimum.accumulate(drawn, axis=1)
    improved[:, 1:] = drawn[:, 1:] < lowest[:, :-1]
    index: Ints = np.maximum.accumulate(np.where(improved, np.arange(drawn.shape[1]), 0), axis=1)
    return index


def _stops(rule: Rule, drawn: Floats, so_far: Ints, stop: int, waited: int, mode: Mode) -> Ints:
    """Last eval before the stop of each drawn curve."""
    rows, count = drawn.shape
    if rule == "fixed":
        return np.full(rows, stop, dtype=np.int64)
    if rule == "patience":
        fires = np.arange(count) - so_far >= waited
        first: Ints = np.where(fires.any(axis=1), fires.argmax(axis=1), count - 1)
        return first
    known = np.where(np.isfinite(drawn), drawn, np.nan)
    stops: Ints = np.asarray(rule(known if mode == "min" else -known), dtype=np.int64).copy()
    stops[stops < 0] = count - 1
    return stops

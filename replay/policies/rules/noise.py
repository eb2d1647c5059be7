"""Rules that take a run's own eval-to-eval noise into account: noise (patience for gains above it) and slope
(a test of the trend).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion
from replay.policies.fits import ordered_sum, trend, windows
from replay.policies.param import format_parameter, format_value, param
from replay.policies.progress import PROGRESS_UNITS, WHOLE_EVALS, progress_of, require_patience
from replay.policies.quantiles import normal_quantile, t_quantile

__all__ = ["Noise", "Slope"]


@dataclass(frozen=True)
class Noise(Policy):
    """Stop when PATIENCE evals (or steps, epochs) have passed without a gain > NOISE times the run's own
    noise.

    The noise at eval t is known from the finite values v up to t alone: 1.4826 · median |v[i−1] − 2 v[i] +
    v[i+1]| / √6, one standard deviation of an eval whatever the local trend (`replay.data.noise.noise`). A
    value improves on the reference r when its gain (r − v for min, v − r for max) is > NOISE · noise(t),
    strictly; only then does the reference move to it. Before MIN_EVALS finite values are there every gain
    counts, and the rule cannot stop. NaN never improves, and a run that has had no improvement yet counts
    from its first eval.

    Source: patience as in `patience`; the estimate of noise after Gasser, Sroka & Jennen-Steinmetz,
    Biometrika 73 (1986) 625.

    Examples
    --------
    # gains over 0.5 stay within twice the noise
    >>> Noise(3).stop_eval([1.0, 0.6, 0.5, 0.52, 0.49, 0.51, 0.48, 0.5])
    6
    """

    name: ClassVar[str] = "noise"
    grid: ClassVar[Mapping[str, str]] = {"patience": "1..8,10", "noise": "0.5,1,2,3"}

    patience: float = param(
        "evals (or steps, epochs, tokens: see unit) to wait for a gain that exceeds the noise",
        minimum=0,
        sets_threshold=True,
        allowed=WHOLE_EVALS,
    )
    noise: float = param("how many standard deviations of the noise a gain must exceed", 2.0, minimum=0)
    min_evals: int = param("finite values that are needed to know the noise", 4, minimum=3)
    unit: str = param("what patience and start count", "evals", choices=tuple(PROGRESS_UNITS))

    def __post_init__(self) -> None:
        require_patience(self.name, self.patience, self.unit)
        super().__post_init__()

    @property
    def companions(self) -> tuple[Companion, ...]:
        return PROGRESS_UNITS[self.unit]

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.patience)

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        noise = np.array([_noise_so_far(row, self.min_evals) for row in batch.values]).reshape(runs, evals)
        best = np.full(runs, np.inf)
        where = progress_of(batch, self.unit)
        # where the last improvement was; before there is one, evals are counted with the first, and other
        # units from it on
        last = where[:, 0] - (self.unit == "evals") if evals else np.zeros(runs)
        started = np.zeros(runs, dtype=bool)
        signal, references = np.full(batch.shape, -np.inf), np.full(batch.shape, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            for eval in range(evals):
                value, known = batch.oriented[:, eval], ~np.isnan(noise[:, eval])
                references[:, eval] = np.where(started, best, np.nan)
                improved = best - value > np.where(known, self.noise * noise[:, eval], 0.0)
                best = np.where(improved, value, best)
                last = np.where(improved, where[:, eval], last)
                started |= improved
                signal[:, eval] = np.where(known, where[:, eval] - last, -np.inf)
        return Trace(
            batch, signal, references if batch.mode == "min" else -references, figures={"noise": noise}
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.reference is not None
        noise, waited = float(trace.figures["noise"][run, eval]), float(trace.signal[run, eval])
        value, reference = float(trace.batch.values[run, eval]), float(trace.reference[run, eval])
        if np.isnan(noise):
            return f"the noise is not known yet (it takes {self.min_evals} finite values)"
        gain = reference - value if trace.batch.mode == "min" else value - reference
        if gain > self.noise * noise:
            return (
                f"better by {format_value(gain)}, more than {format_parameter(self.noise)} times the noise of"
                f" {format_value(noise)}"
            )
        over = "so far" if np.isnan(reference) else f"over {format_value(reference)}"
        what = (
            "NaN: no gain"
            if np.isnan(value)
            else (
                f"no gain {over} of more than {format_parameter(self.noise)} times the noise of"
                f" {format_value(noise)}"
            )
        )
        unit = "" if self.unit == "evals" else f" {self.unit}"
        return f"{what} ({format_parameter(waited)} of {format_parameter(self.patience)}{unit})"


def _noise_so_far(values: Floats, enough: int) -> Floats:
    """The noise of a curve as it is known at each eval; NaN before there are enough finite values."""
    out = np.full(len(values), np.nan)
    finite: list[float] = []
    sizes: list[float] = []  # of second differences, ascending
    scale = 1.4826 / 6**0.5
    for eval, value in enumerate(values.tolist()):
        if np.isfinite(value):
            finite.append(value)
            if len(finite) > 2:
                size = abs(finite[-3] - 2 * finite[-2] + finite[-1])
                insort(
                    sizes, np.inf if np.isnan(size) else size
                )  # inf − inf where values are near the largest double
        if len(finite) >= enough:
            middle = len(sizes) // 2
            out[eval] = scale * (sizes[middle] if len(sizes) % 2 else (sizes[middle - 1] + sizes[middle]) / 2)
    return out


@dataclass(frozen=True)
class Slope(Policy):
    """Stop when the improvement per eval over the last WINDOW evals is, with confidence, below SLOPE.

    The trend is one of three: *improving* (the lower bound of the improvement per eval is above
    SLOPE), *converged* (its upper bound is below SLOPE, strictly: the rule stops), and *cannot tell yet*
    (SLOPE lies between the bounds, so the window is too short for this noise, or there are fewer than WINDOW
    evals or than 4 finite values among them). Each bound holds with CONFIDENCE, one-sided. The improvement is
    what the metric falls by per eval (rises, for max); values that are not finite are left out and leave a
    gap.

    ``theil-sen``: the median of the N = n (n − 1) / 2 slopes between pairs of the n values. Bounds by
    Kendall's S, whose variance is V = (n (n − 1) (2 n + 5) − sum over groups of t equal values of t (t − 1)
    (2 t + 5)) / 18: with C = z(CONFIDENCE) · √V, the slopes of ranks floor((N − C) / 2) and ceil((N + C) / 2)
    + 1 in ascending order (1 to N; where there is no such rank, there is no bound). ``least-squares``: slope
    ± t(CONFIDENCE, n − 2) · its standard error, for noise that is normal and independent.

    Source: P. K. Sen, J. Am. Stat. Assoc. 63 (1968) 1379; R. O. Gilbert, Statistical Methods for
    Environmental Pollution Monitoring (1987), section 16.5.

    Examples
    --------
    >>> Slope(0.01, window=5).stop_eval([1.0, 0.8, 0.6, 0.5, 0.499, 0.498, 0.5, 0.499, 0.499])
    8
    """

    name: ClassVar[str] = "slope"
    grid: ClassVar[Mapping[str, str]] = {"slope": "0,1e-4,1e-3,1e-2", "window": "5,10"}

    slope: float = param(
        "improvement per eval that is not worth going on for, in the metric's unit",
        aliases=("min_slope",),
        sets_threshold=True,
        example="0.001",
    )
    window: int = param("evals that the trend is taken over", 10, minimum=4)
    method: str = param("how the trend is found", "theil-sen", choices=("theil-sen", "least-squares"))
    confidence: float = param(
        "probability with which each bound holds, 0.5 to less than 1", 0.95, minimum=0.5
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confidence >= 1:
            raise PolicyError(f"slope: confidence must be below 1, not {format_parameter(self.confidence)}")

    def signal_threshold(self, mode: Mode) -> float:
        return float(np.nextafter(-self.slope, np.inf))

    def trace(self, batch: CurveBatch) -> Trace:
        shape = batch.shape
        middle, low, high = (np.full(shape, fill) for fill in (np.nan, -np.inf, np.inf))
        wide = windows(batch.oriented, self.window)
        if len(wide):
            fit = self._theil_sen if self.method == "theil-sen" else self._least_squares
            rows = max(1, 4_000_000 // self.window**2)
            parts = [fit(wide[begin : begin + rows]) for begin in range(0, len(wide), rows)]
            # the improvement is minus the slope of what should fall
            for out, number, sign in ((middle, 0, -1), (low, 2, -1), (high, 1, -1)):
                bound = np.concatenate([part[number] for part in parts])
                out[:, self.window - 1 :] = sign * bound.reshape(shape[0], -1) + 0.0  # not −0
        return Trace(batch, -high, figures={"improvement": middle, "low": low, "high": high})

    def _theil_sen(self, wide: Floats) -> tuple[Floats, Floats, Floats]:
        """Slope of each row and its bounds; ±inf where there is none."""
        width = wide.shape[1]
        first, second = np.triu_indices(width, 1)
        known = np.isfinite(wide)
        values = np.where(known, wide, np.nan)
        with np.errstate(all="ignore"):
            slopes = np.sort((values[:, second] - values[:, first]) / (second - first), axis=1)  # NaN last
            equal = (values[:, :, None] == values[:, None, :]).sum(axis=2)
        count = known.sum(axis=1)
        pairs = count * (count - 1) // 2
        ties = np.where(known, (equal - 1) * (2 * equal + 5), 0).sum(axis=1)
        spread = normal_quantile(self.confidence) * np.sqrt(
            (count * (count - 1) * (2 * count + 5) - ties) / 18
        )
        with np.errstate(invalid="ignore", over="ignore"):
            middle = (_at_rank(slopes, (pairs + 1) // 2, pairs) + _at_rank(slopes, pairs // 2 + 1, pairs)) / 2
        return (
            middle,
            np.where(
                count < 4, -np.inf, _at_rank(slopes, np.floor((pairs - spread) / 2).astype(np.int64), pairs)
            ),
            np.where(
                count < 4,
                np.inf,
                _at_rank(slopes, np.ceil((pairs + spread) / 2).astype(np.int64) + 1, pairs),
            ),
        )

    def _least_squares(self, wide: Floats) -> tuple[Floats, Floats, Floats]:
        """Slope of each row and its bounds; ±inf where there is none."""
        known = np.isfinite(wide)
        count = known.sum(axis=1)
        quantiles = np.array(
            [t_quantile(self.confidence, one - 2) if one > 3 else np.inf for one in range(self.window + 1)]
        )
        slope, x, y = trend(wide, known)
        with np.errstate(all="ignore"):
            rest = y - slope[:, None] * x
            error = quantiles[count] * np.sqrt(
                ordered_sum(rest * rest, known) / (count - 2) / ordered_sum(x * x, known)
            )
            low, high = slope - error, slope + error
        return slope, np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if eval + 1 < self.window:
            return f"cannot tell yet: {eval + 1} of {self.window} evals"
        middle, low, high = (float(trace.figures[name][run, eval]) for name in ("improvement", "low", "high"))
        if not (np.isfinite(low) and np.isfinite(high)):
            return (
                f"cannot tell yet: too few values in {self.window} evals to bound the trend with"
                f" {format_parameter(self.confidence)} confidence"
            )
        estimate = (
            f"improvement per eval {format_value(middle)} ({format_value(low)} to {format_value(high)})"
        )
        if high < self.slope:
            return f"converged: {estimate} is below {format_parameter(self.slope)}"
        if low > self.slope:
            return f"improving: {estimate} is above {format_parameter(self.slope)}"
        return (
            f"cannot tell yet: {estimate}; {self.window} evals tell differences of"
            f" {format_value((high - low) / 2)} from {format_parameter(self.slope)}"
        )


def _at_rank(ordered: Floats, rank: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> Floats:
    """The value of a rank (from 1) in each ascending row of ``count`` values; −inf below them, inf above."""
    at = np.clip(rank - 1, 0, ordered.shape[1] - 1)
    value = np.take_along_axis(ordered, at[:, None], axis=1)[:, 0]
    return np.where(rank < 1, -np.inf, np.where(rank > count, np.inf, value))

"""Extrapolate: stop when a power law through the evals so far promises no better value by the planned end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, PlannedEnd
from replay.policies.param import format_parameter, format_value, param
from replay.policies.quantiles import t_quantile

__all__ = ["EXPONENTS", "Extrapolate"]

#: The exponents that are tried.
EXPONENTS = np.arange(1, 17) / 8
_END = PlannedEnd()


@dataclass(frozen=True)
class Extrapolate(Policy):
    """Stop when a power law in steps predicts no gain > MIN_DELTA over the best so far by the planned end.

    At each eval a + b · step^−c is fitted to the n evals so far with a finite value at a step > 0, by the
    best value up to each (``fit=best``) or its own (``fit=values``), with the sign that makes lower better:
    by least squares for a and b ≥ 0 (where b would be < 0 the fit is the mean, b = 0) and for c among 1/8,
    2/8, … 16/8. With s² = SSE / (n − 3) of the best c and the quantile t(CONFIDENCE, n − 3) of Student's t,
    every c stays possible whose SSE is at most (1 + t² / (n − 3)) times the lowest. The optimistic value at
    the planned end is the lowest, over these c, of the prediction less t · s · √(1 + 1/n + (x − x̄)² / Sxx),
    where x = step^−c (no last term where b = 0). The rule stops when the best finite value so far, less the
    optimistic value, is at most MIN_DELTA. It cannot with fewer than MIN_EVALS such evals, nor at or beyond
    the planned end.

    The best so far does not rise where a run overfits, as its values do, which no power law describes: they
    leave residuals so large that anything stays possible. But its residuals are smaller than the noise and
    alike from eval to eval, so that CONFIDENCE is nominal; for ``fit=values`` it holds as far as the law does
    and the noise is normal and independent.

    The planned end is HORIZON, in steps; without it, what the log says it planned (companion
    ``planned_steps``).

    Source: power laws of training as in Hestness et al., arXiv:1712.00409; extrapolation to stop as in
    Domhan, Springenberg & Hutter, IJCAI 2015, with one curve model in place of eleven; prediction intervals
    of least squares, set of c by likelihood.

    Examples
    --------
    # exactly 1 + 1 / step: at step 10 it will be 1.1, now it is 1.2
    >>> curve = [1 + 1 / step for step in (1, 2, 3, 4, 5)]
    >>> Extrapolate(0.11, horizon=10).stop_eval(curve), Extrapolate(0.09, horizon=10).stop_eval(curve)
    (5, None)
    """

    name: ClassVar[str] = "extrapolate"
    grid: ClassVar[Mapping[str, str]] = {"min_delta": "0,1e-3,1e-2,1e-1", "confidence": "0.5,0.8,0.95"}

    min_delta: float = param(
        "the gain that is worth going on for, in the metric's unit", 0.0, minimum=0, sets_threshold=True
    )
    horizon: float = param("step of the planned end; 0: as the log says", 0.0, minimum=0)
    fit: str = param(
        "what the power law is fitted to: the best so far at each eval, or the values",
        "best",
        choices=("best", "values"),
    )
    min_evals: int = param("finite values that are needed to fit", 5, minimum=4)
    confidence: float = param(
        "probability with which the optimistic value bounds what comes, 0.5 to less than 1", 0.95, minimum=0.5
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confidence >= 1:
            raise PolicyError(
                f"extrapolate: confidence must be below 1, not {format_parameter(self.confidence)}"
            )

    @property
    def companions(self) -> tuple[Companion, ...]:
        return () if self.horizon else (_END,)

    def signal_threshold(self, mode: Mode) -> float:
        return -float(self.min_delta)

    def trace(self, batch: CurveBatch) -> Trace:
        ends = np.full(batch.shape, float(self.horizon)) if self.horizon else batch.columns[_END.name]
        signal = np.full(batch.shape, -np.inf)
        predicted, optimistic, exponent, best = (np.full(batch.shape, np.nan) for _ in range(4))
        quantiles = np.array(
            [
                np.nan if count < 4 else t_quantile(self.confidence, count - 3)
                for count in range(batch.shape[1] + 1)
            ]
        )
        line = _Line.empty(batch.shape[0])
        lowest = np.full(batch.shape[0], np.nan)
        with np.errstate(all="ignore"):
            for eval in range(batch.shape[1]):
                value, step, end = batch.oriented[:, eval], batch.steps[:, eval], ends[:, eval]
                lowest = np.where(np.isfinite(value), np.fmin(lowest, value), lowest)
                line = line.with_point(
                    _powers(step), value if self.fit == "values" else lowest, np.isfinite(value) & (step > 0)
                )
                guess, hope, at = line.predict(_powers(end), quantiles[line.points])
                ready = (line.points >= self.min_evals) & (step < end)
                gain = lowest - hope
                signal[:, eval] = np.where(ready & ~np.isnan(gain), -gain, -np.inf)
                for out, fitted in ((predicted, guess), (optimistic, hope), (exponent, EXPONENTS[at])):
                    out[:, eval] = np.where(ready, fitted, np.nan)
                best[:, eval] = lowest
        sign = 1 if batch.mode == "min" else -1
        figures = {
            "predicted": sign * predicted,
            "optimistic": sign * optimistic,
            "exponent": exponent,
            "end": ends,
        }
        return Trace(batch, signal, sign * best, figures=figures)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        if not trace.batch.steps[run, eval] < trace.figures["end"][run, eval]:
            return f"at or beyond the planned end, step {trace.figures['end'][run, eval]:g}"
        signal = float(trace.signal[run, eval])
        if signal == -np.inf:
            return f"no fit yet (it takes {self.min_evals} finite values at steps > 0)"
        assert trace.reference is not None
        figures = {name: float(array[run, eval]) for name, array in trace.figures.items()}
        promise = (
            f"at step {figures['end']:g} a power law with exponent {format_parameter(figures['exponent'])}"
            f" predicts {format_value(figures['predicted'])}, at best {format_value(figures['optimistic'])}"
        )
        over = f"over {format_value(float(trace.reference[run, eval]))}"
        if signal < self.signal_threshold(trace.batch.mode):
            return f"{promise}: a gain {over} of up to {format_value(-signal)} is possible"
        return (
            f"{promise}: no gain > {format_parameter(self.min_delta)} {over}"
            if self.min_delta
            else f"{promise}: no gain {over}"
        )


def _powers(steps: Floats) -> Floats:
    """step^−c for every c (runs × exponents), from square roots and products, which are exactly rounded
    everywhere.
    """
    root = np.sqrt(np.sqrt(np.sqrt(1 / steps)))
    out = np.empty((len(steps), len(EXPONENTS)))
    power = np.ones(len(steps))
    for index in range(len(EXPONENTS)):
        power = power * root
        out[:, index] = power
    return out


class _Line(NamedTuple):
    """Least squares of y on x so far, for every run and exponent; updated point by point, so that all evals
    cost one pass.

    ``rest`` is the sum of squared residuals, from recursive residuals (Brown, Durbin & Evans, J. R. Stat.
    Soc. B 37 (1975) 149): a sum of squares, in which nothing cancels.
    """

    points: Ints
    x_mean: Floats
    y_mean: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    rest: Floats

    @classmethod
    def empty(cls, runs: int) -> _Line:
        flat, wide = np.zeros((runs, 1)), np.zeros((runs, len(EXPONENTS)))
        return cls(np.zeros(runs, dtype=np.int64), wide, flat, wide, wide, flat, wide)

    def with_point(self, x: Floats, value: Floats, use: Bools) -> _Line:
        """The fit with one more point in the runs that have one."""
        y, old, new = value[:, None], self.points[:, None], self.points[:, None] + 1
        apart = x - self.x_mean
        error = y - (self.y_mean + self.xy / self.xx * apart)
        rest = self.rest + np.where(old >= 2, error * error / (1 + 1 / old + apart * apart / self.xx), 0.0)
        off = y - self.y_mean
        x_mean, y_mean = self.x_mean + apart / new, self.y_mean + off / new
        xx, xy, yy = (
            self.xx + apart * (x - x_mean),
            self.xy + apart * (y - y_mean),
            self.yy + off * (y - y_mean),
        )
        fresh = _Line(self.points + 1, x_mean, y_mean, xx, xy, yy, rest)
        return _Line(
            *(
                np.where(use if new_.ndim == 1 else use[:, None], new_, old_)
                for new_, old_ in zip(fresh, self, strict=True)
            )
        )

    def predict(self, x: Floats, quantile: Floats) -> tuple[Floats, Floats, Ints]:
        """Prediction of the best exponent, optimistic value, and index of the best exponent, per run."""
        count, t = self.points[:, None], quantile[:, None]
        slope = self.xy / self.xx
        falls = slope > 0
        rest = np.where(falls, self.rest, self.yy)
        apart = x - self.x_mean
        guess = self.y_mean + np.where(falls, slope * apart, 0.0)
        best = np.argmin(np.where(np.isnan(rest), np.inf, rest), axis=1)
        least = np.take_along_axis(rest, best[:, None], axis=1)
        spread = np.sqrt(
            least / (count - 3) * (1 + 1 / count + np.where(falls, apart * apart / self.xx, 0.0))
        )
        possible = rest <= least * (1 + t * t / (count - 3))
        hope = np.where(possible, guess - t * spread, np.inf).min(axis=1)
        return np.take_along_axis(guess, best[:, None], axis=1)[:, 0], hope, best

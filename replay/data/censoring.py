"""Censoring: whether a log shows what would have come after its last eval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

import numpy as np

from replay.data.curve import Curve
from replay.data.types import Floats

__all__ = ["Censoring", "CensoringKind", "censoring"]


class CensoringKind(StrEnum):
    """Why a log does not show what would have come next."""

    STOPPED_EARLY = "stopped-early"
    CUT_SHORT = "cut-short"
    BEST_IS_LAST = "best-is-last"
    STILL_IMPROVING = "still-improving"


@dataclass(frozen=True)
class Censoring:
    """Why a log is censored, with its facts.

    ``stopped_by`` names what stopped the training; ``step`` and ``planned`` are the last step trained and the
    last one planned of a log that was cut short.
    """

    kind: CensoringKind
    stopped_by: str | None = None
    step: float | None = None
    planned: float | None = None


def censoring(curve: Curve, *, best: int | None = None, noise: float | None = None) -> Censoring | None:
    """Why a curve's log does not show what would have come next, or None where it does.

    In this order: the log was itself stopped early; it ends before its planned steps; its best value is its
    last; or it was still improving within noise (from 8 evals on: the last value is within one noise of the
    best, and the median of the last quarter is better than that of the quarter before by more than one
    noise). ``best`` and ``noise`` are those of the curve, where the caller knows them.
    """
    run = curve.run
    if run is not None:
        if run.info.stopped_by:
            return Censoring(CensoringKind.STOPPED_EARLY, stopped_by=run.info.stopped_by)
        planned = run.info.planned_steps
        if planned and run.trained_steps < float(planned):
            return Censoring(CensoringKind.CUT_SHORT, step=run.trained_steps, planned=float(planned))
    best = curve.best() if best is None else best
    if best is None or best < 0 or len(curve) < 2:
        return None
    if best == len(curve) - 1:
        return Censoring(CensoringKind.BEST_IS_LAST)
    spread = curve.noise if noise is None else noise
    if len(curve) < 8 or spread is None or not math.isfinite(curve.values[-1]):
        return None
    oriented = curve.values if curve.mode == "min" else -curve.values
    if oriented[-1] - oriented[best] <= spread and _improving(oriented, spread):
        return Censoring(CensoringKind.STILL_IMPROVING)
    return None


def _improving(oriented: Floats, spread: float) -> bool:
    """Whether the last quarter is better than the quarter before by more than the noise."""
    quarter = max(2, len(oriented) // 4)
    last, before = oriented[-quarter:], oriented[-2 * quarter : -quarter]
    if not (np.isfinite(last).any() and np.isfinite(before).any()):
        return False
    # np.median is slow for so few values
    gain: float = median(before[np.isfinite(before)].tolist()) - median(last[np.isfinite(last)].tolist())
    return gain > spread

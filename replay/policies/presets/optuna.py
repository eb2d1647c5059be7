"""Optuna's PatientPruner on its own: a window against all that came before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param

__all__ = ["OptunaPatient"]


@dataclass(frozen=True)
class OptunaPatient(Policy):
    """Optuna's PatientPruner without another inside: prunes when the last patience + 1 values are all worse.

    From eval patience + 2 on: prune where min(all but the last patience + 1) + min_delta < min(the last
    patience + 1), or for max the mirror image. So min_delta *loosens* the rule (it is a worsening that is
    tolerated), a plateau is never pruned, and NaN is left out of both minima (nothing is pruned where a side
    has nothing else).

    Source: optuna 5.0.0, pruners/_patient.py (prune).

    Examples
    --------
    >>> OptunaPatient(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98])
    6
    >>> OptunaPatient(3).stop_eval([0.5] * 8) is None
    True
    """

    name: ClassVar[str] = "optuna-patient"
    checked_against: ClassVar[str | None] = "optuna 5.0.0"

    patience: int = param("values beyond one that must all be worse", minimum=0)
    min_delta: float = param("the worsening that is tolerated", 0.0, minimum=0)

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        window = self.patience + 1
        values = batch.oriented
        before = np.fmin.accumulate(values, axis=1) if evals else values  # fmin leaves NaN out
        signal = np.zeros((runs, evals))
        reference = np.full((runs, evals), np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            for eval in range(window, evals):
                recent = np.fmin.reduce(values[:, eval - window + 1 : eval + 1], axis=1)
                reference[:, eval] = before[:, eval - window]
                signal[:, eval] = before[:, eval - window] + self.min_delta < recent
        return Trace(batch, signal, reference if batch.mode == "min" else -reference)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        window = self.patience + 1
        if eval < window:
            return f"{eval + 1} of the {window + 1} evals that it needs"
        assert trace.reference is not None
        best = float(trace.reference[run, eval])
        if np.isnan(best):
            return "nothing but NaN to compare with"
        recent: Floats = trace.batch.oriented[run, eval - window + 1 : eval + 1]
        subject = f"the best of the last {window}" if window > 1 else "the value"
        if np.isnan(recent).all():
            return f"{subject} is NaN"
        value = float(np.fmin.reduce(recent)) * (1 if trace.batch.mode == "min" else -1)
        worse = "worse than" if trace.signal[run, eval] else "not worse than"
        by = f" by > {format_parameter(self.min_delta)}" if self.min_delta else ""
        return f"{subject}, {format_value(value)}, is {worse} {format_value(best)}{by}"

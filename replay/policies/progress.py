"""Progress: how far a training is at each eval, and for how many evals in a row something holds."""

from __future__ import annotations

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats
from replay.errors import PolicyError
from replay.policies.companions import Companion, Progress
from replay.policies.param import format_parameter

__all__ = ["PROGRESS_UNITS", "WHOLE_EVALS", "count_consecutive", "progress_of", "require_patience"]

#: Units of how far an eval is, and the companions that each needs.
PROGRESS_UNITS: dict[str, tuple[Companion, ...]] = {
    "evals": (),
    "steps": (),
    "epochs": (Progress("epoch"),),
    "tokens": (Progress("tokens"),),
}


#: Which values a patience takes, in words.
WHOLE_EVALS = "a whole number of at least 1 (with unit=steps, epochs or tokens any number above 0)"


def progress_of(batch: CurveBatch, unit: str) -> Floats:
    """How far each eval is, in evals (1, 2, …), steps, epochs or train tokens; shape runs × evals."""
    if unit == "evals":
        return np.broadcast_to(np.arange(1.0, batch.shape[1] + 1), batch.shape)
    return batch.steps if unit == "steps" else batch.columns[PROGRESS_UNITS[unit][0].name]


def require_patience(policy: str, patience: float, unit: str) -> None:
    """Raise PolicyError where a patience is not above 0, or counts evals and is not whole; its message begins
    with the name of the policy, where one is given. A patience that is not finite is left to others.
    """
    begin, shown = f"{policy}: patience" if policy else "patience", format_parameter(patience)
    if unit == "evals" and patience < 1:
        raise PolicyError(f"{begin} must be at least 1, not {shown}; write for instance patience=3")
    if patience <= 0:
        raise PolicyError(f"{begin} must be above 0, not {shown}; write for instance patience=3")
    if unit == "evals" and np.isfinite(patience) and patience != int(patience):
        raise PolicyError(f"{begin} counts whole evals, not {shown}; for fractions give unit=epochs")


def count_consecutive(holds: Bools) -> Floats:
    """For how many evals in a row, up to each, something holds; shape runs × evals."""
    evals = np.arange(1, holds.shape[1] + 1)
    last_not = (
        np.maximum.accumulate(np.where(holds, 0, evals), axis=1) if holds.shape[1] else np.empty(holds.shape)
    )
    return (evals - last_not).astype(np.float64)

"""scikit-learn's three rules of early stopping, which share the names of their parameters and little else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats, Mode
from replay.policies.base import Policy, Trace
from replay.policies.param import format_parameter, format_value, param
from replay.policies.presets.counting import Counting

__all__ = ["SklearnHGB", "SklearnMLP", "SklearnSGD"]

_CHECKED = "scikit-learn 1.9.1"


class _Ratchet(Counting):
    """A reference that moves on any gain, and a counter that a gain of tol or more restarts."""

    n_iter_no_change: int
    tol: float

    @property
    def wanted(self) -> str:
        return f"gain >= {format_parameter(self.tol)}"

    def improves(self, mode: Mode, value: Floats, best: Floats) -> Bools:
        return ~(value > best - self.tol if mode == "min" else value < best + self.tol)

    def next_reference(self, mode: Mode, value: Floats, best: Floats, improved: Bools) -> Floats:
        return np.where(value < best if mode == "min" else value > best, value, best)


@dataclass(frozen=True)
class SklearnMLP(_Ratchet):
    """scikit-learn's MLPClassifier: more than n_iter_no_change epochs without a gain of tol; a tie at tol 0
    is one.

    An epoch counts where loss > best − tol (or score < best + tol), so a gain of exactly tol and a NaN
    restart the counter. The best begins at ±inf and moves on any gain, whatever tol: small gains do not add
    up. The rule asks for *more than* n_iter_no_change such epochs, one more than most tools.

    Source: scikit-learn 1.9.1, neural_network/_multilayer_perceptron.py (_update_no_improvement_count and its
    caller). It holds for solvers sgd and adam; with learning_rate="adaptive" sgd lowers its rate there at
    first.

    Examples
    --------
    >>> SklearnMLP(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98])
    6
    """

    name: ClassVar[str] = "sklearn-mlp"
    checked_against: ClassVar[str | None] = _CHECKED

    n_iter_no_change: int = param(
        "epochs (evals) that may pass without a gain of tol",
        10,
        minimum=1,
        aliases=("patience",),
        sets_threshold=True,
    )
    tol: float = param("the gain that is enough", 1e-4, minimum=0, aliases=("min_delta",))

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.n_iter_no_change + 1)


@dataclass(frozen=True)
class SklearnSGD(_Ratchet):
    """scikit-learn's SGDClassifier: n_iter_no_change epochs without a gain of tol; a tie at tol 0 is a gain.

    The formulas are those of sklearn-mlp (score < best + tol counts; exactly tol and NaN restart; the best
    moves on any gain), but n_iter_no_change such epochs are enough. With early_stopping=False scikit-learn
    watches the training objective by the same rule; tol=None, which switches it off, is the policy never.

    Source: scikit-learn 1.9.1, linear_model/_sgd_fast.pyx.tp (_plain_sgd).

    Examples
    --------
    >>> SklearnSGD(3).stop_eval([1.0, 0.9, 0.95, 0.96, 0.97, 0.98])
    5
    """

    name: ClassVar[str] = "sklearn-sgd"
    checked_against: ClassVar[str | None] = _CHECKED

    n_iter_no_change: int = param(
        "epochs (evals) without a gain of tol", 5, minimum=1, aliases=("patience",), sets_threshold=True
    )
    tol: float = param("the gain that is enough", 1e-3, minimum=0, aliases=("min_delta",))

    def signal_threshold(self, mode: Mode) -> float:
        return float(self.n_iter_no_change)


@dataclass(frozen=True)
class SklearnHGB(Policy):
    """scikit-learn's HistGradientBoosting: none of the last scores beats the single one before them by > tol.

    From eval n_iter_no_change + 1 on: stop where none of the last n_iter_no_change scores is > the score
    right before them + tol (a score is higher-is-better; a loss enters with its sign turned). The comparison
    is with that one score, not with the best, so that a slow recovery from a lucky value keeps the run going.
    NaN is no improvement, and nothing improves on one. scikit-learn's own list of scores begins with the
    untrained model: an eval at step 0 belongs in the log.

    Source: scikit-learn 1.9.1, ensemble/_hist_gradient_boosting/gradient_boosting.py (_should_stop).

    Examples
    --------
    >>> SklearnHGB(3).stop_eval([1.0, 0.5, 0.9, 0.8, 0.7, 0.6, 0.55])
    5
    """

    name: ClassVar[str] = "sklearn-hgb"
    checked_against: ClassVar[str | None] = _CHECKED

    n_iter_no_change: int = param(
        "iterations (evals) that are compared with the one before them", 10, minimum=1, aliases=("patience",)
    )
    tol: float = param("the gain that does not count", 1e-7, minimum=0, aliases=("min_delta",))

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def trace(self, batch: CurveBatch) -> Trace:
        runs, evals = batch.shape
        scores = -batch.oriented
        signal = np.zeros((runs, evals))
        reference = np.full((runs, evals), np.nan)
        window = self.n_iter_no_change
        with np.errstate(invalid="ignore", over="ignore"):
            for eval in range(window, evals):
                reference[:, eval] = batch.values[:, eval - window]
                bound = scores[:, eval - window] + self.tol
                signal[:, eval] = ~(scores[:, eval - window + 1 : eval + 1] > bound[:, None]).any(axis=1)
        return Trace(batch, signal, reference)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        window = self.n_iter_no_change
        if eval < window:
            return f"{eval + 1} of the {window + 1} evals that it needs"
        assert trace.reference is not None
        fires = bool(trace.signal[run, eval])
        which = "none of" if fires else "one of"
        subject = f"{which} the last {window}" if window > 1 else f"this eval {'is not' if fires else 'is'}"
        return (
            f"{subject} better by > {format_parameter(self.tol)} than"
            f" {format_value(float(trace.reference[run, eval]))}, the eval before them"
        )

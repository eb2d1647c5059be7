"""Companions: the columns that a policy reads beside its monitor, as objects that know where a log has them.

A policy lists its companions. The engine aligns each of them with the evals of a run's curve and passes the
columns by name in ``CurveBatch.columns``; in memory they are given as ``stop_eval(columns={name: values})``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from replay.data.compute import compute
from replay.data.curve import Curve, values_at
from replay.data.run import Run
from replay.data.step_signals import settled
from replay.data.types import Floats
from replay.errors import InputError
from replay.policies.param import format_parameter

__all__ = [
    "BaseReference",
    "Companion",
    "ComputeUsed",
    "Finished",
    "LastKnown",
    "LoggedMetric",
    "PlannedEnd",
    "Progress",
    "SettledModules",
]


class Companion(ABC):
    """Base of all companions. Subclasses are frozen dataclasses: equal companions are the same column."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Key of the column in ``CurveBatch.columns``."""

    @property
    def label(self) -> str:
        """What the column is called in a message."""
        return self.name

    @property
    def remedy(self) -> str:
        """What to do where a log lacks the column; empty where only another log helps."""
        return ""

    @property
    def hint(self) -> str:
        """What to say beyond `remedy` where no run has the column; empty: nothing."""
        return ""

    @abstractmethod
    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        """The values at the evals of a curve of the run, or None where the log lacks the column.

        ``price`` is the price of one hour of a device, which the unit ``cost`` needs.
        """


@dataclass(frozen=True)
class LoggedMetric(Companion):
    """A metric at the very steps of the evals; NaN at evals that did not log it."""

    metric: str

    @property
    def name(self) -> str:
        return self.metric

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        values, logged = values_at(run, run.find_metric(self.metric), curve.steps)
        return values if logged.any() else None


@dataclass(frozen=True)
class LastKnown(Companion):
    """A series of the training, such as the learning rate: its last value at or before each eval.

    NaN before the first value.
    """

    series: str

    @property
    def name(self) -> str:
        return self.series

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        values, present = run.at(self.series, curve.steps)
        return values if present.any() else None


@dataclass(frozen=True)
class Progress(Companion):
    """How far the training is at each eval, in epochs (``epoch``) or train tokens (``tokens``).

    A log has it only where it is known at every eval.
    """

    counter: str

    @property
    def name(self) -> str:
        return self.counter

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        if self.counter == "epoch" and run.info.step_unit == "epoch":
            return curve.steps
        values, present = run.at(self.counter, curve.steps)
        return values if len(curve) and present.all() else None


@dataclass(frozen=True)
class ComputeUsed(Companion):
    """Compute used up to each eval, evals included, in a unit of `replay.data.compute.UNITS`."""

    unit: str

    @property
    def name(self) -> str:
        return f"used:{self.unit}"

    @property
    def label(self) -> str:
        return self.unit

    @property
    def hint(self) -> str:
        return "runs can be counted in other units, see replay inspect"

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        try:
            return compute(run, curve.steps, self.unit, price).used()
        except InputError:
            return None


@dataclass(frozen=True)
class Finished(Companion):
    """Epochs (``epoch``) or optimizer steps (``step``) that were finished when an eval was made.

    Lightning numbers both from 0: the evals at the end of epoch 0 are logged with epoch 0, at step 9 after
    10 steps. Of several evals with one number of epoch, only the last one comes after its end.
    """

    counter: Literal["epoch", "step"]

    @property
    def name(self) -> str:
        return f"finished_{self.counter}s"

    @property
    def label(self) -> str:
        return self.counter

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        if self.counter == "step":
            return _finished_steps(curve.steps)
        if run.info.step_unit == "epoch":
            return curve.steps
        values, present = run.at("epoch", curve.steps)
        return _finished_epochs(values, curve.steps) if len(curve) and present.all() else None


def _finished_steps(steps: Floats) -> Floats:
    """Steps finished by evals, which are one more where steps are numbers from 0."""
    distances = np.diff(steps)
    every = float(np.median(distances)) if len(distances) else 0.0
    from_zero = every > 1 and bool(((steps + 1) % every == 0).mean() > 0.5)
    return steps + 1 if from_zero else steps


def _finished_epochs(epochs: Floats, steps: Floats) -> Floats:
    """Epochs finished by evals, which are one more at the end of an epoch where they are numbers from 0."""
    if epochs[0] != 0 or not steps[0] > 0 or not (epochs == np.floor(epochs)).all():
        return np.floor(epochs + 0.02)  # the end of an epoch may be rounded to 0.99
    _, counts = np.unique(epochs, return_counts=True)
    last = np.append(np.diff(epochs) > 0, counts[-1] == counts.max())
    return np.where(last, epochs + 1, epochs)


@dataclass(frozen=True)
class PlannedEnd(Companion):
    """The step at which the training was planned to end; the epoch where the log counts in epochs."""

    @property
    def name(self) -> str:
        return "planned_steps"

    @property
    def remedy(self) -> str:
        return "give horizon=STEPS"

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        in_epochs = run.info.step_unit == "epoch"
        planned = run.info.planned_epochs if in_epochs else run.info.planned_steps
        return np.full(len(curve), float(planned)) if planned else None


@dataclass(frozen=True)
class BaseReference(Companion):
    """The value of a metric that the log states for the base model, the same at every eval."""

    metric: str

    @property
    def name(self) -> str:
        return f"reference:{self.metric}"

    @property
    def label(self) -> str:
        return f"the base model's {self.metric}"

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        value = run.info.reference.get(self.metric)
        return None if value is None else np.full(len(curve), float(value))


@dataclass(frozen=True)
class SettledModules(Companion):
    """The least change that ``share`` of the modules have once had in a step, by each eval.

    ``column`` is a column of the step signals. Steps count from ``alpha`` times the planned steps on, rounded
    down. Infinite where too few modules have had a step that counts.
    """

    column: str
    alpha: float
    share: float

    @property
    def name(self) -> str:
        return f"step_signals:{self.column}:{format_parameter(self.alpha)}:{format_parameter(self.share)}"

    @property
    def label(self) -> str:
        return "step_signals.bin beside its eval log, and planned steps"

    def align(self, run: Run, curve: Curve, price: float | None) -> Floats | None:
        planned, signals = run.info.planned_steps, run.info.step_signals
        if not planned or signals is None:
            return None
        first = int(float(planned) * self.alpha)
        try:
            return settled(signals.read(), self.column, curve.steps, first, self.share)
        except (InputError, OSError, ValueError):
            return None

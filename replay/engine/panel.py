"""Panel: runs monitored in one way, as a batch, with what each run's evals are worth and cost.

"Panel" as in panel data: many runs, each observed at many evals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from replay.data.compute import Compute, compute
from replay.data.curve import Curve, CurveBatch, MetricColumn, pad, values_at
from replay.data.noise import noise_of_rows
from replay.data.run import Run
from replay.data.types import Bools, Floats, Ints
from replay.engine.metrics import Metric
from replay.engine.question import Question
from replay.engine.scale import Scale, measure_scale
from replay.errors import InputError
from replay.policies.companions import Companion

__all__ = ["Gathered", "Monitoring", "Objective", "Panel"]


class Monitoring(NamedTuple):
    """One way of monitoring: a primary metric, and the other metrics that a combined policy monitors beside
    it.

    ``others`` are by the name that the policy uses (None: the metric that it is given).
    """

    primary: Metric
    others: tuple[tuple[str | None, Metric], ...] = ()


@dataclass(frozen=True, eq=False)
class Objective:
    """What the evals of a panel's runs are worth, by the objective.

    ``values`` and ``present`` (runs × evals) are the objective at each eval of the monitor, and whether it
    was logged there. The others have one entry per run, NaN where not known: the ``best`` value of the full
    log and its ``best_step``, the ``first`` finite value and the eval ``noise``. ``scale`` says by how much
    each run improved. ``names`` are the runs' spellings of the objective (None: the run does not log it).
    """

    values: Floats
    present: Bools
    best: Floats
    best_step: Floats
    first: Floats
    noise: Floats
    scale: Scale
    names: tuple[str | None, ...]


class Gathered(NamedTuple):
    """The batch of the runs that have some companions.

    ``rows`` are the indices of these runs in the panel; ``lacking`` maps the companions that some run lacks
    to the ids of these runs.
    """

    batch: CurveBatch
    rows: Ints
    lacking: dict[Companion, tuple[str, ...]]


class Panel:
    """The runs that can be monitored in one way.

    Parameters
    ----------
    runs:
        Runs; those that do not log the primary metric are left out of ``self.runs``.
    monitoring:
        What is monitored.
    objective:
        The metric that outcomes are judged by.
    question:
        Unit and price of compute, and the checkpoint kept.
    """

    def __init__(
        self, runs: Sequence[Run], monitoring: Monitoring, objective: Metric, question: Question
    ) -> None:
        self.monitoring, self.judged_by, self.question = monitoring, objective, question
        primary = monitoring.primary
        self.runs = [run for run in runs if run.id in primary.names]
        self.curves = [_curve(run, monitoring) for run in self.runs]
        self.compute: list[Compute] = [
            compute(run, curve.steps, question.unit, question.price)
            for run, curve in zip(self.runs, self.curves, strict=True)
        ]
        self._gathered: tuple[tuple[Companion, ...], Gathered] | None = None

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of each run by id."""
        return {run.id: index for index, run in enumerate(self.runs)}

    @cached_property
    def whole(self) -> CurveBatch:
        """The curves of all runs as a batch, without companions."""
        return CurveBatch.of(self.curves, mode=self.monitoring.primary.mode)

    @cached_property
    def monitor_best(self) -> Ints:
        """Index of the best eval by the monitor, −1 where there is none."""
        return self.whole.best

    @cached_property
    def monitor_noise(self) -> Floats:
        """Eval noise of each run's monitor (see `replay.data.curve.Curve.noise`), NaN where not known."""
        return _noise(self.whole)

    @cached_property
    def objective(self) -> Objective:
        """What the evals are worth."""
        metric, primary = self.judged_by, self.monitoring.primary
        names = tuple(metric.names.get(run.id) for run in self.runs)
        same = (
            not self.monitoring.others
            and metric.mode == primary.mode
            and names == tuple(primary.names[run.id] for run in self.runs)
        )
        if same:
            batch, values, present = self.whole, self.whole.values, self.whole.mask
        else:
            curves = [
                Curve.of([], metric.mode) if name is None else run.curve(name, metric.mode)
                for run, name in zip(self.runs, names, strict=True)
            ]
            batch = CurveBatch.of(curves, mode=metric.mode)
            aligned = [
                values_at(run, name, curve.steps)
                for run, name, curve in zip(self.runs, names, self.curves, strict=True)
            ]
            lengths = self.whole.lengths
            values = pad([column.values for column in aligned], lengths)
            present = pad([column.logged.astype(np.float64) for column in aligned], lengths) == 1
        rows = np.arange(len(self.runs))
        best = batch.best
        known = best >= 0
        at_best = np.maximum(best, 0)
        padded = batch.values if batch.shape[1] else np.full((len(rows), 1), np.nan)
        steps = batch.steps if batch.shape[1] else padded
        finite = np.isfinite(padded)
        best_value = np.where(known, padded[rows, at_best], np.nan)
        noise = np.where(known, self.monitor_noise if same else _noise(batch), np.nan)
        return Objective(
            values,
            present,
            best=best_value,
            best_step=np.where(known, steps[rows, at_best], np.nan),
            first=np.where(finite.any(axis=1), padded[rows, finite.argmax(axis=1)], np.nan),
            noise=noise,
            scale=measure_scale(self.runs, names, metric.mode, batch.values, best_value, noise),
            names=names,
        )

    @cached_property
    def monitor_finite(self) -> Bools:
        """Whether each run's monitor has a finite value."""
        return np.asarray(np.isfinite(self.whole.values).any(axis=1), dtype=bool)

    @cached_property
    def objective_met(self) -> Bools:
        """Whether each run's objective is a number at one of the monitor's evals at least."""
        return np.asarray((~np.isnan(self.objective.values)).any(axis=1), dtype=bool)

    @cached_property
    def judged(self) -> Bools:
        """Whether each run can be judged, so that it counts in summaries.

        Its objective has a best value, which the oracle can look for among the monitor's evals, and its
        monitor has a finite value.
        """
        judged: Bools = ~np.isnan(self.objective.best) & self.objective_met & self.monitor_finite
        return judged

    def gather(self, companions: Sequence[Companion]) -> Gathered:
        """The batch of the runs that have the companions; the last one is kept."""
        key = tuple(companions)
        if self._gathered is None or self._gathered[0] != key:
            self._gathered = key, self._gather(key)
        return self._gathered[1]

    def _gather(self, companions: tuple[Companion, ...]) -> Gathered:
        if not companions and not self.monitoring.others:
            return Gathered(self.whole, np.arange(len(self.runs)), {})
        lacking: dict[Companion, list[str]] = {}
        columns: dict[str, list[Floats]] = {companion.name: [] for companion in companions}
        metrics: dict[str | None, list[MetricColumn]] = {asked: [] for asked, _ in self.monitoring.others}
        rows: list[int] = []
        for row, (run, curve) in enumerate(zip(self.runs, self.curves, strict=True)):
            aligned = [companion.align(run, curve, self.question.price) for companion in companions]
            for companion, values in zip(companions, aligned, strict=True):
                if values is None:
                    lacking.setdefault(companion, []).append(run.id)
            known = [values for values in aligned if values is not None]
            if len(known) < len(aligned):
                continue
            rows.append(row)
            for companion, values in zip(companions, known, strict=True):
                columns[companion.name].append(values)
            for asked, other in self.monitoring.others:
                metrics[asked].append(values_at(run, other.names.get(run.id), curve.steps))
        mode = self.monitoring.primary.mode
        batch = CurveBatch.of([self.curves[row] for row in rows], columns, metrics, mode=mode)
        ids = {companion: tuple(runs) for companion, runs in lacking.items()}
        return Gathered(batch, np.array(rows, dtype=np.int64), ids)

    @cached_property
    def checkpoint_written(self) -> Bools:
        """Whether a checkpoint was written at each eval (runs × evals).

        Raises InputError where a run does not say it.
        """
        written = []
        for run, curve in zip(self.runs, self.curves, strict=True):
            saved = run.at("saved", curve.steps)
            if not saved.present.any():
                raise InputError(
                    f"run {run.id} does not say which evals wrote a checkpoint, so the best saved one is"
                    " unknown; use --keep best",
                    key=("keep",),
                )
            written.append((saved.present & (saved.values == 1)).astype(np.float64))
        mask: Bools = pad(written, self.whole.lengths) == 1
        return mask


def _noise(batch: CurveBatch) -> Floats:
    """Eval noise of each curve where it matters: of the evals up to the best and two after it, 7 at least."""
    upto = np.minimum(np.maximum(batch.best + 3, 7), batch.lengths)
    return noise_of_rows(batch.values, np.where(batch.best >= 0, upto, 0))


def _curve(run: Run, monitoring: Monitoring) -> Curve:
    """The curve of the primary metric, at the evals that logged any of the metrics."""
    primary = monitoring.primary
    name = primary.names[run.id]
    curve = run.curve(name, primary.mode)
    if not monitoring.others or curve.rows is None:
        return curve
    logged = [
        run.curve(other.names[run.id], other.mode).steps
        for _, other in monitoring.others
        if run.id in other.names
    ]
    steps = np.unique(np.concatenate([curve.steps, *logged]))
    return Curve(run, curve.metric, curve.mode, values_at(run, name, steps).values, steps, None)

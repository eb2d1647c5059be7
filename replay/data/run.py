"""Run, Curve and CurveBatch: what a finished training has logged, ready to be judged.

A *run* has one row an eval. A *curve* is one metric of a run, at the evals that logged it. A *batch*
is the curves of many runs as one padded array, so that a policy's signal is computed for all at once.

Values keep full precision: a logged NaN or infinity is a value that policies must see, while an eval
that did not log the metric is *absent*. The two are told apart by the ``present`` mask of a column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from replay.errors import InputError, suggestion

if TYPE_CHECKING:
    import pandas as pd
from replay.data.curve import Curve
from replay.data.names import canonical
from replay.data.types import Bools, Floats, Mode

__all__ = ["COUNTERS", "DESCRIPTIVE", "Column", "Run", "Series"]

#: Columns of ``evals`` that count compute: cumulative train figures, and figures of the one eval.
COUNTERS = {
    "train_seconds": "train time up to this eval, evals not included",
    "eval_seconds": "duration of this eval",
    "wall_seconds": "time since the run began, evals included",
    "tokens": "train tokens up to this eval",
    "eval_tokens": "tokens of this eval",
    "flops": "train floating-point operations up to this eval",
    "eval_flops": "floating-point operations of this eval",
}


#: Columns that describe an eval without being a held-out metric or a counter.
DESCRIPTIVE = ("step", "epoch", "segment", "saved", "wall_time", "train_loss", "learning_rate", "grad_norm")


class Column(NamedTuple):
    """One column of ``evals``: float64 values and a mask of the rows that logged one."""

    values: Floats
    present: Bools


class Series(NamedTuple):
    """One logged name as it came: steps ascending, one value a step."""

    step: Floats
    value: Floats


def _column(name: str, data: Any, rows: int | None) -> Column:
    if isinstance(data, Column):
        values, present = data
    elif isinstance(data, np.ma.MaskedArray):
        values, present = np.asarray(data.filled(np.nan), dtype=np.float64), ~np.ma.getmaskarray(data)
    elif hasattr(data, "isna") and getattr(getattr(data, "dtype", None), "na_value", np.nan) is not np.nan:
        present = ~np.asarray(data.isna(), dtype=bool)  # a pandas column with its own "missing"
        values = np.asarray(data.to_numpy(dtype=np.float64, na_value=np.nan))
    else:
        raw = np.asarray(data, dtype=object) if not isinstance(data, np.ndarray) else data
        if raw.dtype == object:
            raw = raw.reshape(-1)
            present = np.array([item is not None for item in raw], dtype=bool)
            try:
                values = np.array(
                    [math.nan if item is None else float(item) for item in raw], dtype=np.float64
                )
            except (TypeError, ValueError) as error:
                raise InputError(f"column {name!r} holds something that is not a number: {error}") from None
        else:
            try:
                values = np.asarray(raw, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(f"column {name!r} holds something that is not a number: {error}") from None
            present = np.ones(values.shape, dtype=bool)
    if values.ndim != 1 or (rows is not None and len(values) != rows):
        raise InputError(
            f"column {name!r} has shape {values.shape}, expected ({'n' if rows is None else rows},): one row"
            " an eval"
        )
    return Column(values, present)


class Run:
    """One training run: one row an eval, and what is known about it.

    Parameters
    ----------
    id:
        A name that is unique among the runs that are judged together.
    evals:
        A DataFrame, or a mapping of names to columns, with one row an eval. ``step`` is required and strictly
        increasing. ``epoch``, the counters of `COUNTERS`, ``train_loss`` (mean since the last eval),
        ``learning_rate``, ``grad_norm``, ``segment`` and ``saved`` have fixed meanings; every other column is
        a metric. NaN is a logged NaN; None, pandas' NA and a masked entry mean that this eval did not log the
        metric.
    meta:
        What the log says beside its curves. Keys in use: ``format``, ``source`` (paths), ``modes`` (metric to
        mode, as stated by the log), ``monitor`` (the metric that chose the best checkpoint),
        ``planned_steps``, ``planned_epochs``, ``trained_steps`` (last step trained), ``step_unit``
        (``"step"`` or ``"epoch"``), ``group`` (runs that share data or a model), ``hyperparameters``,
        ``stopped_by`` (what ended the run early, if anything), ``train_runtime`` (seconds of the whole run,
        evals included), ``total_flos``, ``devices``, ``notes`` (what was dropped or resolved on import).
    train:
        Series that are logged during training only, by name.
    """

    def __init__(
        self,
        id: str,
        evals: pd.DataFrame | Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        train: Mapping[str, Series] | None = None,
    ) -> None:
        self.id = str(id)
        self.meta: dict[str, Any] = dict(meta or {})
        self.train: dict[str, Series] = dict(train or {})
        if "step" not in evals:
            raise InputError(
                f"run {self.id!r} has no column 'step'; it has {', '.join(map(str, evals)) or 'no columns'}"
            )
        step = _column("step", evals["step"], None)
        self.columns: dict[str, Column] = {"step": step}
        for name in evals:
            if name != "step":
                self.columns[str(name)] = _column(str(name), evals[str(name)], len(step.values))
        steps = step.values
        if len(steps) and not (np.isfinite(steps).all() and (np.diff(steps) > 0).all()):
            at = int(np.argmin(np.concatenate([[True], np.diff(steps) > 0]) & np.isfinite(steps)))
            raise InputError(
                f"run {self.id!r}: steps must be finite and strictly increasing, not {steps[at]:g} at eval"
                f" {at + 1}"
            )

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {len(self)} evals, metrics={list(self.metrics)})"

    def __len__(self) -> int:
        return len(self.columns["step"].values)

    @property
    def steps(self) -> Floats:
        """Step of every eval, strictly increasing."""
        return self.columns["step"].values

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the held-out metrics, in the order of the log."""
        return tuple(name for name in self.columns if name not in COUNTERS and name not in DESCRIPTIVE)

    @cached_property
    def evals(self) -> pd.DataFrame:
        """One row an eval; integer steps as integers, absent entries as NA in a nullable column."""
        import pandas as pd

        data: dict[str, Any] = {}
        for name, (values, present) in self.columns.items():
            if (
                name in ("step", "segment")
                and present.all()
                and (values == np.floor(values)).all()
                and np.abs(values).max(initial=0) < 2**63
            ):
                data[name] = values.astype(np.int64)
            elif present.all():
                data[name] = values
            else:
                data[name] = pd.arrays.FloatingArray(values.copy(), ~present)
        return pd.DataFrame(data)

    @property
    def trained_steps(self) -> float:
        """Last step that was trained, which may lie beyond the last eval."""
        last = float(self.steps[-1]) if len(self) else 0.0
        return max([last, float(self.meta.get("trained_steps") or 0.0)])

    def find_metric(self, name: str) -> str | None:
        """This log's spelling of a metric (``eval/loss`` for ``eval_loss``), held-out or train-only; None if
        it has none.
        """
        for names in (self.metrics, tuple(self.train), tuple(self.columns)):
            if name in names and name != "step":
                return name
        wanted = canonical(name)
        for names in (self.metrics, tuple(self.train)):
            for candidate in names:
                if canonical(candidate) == wanted:
                    return candidate
        return None

    def curve(self, metric: str, mode: Mode) -> Curve:
        """The curve of one metric at the evals that logged it.

        Raises InputError, naming the metrics there are, where the run has no such metric.
        """
        found = self.find_metric(metric)
        if found is None:
            raise InputError(
                f"no metric {metric!r} in run {self.id}; it has {suggestion(metric, self.metrics)}"
            )
        if found in self.columns:
            values, present = self.columns[found]
            rows = np.flatnonzero(present)
            return Curve(self, found, mode, values[rows], self.steps[rows], rows)
        series = self.train[found]
        return Curve(self, found, mode, series.value, series.step, None)

    def at(self, name: str, steps: Floats) -> Column:
        """A column or train series at given steps: the last value at or before each step."""
        if name in self.columns:
            values, present = self.columns[name]
            own = self.steps[present]
            values = values[present]
        elif name in self.train:
            own, values = self.train[name]
        else:
            return Column(np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool))
        index = np.searchsorted(own, steps, side="right") - 1
        present = index >= 0
        return Column(
            np.where(present, values[np.maximum(index, 0)] if len(values) else np.nan, np.nan), present
        )

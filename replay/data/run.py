"""Run: what one finished training has logged, with one row per eval.

Values keep full precision: a logged NaN or infinity is a value that policies must see, while an eval that did
not log the metric is *absent*. The ``present`` mask of a column separates the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from replay.errors import InputError, suggestion

if TYPE_CHECKING:
    import pandas as pd
from replay.data.curve import Curve
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.types import Bools, Floats, Mode

__all__ = ["COUNTERS", "DESCRIPTIVE", "Column", "Run", "RunInfo", "Series"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

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
    """One logged name as it came: steps ascending, one value per step."""

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
    return Column(_read_only(values), _read_only(present))


def _read_only(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """The array itself where nobody can write to it, else a copy that cannot be written to."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Run:
    """One training run: one row per eval, and what is known about it. Nothing in it can be changed.

    Parameters
    ----------
    id:
        A name that is unique among the runs that are simulated together.
    evals:
        A DataFrame, or a mapping of names to columns, with one row per eval. ``step`` is required and
        strictly increasing. ``epoch``, the counters of `COUNTERS`, ``train_loss`` (mean since the last eval),
        ``learning_rate``, ``grad_norm``, ``segment`` and ``saved`` have fixed meanings; every other column is
        a metric. NaN is a logged NaN; None, pandas' NA and a masked entry mean that this eval did not log the
        metric.
    meta:
        What the log says beside its curves: a `RunInfo`, or a mapping of its field names. Other names of the
        mapping are kept in ``info.extra``.
    train:
        Series that are logged during training only, by name.
    """

    id: str
    info: RunInfo
    #: Columns by name, ``step`` first; each has one entry per eval.
    columns: Mapping[str, Column]
    train: Mapping[str, Series]

    def __init__(
        self,
        id: str,
        evals: pd.DataFrame | Mapping[str, Any],
        meta: Mapping[str, Any] | RunInfo | None = None,
        train: Mapping[str, Series] | None = None,
    ) -> None:
        id = str(id)
        if "step" not in evals:
            raise InputError(
                f"run {id!r} has no column 'step'; it has {', '.join(map(str, evals)) or 'no columns'}"
            )
        step = _column("step", evals["step"], None)
        columns = {"step": step}
        for name in evals:
            if name != "step":
                columns[str(name)] = _column(str(name), evals[str(name)], len(step.values))
        steps = step.values
        if len(steps) and not (np.isfinite(steps).all() and (steps[1:] > steps[:-1]).all()):
            at = int(np.argmin(np.concatenate([[True], np.diff(steps) > 0]) & np.isfinite(steps)))
            raise InputError(
                f"run {id!r}: steps must be finite and strictly increasing, not {steps[at]:g} at eval"
                f" {at + 1}"
            )
        series = {
            name: Series(*(_read_only(np.asarray(part, dtype=np.float64)) for part in points))
            for name, points in (train or {}).items()
        }
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "info", RunInfo.of(meta))
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "train", MappingProxyType(series))

    @classmethod
    def of_parts(
        cls, id: str, columns: Mapping[str, Column], info: RunInfo, train: Mapping[str, Series]
    ) -> Run:
        """A run from parts that need no check: float64 values, columns of one length, and finite steps that
        increase strictly.
        """
        made = object.__new__(cls)
        series = {name: Series(_read_only(step), _read_only(value)) for name, (step, value) in train.items()}
        object.__setattr__(made, "id", id)
        object.__setattr__(made, "info", info)
        object.__setattr__(made, "columns", MappingProxyType(dict(columns)))
        object.__setattr__(made, "train", MappingProxyType(series))
        return made

    def replace(
        self,
        *,
        id: str | None = None,
        info: RunInfo | None = None,
        columns: Mapping[str, Column] | None = None,
        train: Mapping[str, Series] | None = None,
    ) -> Run:
        """A new run with some parts replaced."""
        if columns is None and train is None:  # both were checked when this run was made
            same = object.__new__(Run)
            object.__setattr__(same, "id", self.id if id is None else str(id))
            object.__setattr__(same, "info", self.info if info is None else info)
            object.__setattr__(same, "columns", self.columns)
            object.__setattr__(same, "train", self.train)
            return same
        return Run(
            self.id if id is None else id,
            self.columns if columns is None else columns,
            self.info if info is None else info,
            self.train if train is None else train,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.id, self.info, dict(self.columns), dict(self.train))

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
        """One row per eval; integer steps as integers, absent entries as NA in a nullable column."""
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
        return max([last, float(self.info.trained_steps or 0.0)])

    def find_metric(self, name: str) -> str | None:
        """This log's spelling of a metric (``eval/loss`` for ``eval_loss``), held-out or train-only; None if
        it has none.
        """
        if name != "step" and (name in self.columns or name in self.train):
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
        name = self.find_metric(metric)
        if name is None:
            raise InputError(
                f"no metric {metric!r} in run {self.id}; it has {suggestion(metric, self.metrics)}"
            )
        if name in self.columns:
            values, present = self.columns[name]
            if present.all():
                return Curve(self, name, mode, values, self.steps, np.arange(len(self)))
            rows = np.flatnonzero(present)
            return Curve(self, name, mode, values[rows], self.steps[rows], rows)
        series = self.train[name]
        return Curve(self, name, mode, series.value, series.step, None)

    def at(self, name: str, steps: Floats) -> Column:
        """A column or train series at given steps: the last value at or before each step."""
        if name in self.columns:
            values, present = self.columns[name]
            logged = self.steps[present]
            values = values[present]
        elif name in self.train:
            logged, values = self.train[name]
        else:
            return Column(np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool))
        index = np.searchsorted(logged, steps, side="right") - 1
        present = index >= 0
        return Column(
            np.where(present, values[np.maximum(index, 0)] if len(values) else np.nan, np.nan), present
        )


def _restore(id: str, info: RunInfo, columns: Mapping[str, Column], train: Mapping[str, Series]) -> Run:
    """A run from its parts, which were checked when it was made: for copies and pickles."""
    for part in (*columns.values(), *train.values()):
        for array in part:
            array.flags.writeable = False
    run = object.__new__(Run)
    for name, value in (
        ("id", id),
        ("info", info),
        ("columns", MappingProxyType(columns)),
        ("train", MappingProxyType(train)),
    ):
        object.__setattr__(run, name, value)
    return run

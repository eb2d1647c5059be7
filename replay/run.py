"""Run, Curve and CurveBatch: what a finished training has logged, ready to be judged.

A *run* has one row an eval. A *curve* is one metric of a run, at the evals that logged it. A *batch*
is the curves of many runs as one padded array, so that a policy's signal is computed for all at once.

Values keep full precision: a logged NaN or infinity is a value that policies must see, while an eval
that did not log the metric is *absent*. The two are told apart by the ``present`` mask of a column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.errors import InputError, suggestion

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COUNTERS",
    "HELD_OUT_WORDS",
    "Column",
    "Curve",
    "CurveBatch",
    "Mode",
    "Run",
    "Series",
    "canonical",
    "censoring",
    "infer_mode",
    "is_loss",
    "noise",
]

Mode = Literal["min", "max"]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

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


def canonical(name: str) -> str:
    """A metric's name without its writer's habits: ``eval/loss`` and ``eval_loss`` are the same."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


#: Words of a name that say: measured on data that was held out.
HELD_OUT_WORDS = {"eval", "evaluation", "val", "valid", "validation", "dev", "test", "testing", "heldout", "holdout"}
_MIN = {
    "loss", "losses", "perplexity", "ppl", "wer", "cer", "mer", "ter", "error", "err", "mse", "rmse", "mae", "mape", "smape",
    "nll", "bpb", "bpc", "logloss", "crossentropy", "kl", "kld", "kldiv", "fid", "eer", "hinge", "brier", "ece",
    "rmsle", "cost", "nme",
}  # fmt: skip
_MAX = {
    "accuracy", "acc", "f1", "rouge", "rouge1", "rouge2", "rougel", "rougelsum", "bleu", "sacrebleu", "meteor", "chrf", "auc",
    "auroc", "auprc", "aucpr", "map", "map50", "map5095", "ap", "ar", "precision", "recall", "em", "iou", "miou", "dice", "r2",
    "reward", "rewards", "mcc", "matthews", "pearson", "spearman", "spearmanr", "pearsonr", "kappa", "ndcg", "mrr", "top1",
    "top5", "psnr", "ssim", "bertscore", "return", "hit", "hits", "winrate", "score", "pck",
}  # fmt: skip


def infer_mode(name: str) -> tuple[Mode, str] | None:
    """The mode that a metric's name implies, with the reason, or None where the name says nothing.

    Only whole words of the name count (``val_loss``, ``eval/rougeL``, ``metrics/mAP50(B)``); a name with
    words of both kinds (``f1_loss``) is decided by its last one, which is the noun.
    """
    words = canonical(re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", name)).split("_")
    joined = {first + second: second for first, second in pairwise(words)}
    for word in reversed(words):
        found: tuple[Mode, str] | None = None
        if word in _MIN:
            found = ("min", word)
        elif word in _MAX:
            found = ("max", word)
        else:
            for pair, second in joined.items():
                if second == word and pair in _MIN | _MAX:
                    found = ("min" if pair in _MIN else "max", pair)
        if found:
            return found[0], f"by its name: {found[1]}"
    if {"exact", "match"} <= set(words):
        return "max", "by its name: exact match"
    return None


def is_loss(name: str) -> bool:
    """Whether the name is a loss in the narrow sense, of any split and any writer."""
    return [word for word in canonical(name).split("_") if word not in HELD_OUT_WORDS | {"epoch"}] in (["loss"], ["logloss"])


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
                values = np.array([math.nan if item is None else float(item) for item in raw], dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(f"column {name!r} holds something that is not a number: {error}") from None
        else:
            try:
                values = np.asarray(raw, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(f"column {name!r} holds something that is not a number: {error}") from None
            present = np.ones(values.shape, dtype=bool)
    if values.ndim != 1 or (rows is not None and len(values) != rows):
        raise InputError(f"column {name!r} has shape {values.shape}, expected ({'n' if rows is None else rows},): one row an eval")
    return Column(values, present)


class Run:
    """One training run: one row an eval, and what is known about it.

    Parameters
    ----------
    id:
        A name that is unique among the runs that are judged together.
    evals:
        A DataFrame, or a mapping of names to columns, with one row an eval. ``step`` is required and strictly
        increasing. ``epoch``, the counters of `COUNTERS`, ``train_loss`` (mean since the last eval), ``learning_rate``,
        ``grad_norm``, ``segment`` and ``saved`` have fixed meanings; every other column is a metric. NaN is a logged
        NaN; None, pandas' NA and a masked entry mean that this eval did not log the metric.
    meta:
        What the log says beside its curves. Keys in use: ``format``, ``source`` (paths), ``modes`` (metric to mode, as
        stated by the log), ``monitor`` (the metric that chose the best checkpoint), ``planned_steps``,
        ``planned_epochs``, ``trained_steps`` (last step trained), ``step_unit`` (``"step"`` or ``"epoch"``), ``group``
        (runs that share data or a model), ``hyperparameters``, ``stopped_by`` (what ended the run early, if anything),
        ``train_runtime`` (seconds of the whole run, evals included), ``total_flos``, ``devices``, ``notes`` (what was
        dropped or resolved on import).
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
            raise InputError(f"run {self.id!r} has no column 'step'; it has {', '.join(map(str, evals)) or 'no columns'}")
        step = _column("step", evals["step"], None)
        self.columns: dict[str, Column] = {"step": step}
        for name in evals:
            if name != "step":
                self.columns[str(name)] = _column(str(name), evals[str(name)], len(step.values))
        steps = step.values
        if len(steps) and not (np.isfinite(steps).all() and (np.diff(steps) > 0).all()):
            at = int(np.argmin(np.concatenate([[True], np.diff(steps) > 0]) & np.isfinite(steps)))
            raise InputError(f"run {self.id!r}: steps must be finite and strictly increasing, not {steps[at]:g} at eval {at + 1}")

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
        """This log's spelling of a metric (``eval/loss`` for ``eval_loss``), held-out or train-only; None if it has none."""
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
            raise InputError(f"no metric {metric!r} in run {self.id}; it has {suggestion(metric, self.metrics)}")
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
        return Column(np.where(present, values[np.maximum(index, 0)] if len(values) else np.nan, np.nan), present)


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one run, at the evals that logged it.

    ``values`` and ``steps`` have one entry an eval; ``rows`` are their rows in ``run.columns`` (None where the metric is a
    train-only series, whose points then stand for the evals).
    """

    run: Run | None
    metric: str
    mode: Mode
    values: Floats
    steps: Floats
    rows: Ints | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, values: Sequence[float] | Floats, mode: Mode, steps: Sequence[float] | None = None) -> Curve:
        """A bare curve, for values that exist only in memory; steps default to 1, 2, 3, …"""
        array = np.asarray(values, dtype=np.float64).reshape(-1)
        at = np.arange(1, len(array) + 1, dtype=np.float64) if steps is None else np.asarray(steps, dtype=np.float64)
        return cls(None, "metric", mode, array, at)

    @cached_property
    def noise(self) -> float | None:
        """Eval-to-eval noise where it matters: of the evals up to the best and two after it (7 at least), see `noise`.

        A run that overfits gets much noisier beyond its best, which says nothing of how sure the best is.
        """
        best = self.best()
        return None if best is None else noise(self.values[: max(best + 3, 7)])

    def best(self) -> int | None:
        """0-based index of the best value (ties: the first; NaN is never best), or None."""
        values = self.values if self.mode == "min" else -self.values
        if not len(values) or np.isnan(values).all():
            return None
        return int(np.nanargmin(values))


@dataclass(frozen=True, eq=False)
class CurveBatch:
    """Curves of many runs, padded to runs × evals, with what policies need beside them.

    ``values`` is NaN beyond a run's ``lengths``. ``steps`` has the same shape. ``columns`` holds companion columns by name,
    each of the same shape and aligned on the same evals; a policy declares the names that it needs.
    """

    values: Floats
    steps: Floats
    lengths: Ints
    mode: Mode
    columns: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, curves: Sequence[Curve], columns: Mapping[str, Sequence[Floats]] | None = None) -> CurveBatch:
        """Pad curves of one mode; ``columns`` maps a companion's name to one array a curve."""
        modes = {curve.mode for curve in curves}
        if len(modes) > 1:
            raise InputError("curves of both modes cannot share a batch: watch metrics of one mode at a time")
        lengths = np.array([len(curve) for curve in curves], dtype=np.int64)
        mode: Mode = modes.pop() if modes else "min"
        return cls(
            values=pad([curve.values for curve in curves], lengths),
            steps=pad([curve.steps for curve in curves], lengths),
            lengths=lengths,
            mode=mode,
            columns={name: pad(arrays, lengths) for name, arrays in (columns or {}).items()},
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(runs, longest number of evals)."""
        return self.values.shape[0], self.values.shape[1]

    @cached_property
    def mask(self) -> Bools:
        """True where a run has an eval."""
        return np.arange(self.shape[1])[None, :] < self.lengths[:, None]

    @cached_property
    def oriented(self) -> Floats:
        """Values with the sign that makes lower better; exact, since negation is."""
        return self.values if self.mode == "min" else -self.values

    def replace(self, **changes: Any) -> CurveBatch:
        """A copy with some fields replaced."""
        current = {name: getattr(self, name) for name in ("values", "steps", "lengths", "mode", "columns")}
        return CurveBatch(**{**current, **changes})


def noise(values: Floats) -> float | None:
    """Robust estimate of a curve's eval-to-eval noise (one standard deviation), in the metric's unit.

    From second differences, in which a local trend cancels: 1.4826 · median |v[i−1] − 2 v[i] + v[i+1]| / √6. None with fewer
    than 5 finite values.

    Source: Gasser, Sroka & Jennen-Steinmetz, Biometrika 73 (1986) 625, with a median absolute deviation for their sum.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 5:
        return None
    with np.errstate(all="ignore"):
        second = finite[:-2] - 2 * finite[1:-1] + finite[2:]
        spread = float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))
    return spread if math.isfinite(spread) else None


def censoring(curve: Curve) -> str | None:
    """Why a log does not show what would have come next, or None where it does.

    In this order: the log was itself stopped early; it ends before its planned steps; its best value is its last; or it
    was still improving within noise (from 8 evals on: the last value is within one noise of the best, and the median of
    the last quarter is better than that of the quarter before by more than one noise).
    """
    run = curve.run
    if run is not None:
        if run.meta.get("stopped_by"):
            return f"stopped early by {run.meta['stopped_by']}"
        planned = run.meta.get("planned_steps")
        if planned and run.trained_steps < float(planned):
            return f"cut short at step {run.trained_steps:g} of {float(planned):g}"
    best = curve.best()
    if best is None or len(curve) < 2:
        return None
    if best == len(curve) - 1:
        return "its best eval is its last"
    spread = curve.noise
    if len(curve) >= 8 and spread is not None and math.isfinite(curve.values[-1]):
        oriented = curve.values if curve.mode == "min" else -curve.values
        quarter = max(2, len(curve) // 4)
        last, before = oriented[-quarter:], oriented[-2 * quarter : -quarter]
        if not (np.isfinite(last).any() and np.isfinite(before).any()):
            return None
        gain = float(np.median(before[np.isfinite(before)]) - np.median(last[np.isfinite(last)]))
        if gain > spread and oriented[-1] - oriented[best] <= spread:
            return "still improving within noise"
    return None


def pad(arrays: Iterable[Floats], lengths: Ints) -> Floats:
    """Stack ragged rows into one array, NaN beyond each row's length."""
    out = np.full((len(lengths), int(lengths.max(initial=0))), np.nan)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out

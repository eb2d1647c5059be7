"""Finds runs that are the same run: checkpoints that are prefixes of it, and its logs in several formats.

The data decide, never the names. Run A is in run B if every held-out series of A equals the beginning of some
held-out series of B: the same steps, and values that are equal as float32, or up to the digits of the series
that was written with fewer digits. Runs without evals are compared by their train series in the same way,
except those series that follow a schedule.

A series with fewer than three different values could be anyone's; runs that have no other are only compared
with runs of the same training folder, and must then agree in every metric by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import COUNTERS, Column, Run, Series
from replay.readers.series_names import words

__all__ = ["Entry", "merge"]

_SCHEDULE = {"lr", "learning", "epoch", "momentum", "decay", "beta1", "percentage"}
_COMPANIONS = {*COUNTERS, "epoch", "wall_time", "saved", "train_loss", "learning_rate", "grad_norm"}
#: What is true of a run from its begin, so that a checkpoint of it knows it as well as the whole.
_STATIC = (
    "dataset",
    "devices",
    "group",
    "hardware",
    "hyperparameters",
    "model",
    "modes",
    "monitor",
    "planned_epochs",
    "planned_steps",
    "seed",
    "versions",
)
#: What is only true of the run at its end, or of the whole curve.
_FINAL = ("stopped_by", "total_flos", "train_runtime", "trained_tokens")


@dataclass
class Entry:
    """A loaded run, the folder that it lies in, and its rank: how much its format tells (0 is most)."""

    run: Run
    folder: Path
    rank: int


@dataclass
class _Curve:
    owner: int
    name: str
    step: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    held_out: bool
    distinct: int
    decimals: int
    digits: int


def merge(entries: Sequence[Entry]) -> tuple[dict[int, Run], list[tuple[int, int]]]:
    """The runs to keep by the index of their entry, in order, and pairs of indices (dropped, kept).

    Of equal runs the one whose format says most is kept, else the longest. What a dropped one knows and the
    kept one does not (settings, time, what stopped it) is added to the kept run.
    """
    curves = [_curves(entry.run, number) for number, entry in enumerate(entries)]
    inside = _inside(entries, curves)

    def worth(number: int) -> tuple[float, ...]:
        entry = entries[number]
        return (-len(entry.run), -_longest(curves[number]), entry.rank, -entry.run.trained_steps, number)

    order = sorted(range(len(entries)), key=worth)
    position = {number: at for at, number in enumerate(order)}
    parent: dict[int, int] = {}
    for number in order:
        wider = [
            other
            for other in inside[number]
            if number not in inside[other] or position[other] < position[number]
        ]
        if wider:
            parent[number] = min(wider, key=lambda other: (-len(curves[other]), position[other]))
    pairs = []
    for number in range(len(entries)):
        if number not in parent:
            continue
        kept, passed = parent[number], {number}
        while kept in parent and kept not in passed:
            passed.add(kept)
            kept = parent[kept]
        pairs.append((number, kept))
    dropped = {number for number, _ in pairs}
    pairs = [(number, kept) for number, kept in pairs if kept not in dropped]
    gone = {number for number, _ in pairs}
    runs = {number: entry.run for number, entry in enumerate(entries) if number not in gone}
    for number, kept in pairs:
        runs[kept] = _complete(runs[kept], entries[number].run)
    return runs, pairs


def _longest(curves: Sequence[_Curve]) -> int:
    return max((len(curve.step) for curve in curves), default=0)


def _curves(run: Run, owner: int) -> list[_Curve]:
    """The held-out series of a run, or its train series where it has none, then marked as such."""
    curves = []
    if len(run):
        for name in run.metrics:
            values, present = run.columns[name]
            if present.any():
                curves.append(_curve(owner, name, Series(run.steps[present], values[present]), True))
    if not curves:
        for name, series in run.train.items():
            if len(series.step) and not _SCHEDULE & set(words(name)):
                curves.append(_curve(owner, name, series, False))
    return curves


def _train_curves(run: Run, owner: int) -> list[_Curve]:
    return [_curve(owner, name, series, False) for name, series in run.train.items() if len(series.step)]


def _curve(owner: int, name: str, series: Series, held_out: bool) -> _Curve:
    few = series.value[:: max(1, len(series.value) // 64)]
    decimals, digits = _printed_digits(few)
    return _Curve(
        owner,
        name,
        series.step,
        series.value,
        held_out,
        len(np.unique(few[np.isfinite(few)])),
        decimals,
        digits,
    )


def _printed_digits(values: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Decimals and significant digits of the shortest decimal text of the values, the most among them."""
    decimals = digits = 0
    for value in values.tolist():
        if math.isfinite(value) and value:
            mantissa, _, exponent = f"{value!r}".lower().partition("e")
            whole, _, fraction = mantissa.lstrip("-").partition(".")
            fraction = "" if fraction == "0" else fraction
            decimals = max(decimals, len(fraction) - int(exponent or 0))
            digits = max(digits, len((whole + fraction).strip("0")))
    return decimals, digits


def _inside(entries: Sequence[Entry], curves: Sequence[list[_Curve]]) -> list[set[int]]:
    """For every run, the others that it is a part of."""
    inside: list[set[int]] = [set() for _ in entries]
    everything = [curve for series in curves for curve in series]
    if any(
        series and not series[0].held_out for series in curves
    ):  # train series of runs with evals may hold those of runs without
        for number, series in enumerate(curves):
            if series and series[0].held_out:
                everything += _train_curves(entries[number].run, number)
    if not everything:
        return inside
    by_owner: list[list[_Curve]] = [[] for _ in entries]
    for curve in everything:
        by_owner[curve.owner].append(curve)
    index = _Index(everything, {_anchor(curve)[0] for series in curves for curve in series})
    related = _find_related([_training_folder(entry.folder) for entry in entries])
    for number, series in enumerate(curves):
        telling = [curve for curve in series if curve.distinct > 2]
        if telling:
            others = min((index.near(*_anchor(curve)) for curve in telling), key=len)
        elif series:
            others = related(number)
        else:
            continue
        for other in others:
            if other != number and _is_in(series, by_owner[other], by_name=not telling):
                inside[number].add(other)
    return inside


def _anchor(curve: _Curve) -> tuple[float, float]:
    """Step and value of the last finite point: it tells runs apart best."""
    finite = np.flatnonzero(np.isfinite(curve.value))
    at = int(finite[-1]) if len(finite) else -1
    return float(curve.step[at]), float(curve.value[at])


class _Index:
    """Which series pass near a point. Only the steps that will be asked for are looked up."""

    def __init__(self, curves: Sequence[_Curve], steps: set[float]) -> None:
        wanted = np.array(sorted(steps))
        indices, values, owners = [], [], []
        for curve in curves:
            at = np.searchsorted(curve.step, wanted)
            hit = np.flatnonzero(
                (at < len(curve.step)) & (curve.step[np.minimum(at, len(curve.step) - 1)] == wanted)
            )
            indices.append(hit)
            values.append(curve.value[at[hit]])
            owners.append(np.full(len(hit), curve.owner))
        index, value, owner = np.concatenate(indices), np.concatenate(values), np.concatenate(owners)
        order = np.lexsort((value, index))
        self._value, self._owner = value[order], owner[order]
        self._bounds = {step: (int(low), int(high)) for step, low, high in _runs_of(wanted, index[order])}

    def near(self, step: float, value: float) -> set[int]:
        """Owners of series that have about this value at this step, as far as rounding to four digits may
        hide it.
        """
        low, high = self._bounds.get(step, (0, 0))
        values = self._value[low:high]
        reach = max(6e-4 * abs(value), 6e-5)
        first, last = (
            np.searchsorted(values, value - reach),
            np.searchsorted(values, value + reach, side="right"),
        )
        return set(self._owner[low:high][first:last].tolist())


def _runs_of(wanted: npt.NDArray[np.float64], index: npt.NDArray[np.int64]) -> list[tuple[float, int, int]]:
    low = np.searchsorted(index, np.arange(len(wanted)))
    high = np.searchsorted(index, np.arange(len(wanted)), side="right")
    return list(zip(wanted.tolist(), low.tolist(), high.tolist(), strict=True))


def _is_in(curves: Sequence[_Curve], others: Sequence[_Curve], *, by_name: bool) -> bool:
    def is_there(curve: _Curve) -> bool:
        candidates = [other for other in others if other.held_out or not curve.held_out]
        if by_name:
            candidates = [other for other in candidates if canonical(other.name) == canonical(curve.name)]
        return any(_is_prefix(curve, other) for other in candidates)

    return all(is_there(curve) for curve in curves)


def _is_prefix(curve: _Curve, other: _Curve) -> bool:
    size = len(curve.step)
    if size > len(other.step) or not np.array_equal(curve.step, other.step[:size]):
        return False
    a, b = curve.value, other.value[:size]
    with np.errstate(over="ignore", invalid="ignore"):
        same = (a.astype(np.float32) == b.astype(np.float32)) | (a == b) | (np.isnan(a) & np.isnan(b))
        if same.all():
            return True
        if not np.isfinite(a[~same]).all() or not np.isfinite(b[~same]).all():
            return False
        gap, size_of = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        # to the digits of the coarser side, and one unit of float32 for the other
        reach = np.zeros(size)
        for decimals, digits in ((curve.decimals, curve.digits), (other.decimals, other.digits)):
            if 4 <= digits <= 10:
                exponent = np.floor(np.log10(np.where(size_of > 0, size_of, 1.0)))
                reach = np.maximum(reach, 0.5 * np.maximum(10.0 ** (exponent - digits + 1), 10.0**-decimals))
        return bool((same | (gap <= reach * 1.001 + 6e-8 * size_of)).all() and reach.any())


def _training_folder(folder: Path) -> Path:
    """The folder of the training as a whole: above ``checkpoint-500`` and ``runs/…``."""
    parts = list(folder.parts)
    for number, part in enumerate(parts):
        if number and (
            re.fullmatch(r"checkpoint-\d+", part) or part in ("runs", "tb", "tensorboard", "events")
        ):
            return Path(*parts[:number])
    return folder


def _find_related(folders: Sequence[Path]) -> Callable[[int], set[int]]:
    """A look-up of the runs in the same folder as a run, or in one above or below it."""
    home: dict[Path, set[int]] = {}
    for number, folder in enumerate(folders):
        home.setdefault(folder, set()).add(number)
    near = {folder: set(numbers) for folder, numbers in home.items()}
    for folder, numbers in home.items():
        for above in folder.parents:
            if above in home:
                near[folder] |= home[above]
                near[above] |= numbers
    return lambda number: near[folders[number]]


def _complete(kept: Run, dropped: Run) -> Run:
    """The run with what another log of it knows besides."""
    names = list(_STATIC)
    if dropped.trained_steps >= kept.trained_steps:
        names += _FINAL
    here, there = kept.info.stated(), dropped.info.stated()
    facts = dict(here)
    for name in names:
        value, stated = there.get(name), here.get(name)
        if name == "monitor" and value:
            value = kept.find_metric(value)
        elif name == "modes" and value:  # under the names that the kept log has; the others say nothing of it
            value = {
                spelling: mode
                for metric, mode in value.items()
                if (spelling := kept.find_metric(metric)) is not None
            }
        if not value:
            continue
        if not stated:
            facts[name] = value
        elif isinstance(value, Mapping) and isinstance(stated, Mapping):
            facts[name] = {**value, **stated}
    columns = dict(kept.columns)
    if len(kept) and len(dropped):
        at = np.searchsorted(dropped.steps, kept.steps)
        if (at < len(dropped)).all() and np.array_equal(dropped.steps[at], kept.steps):
            columns |= {
                name: Column(values[at], present[at])
                for name, (values, present) in dropped.columns.items()
                if name in _COMPANIONS and name not in columns and present[at].all()
            }
    return kept.replace(info=RunInfo.of(facts), columns=columns)

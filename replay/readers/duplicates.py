"""Finds runs that are the same run: checkpoints that are parts of it, copies, and logs in several formats.

The data decide, never the names. Run A is in run B if every held-out series of A agrees with some held-out
series of B (`replay.readers.agreement`). Runs without evals are compared by their train series in the same
way, except those series that follow a schedule.

A log that states no steps may be of the last process alone: in the same training folder it is in run B if
every series is the end of the one of its name.

A series with fewer than three different values could be anyone's. Runs that have no other must agree in every
metric by name, and in whatever else both log at the same steps. They are compared with runs of the same
training folder, with their copies, and, where two different values have the digits to tell runs apart, with
all runs.
"""

from __future__ import annotations

import filecmp
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, note
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import COUNTERS, Column, Run, Series
from replay.data.types import Floats
from replay.readers.agreement import LoggedCurve, agreement, equal_values, logged_curve, measure_together
from replay.readers.precedence import Entry, precedence
from replay.readers.printed import is_console_of, kept_whole, placed_by_epoch
from replay.readers.series_names import words

__all__ = ["Entry", "merge", "training_folder"]

_SCHEDULE = {"lr", "learning", "epoch", "momentum", "decay", "beta1", "percentage"}
#: What may be a folder inside that of a training.
_INNER = re.compile(r"checkpoint-|runs|tb|tensorboard|events")
#: The format whose runs say least: what a terminal showed of runs that other files log.
_PRINTED = "text"
#: Digits of a value that two runs do not share by chance.
_SURE = 8
#: Digits of two values together.
_SURE_OF_TWO = 10
_COMPANIONS = {*COUNTERS, "epoch", "wall_time", "saved", "train_loss", "learning_rate", "grad_norm"}
#: Points that are looked up at a time.
_BATCH = 100_000
#: Steps of two logs of one run may be off by one.
_SHIFTS = np.array([-1.0, 0.0, 1.0])
#: What is true of a run from its begin, so that a checkpoint of it knows it as well as the whole.
_STATIC = (
    "contradicted_modes",
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
    "validation_sets",
    "versions",
)
#: What is only true of the run at its end, or of the whole curve.
_FINAL = ("stopped_by", "total_flos", "train_runtime", "trained_tokens")


def merge(entries: Sequence[Entry]) -> tuple[dict[int, Run], list[tuple[int, int]]]:
    """The runs to keep by the index of their entry, in order, and pairs of indices (dropped, kept).

    Of equal runs the one that comes first by `PRECEDENCE` is kept. What a dropped one knows and the kept one
    does not (settings, time, what stopped it) is added to the kept run.
    """
    curves = [_curves(entry.run, number) for number, entry in enumerate(entries)]
    related = _find_related([training_folder(entry.folder) for entry in entries])
    order = sorted(range(len(entries)), key=lambda number: (*precedence(entries[number]), number))
    position = {number: at for at, number in enumerate(order)}
    inside = _inside(entries, curves, related, order)
    whole = kept_whole([entry.run for entry in entries], curves, inside)
    for number, other in whole:
        inside[number].discard(other)
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
        near = kept in related(number)
        findings = _disagreements(entries[number], curves[number], curves[kept], near=near)
        if (kept, number) in whole:
            findings.append(note(Kind.MORE_DIGITS, file=_file_of(entries[number])))
        runs[kept] = _complete(runs[kept], entries[number].run, findings)
    return runs, pairs


def _disagreements(
    entry: Entry, curves: Sequence[LoggedCurve], others: Sequence[LoggedCurve], *, near: bool
) -> list[Finding]:
    """A finding for each metric whose values differ between a dropped log and the run that is kept, and one
    on where an interrupted process logged what the kept run does not have.
    """
    findings = []
    forks: list[tuple[float, int]] = []
    for curve in curves:
        found = [(agreed, other) for other in others if (agreed := agreement(curve, other, near=near))]
        if not found:
            continue
        agreed, other = max(
            found,
            key=lambda one: (
                one[0].equal,
                -len(one[0].differing),
                canonical(one[1].name) == canonical(curve.name),
            ),
        )
        if not agreed.differing:
            continue
        at = agreed.differing[0]
        step = float(other.step[agreed.places[at]])
        if agreed.forks(other):
            forks.append((step, len(agreed.differing)))
            continue
        facts = {
            "metric": other.name,
            "step": step,
            "kept": float(other.value[agreed.places[at]]),
            "other": float(curve.value[at]),
            "count": len(agreed.differing),
            "file": _file_of(entry),
        }
        findings.append(note(Kind.LOGS_DISAGREE, **facts))
    if forks:
        replaced = sum(count for _, count in forks)
        findings.append(note(Kind.RESUMED, steps=(min(forks)[0],), replaced=replaced))
    return findings


def _file_of(entry: Entry) -> str:
    return entry.run.info.sources[0] if entry.run.info.sources else str(entry.folder)


def _curves(run: Run, owner: int) -> list[LoggedCurve]:
    """The held-out series of a run, or its train series where it has none, then marked as such."""
    curves = []
    if len(run):
        for name in run.metrics:
            values, present = run.columns[name]
            logged = np.count_nonzero(present)
            if logged == len(present):
                curves.append(logged_curve(owner, name, Series(run.steps, values), held_out=True))
            elif logged:
                curves.append(
                    logged_curve(owner, name, Series(run.steps[present], values[present]), held_out=True)
                )
    if not curves:
        for name, series in run.train.items():
            if len(series.step) and not _SCHEDULE & set(words(name)):
                curves.append(logged_curve(owner, name, series, held_out=False))
    return curves


def _train_curves(run: Run, owner: int) -> list[LoggedCurve]:
    return [
        logged_curve(owner, name, series, held_out=False)
        for name, series in run.train.items()
        if len(series.step)
    ]


def _by_epoch(run: Run, curves: Sequence[LoggedCurve]) -> list[LoggedCurve]:
    """The held-out series of a run as a log of it that counts epochs has them."""
    column = run.columns.get("epoch")
    if run.info.step_unit != "step" or column is None:
        return []
    epochs = np.where(column.present, column.values, np.nan)
    placed = []
    for curve in curves:
        step = epochs[np.searchsorted(run.steps, curve.step)] if curve.held_out else np.empty(0)
        if len(step) > 1 and (np.diff(step) > 0).all():
            placed.append(replace(curve, name=f"{curve.name} by epoch", step=step))
    return placed


def _inside(
    entries: Sequence[Entry],
    curves: Sequence[list[LoggedCurve]],
    related: Callable[[int], set[int]],
    order: Sequence[int],
) -> list[set[int]]:
    """For every run, the others that it is a part of; ``related`` gives those in the same training folder.

    Runs are looked at from the longest to the shortest, equal ones in the ``order`` of precedence. What is
    exactly the beginning of one is part of whatever that is part of, so that a thousand checkpoints or copies
    of a run need not be compared pair by pair.
    """
    inside: list[set[int]] = [set() for _ in entries]
    everything = [curve for series in curves for curve in series]
    some_have_no_evals = any(series and not series[0].held_out for series in curves)
    if some_have_no_evals:  # train series of runs with evals may hold those of runs without
        for number, series in enumerate(curves):
            if series and series[0].held_out:
                everything += _train_curves(entries[number].run, number)
    # event files of mmengine have its metrics by epoch, under names that say nothing of a set
    if some_have_no_evals or any(entry.run.info.step_unit == "epoch" for entry in entries):
        for number, entry in enumerate(entries):
            everything += _by_epoch(entry.run, curves[number])
    if not everything:
        return inside
    by_owner: list[list[LoggedCurve]] = [[] for _ in entries]
    for curve in everything:
        by_owner[curve.owner].append(curve)
    measure_together([curve for series in curves for curve in series])
    asked = [_telling(series) for series in curves]
    longest_first = sorted(order, key=lambda number: -sum(len(curve.step) for curve in curves[number]))
    turn = {number: at for at, number in enumerate(longest_first)}
    points = [point for number in longest_first for curve in asked[number][1] for point in curve.anchors]
    found = iter(_Index(everything, {step for step, _ in points}).near(points) if points else [])
    ends: _Ends | None = None
    for number in longest_first:
        series = curves[number]
        if not series:
            continue
        telling, chosen = asked[number]
        near = related(number)
        others = set(near)
        if chosen:
            seen = [set[int]().union(*(next(found) for _ in curve.anchors)) for curve in chosen]
            others = min(seen, key=len) | (others if len(others) < 8 else set())
        elif entries[number].run.info.sources:
            others |= {other for other in range(len(entries)) if _is_copy(entries[number], entries[other])}
        if telling:
            longer = sorted((other for other in others if turn[other] < turn[number]), key=turn.__getitem__)
            run = entries[number].run
            whole = next(
                (
                    other
                    for other in longer[-2:]
                    if _begins(series, by_owner[other]) and not _are_told_apart(run, entries[other].run)
                ),
                None,
            )
            if whole is not None:
                inside[number] |= {whole, *inside[whole]}
                continue
        for other in others - {number}:
            if telling:
                same = _is_in(series, by_owner[other], near=other in near)
            else:
                same = _is_in(series, by_owner[other], near=other in near, by_name=True) and (
                    other in near or not _contradict(entries[number].run, entries[other].run)
                )
            if same and not _are_told_apart(entries[number].run, entries[other].run):
                inside[number].add(other)
        if telling and not inside[number] and _numbers_rows(series):
            ends = ends or _Ends(everything)
            longer_logs = near & ends.of_longer(series[0])
            inside[number] |= {other for other in longer_logs if _ends(series, by_owner[other])}
        if entries[number].run.info.format == _PRINTED:
            text = entries[number].run
            for other in near - {number}:
                run = entries[other].run
                if run.info.format == _PRINTED:
                    continue
                placed = placed_by_epoch(series, text, run)
                shows = placed is not None and _shows(placed, by_owner[other])
                if shows or (is_console_of(text, run) and len(text) <= len(run)):
                    inside[number].add(other)
                    if len(text) > len(run) and placed is not series:
                        inside[other].add(number)
    return inside


def _telling(series: Sequence[LoggedCurve]) -> tuple[bool, list[LoggedCurve]]:
    """Whether some series have enough different values to tell runs apart, and these; else those that have
    two with the digits for it.
    """
    telling = [curve for curve in series if curve.distinct > 2]
    if telling:
        return True, telling
    return False, [curve for curve in series if curve.distinct == 2 and curve.digits >= 2]


def _begins(curves: Sequence[LoggedCurve], others: Sequence[LoggedCurve]) -> bool:
    """Whether every series is, bit for bit, the beginning of the one of its name."""
    named = {(other.name, other.held_out): other for other in others}
    for curve in curves:
        other = named.get((curve.name, curve.held_out))
        size = len(curve.step)
        if other is None or curve.step.tobytes() != other.step[:size].tobytes():
            return False
        if curve.value.tobytes() != other.value[:size].tobytes():
            return False
    return True


def _numbers_rows(curves: Sequence[LoggedCurve]) -> bool:
    """Whether all series have the steps 1, 2, 3, as of a log that states none."""
    return all(curve.held_out and curve.step[0] == 1 and (np.diff(curve.step) == 1).all() for curve in curves)


def _ends(curves: Sequence[LoggedCurve], others: Sequence[LoggedCurve]) -> bool:
    """Whether every series is the end of the one of its name: a resumed process dumps only its own epochs,
    and numbers them from 1.
    """
    named = {canonical(other.name): other for other in others if other.held_out}
    told = False
    for curve in curves:
        other = named.get(canonical(curve.name))
        before = 0 if other is None else len(other.step) - len(curve.step)
        if other is None or before <= 0:
            return False
        if not equal_values(curve, other, np.arange(before, len(other.step))).all():
            return False
        told |= curve.distinct > 2 and curve.digits >= 4
    return told


def _shows(printed: Sequence[LoggedCurve], logged: Sequence[LoggedCurve]) -> bool:
    """Whether a text shows the run that a file beside it logs.

    As far as both go, each curve is there, whatever its name. Either log may be cut off, and so may lack the
    last evals, or a name, and the text may begin in the middle, as a model card after a resume does; then
    another value, or two, have so many digits that they cannot be those of a second run.
    """
    names = {canonical(other.name) for other in logged}
    sure = False
    for curve in printed:
        agreed = 0
        for other in logged:
            shared = _since(other, curve)
            size = min(len(curve.step), len(shared.step))
            if size and other.held_out == curve.held_out:
                same = agreement(_first(curve, size), _first(shared, size), near=True)
                agreed = max(agreed, 0 if same is None else same.equal)
        if not agreed and canonical(curve.name) in names:
            return False
        sure |= agreed > 2 or agreed * curve.digits >= (_SURE if agreed == 1 else _SURE_OF_TWO)
    return sure


def _since(other: LoggedCurve, curve: LoggedCurve) -> LoggedCurve:
    """A curve from the first step of another on, where it has that step or one beside it."""
    if not len(curve.step) or not len(other.step):
        return other
    first = float(curve.step[0])
    at = int(np.searchsorted(other.step, first))
    if at == len(other.step) or other.step[at] != first:
        at = int(np.searchsorted(other.step, first - 1))
    return replace(other, step=other.step[at:], value=other.value[at:])


def _first(curve: LoggedCurve, size: int) -> LoggedCurve:
    return replace(curve, step=curve.step[:size], value=curve.value[:size])


def _is_copy(entry: Entry, other: Entry) -> bool:
    """Whether two runs were read from one file each, and these are equal byte by byte."""
    files = [*entry.run.info.sources, *other.run.info.sources]
    if len(files) != 2 or len(other.run.info.sources) != 1 or files[0] == files[1]:
        return False
    try:
        return filecmp.cmp(files[0], files[1], shallow=False)
    except OSError:
        return False


def _are_told_apart(run: Run, other: Run) -> bool:
    """Whether one file holds both runs and their training differs: seeds whose scores happen to be equal."""
    return (
        len(run.info.sources) == 1
        and tuple(run.info.sources) == tuple(other.info.sources)
        and _contradict(run, other)
    )


def _contradict(run: Run, other: Run) -> bool:
    """Whether two runs log different values of one name at the same step."""
    names = {canonical(name): name for name in other.train}
    for name, series in run.train.items():
        if canonical(name) not in names:
            continue
        a = logged_curve(0, name, series, held_out=False)
        b = logged_curve(1, name, other.train[names[canonical(name)]], held_out=False)
        shared, here, there = np.intersect1d(a.step, b.step, return_indices=True)
        if len(shared) and not equal_values(replace(a, value=a.value[here]), b, there).all():
            return True
    return False


class _Ends:
    """Which held-out series end with about the same value, so that not every pair of logs is compared."""

    def __init__(self, curves: Sequence[LoggedCurve]) -> None:
        self._named: dict[str, list[LoggedCurve]] = {}
        for curve in curves:
            if curve.held_out and len(curve.step):
                self._named.setdefault(canonical(curve.name), []).append(curve)
        self._sizes = {
            name: np.array([len(curve.step) for curve in alike]) for name, alike in self._named.items()
        }
        self._lasts: dict[str, tuple[Floats, Floats]] = {}  # last values, and what rounding may hide of them

    def of_longer(self, curve: LoggedCurve) -> set[int]:
        """The owners of longer series of this name that may end like this one, whatever rounding hides."""
        name, value = canonical(curve.name), curve.value[-1]
        if name not in self._sizes or not (longer := self._sizes[name] > len(curve.step)).any():
            return set()
        alike = self._named[name]
        if name not in self._lasts:
            last = np.array([other.value[-1] for other in alike])
            self._lasts[name] = last, np.array([_rounding(other) for other in alike])
        last, rounding = self._lasts[name]
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(last - value) <= rounding + _rounding(curve) + 1e-6 * np.abs(value)
        near |= (last == value) | (np.isnan(last) & np.isnan(value))
        return {alike[at].owner for at in np.flatnonzero(near & longer).tolist()}


def _rounding(curve: LoggedCurve) -> float:
    """More than rounding can have changed in the last value of a series."""
    size = abs(float(curve.value[-1]))
    if not 4 <= curve.digits <= 10 or not math.isfinite(size):
        return 0.0
    exponent = math.floor(math.log10(size)) if size else 0
    return 10.0 * max(10.0 ** (exponent - curve.digits + 1), 10.0**-curve.decimals)


class _Index:
    """Which series pass near a point. Only the steps that will be asked for are looked up."""

    def __init__(self, curves: Sequence[LoggedCurve], steps: Iterable[float]) -> None:
        self._wanted = np.unique(np.array(list(steps))[:, None] + _SHIFTS)
        indices, values, owners = [], [], []
        for together in _batches(curves):
            step = np.concatenate([curve.step for curve in together])
            value = np.concatenate([curve.value for curve in together])
            at = np.minimum(np.searchsorted(self._wanted, step), len(self._wanted) - 1)
            hit = np.flatnonzero((self._wanted[at] == step) & np.isfinite(value))
            indices.append(at[hit])
            values.append(value[hit])
            sizes = [len(curve.step) for curve in together]
            owners.append(np.repeat([curve.owner for curve in together], sizes)[hit])
        value, owner = np.concatenate(values), np.concatenate(owners)
        keys = _keys(np.concatenate(indices), value)
        order = np.argsort(keys)
        self._keys, self._value, self._owner = keys[order], value[order], owner[order]
        self._rounded = _is_rounded(self._value)

    def near(self, points: Sequence[tuple[float, float]]) -> list[set[int]]:
        """For each point, the owners of series that have about its value at its step or one beside it, as far
        as rounding to four digits may hide it. Of two values with more than ten digits, neither was rounded.
        """
        step, value = np.array(points).reshape(-1, 2).T
        rounded = _is_rounded(value)
        reach = np.maximum(6e-4 * np.abs(value), 6e-5)
        owners: list[set[int]] = [set() for _ in points]
        for shift in _SHIFTS.tolist():
            at = np.searchsorted(self._wanted, step + shift)
            first = np.searchsorted(self._keys, _keys(at, value - reach))
            last = np.searchsorted(self._keys, _keys(at, value + reach), side="right")
            counts = last - first
            point = np.repeat(np.arange(len(points)), counts)
            found = np.arange(len(point)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
            close = np.abs(self._value[found] - value[point]) <= 4e-7 * np.abs(value[point])
            kept = rounded[point] | self._rounded[found] | close
            for number, owner in zip(point[kept].tolist(), self._owner[found[kept]].tolist(), strict=True):
                owners[number].add(owner)
        return owners


def _keys(index: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Complex numbers, which are sorted by their real parts first."""
    keys = np.empty(len(index), dtype=np.complex128)
    keys.real, keys.imag = index, value
    return keys


def _batches(curves: Sequence[LoggedCurve]) -> Iterator[list[LoggedCurve]]:
    """Curves in groups of a limited number of points."""
    together: list[LoggedCurve] = []
    size = 0
    for curve in curves:
        together.append(curve)
        size += len(curve.step)
        if size > _BATCH:
            yield together
            together, size = [], 0
    if together:
        yield together


def _is_rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which values have no more than ten significant digits, as far as that can be told fast."""
    finite = np.isfinite(values) & (np.abs(values) > 1e-200) & (np.abs(values) < 1e200)
    sizes = np.abs(np.where(finite, values, 1.0))
    scale = 10.0 ** (10 - np.floor(np.log10(sizes)))
    rounded: npt.NDArray[np.bool_] = np.abs(np.rint(sizes * scale) / scale - sizes) <= 1e-15 * sizes
    return rounded | ~finite


def _is_in(
    curves: Sequence[LoggedCurve], others: Sequence[LoggedCurve], *, near: bool, by_name: bool = False
) -> bool:
    """Whether every series agrees with one of the others.

    What is not simply the beginning of the other needs more to tell it: three equal values, or two in the
    ``near`` (the same training folder), or one where it has all metrics of that name there, to many digits:
    a tracker may store the evaluation after the training as a run of its own.
    """
    plain, exact, most, digits = True, near and by_name, 0, 0
    for curve in curves:
        candidates = [other for other in others if other.held_out or not curve.held_out]
        if by_name:
            candidates = [other for other in candidates if canonical(other.name) == canonical(curve.name)]
        found = [agreed for other in candidates if (agreed := agreement(curve, other, near=near)) is not None]
        if not found:
            return False
        best = max(found, key=lambda agreed: (agreed.is_prefix, agreed.equal))
        plain &= best.is_prefix
        exact &= not best.shift and not best.differing
        if curve.digits >= 4:
            most = max(most, best.equal)
            digits = max(digits, curve.digits)
    return plain or most >= (2 if near else 3) or (exact and digits >= _SURE)


def training_folder(folder: Path) -> Path:
    """The folder of the training as a whole: above ``checkpoint-500`` and ``runs/…``."""
    if _INNER.search(str(folder)) is None:
        return folder
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
    known: dict[Path, tuple[Path, ...]] = {}
    for folder, numbers in home.items():
        parent = folder.parent
        if parent not in known:
            known[parent] = tuple(above for above in (parent, *parent.parents) if above in home)
        for above in known[parent]:
            if above != folder:
                near[folder] |= home[above]
                near[above] |= numbers
    return lambda number: near[folders[number]]


def _complete(kept: Run, dropped: Run, findings: Sequence[Finding]) -> Run:
    """The run with what another log of it knows besides, and the findings on where they differ."""
    names = list(_STATIC)
    if dropped.trained_steps >= kept.trained_steps:
        names += _FINAL
    if dropped.info.step_unit != kept.info.step_unit:
        names.remove("planned_steps")
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
    resumed = [one for one in (*dropped.info.findings, *findings) if one.kind is Kind.RESUMED]
    if resumed and dropped.info.step_unit != kept.info.step_unit:
        resumed = _in_steps(kept, resumed[0])
    if kept.info.resumes:  # its own log shows where
        resumed = []
    elif resumed:
        facts["resumes"] = resumed[0]["steps"]
    others = [one for one in findings if one.kind is not Kind.RESUMED]
    facts["findings"] = [*kept.info.findings, *others, *resumed[:1]]
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


def _in_steps(run: Run, resumed: Finding) -> list[Finding]:
    """Where a log that counts epochs says that a run was resumed, in the steps of the run; empty where it
    has no epochs.
    """
    column = run.columns.get("epoch")
    if run.info.step_unit != "step" or column is None or not column.present.any():
        return []
    epochs, steps = column.values[column.present], run.steps[column.present]
    at = np.interp(resumed["steps"], np.append(0.0, epochs), np.append(0.0, steps))
    return [replace(resumed, facts={**resumed.facts, "steps": tuple(np.rint(at).tolist())})]

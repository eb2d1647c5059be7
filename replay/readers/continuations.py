"""Joins the logs of processes of one training: a resumed process may have written files of its own.

The steps must say it: the later log begins in the middle, with what was due next where the earlier one ended
or before that, and comes further. Logs are compared where their places differ by what counts processes alone
(``version_0`` and ``version_1``, dates, ``log_2.csv``), where a tracker stores them as runs of one name, and
where they share evals with the same values. What the earlier process logged from the first step of the later
one on is void, and reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import COUNTERS, Column, Run, Series
from replay.data.types import Floats
from replay.readers.duplicates import Entry, training_folder
from replay.readers.processes import Span, begins_in_the_middle, begins_later, goes_on_from
from replay.readers.shared_arrays import Known

__all__ = ["Piece", "find_continuations", "join_runs", "piece_of", "places_of"]

#: Words of a name that say nothing of what was trained, so that two names may be those of two processes.
_PROCESS_WORDS = frozenset(
    """
    version run runs attempt part parts resume resumed resuming continue continued cont segment seg process
    proc job slurm restart restarted log logs metrics events history train training trainer try session csv
    jsonl json txt tsv out stdout checkpoint jan feb mar apr may jun jul aug sep oct nov dec
    """.split()
)
#: Of these words, those that only a later process has.
_LATER_WORDS = frozenset({"resume", "resumed", "resuming", "continue", "continued", "cont"})
_DATE_AND_HOST = re.compile(r"[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_.+")
#: Evals of equal value that two logs must share to be of one training, and the same within one folder.
_SHARED, _SHARED_NEAR = 3, 2


#: The clocks of two machines differ by no more than a day, in seconds, and what both processes logged of one
#: training by no more than this share.
_CLOCKS_APART, _CLOSE = 86_400.0, 0.01


@dataclass(frozen=True)
class Piece:
    """What one process of a training may have logged: its entry, its steps, and where it lies."""

    entry: Entry
    span: Span
    place: tuple[str, ...]

    def shares_a_name(self, other: Piece) -> bool:
        """Whether both log the same metric, or the same train series where a process made no eval yet."""
        run, theirs = self.entry.run, other.entry.run
        names, others = run.metrics, theirs.metrics
        if not names or not others:
            names, others = tuple(run.train), tuple(theirs.train)
        return not set(map(canonical, names)).isdisjoint(map(canonical, others))


def find_continuations(entries: Sequence[Entry]) -> list[list[int]]:
    """Chains of entries that are one training, as indices from the first process to the last."""
    pieces = [piece_of(entry) for entry in entries]
    near: dict[
        object, dict[object, list[int]]
    ] = {}  # in groups that begin alike: none of them follows another
    places = [places_of(piece) for piece in pieces]
    for number, piece in enumerate(pieces):
        for key in places[number]:
            near.setdefault(key, {}).setdefault(piece.span.begins, []).append(number)
    follower: dict[int, int] = {}
    leader: dict[int, int] = {}
    for later in sorted(range(len(pieces)), key=lambda number: pieces[number].span.first):
        piece = pieces[later]
        others = {
            number
            for key in places[later]
            for alike in near[key].values()
            if begins_later(piece.span, pieces[alike[0]].span)
            for number in alike
        }
        candidates = [
            number
            for number in sorted(others - {later})
            if number not in follower and _goes_on(piece, pieces[number])
        ]
        if candidates:
            earlier = max(candidates, key=lambda number: _closeness(pieces[number], number, later))
            follower[earlier], leader[later] = later, earlier
    for alike in (group for groups in near.values() for group in groups.values() if len(group) > 1):
        if begins_in_the_middle(pieces[alike[0]].span):
            _insert_retries(
                sorted(set(alike), key=lambda one: pieces[one].span.last), pieces, follower, leader
            )
    chains = []
    for first in sorted(set(follower) - set(leader)):
        chain = [first]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        chains.append(chain)
    return chains


def _insert_retries(
    alike: Sequence[int], pieces: Sequence[Piece], follower: dict[int, int], leader: dict[int, int]
) -> None:
    """Put processes that took a training up at the same checkpoint behind each other: the first of them was
    killed before it saved another one.
    """
    for earlier, later in pairwise(alike):
        if earlier in follower or (earlier in leader) == (later in leader):
            continue
        one, other = pieces[earlier], pieces[later]
        if one.place != other.place or _format(one) != _format(other) or not one.span.last < other.span.last:
            continue
        if not _are_close(other.entry.run, one.entry.run):
            continue
        if later in leader:
            first = leader[later]
            follower[first], leader[earlier] = earlier, first
        follower[earlier], leader[later] = later, earlier


def places_of(piece: Piece) -> tuple[object, object]:
    """Where the processes of one training lie together."""
    return (piece.entry.run.info.format, piece.place), training_folder(piece.entry.folder)


def piece_of(entry: Entry) -> Piece:
    """An entry with its steps and its place."""
    run = entry.run
    arrays = [run.steps, *(run.columns[name].present for name in run.metrics)]
    arrays += [series.step for series in run.train.values()]
    span = _SPANS.get(arrays, (run.metrics, *run.train), lambda: Span(_steps_of(run)))
    wall = run.columns.get("wall_time")
    if wall is not None and wall.present.any():
        times = wall.values[wall.present]
        span = Span(span.steps, float(times.min()), float(times.max()))
    path: Path | str = entry.folder
    if run.info.format != "tensorboard" and len(run.info.sources) == 1:
        path = run.info.sources[0]
    folder, name = os.path.split(path)
    place = (*_patterns(folder), _pattern(name))
    shown = run.info.extra.get("run_name")
    if isinstance(shown, str) and shown:  # a tracker stores each process as a run of the same name
        place = (run.info.group or "", shown)
    return Piece(entry, span, place)


#: Of runs with the same steps.
_SPANS: Known[Span] = Known(64)


def _steps_of(run: Run) -> dict[str, Floats]:
    """The steps of each series of a run, by a name that all processes share."""
    steps: dict[str, Floats] = {}
    for name in run.metrics:
        present = run.columns[name].present
        steps[canonical(name)] = run.steps if present.all() else run.steps[present]
    for name, series in run.train.items():
        steps.setdefault(canonical(name), series.step)
    return steps


@lru_cache(4096)
def _patterns(folder: str) -> tuple[str, ...]:
    """The parts of the path of a folder, without what counts processes."""
    return tuple(map(_pattern, Path(folder).parts))


@lru_cache(4096)
def _pattern(part: str) -> str:
    """A part of a path without what counts processes."""
    if _DATE_AND_HOST.fullmatch(part):
        return "*"
    words = re.findall(r"[A-Za-z]+", part)
    if all(word.lower() in _PROCESS_WORDS for word in words):
        return " ".join(["*", *(word for word in words if word.lower() not in _LATER_WORDS)])
    return part


def _goes_on(later: Piece, earlier: Piece) -> bool:
    """Whether one log goes on where another ended, by steps and times, or by the evals that they share."""
    if not later.shares_a_name(earlier) or not later.span.last > earlier.span.last:
        return False
    equal, differing = _shared(later.entry.run, earlier.entry.run)
    near = training_folder(later.entry.folder) == training_folder(earlier.entry.folder)
    if equal >= (_SHARED_NEAR if near else _SHARED) and not differing:
        return later.span.first > earlier.span.first
    same_place = later.place == earlier.place and _format(later) == _format(earlier)
    if not (same_place or (near and _format(later) != _format(earlier))):
        return False
    if not goes_on_from(later.span, earlier.span):
        return False
    before, after = earlier.span.began, later.span.began
    if before is None or after is None or before <= after or later.span.first > earlier.span.last:
        return True
    return before - after < _CLOCKS_APART and _are_close(later.entry.run, earlier.entry.run)


def _format(piece: Piece) -> str | None:
    return piece.entry.run.info.format


def _shared(one: Run, other: Run) -> tuple[int, int]:
    """How many different values of evals at the same step are equal in both runs, and how many differ."""
    equal: set[float] = set()
    differing = 0
    names = {canonical(name): name for name in other.metrics}
    for name in one.metrics:
        if (theirs := names.get(canonical(name))) is None:
            continue
        a, b = one.columns[name], other.columns[theirs]
        steps, here, there = np.intersect1d(one.steps[a.present], other.steps[b.present], return_indices=True)
        ours, others = a.values[a.present][here], b.values[b.present][there]
        same = np.isclose(ours, others, rtol=2e-7, atol=0.0)
        equal |= set(ours[same].tolist())
        differing += int((~same).sum()) if len(steps) else 0
    return len(equal), differing


def _are_close(one: Run, other: Run) -> bool:
    """Whether the train series of two runs have about the same values at the steps that both logged."""
    names = {canonical(name): name for name in other.train}
    apart = []
    for name, series in one.train.items():
        if (theirs := names.get(canonical(name))) is None:
            continue
        again = other.train[theirs]
        _, here, there = np.intersect1d(series.step, again.step, return_indices=True)
        a, b = series.value[here], again.value[there]
        apart += (np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-12)).tolist()
    return len(apart) > 1 and float(np.median(apart)) <= _CLOSE


def _closeness(piece: Piece, number: int, later: int) -> tuple[float, ...]:
    """How likely a log is the one right before another: the latest, and in the order of names the next."""
    began = piece.span.began
    return (-np.inf if began is None else began, number < later, number if number < later else -number)


def join_runs(run_id: str, runs: Sequence[Run]) -> Run:
    """One run from those of the processes of a training, from the first to the last."""
    joined = runs[0]
    for later in runs[1:]:
        joined = _join(joined, later)
    return joined.replace(id=run_id)


def _join(earlier: Run, later: Run) -> Run:
    starts = [float(series.step[0]) for series in later.train.values() if len(series.step)]
    cut = min([*starts, *later.steps[:1].tolist()])
    kept = earlier.steps < cut
    metric_of = _spellings(earlier.metrics, later.metrics)
    series_of = _spellings(earlier.train, later.train)
    columns = {metric_of.get(name, name): column for name, column in later.columns.items()}
    before = earlier.columns.get("segment") or _full(np.zeros(len(earlier)))
    after = columns.get("segment") or _full(np.zeros(len(later)))
    columns["segment"] = after._replace(values=after.values + before.values.max(initial=0.0) + 1)
    merged = {}
    for name in dict.fromkeys([*earlier.columns, *columns]):
        first = before if name == "segment" else earlier.columns.get(name) or _absent(len(earlier))
        last = columns.get(name) or _absent(len(later))
        if name in COUNTERS and not name.startswith("eval_"):
            last = _counted_on(first, last)
        merged[name] = Column(
            np.concatenate([first.values[kept], last.values]),
            np.concatenate([first.present[kept], last.present]),
        )
    series = {series_of.get(name, name): one for name, one in later.train.items()}
    train = {
        name: _join_series(earlier.train.get(name), series.get(name), cut)
        for name in dict.fromkeys([*earlier.train, *series])
    }
    replaced = sum(int(earlier.columns[name].present[~kept].sum()) for name in earlier.metrics)
    return Run(earlier.id, merged, _join_info(earlier, later, cut, replaced), train)


def _spellings(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """The earlier log's spelling of each name of the later one, where it has it."""
    spelling = {canonical(name): name for name in names}
    return {name: spelling[canonical(name)] for name in others if canonical(name) in spelling}


def _full(values: Floats) -> Column:
    return Column(values, np.ones(len(values), dtype=bool))


def _absent(rows: int) -> Column:
    return Column(np.full(rows, np.nan), np.zeros(rows, dtype=bool))


def _counted_on(first: Column, last: Column) -> Column:
    """A counter of the later process, on top of what the earlier one counted where it began anew."""
    if not first.present.any() or not last.present.any():
        return last
    before = float(first.values[first.present][-1])
    began_anew = float(last.values[last.present][0]) < before
    return last._replace(values=last.values + before) if began_anew else last


def _join_series(first: Series | None, last: Series | None, cut: float) -> Series:
    if first is None:
        return last or Series(np.empty(0), np.empty(0))
    logged = np.empty(0) if last is None else last.step
    kept = first.step < cut
    if not (logged <= cut).any():
        kept |= first.step == cut  # a process that evaluates when it begins has no train loss of that step
    if last is None:
        return Series(first.step[kept], first.value[kept])
    return Series(
        np.concatenate([first.step[kept], last.step]), np.concatenate([first.value[kept], last.value])
    )


def _join_info(earlier: Run, later: Run, cut: float, replaced: int) -> RunInfo:
    """What both processes say; where they differ, what the later one says of the training."""
    before, after = earlier.info.stated(), later.info.stated()
    facts = {**before, **after}
    for name, value in after.items():
        if isinstance(value, Mapping) and isinstance(before.get(name), Mapping):
            facts[name] = {**before[name], **value}
    if earlier.info.train_runtime and later.info.train_runtime:
        facts["train_runtime"] = earlier.info.train_runtime + later.info.train_runtime
    else:
        facts.pop("train_runtime", None)  # that of one process says nothing of the steps of the other
    resumes = (*(step for step in earlier.info.resumes if step < cut), cut, *later.info.resumes)
    count = replaced
    findings: list[Finding] = []
    for finding in (*earlier.info.findings, *later.info.findings):
        if finding.kind is Kind.RESUMED:
            count += int(finding["replaced"])
        elif finding.kind is not Kind.MISSING_HEAD or finding in earlier.info.findings:
            findings.append(finding)
    findings.append(Finding(Kind.RESUMED, Severity.NOTE, facts={"steps": resumes, "replaced": count}))
    facts |= {
        "sources": (*earlier.info.sources, *later.info.sources),
        "resumes": resumes,
        "findings": findings,
        "trained_steps": max(later.trained_steps, cut),
        "cut_off": later.info.cut_off,
    }
    if later.info.eval_hint is None or len(earlier):
        facts.pop("eval_hint", None)
    return RunInfo.of(facts)

"""TensorBoard event files: every point, never sampled, from the files of one run together.

A run is a folder of event files (one per process), with those sub-folders that belong to it: ``train`` and
``validation`` (Keras, CatBoost, Estimators), one per series (``SummaryWriter.add_scalars``), one for
hyperparameters (``add_hparams``). The folder of a split is the prefix of its tags, so that ``epoch_loss`` of
both sides stays apart. The file names mean nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from replay.data.censoring import least_share
from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import Run
from replay.readers.assemble import assemble
from replay.readers.event_files import EventFile, Scalars, read_each
from replay.readers.event_folders import group_events, home_of, tag_names
from replay.readers.format import Format, Loaded, UnusableLog
from replay.readers.interleaved import name_sets
from replay.readers.placeholders import drop_placeholders_by_step
from replay.readers.points import Points, round_interval
from replay.readers.processes import Span, process_order
from replay.readers.records import first_record
from replay.readers.series_names import (
    companions_of,
    held_out_of,
    is_bookkeeping,
    per_batch,
    words,
)
from replay.readers.shared_arrays import shared
from replay.readers.tracker_settings import stated_monitor, with_known_monitor

__all__ = ["FORMAT"]

_RUNTIME = re.compile(r"(?:eval|test)/(?:.*_)?runtime")
_ONCE = {"train/train_runtime": "train_runtime", "train/total_flos": "total_flos"}
#: Host and number of the process, and which of its files this is.
_FILE_NAME = re.compile(r"events\.out\.tfevents\.\d+\.(.+\.\d+)\.(\d+)(?:\.v2)?")
_TOKENS = ("train/num_input_tokens_seen", "train/num_tokens")


def _sniff(path: Path, head: bytes) -> bool:
    data = first_record(head)
    if data is None:
        # a damaged or empty file is worth a word where its name says what it was
        return "tfevents" in path.name and (not head or b"\0" in head[:64])
    return data[:1] == b"\x09"  # Event.wall_time comes first, a double; records of a data set begin otherwise


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    findings: list[Finding] = []
    read = read_each(files, findings)
    used = [file for file in read if file.scalars]
    if not used:
        raise UnusableLog(*(findings or [_no_scalars(files, run_id, max(file.events for file in read))]))
    home = home_of(files)
    series, starts = _merge(used, home)
    settings: dict[str, Any] = {}
    for file in read:
        for name, value in file.settings.items():
            settings[name] = {**settings.get(name, {}), **value}
    facts: dict[str, Any] = {"format": FORMAT.name, "sources": files}
    facts |= _settings(settings)
    if any(tag.startswith("learn/") for tag in series):  # CatBoost, which stops on what it calls "test"
        facts["validation_sets"] = ("test",)
    for tag, name in _ONCE.items():
        if tag in series:
            facts[name] = float(series.pop(tag).value[-1])
    if "train_runtime" in facts:
        series.pop("train/train_loss", None)  # the mean over the run, which transformers logs once at its end
    per_epoch, dropped_tags = _drop_other_scale(series)
    if dropped_tags:
        facts["findings"] = [Finding(Kind.BATCH_STEPS, Severity.NOTE, facts={"tags": dropped_tags})]
    elif not starts and _has_no_steps(series):
        series = _numbered(series)
        facts["findings"] = [Finding(Kind.STEPS_NOT_LOGGED, Severity.NOTE)]
    runtimes = [tag for tag in series if _RUNTIME.fullmatch(tag)]
    held_out = {tag for tag in held_out_of(series) if not _RUNTIME.fullmatch(tag)}
    epoch = next((tag for tag in ("train/epoch", "epoch") if tag in series), None)
    counters = {tag: "tokens" for tag in _TOKENS if tag in series}
    held_out.discard("eval/num_tokens")  # TRL repeats there how many tokens were trained on
    dropped = {tag for tag in series if is_bookkeeping(tag) or tag in ("hp_metric", "eval/num_tokens")}
    dropped -= {*held_out, *counters, epoch}
    points, filled = drop_placeholders_by_step(
        {tag: one.points for tag, one in series.items() if tag not in dropped}, held_out
    )
    held_out &= points.keys()
    walls = [_walls_of(series[tag], points[tag]) for tag in sorted(held_out)]
    points, interleaved = name_sets(points, held_out)
    held_out = {*(held_out & points.keys()), *(name for finding in interleaved for name in finding["names"])}
    facts["findings"] = [*facts.get("findings", ()), *filled, *interleaved]
    if runtimes:
        points["eval runtime"] = _sum([series[tag].points for tag in runtimes])
        counters["eval runtime"] = "eval_seconds"
    if walls:
        order, step, wall = (np.concatenate(columns) for columns in zip(*walls, strict=True))
        arrival = np.argsort(order, kind="stable")
        order, step, wall = shared(order[arrival]), shared(step[arrival]), wall[arrival]
        points["wall time"] = Points(order, step, wall)
        points["active time"] = Points(order, step, _active(read, wall))
        counters["active time"] = "wall_seconds"
    if epoch is not None and facts.get("planned_epochs") and "planned_steps" not in facts:
        facts["planned_steps"] = _planned_steps(points[epoch], float(facts["planned_epochs"]))
    if per_epoch:
        facts["step_unit"] = "epoch"
    runs = assemble(
        run_id,
        points,
        held_out=held_out,
        epoch=epoch,
        counters=counters,
        companions={**companions_of(tag for tag in points if tag not in held_out), "wall time": "wall_time"},
        starts=starts,
        zero_based=per_epoch,
        info=RunInfo.of(facts),
        hint=lambda steps: _hint(steps, series),
    )
    runs = [_from_begin(run, read) if number else run for number, run in enumerate(runs)]
    return Loaded([with_known_monitor(run) for run in runs], findings)


def _no_scalars(files: Sequence[Path], run_id: str, events: int) -> Finding:
    log = str(files[0]) if len(files) == 1 else run_id
    if not events:
        return Finding(Kind.EMPTY_FILE, log=log)
    return Finding(Kind.NO_SCALARS, log=log, facts={"events": events})


@dataclass
class _Series:
    points: Points
    walls: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

    @property
    def value(self) -> npt.NDArray[np.float64]:
        return self.points.value


def _walls_of(
    series: _Series, kept: Points
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The order, steps and times of those points of a series that are kept."""
    if len(kept.order) == len(series.points.order):
        return series.walls
    left = np.isin(series.walls[0], kept.order)
    order, step, wall = series.walls
    return order[left], step[left], wall[left]


def _merge(files: Sequence[EventFile], home: Path) -> tuple[dict[str, _Series], list[int]]:
    """The series of all files under their names, in one arrival order, and the positions in it where a
    further process begins.

    Within a folder the files follow each other, whatever their clocks say. Between folders that were written
    side by side, wall time decides. A second file of one process is no further process.
    """
    folders: dict[Path, list[EventFile]] = {}
    for file in files:
        folders.setdefault(file.path.parent, []).append(file)
    keys: list[npt.NDArray[np.float64]] = []
    begins: list[bool] = []
    columns: list[tuple[str, int, Scalars]] = []  # name, number of the file, points
    for together in folders.values():
        if len(together) > 1:
            spans = [_span(file) for file in together]
            together = [together[number] for number in process_order(spans)]
        latest = -math.inf
        for number, file in enumerate(together):
            last = max(int(column.position[-1]) for column in file.scalars.values())
            wall = np.full(last + 1, -math.inf)
            for column in file.scalars.values():
                wall[column.position] = column.wall
            wall[0] = max(latest, min(column.wall[0] for column in file.scalars.values()))
            key = np.fmax.accumulate(wall)
            latest = float(key[-1])
            name_of = tag_names(file.path, home)
            if name_of is not None:
                for tag, column in file.scalars.items():
                    columns.append((name_of(tag), len(keys), column))
            keys.append(key)
            begins.append(number > 0 and not _same_process(file.path, together[number - 1].path))
    bounds = np.concatenate([[0], np.cumsum([len(key) for key in keys])])
    rank = np.arange(1, int(bounds[-1]) + 1)
    if len(keys) > 1 or math.isnan(keys[0][0]):  # one file is in order
        order = np.argsort(np.concatenate(keys), kind="stable")
        rank[order] = rank.copy()
    parts: dict[str, list[tuple[npt.NDArray[np.int64], Scalars]]] = {}
    for name, number, column in columns:
        order = rank[bounds[number] + column.position]
        parts.setdefault(name, []).append((order, column))
    series = {}
    known: dict[bytes, npt.NDArray[np.float64]] = {}  # tags that are logged in turns have the same steps
    for name, pieces in parts.items():
        if len(pieces) == 1:
            ((order, column),) = pieces
            step, wall, value = column.step.astype(np.float64), column.wall, column.value
        else:
            order = np.concatenate([part for part, _ in pieces])
            step, wall, value = (
                np.concatenate([getattr(column, kind) for _, column in pieces], dtype=np.float64)
                for kind in ("step", "wall", "value")
            )
        if not np.logical_and.reduce(order[1:] > order[:-1]):
            arrival = np.argsort(order, kind="stable")
            order, step, wall, value = order[arrival], step[arrival], wall[arrival], value[arrival]
        order, step = shared(order), known.setdefault(step.tobytes(), shared(step))
        series[name] = _Series(Points(order, step, value), (order, step, wall))
    return series, [int(rank[bounds[number]]) for number, later in enumerate(begins) if later]


def _span(file: EventFile) -> Span:
    """The steps and times of one event file."""
    began = min(float(column.wall[0]) for column in file.scalars.values())
    steps = {tag: np.asarray(column.step, dtype=np.float64) for tag, column in file.scalars.items()}
    return Span(steps, began, file.last)


def _same_process(path: Path, other: Path) -> bool:
    """Whether two event files are of one process, by their names: its host and its number are the same, and
    the count of its files differs.
    """
    one, two = _FILE_NAME.fullmatch(path.name), _FILE_NAME.fullmatch(other.name)
    return one is not None and two is not None and one[1] == two[1] and one[2] != two[2]


def _drop_other_scale(series: dict[str, _Series]) -> tuple[bool, list[str]]:
    """Whether all is logged by epoch, as Keras does, and the tags of what it logs by batch beside that, which
    are taken out of ``series``.

    Keras numbers epochs from 0, and calls its tags ``epoch_…``.
    """
    by_epoch = [tag for tag in series if tag.rsplit("/", 1)[-1].startswith("epoch_")]
    if not by_epoch or any(tag not in by_epoch and not _by_batch(tag) for tag in held_out_of(series)):
        return False, []
    last = max(float(series[tag].points.step.max()) for tag in by_epoch)
    if min(float(series[tag].points.step.min()) for tag in by_epoch) != 0:
        return False, []
    others = [
        tag
        for tag in series
        if tag not in by_epoch and (_by_batch(tag) or float(series[tag].points.step.max()) > last)
    ]
    for tag in others:
        del series[tag]
    return True, others


def _by_batch(tag: str) -> bool:
    name = tag.rsplit("/", 1)[-1]
    return name.startswith("batch_") or name.endswith("_vs_iterations")


def _has_no_steps(series: Mapping[str, _Series]) -> bool:
    """Whether all points are at step 0, where writers put what has no step, and some tag has several."""
    return any(len(one.value) > 1 for one in series.values()) and not any(
        one.points.step.any() for one in series.values()
    )


def _numbered(series: Mapping[str, _Series]) -> dict[str, _Series]:
    """The series with steps: how often the longest of them had been logged by then."""
    clock = max(series.values(), key=lambda one: len(one.value)).points.order
    numbered = {}
    for tag, one in series.items():
        order, _, value = one.points
        step = np.searchsorted(clock, order, side="right").astype(np.float64)
        numbered[tag] = _Series(Points(order, step, value), (order, step, one.walls[2]))
    return numbered


def _sum(parts: Sequence[Points]) -> Points:
    """Runtimes of several eval sets, added up by step where they were logged alike; else those of the
    first.
    """
    first = parts[0]
    same = [part for part in parts if np.array_equal(part.step, first.step)]
    return Points(first.order, first.step, np.sum([part.value for part in same], axis=0))


def _active(files: Iterable[EventFile], wall: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds that some process was logging, from the first event to each of these times: a pause before a
    resume does not count.
    """
    spans = sorted((file.first, file.last) for file in files if math.isfinite(file.first))
    merged: list[list[float]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return np.asarray(sum(np.clip(wall - first, 0.0, last - first) for first, last in merged))


def _from_begin(run: Run, files: Iterable[EventFile]) -> Run:
    """A later training of the same folder, with its seconds counted from the beginning of its first file."""
    wall = run.columns.get("wall_time")
    if wall is None or "wall_seconds" not in run.columns or not wall.present.any():
        return run
    files = list(files)
    first = float(wall.values[wall.present][0])
    begin = max((file.first for file in files if file.first <= first), default=first)
    values = _active(files, wall.values) - _active(files, np.array([begin]))
    seconds = wall._replace(values=np.where(wall.present, values, np.nan))
    return run.replace(columns={**run.columns, "wall_seconds": seconds})


def _planned_steps(epoch: Points, planned_epochs: float) -> int | None:
    """Planned steps from planned epochs, by the last epoch that was logged: its step where that is the end of
    the plan, up to what tools round off (see `replay.data.censoring.least_share`).
    """
    usable = np.flatnonzero((epoch.value > 0) & (epoch.step > 0))
    if not len(usable):
        return None
    at = usable[np.argmax(epoch.step[usable])]
    step, done = float(epoch.step[at]), float(epoch.value[at])
    planned = step / done * planned_epochs
    if not math.isfinite(planned):
        return None
    at_end = least_share(step / done) * planned <= step <= 1.01 * planned
    return int(step) if at_end else round(planned)


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the hyperparameters say of the run: its plan, and the monitor with its mode where both are
    stated.
    """
    values = {**settings.get("hparams", {}), **settings.get("args", {})}
    if not values:
        return {}
    plain = {
        name: value for name, value in values.items() if isinstance(value, str | int | float) and value != ""
    }
    facts: dict[str, Any] = {"hyperparameters": plain}
    steps, epochs = values.get("max_steps"), values.get("num_train_epochs")
    if isinstance(steps, int | float) and 0 < steps < math.inf:
        facts["planned_steps"] = int(steps)
    elif isinstance(epochs, int | float) and 0 < epochs < math.inf:
        facts["planned_epochs"] = epochs
    facts |= stated_monitor(values)
    config = settings.get("model_config")
    if config and isinstance(config.get("_name_or_path"), str) and config["_name_or_path"]:
        facts["model"] = config["_name_or_path"]
    return facts


def _hint(steps: float, series: Iterable[str]) -> dict[str, Any]:
    """The tool that wrote the events, and how often it might evaluate."""
    names = list(series)
    if any(name.startswith("train/") and "learning" in words(name) for name in names):
        return {"tool": "transformers", "every": round_interval(steps)}
    if any(name.endswith("epoch_loss") for name in names):
        return {"tool": "keras-tensorboard"}
    if "hp_metric" in names or "epoch" in names or per_batch(names):
        return {"tool": "lightning"}
    return {"tool": "summary-writer"}


FORMAT = Format(
    name="tensorboard",
    summary=(
        "TensorBoard event files of PyTorch, Lightning, transformers, Keras, TF and CatBoost: every point of"
        " every file of a run"
    ),
    files="*tfevents*",
    limits=(
        "values are float32; histograms, images, texts and tensors of more than one element are not"
        " read; what Keras logs by batch is skipped"
    ),
    tested_on=(
        "PyTorch 2.13 and TensorBoard 2.21, tensorboardX 2.6, transformers 5.24, accelerate 1.15, Lightning"
        " 2.6.6, mmengine 0.10.7 and CatBoost 1.2.10; files of Keras, TensorFlow, Ultralytics and others from"
        " public repositories"
    ),
    sniff=_sniff,
    load=_load,
    only_its_files=True,
    group=group_events,
)

"""TensorBoard event files: every point, never sampled, from the files of one run together.

A run is a folder of event files (one a process), with those sub-folders that belong to it: ``train`` and
``validation`` (Keras, CatBoost, Estimators), one a series (``SummaryWriter.add_scalars``), one for
hyperparameters (``add_hparams``). Tags of a split's folder are prefixed with it, so that ``epoch_loss`` of
both sides stays apart. Scalars come as ``simple_value`` or, from TF 2, as tensors of one element; the file
name tells nothing.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.info import RunInfo
from replay.data.run import Run
from replay.errors import InputError
from replay.readers.assemble import assemble
from replay.readers.format import Format, Loaded
from replay.readers.points import Points, round_interval
from replay.readers.records import BLOCK, RecordReader, framed
from replay.readers.series_names import companions_of, held_out_of, is_bookkeeping, per_batch, words

__all__ = ["FORMAT", "Scalars", "read_events"]

_TRAIN_FOLDERS = {"train", "training", "learn"}
_HELD_OUT_FOLDERS = {"validation", "val", "valid", "eval", "evaluation", "test", "dev"}
_HPARAMS_FOLDER = re.compile(r"\d{9,}(\.\d+)?")  # add_hparams names its folder by the time
_RUNTIME = re.compile(r"(?:eval|test)/(?:.*_)?runtime")
_ONCE = {"train/train_runtime": "train_runtime", "train/total_flos": "total_flos"}
_TOKENS = ("train/num_input_tokens_seen", "train/num_tokens")
_HEAD = 64 * 1024  # as much as a peek takes
_LONGEST = 1 << 20  # no scalar's record is longer
#: numpy's name of a tensor's element type (DT_FLOAT …), and the field that holds its values where
#: tensor_content is empty
_TYPES = {
    1: ("<f4", "float_val"),
    2: ("<f8", "double_val"),
    3: ("<i4", "int_val"),
    4: ("u1", "int_val"),
    5: ("<i2", "int_val"),
    6: ("i1", "int_val"),
    9: ("<i8", "int64_val"),
    10: ("?", "bool_val"),
    14: ("bfloat16", "half_val"),
    17: ("<u2", "int_val"),
    19: ("<f2", "half_val"),
    22: ("<u4", "uint32_val"),
    23: ("<u8", "uint64_val"),
}


class Scalars(NamedTuple):
    """One tag of one file, in the order of the file: place of the event in the file (from 1), step, wall time
    (s) and value.
    """

    place: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    wall: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


@dataclass
class _File:
    path: Path
    scalars: dict[str, Scalars]
    settings: dict[str, Any]
    events: int
    first: float  # wall time, inf where there is no event
    last: float
    problem: str | None
    odd: set[str]  # scalar tags with tensors of more than one element


def _sniff(path: Path, head: bytes) -> bool:
    data = framed(head)
    if data is None:
        # a damaged or empty file is worth a word where its name says what it was
        return "tfevents" in path.name and (not head or b"\0" in head[:64])
    return data[:1] == b"\x09"  # Event.wall_time comes first, a double; records of a data set begin otherwise


def read_events(path: Path) -> tuple[dict[str, Scalars], str | None]:
    """All scalars of one event file by tag, and what is wrong with the file, if anything. Raises OSError."""
    file = _read(path)
    return file.scalars, file.problem


def _read(path: Path, *, limit: int | None = None) -> _File:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    records = RecordReader(path, block=_HEAD if limit is not None else BLOCK)
    parse = Event.FromString
    columns: dict[str, tuple[array[int], array[int], array[float], array[float]]] = {}
    plugins: dict[str, str] = {}
    settings: dict[str, Any] = {}
    odd: set[str] = set()
    events, first, last = 0, math.inf, -math.inf
    problem = None
    for data in records:
        if len(data) > _LONGEST:
            continue
        try:
            event = parse(data)
        except DecodeError:
            problem = f"corrupt: record {events + 1} is no event"
            break
        events += 1
        wall = event.wall_time
        if wall < first:
            first = wall
        if wall > last:
            last = wall
        for item in event.summary.value:
            kind = item.WhichOneof("value")
            if kind == "simple_value":
                value = item.simple_value
            else:
                plugin = item.metadata.plugin_data.plugin_name or plugins.get(item.tag, "")
                plugins[item.tag] = plugin
                if kind == "tensor" and plugin in ("scalars", ""):
                    found = _scalar(item.tensor)
                    if found is None:
                        if plugin == "scalars":
                            odd.add(item.tag)
                        continue
                    value = found
                else:
                    if plugin in ("text", "hparams"):
                        _setting(item, plugin, settings)
                    continue
            column = columns.get(item.tag)
            if column is None:
                column = columns[item.tag] = (array("q"), array("q"), array("d"), array("d"))
            places, steps, walls, values = column
            places.append(events)
            steps.append(event.step)
            walls.append(wall)
            values.append(value)
        if limit is not None and events >= limit:
            break
    if problem is None and records.damage is not None:
        problem = records.damage.reason
    scalars = {
        tag: Scalars(
            np.frombuffer(place, np.int64),
            np.frombuffer(step, np.int64),
            np.frombuffer(wall, float),
            np.frombuffer(value, float),
        )
        for tag, (place, step, wall, value) in columns.items()
    }
    return _File(path, scalars, settings, events, first, last, problem, odd)


def _scalar(tensor: Any) -> float | None:
    """The value of a numeric tensor of one element, else None."""
    known = _TYPES.get(tensor.dtype)
    if known is None or math.prod(size.size for size in tensor.tensor_shape.dim) != 1:
        return None
    kind, name = known
    content = tensor.tensor_content
    if kind == "bfloat16":
        raw = (
            int.from_bytes(content[:2], "little") if len(content) >= 2 else next(iter(tensor.half_val), None)
        )
        return None if raw is None else float(np.array([raw << 16], dtype=np.uint32).view(np.float32)[0])
    size = np.dtype(kind).itemsize
    if content:
        return float(np.frombuffer(content, dtype=kind, count=1)[0]) if len(content) >= size else None
    found = getattr(tensor, name)
    if not len(found):
        return None
    return (
        float(np.array([found[0]], dtype=np.uint16).view(np.float16)[0])
        if name == "half_val"
        else float(found[0])
    )


def _setting(item: Any, plugin: str, settings: dict[str, Any]) -> None:
    """Hyperparameters: of the hparams plugin, and the JSON that transformers writes as text."""
    if plugin == "hparams":
        if item.tag == "_hparams_/session_start_info":
            settings.setdefault("hparams", {}).update(_hparams(item.metadata.plugin_data.content))
        return
    name = item.tag.removesuffix("/text_summary")
    if name in ("args", "model_config") and item.tensor.string_val:
        text = item.tensor.string_val[0].decode("utf-8", "replace")
        try:
            found = json.loads(text[text.index("{") : text.rindex("}") + 1])
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            settings[name] = found


def _hparams(content: bytes) -> dict[str, Any]:
    from google.protobuf.message import DecodeError
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        found = HParamsPluginData.FromString(content).session_start_info.hparams
    except DecodeError:
        return {}
    values = {}
    for name in sorted(found):
        kind = found[name].WhichOneof("kind")
        if kind in ("number_value", "string_value", "bool_value"):
            values[name] = getattr(found[name], kind)
    return values


def _split(folder: str) -> str | None:
    """``train`` or ``held-out`` where a folder's name is that of a split (``test``, ``test_1``,
    ``eval_squad``).
    """
    name = folder.lower()
    if name in _TRAIN_FOLDERS:
        return "train"
    plain = re.sub(r"_?\d+$", "", name)
    return "held-out" if plain in _HELD_OUT_FOLDERS or re.fullmatch(r"(eval|validation)_\w+", name) else None


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of each run: those of a folder, and of the sub-folders that belong to it."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    groups: dict[Path, list[Path]] = {}
    for folder, files in folders.items():
        home = folder
        while _belongs_to_parent(home, folders):
            home = home.parent
        groups.setdefault(home, []).extend(files)
    return list(groups.values())


def _belongs_to_parent(folder: Path, folders: Mapping[Path, Sequence[Path]]) -> bool:
    parent = folder.parent
    if folder not in folders or parent == folder:
        return False
    split = _split(folder.name)
    if split is not None:
        if parent in folders:
            return True
        others = {_split(other.name) for other in folders if other.parent == parent and other != folder}
        return bool(others - {split, None}) or (
            folder.name.lower() in ("validation", "valid", "val") and not others
        )
    if parent not in folders:
        return False
    return (
        bool(_HPARAMS_FOLDER.fullmatch(folder.name))
        or _series_folder(folder.name, folders[folder]) is not None
    )


def _series_folder(name: str, files: Sequence[Path]) -> str | None:
    """The key of a folder that ``SummaryWriter.add_scalars`` made for one series of a tag: named by the tag
    and the key.
    """
    if "_" not in name:
        return None
    for path in files:
        try:
            tags = _read(path, limit=16).scalars
        except OSError:
            continue
        if tags:
            tag, *more = tags
            begin = tag.replace("/", "_") + "_"
            return name.removeprefix(begin) if not more and name.startswith(begin) and name != begin else None
    return None


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    problems: list[str] = []
    read: list[_File] = []
    for path in files:
        try:
            file = _read(path)
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}; the file is left out")
            continue
        if file.problem is not None and file.events:
            problems.append(f"{path}: {file.problem}; the {file.events:,} events before are kept")
        elif file.problem is not None:
            problems.append(f"{path}: {file.problem}; nothing before it is usable")
        for tag in sorted(file.odd):
            problems.append(
                f"{path}: tag {tag!r} holds tensors of more than one element, which are no scalars; they are"
                " left out"
            )
        read.append(file)
    used = [file for file in read if file.scalars]
    if not used:
        if problems:
            raise InputError("; ".join(problems))
        most = max(file.events for file in read)
        what = (
            "the file is empty"
            if not most
            else f"no scalars in it, only {'its header' if most == 1 else 'other data'}"
        )
        raise InputError(f"{files[0] if len(files) == 1 else run_id}: {what}")
    home = _home(files)
    series, starts = _merged(used, home)
    notes: list[str] = []
    settings: dict[str, Any] = {}
    for file in read:
        for name, value in file.settings.items():
            settings[name] = {**settings.get(name, {}), **value}
    facts: dict[str, Any] = {"format": FORMAT.name, "sources": files, "notes": notes}
    facts |= _settings(settings)
    for tag, name in _ONCE.items():
        if tag in series:
            facts[name] = float(series.pop(tag).value[-1])
    if "train_runtime" in facts:
        series.pop("train/train_loss", None)  # the mean over the run, which transformers logs once at its end
    per_epoch = _drop_other_scale(series, notes)
    runtimes = [tag for tag in series if _RUNTIME.fullmatch(tag)]
    held_out = {tag for tag in held_out_of(series) if not _RUNTIME.fullmatch(tag)}
    epoch = next((tag for tag in ("train/epoch", "epoch") if tag in series), None)
    counters = {tag: "tokens" for tag in _TOKENS if tag in series}
    held_out.discard("eval/num_tokens")  # TRL repeats there how many tokens were trained on
    dropped = {tag for tag in series if is_bookkeeping(tag) or tag in ("hp_metric", "eval/num_tokens")}
    dropped -= {*held_out, *counters, epoch}
    points = {tag: one.points for tag, one in series.items() if tag not in dropped}
    if runtimes:
        points["eval runtime"] = _sum([series[tag].points for tag in runtimes])
        counters["eval runtime"] = "eval_seconds"
    if held_out:
        walls = [series[tag].walls for tag in held_out]
        order, step, wall = (np.concatenate(columns) for columns in zip(*walls, strict=True))
        arrival = np.argsort(order, kind="stable")
        points["wall time"] = Points(order[arrival], step[arrival], wall[arrival])
        points["active time"] = Points(order[arrival], step[arrival], _active(read, wall[arrival]))
        counters["active time"] = "wall_seconds"
    if epoch is not None and facts.get("planned_epochs") and "planned_steps" not in facts:
        facts["planned_steps"] = _planned(points[epoch], float(facts["planned_epochs"]))
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
    return Loaded([_without_unknown_monitor(run) for run in runs], problems)


def _without_unknown_monitor(run: Run) -> Run:
    """The run without a stated monitor that it does not log."""
    if run.info.monitor and run.find_metric(run.info.monitor) not in run.metrics:
        return run.replace(info=run.info.replace(monitor=None, modes={}))
    return run


@dataclass
class _Series:
    points: Points
    walls: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

    @property
    def value(self) -> npt.NDArray[np.float64]:
        return self.points.value


def _home(files: Sequence[Path]) -> Path:
    """The folder of the run: the innermost that holds all files, one above where that is a split's."""
    parents = {file.parent for file in files}
    if len(parents) == 1:
        (only,) = parents
        return only.parent if only.name.lower() in ("validation", "valid", "val") else only
    shortest = min(parents, key=lambda folder: len(folder.parts))
    return (
        shortest
        if all(shortest == folder or shortest in folder.parents for folder in parents)
        else shortest.parent
    )


def _merged(files: Sequence[_File], home: Path) -> tuple[dict[str, _Series], list[int]]:
    """The series of all files under their names, in one arrival order, and the places where a further process
    begins.

    Within a folder the files follow each other, whatever their clocks say. Between folders that were written
    side by side, wall time decides.
    """
    folders: dict[Path, list[_File]] = {}
    for file in files:
        folders.setdefault(file.path.parent, []).append(file)
    keys: list[npt.NDArray[np.float64]] = []
    begins: list[bool] = []
    columns: list[tuple[str, int, Scalars]] = []  # name, number of the file, points
    for folder, own in folders.items():
        own.sort(key=lambda file: min(column.wall[0] for column in file.scalars.values()))
        latest = -math.inf
        for number, file in enumerate(own):
            wall = np.full(max(max(column.place) for column in file.scalars.values()) + 1, -math.inf)
            for column in file.scalars.values():
                wall[column.place] = column.wall
            wall[0] = max(latest, min(column.wall[0] for column in file.scalars.values()))
            key = np.fmax.accumulate(wall)
            latest = float(key[-1])
            prefix = _prefix(folder, home, file)
            if prefix is not None:
                for tag, column in file.scalars.items():
                    columns.append((prefix(tag), len(keys), column))
            keys.append(key)
            begins.append(number > 0)
    bounds = np.concatenate([[0], np.cumsum([len(key) for key in keys])])
    rank = np.empty(int(bounds[-1]), dtype=np.int64)
    rank[np.argsort(np.concatenate(keys), kind="stable")] = np.arange(1, len(rank) + 1)
    parts: dict[str, list[tuple[npt.NDArray[np.int64], Scalars]]] = {}
    for name, number, column in columns:
        places = rank[bounds[number] + column.place]
        parts.setdefault(name, []).append((places, column))
    series = {}
    for name, pieces in parts.items():
        order = np.concatenate([places for places, _ in pieces])
        arrival = np.argsort(order, kind="stable")
        step, wall, value = (
            np.concatenate([np.asarray(getattr(column, kind), dtype=np.float64) for _, column in pieces])[
                arrival
            ]
            for kind in ("step", "wall", "value")
        )
        series[name] = _Series(Points(order[arrival], step, value), (order[arrival], step, wall))
    return series, [int(rank[bounds[number]]) for number, later in enumerate(begins) if later]


def _prefix(folder: Path, home: Path, file: _File) -> Callable[[str], str] | None:
    """How the tags of a folder are named in the run; None where its scalars are no curves (those of
    add_hparams).
    """
    if folder == home:
        return lambda tag: tag
    below = folder.relative_to(home)
    if _HPARAMS_FOLDER.fullmatch(folder.name):
        return None
    key = _series_folder(folder.name, [file.path]) if _split(folder.name) is None else None
    if key is not None:
        return lambda tag: f"{tag}/{key}"
    return lambda tag: f"{below.as_posix()}/{tag}"


def _drop_other_scale(series: dict[str, _Series], notes: list[str]) -> bool:
    """Whether all is logged by epoch, as Keras does; then what it logs by batch beside that is taken out of
    ``series``.

    Keras numbers epochs from 0, and calls its tags ``epoch_…``.
    """
    by_epoch = [tag for tag in series if tag.rsplit("/", 1)[-1].startswith("epoch_")]
    if not by_epoch or any(tag not in by_epoch and not _by_batch(tag) for tag in held_out_of(series)):
        return False
    last = max(float(series[tag].points.step.max()) for tag in by_epoch)
    if min(float(series[tag].points.step.min()) for tag in by_epoch) != 0:
        return False
    others = [
        tag
        for tag in series
        if tag not in by_epoch and (_by_batch(tag) or float(series[tag].points.step.max()) > last)
    ]
    for tag in others:
        del series[tag]
    if others:
        notes.append(f"left out, as their steps count batches and not epochs: {', '.join(others)}")
    return True


def _by_batch(tag: str) -> bool:
    name = tag.rsplit("/", 1)[-1]
    return name.startswith("batch_") or name.endswith("_vs_iterations")


def _sum(parts: Sequence[Points]) -> Points:
    """Runtimes of several eval sets, added up by step where they were logged alike; else those of the
    first.
    """
    first = parts[0]
    same = [part for part in parts if np.array_equal(part.step, first.step)]
    return Points(first.order, first.step, np.sum([part.value for part in same], axis=0))


def _active(files: Iterable[_File], wall: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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


def _from_begin(run: Run, files: Iterable[_File]) -> Run:
    """A later training of the same folder with its seconds counted from the begin of its own first file."""
    wall = run.columns.get("wall_time")
    if wall is None or "wall_seconds" not in run.columns or not wall.present.any():
        return run
    files = list(files)
    first = float(wall.values[wall.present][0])
    begin = max((file.first for file in files if file.first <= first), default=first)
    values = _active(files, wall.values) - _active(files, np.array([begin]))
    seconds = wall._replace(values=np.where(wall.present, values, np.nan))
    return run.replace(columns={**run.columns, "wall_seconds": seconds})


def _planned(epoch: Points, planned_epochs: float) -> int | None:
    """Planned steps from planned epochs, by the last epoch that was logged; old logs round it to two
    decimals.
    """
    usable = np.flatnonzero((epoch.value > 0) & (epoch.step > 0))
    if not len(usable):
        return None
    at = usable[np.argmax(epoch.step[usable])]
    step, done = float(epoch.step[at]), float(epoch.value[at])
    planned = step / done * planned_epochs
    if not math.isfinite(planned):
        return None
    return int(step) if abs(planned - step) <= 0.01 * step else round(planned)


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the hyperparameters say of the run: its plan, and the monitor with its mode where both are
    stated.
    """
    values = {**settings.get("hparams", {}), **settings.get("args", {})}
    if not values:
        return {}
    told = {
        name: value for name, value in values.items() if isinstance(value, str | int | float) and value != ""
    }
    meta: dict[str, Any] = {"hyperparameters": told}
    steps, epochs = values.get("max_steps"), values.get("num_train_epochs")
    if isinstance(steps, int | float) and 0 < steps < math.inf:
        meta["planned_steps"] = int(steps)
    elif isinstance(epochs, int | float) and 0 < epochs < math.inf:
        meta["planned_epochs"] = epochs
    metric, greater = values.get("metric_for_best_model"), values.get("greater_is_better")
    if isinstance(metric, str) and metric and isinstance(greater, bool):
        name = "eval/" + metric.removeprefix("eval_")
        meta["monitor"], meta["modes"] = name, {name: "max" if greater else "min"}
    config = settings.get("model_config")
    if config and isinstance(config.get("_name_or_path"), str) and config["_name_or_path"]:
        meta["model"] = config["_name_or_path"]
    return meta


def _hint(steps: float, series: Iterable[str]) -> str:
    names = list(series)
    if any(name.startswith("train/") and "learning" in words(name) for name in names):
        return (
            f"set eval_strategy='steps', eval_steps={round_interval(steps)} in TrainingArguments and pass an"
            " eval_dataset"
        )
    if any(name.endswith("epoch_loss") for name in names):
        return "pass validation_data to model.fit beside the TensorBoard callback"
    if "hp_metric" in names or "epoch" in names or per_batch(names):
        return "call self.log('val_loss', loss) in validation_step and pass val_dataloaders to trainer.fit"
    return "log the validation loss under a tag that says so: writer.add_scalar('val/loss', loss, step)"


FORMAT = Format(
    name="tensorboard",
    summary=(
        "TensorBoard event files of PyTorch, Lightning, transformers, Keras, TF and CatBoost: every point of"
        " every file of a run"
    ),
    files="*tfevents*",
    sniff=_sniff,
    load=_load,
    group=_group,
)

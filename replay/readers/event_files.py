"""One TensorBoard event file: its scalars, every point in the order of the file, and its hyperparameters.

Scalars come as ``simple_value`` or, from TF 2, as tensors of one element.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind
from replay.readers.event_layouts import ELEMENT_TYPES, Value, is_payload
from replay.readers.event_plain import read_plain
from replay.readers.event_tables import alike, read_table
from replay.readers.format import unreadable
from replay.readers.growing import Prefix, known_prefix, sample_of, status_of
from replay.readers.limits import MOST_NAMES, over_limit
from replay.readers.records import LONGEST, RecordReader, Records
from replay.readers.series_names import is_held_out

__all__ = ["EventFile", "Scalars", "read_each", "read_events"]

_HEAD = 64 * 1024  # as much as a peek takes


#: Tables with fewer rows on average take longer than all plain events of a block at once.
_FEW_ROWS = 500

Places = npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice


class Scalars(NamedTuple):
    """One tag of one file, in the order of the file.

    ``position`` is the number of the event in the file, from 1; ``wall`` its time in seconds since 1970.
    """

    position: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    wall: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]

    def at(self, places: Places) -> Scalars:
        """The points at some places."""
        position, step, wall, value = self
        return Scalars(position[places], step[places], wall[places], value[places])


@dataclass
class EventFile:
    """What one event file holds."""

    path: Path
    scalars: dict[str, Scalars]
    settings: dict[str, Any]
    events: int
    first: float  # wall time, inf where there is no event
    last: float
    damage: Finding | None
    tensor_tags: set[str]  # scalar tags with tensors of more than one element
    findings: list[Finding]  # of what was left out, apart from damage


def read_each(paths: Iterable[Path], findings: list[Finding]) -> list[EventFile]:
    """The event files that can be read; what is damaged, limited or no scalar is added to ``findings``."""
    read = []
    for path in paths:
        try:
            file = read_events(path)
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        if file.damage is not None:
            findings.append(file.damage)
        findings += file.findings
        findings += [
            Finding(Kind.TENSOR_TAG, log=str(path), facts={"tag": tag}) for tag in sorted(file.tensor_tags)
        ]
        read.append(file)
    return read


def read_events(path: Path, *, limit: int | None = None) -> EventFile:
    """The scalars and hyperparameters of one event file, or of its first ``limit`` events.

    Of a damaged file, the part before the damage is read. Raises OSError.
    """
    peek = limit is not None
    events, start = _Events(not peek), 0
    growing, known = (None, None) if peek else known_prefix(path, "events")
    status: tuple[int, ...] = ()
    if growing is not None:
        with path.open("rb") as file:
            status = status_of(os.fstat(file.fileno()))
            if known is not None and known.fits(file, status):
                events, start = known.made.copy(), known.end
        growing.bytes_read += status[2] - start
    kinds = None if peek else alike
    records = RecordReader(path, longest=_HEAD if peek else LONGEST, limit=limit, alike=kinds, start=start)
    for block in records:
        events.add(block)
        if events.undecodable:
            break
    if growing is not None:
        growing.keep(path, "events", _good_part(path, events, records, status))
    facts: dict[str, Any] = {"kept": events.count}
    findings = []
    damage = None
    if events.undecodable:
        facts |= {"part": "event", "record": events.count + 1}
        damage = Finding(Kind.CORRUPT_RECORD, log=str(path), facts=facts)
    elif records.damage is not None:
        kind = Kind.CUT_OFF if records.damage.cut_off else Kind.CORRUPT_RECORD
        damage = Finding(kind, log=str(path), facts={**facts, **records.damage.facts})
    if events.long:
        findings.append(over_limit(path, "record", LONGEST, events.long))
    if events.more_tags:
        findings.append(over_limit(path, "name", MOST_NAMES))
    return EventFile(
        path,
        events.scalars(),
        events.settings,
        events.count,
        events.first,
        events.last,
        damage,
        events.tensor_tags,
        findings,
    )


def _good_part(path: Path, events: _Events, records: RecordReader, status: tuple[int, ...]) -> Prefix | None:
    """What was made of the good records of a file, to which more may come; None where the file is corrupt, or
    was written while it was read.
    """
    if events.undecodable or (records.damage is not None and not records.damage.cut_off):
        return None
    with path.open("rb") as file:
        if status_of(os.fstat(file.fileno())) != status:
            return None
        return Prefix(events.copy(), records.end, status, sample_of(file, records.end))


class _Plugins:
    """Which plugin each tag belongs to. Its name may come with the first value only, so order matters."""

    def __init__(self, before: dict[str, str]) -> None:
        self.before = before
        self.named: dict[str, set[str]] = {}
        self.unnamed: set[str] = set()

    def take(self, value: Value) -> str:
        """The plugin of a value that is not read in the order of the file."""
        if value.plugin:
            self.named.setdefault(value.tag, set()).add(value.plugin)
            return value.plugin
        self.unnamed.add(value.tag)
        return self.before.get(value.tag, "")

    def depend_on_order(self, now: Mapping[str, str]) -> bool:
        """Whether values of this block must be read in the order of the file."""
        for tag in self.named.keys() | self.unnamed:
            before, after = self.before.get(tag, ""), now.get(tag, "")
            names = {before, after, *self.named.get(tag, ())} - {""}
            if names > {"scalars"} or len(names) > 1:
                return True
            if tag in self.unnamed and not before and names - {"scalars"}:
                return True
        return False

    def finish(self, now: dict[str, str]) -> None:
        now.update({tag: next(iter(names)) for tag, names in self.named.items()})


class _Events:
    """Collects what the blocks of a file hold. ``as_tables`` is whether it is worth to read many events of
    one shape at once.
    """

    def __init__(self, as_tables: bool) -> None:
        self.count = 0
        self.first, self.last = math.inf, -math.inf
        self.undecodable = False
        self.long = 0
        self.more_tags = False
        self.settings: dict[str, Any] = {}
        self.tensor_tags: set[str] = set()
        self._as_tables = as_tables
        self._plugins: dict[str, str] = {}
        self._held_out = 0
        self._points: dict[str, list[Scalars]] = {}

    def copy(self) -> _Events:
        """A copy to which other events may be added."""
        made = copy(self)
        made.settings = deepcopy(self.settings)
        made.tensor_tags = set(self.tensor_tags)
        made._plugins = dict(self._plugins)
        made._points = {tag: list(pieces) for tag, pieces in self._points.items()}
        return made

    def add(self, block: Records) -> None:
        """The events of a block, after those before it."""
        plugins = dict(self._plugins)
        found = self._read_tables(block) if self._as_tables else None
        if found is None:
            self._plugins = plugins
            found = self._read_one_by_one(block, np.arange(len(block.starts)))
        pieces, walls, good = found
        for tag, piece in pieces:
            if good < len(block.starts):
                piece = piece.at(piece.position < good)
            self._take(tag, piece._replace(position=piece.position + (self.count + 1)))
        self.first = float(np.fmin.reduce(walls, initial=self.first))
        self.last = float(np.fmax.reduce(walls, initial=self.last))
        self.count += good
        if good < len(block.starts):
            self.undecodable = True
        elif block.long is not None:
            length, head = block.long
            self.count += 1
            self.long += not is_payload(head, length)

    def scalars(self) -> dict[str, Scalars]:
        """The points of each tag; tags in the order of their first points."""
        points: dict[str, Scalars] = {}
        for tag in list(self._points):
            pieces = self._points.pop(tag)  # released as soon as they are joined
            columns = [
                np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*pieces, strict=True)
            ]
            position = columns[0]
            if (position[1:] < position[:-1]).any():
                order = np.argsort(position, kind="stable")
                columns = [column[order] for column in columns]
            points[tag] = Scalars(*columns)
        return dict(sorted(points.items(), key=lambda item: int(item[1].position[0])))

    def _take(self, tag: str, piece: Scalars) -> None:
        """More points of a tag. There is a limit to the tags; held-out metrics have places of their own."""
        if not len(piece.position):
            return
        if tag not in self._points:
            held_out = is_held_out(tag)
            if (self._held_out if held_out else len(self._points) - self._held_out) >= MOST_NAMES:
                self.more_tags = True
                return
            self._held_out += held_out
            self._points[tag] = []
        self._points[tag].append(piece)

    def _read_tables(self, block: Records) -> _Found | None:
        """What a block holds; None where its events must be read in the order of the file."""
        plugins = _Plugins(dict(self._plugins))
        pieces: list[tuple[str, Scalars]] = []
        walls = list[npt.NDArray[np.float64]]()
        tensor_tags: set[str] = set()
        few = len(block.starts) < _FEW_ROWS * len(block.tables)
        plain = read_plain(block) if few or not block.repeats else None
        if plain is None:
            block = block.in_tables()
            tables, left = block.tables, [block.others]
        else:
            tables, left = [], [plain.others]
            for one in plain.tags:
                walls.append(np.array([np.fmin.reduce(one.wall), np.fmax.reduce(one.wall)]))
                if not one.value.tensor or plugins.take(one.value) in ("scalars", ""):
                    pieces.append((one.value.tag, Scalars(one.place, one.step, one.wall, one.number)))
        for table in tables:
            parts, others = read_table(table)
            left.append(others)
            for part in parts:
                walls.append(np.array([np.fmin.reduce(part.wall), np.fmax.reduce(part.wall)]))
                for layout, rows in zip(part.layouts, part.of_shape(), strict=True):
                    for value, numbers in zip(layout.values, part.numbers, strict=True):
                        if value.tensor or numbers is None:
                            plugin = plugins.take(value)
                            if value.tensor and numbers is None and plugin == "scalars":
                                tensor_tags.add(value.tag)
                            if plugin not in ("scalars", ""):
                                continue
                        if numbers is not None:
                            points = Scalars(part.place, part.step, part.wall, numbers)
                            pieces.append((value.tag, points.at(rows)))
        found = self._read_one_by_one(block, np.sort(np.concatenate(left)))
        if found.good < len(block.starts) or plugins.depend_on_order(self._plugins):
            return None
        plugins.finish(self._plugins)
        self.tensor_tags |= tensor_tags
        return _Found(pieces + found.pieces, np.concatenate([*walls, found.walls]), found.good)

    def _read_one_by_one(self, block: Records, which: npt.NDArray[np.int64]) -> _Found:
        """What some events of a block hold, by protobuf."""
        if not len(which):
            return _Found([], np.empty(0), len(block.starts))
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from tensorboard.compat.proto.event_pb2 import Event

        columns: dict[str, tuple[array[int], array[int], array[float], array[float]]] = {}
        parse, good, walls = Event.FromString, len(block.starts), array("d")
        data = block.data.data
        starts, lengths = block.starts[which].tolist(), block.lengths[which].tolist()
        for index, start, length in zip(which.tolist(), starts, lengths, strict=True):
            try:
                event = parse(data[start : start + length])
            except DecodeError:
                good = index
                break
            wall, step = event.wall_time, event.step
            walls.append(wall)
            for item in event.summary.value:
                number = self._number(item)
                if number is None:
                    continue
                column = columns.get(item.tag)
                if column is None:
                    column = columns[item.tag] = (array("q"), array("q"), array("d"), array("d"))
                positions, steps, times, numbers = column
                positions.append(index)
                steps.append(step)
                times.append(wall)
                numbers.append(number)
        pieces = [
            (
                tag,
                Scalars(
                    np.frombuffer(position, np.int64),
                    np.frombuffer(step, np.int64),
                    np.frombuffer(time, float),
                    np.frombuffer(value, float),
                ),
            )
            for tag, (position, step, time, value) in columns.items()
        ]
        return _Found(pieces, np.frombuffer(walls, float), good)

    def _number(self, item: Any) -> float | None:
        """The number that a value holds; None for what is no scalar."""
        kind = item.WhichOneof("value")
        if kind == "simple_value":
            simple: float = item.simple_value
            return simple
        plugin = item.metadata.plugin_data.plugin_name or self._plugins.get(item.tag, "")
        self._plugins[item.tag] = plugin
        if kind == "tensor" and plugin in ("scalars", ""):
            number = _scalar(item.tensor)
            if number is None and plugin == "scalars":
                self.tensor_tags.add(item.tag)
            return number
        if plugin in ("text", "hparams"):
            _setting(item, plugin, self.settings)
        return None


class _Found(NamedTuple):
    """What a block holds: points by tag, with the numbers of the events in the block as positions; the times
    of events; and how many of the events could be read.
    """

    pieces: list[tuple[str, Scalars]]
    walls: npt.NDArray[np.float64]
    good: int


def _scalar(tensor: Any) -> float | None:
    """The value of a numeric tensor of one element, else None."""
    known = ELEMENT_TYPES.get(tensor.dtype)
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
    elements = getattr(tensor, name)
    if not len(elements):
        return None
    return (
        float(np.array([elements[0]], dtype=np.uint16).view(np.float16)[0])
        if name == "half_val"
        else float(elements[0])
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
            written = json.loads(text[text.index("{") : text.rindex("}") + 1])
        except (ValueError, RecursionError):
            return
        if isinstance(written, dict):
            settings[name] = written


def _hparams(content: bytes) -> dict[str, Any]:
    from google.protobuf.message import DecodeError
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        logged = HParamsPluginData.FromString(content).session_start_info.hparams
    except DecodeError:
        return {}
    values = {}
    for name in sorted(logged):
        kind = logged[name].WhichOneof("kind")
        if kind in ("number_value", "string_value", "bool_value"):
            values[name] = getattr(logged[name], kind)
    return values

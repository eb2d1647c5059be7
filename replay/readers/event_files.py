"""One TensorBoard event file: its scalars, every point in the order of the file, and its hyperparameters.

Scalars come as ``simple_value`` or, from TF 2, as tensors of one element.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind
from replay.readers.records import BLOCK, RecordReader

__all__ = ["EventFile", "Scalars", "read_events"]

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
    """One tag of one file, in the order of the file.

    ``position`` is the number of the event in the file, from 1; ``wall`` its time in seconds since 1970.
    """

    position: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    wall: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


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


def read_events(path: Path, *, limit: int | None = None) -> EventFile:
    """The scalars and hyperparameters of one event file, or of its first ``limit`` events.

    Of a damaged file, the part before the damage is read. Raises OSError.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    records = RecordReader(path, block=_HEAD if limit is not None else BLOCK)
    parse = Event.FromString
    columns: dict[str, tuple[array[int], array[int], array[float], array[float]]] = {}
    plugins: dict[str, str] = {}
    settings: dict[str, Any] = {}
    tensor_tags: set[str] = set()
    events, first, last = 0, math.inf, -math.inf
    undecodable = False
    for data in records:
        if len(data) > _LONGEST:
            continue
        try:
            event = parse(data)
        except DecodeError:
            undecodable = True
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
                    element = _scalar(item.tensor)
                    if element is None:
                        if plugin == "scalars":
                            tensor_tags.add(item.tag)
                        continue
                    value = element
                else:
                    if plugin in ("text", "hparams"):
                        _setting(item, plugin, settings)
                    continue
            column = columns.get(item.tag)
            if column is None:
                column = columns[item.tag] = (array("q"), array("q"), array("d"), array("d"))
            positions, steps, walls, values = column
            positions.append(events)
            steps.append(event.step)
            walls.append(wall)
            values.append(value)
        if limit is not None and events >= limit:
            break
    facts = {"kept": events}
    damage = None
    if undecodable:
        damage = Finding(
            Kind.CORRUPT_RECORD, log=str(path), facts={**facts, "part": "event", "record": events + 1}
        )
    elif records.damage is not None:
        kind = Kind.CUT_OFF if records.damage.cut_off else Kind.CORRUPT_RECORD
        damage = Finding(kind, log=str(path), facts={**facts, **records.damage.facts})
    scalars = {
        tag: Scalars(
            np.frombuffer(position, np.int64),
            np.frombuffer(step, np.int64),
            np.frombuffer(wall, float),
            np.frombuffer(value, float),
        )
        for tag, (position, step, wall, value) in columns.items()
    }
    return EventFile(path, scalars, settings, events, first, last, damage, tensor_tags)


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

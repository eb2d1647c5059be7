"""Writes TensorBoard event files for tests."""

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.readers import read

SCALARS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))


def header(wall=1.7e9):
    return Event(wall_time=wall, file_version="brain.Event:2")


def scalar(tag, step, value, wall=None):
    event = Event(wall_time=1.7e9 + step if wall is None else wall, step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def tensor(tag, step, proto, metadata=SCALARS, wall=None):
    event = Event(wall_time=1.7e9 + step if wall is None else wall, step=step)
    event.summary.value.add(tag=tag, tensor=proto, metadata=metadata)
    return event


def write(path, events, head=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in [*([header()] if head else []), *events]:
            writer.write(event.SerializeToString())
    return path


def name(number=1):
    return f"events.out.tfevents.{1700000000 + number}.host.{number}.0"


def load(root):
    """The runs below a folder by id, without a word of complaint."""
    found = read(root)
    assert not found.findings
    return {run.id: run for run in found.runs}


def series(tag, values, first=1, wall=None):
    return [
        scalar(tag, first + place, value, None if wall is None else wall + place)
        for place, value in enumerate(values)
    ]


LOSS = [1.0, 0.5, 0.75, 0.25]

"""Events that are read as tables are those that protobuf reads one by one, whatever their order and shape."""

import random
import struct

import numpy as np
import pytest
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from replay.readers import event_files, limits
from replay.readers.event_files import read_events
from replay.readers.event_layouts import find_layout
from replay.readers.formats import tensorboard
from tests.readers.events import header, name, scalar, tensor, write

TAGS = [f"{split}/{metric}" for split in ("train", "eval") for metric in ("loss", "mae", "f1", "accuracy")]
SHAPE = TensorShapeProto()
MANY = TensorShapeProto(dim=[TensorShapeProto.Dim(size=3)])


def metadata(plugin):
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))


def number(chance):
    return chance.choice([chance.random(), -chance.random() * 1e30, float("nan"), float("inf"), 0.0])


def plain(chance):
    for step in range(1, 700):
        for tag in TAGS:
            yield scalar(tag, step, number(chance), wall=1.6e9 + step + chance.random())


def in_any_order(chance):
    for _ in range(3000):
        step = chance.choice([0, 1, -1, 127, 128, 2**62, -(2**62), chance.randrange(2**40)])
        yield scalar(chance.choice(TAGS), step, number(chance), wall=chance.uniform(0, 2e9))


def of_tensors(chance):
    kinds = [
        ("DT_FLOAT", "<f"),
        ("DT_DOUBLE", "<d"),
        ("DT_HALF", "<e"),
        ("DT_INT64", "<q"),
        ("DT_INT8", "<b"),
    ]
    for step in range(600):
        for kind, packing in kinds:
            value = chance.random() if packing in ("<f", "<d", "<e") else chance.randrange(-100, 100)
            proto = TensorProto(
                dtype=getattr(types_pb2, kind),
                tensor_shape=SHAPE,
                tensor_content=struct.pack(packing, value),
            )
            yield tensor(f"val/{kind}", step, proto)
        brain = TensorProto(
            dtype=types_pb2.DT_BFLOAT16, tensor_shape=SHAPE, tensor_content=chance.randbytes(1) + b"\x3f"
        )
        yield tensor("val/brain", step, brain)
        filled = TensorProto(dtype=1, tensor_shape=SHAPE, float_val=[chance.random()])
        yield tensor("val/filled", step, filled, None)
        yield tensor(
            "val/double", step, TensorProto(dtype=2, tensor_shape=SHAPE, double_val=[chance.random()])
        )


def with_payloads(chance):
    for step in range(400):
        yield scalar("val/loss", step, number(chance))
        event = Event(wall_time=1.6e9 + step, step=step)
        image = Summary.Image(encoded_image_string=chance.randbytes(chance.randrange(50, 900)))
        event.summary.value.add(tag="image", image=image)
        yield event
        event = Event(wall_time=1.6e9 + step, step=step)
        histogram = HistogramProto(num=3, bucket=[chance.random() for _ in range(20)])
        event.summary.value.add(tag="weights", histo=histogram)
        yield event
        many = TensorProto(dtype=1, tensor_shape=MANY, tensor_content=chance.randbytes(12))
        yield tensor("val/several", step, many)
        yield tensor("curve", step, many, metadata("pr_curves"))
        text = TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=SHAPE, string_val=[b"abc"])
        yield tensor("note", step, text, metadata("text"))


def many_in_one_event(chance):
    for step in range(500):
        event = Event(wall_time=1.6e9 + step, step=step)
        for tag in TAGS:
            event.summary.value.add(tag=tag, simple_value=number(chance))
        yield event


def plugins_that_come_late(chance):
    """A tag whose plugin is named somewhere in the middle of the file, and one that has two."""
    one = TensorProto(dtype=1, tensor_shape=SHAPE, tensor_content=b"\0\0\x80\x3f")
    for step in range(900):
        yield tensor("val/a", step, one, metadata("pr_curves") if step == 450 else None)
        yield tensor("val/b", step, one, metadata("scalars") if step % 2 else None)
        yield tensor("val/c", step, one, metadata("scalars" if step < 300 else "pr_curves"))


def unusual_encodings(chance):
    """What protobuf reads and nobody writes: fields out of order, twice, unknown."""
    for step in range(1, 300):
        good = scalar("val/loss", step, number(chance)).SerializeToString()
        unknown = b"\x9a\x06\x03abc"
        yield chance.choice(
            [
                good,
                good[9:] + good[:9],
                good + good,
                good + unknown,
                good + b"\x10\x05",
                b"",
                good[:9],
                good[9:],
            ]
        )


def of_one_length(chance):
    for step in range(2000):
        yield scalar(f"val/layer.{chance.randrange(300):03}", 1000 + step, number(chance))


def nearly_plain(chance):
    """Scalars of many lengths among events that look like them and are not."""
    metadata_last = b"\x4a\x02\x0a\x00"
    for _ in range(2000):
        step = chance.choice([1, 100, 20_000, 3_000_000, 2**40, 2**62, 2**63 - 1])
        good = scalar(chance.choice(TAGS), step, number(chance)).SerializeToString()
        summary = bytes([0x2A, 2 + 8 + 5 + 4, 0x0A, 8 + 5 + 4, 0x0A, 6]) + b"val/x1" + b"\x15\0\0\x80\x3f"
        head = struct.pack("<Bd", 9, 1.7e9) + b"\x10"
        yield chance.choice(
            [
                good,
                good,
                good,
                good,
                head + b"\x85\x00" + good[good.index(b"\x2a", 10) :],  # a step of one byte more than it needs
                head + b"\x05" + summary + metadata_last,
                head + b"\xff" * 9 + b"\x01" + summary + metadata_last,
                good[:9] + good[good.index(b"\x2a", 10) :],  # step 0 is not written
            ]
        )
    yield good[:-1]  # ends what can be read
    yield from plain(chance)


KINDS = [
    plain,
    nearly_plain,
    in_any_order,
    of_tensors,
    with_payloads,
    many_in_one_event,
    plugins_that_come_late,
    unusual_encodings,
    of_one_length,
]


def written(path, events):
    """As tests.readers.events.write, also for events that are bytes already."""

    class Bytes(bytes):
        def SerializeToString(self):
            return bytes(self)

    return write(path, [Bytes(event) if isinstance(event, bytes) else event for event in events])


def facts(file):
    points = {tag: [column.tobytes() for column in columns] for tag, columns in file.scalars.items()}
    return (
        list(points.items()),
        file.events,
        file.first,
        file.last,
        file.damage,
        file.tensor_tags,
        file.settings,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [6000, 1 << 22])
def test_tables_are_what_protobuf_reads(tmp_path, monkeypatch, kind, block):
    path = written(tmp_path / name(), kind(random.Random(0)))
    one_by_one = read_events(path, limit=10**9)
    monkeypatch.setattr(event_files, "LONGEST", block)
    assert facts(read_events(path)) == facts(one_by_one)
    assert one_by_one.events > 250


@pytest.mark.parametrize("kind", [plain, of_tensors, many_in_one_event])
def test_regular_events_need_no_protobuf(tmp_path, monkeypatch, kind):
    path = written(tmp_path / name(), kind(random.Random(0)))
    left = []
    read = event_files._Events._read_one_by_one
    monkeypatch.setattr(
        event_files._Events,
        "_read_one_by_one",
        lambda self, block, which: left.append(len(which)) or read(self, block, which),
    )
    events = read_events(path).events
    assert sum(left) < events / 10


def test_an_undecodable_event_among_regular_ones_ends_the_file(tmp_path):
    events = [event.SerializeToString() for event in plain(random.Random(0))]
    events[2000] = b"\xff" * len(events[2000])
    path = written(tmp_path / name(), events)
    file = read_events(path)
    assert file.events == 2001  # with the header
    assert file.damage.facts["record"] == 2002
    assert max(int(column.position[-1]) for column in file.scalars.values()) == 2001
    assert facts(file) == facts(read_events(path, limit=10**9))


def test_tags_that_are_no_text_are_left_to_protobuf():
    event = scalar("val/loss", 1, 0.5).SerializeToString()
    assert find_layout(event) is not None
    assert find_layout(event.replace(b"loss", b"l\xff\xffs")) is None


def test_too_many_tags_are_reported_and_held_out_ones_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(event_files, "MOST_NAMES", 50)
    assert limits.MOST_NAMES > 50
    events = [scalar(f"train/{tag}", 1, 0.0) for tag in range(200)]
    events += [scalar(f"eval/loss_{tag}", 1, 0.0) for tag in range(20)]
    path = write(tmp_path / name(), events)
    file = read_events(path)
    assert sum(tag.startswith("train/") for tag in file.scalars) == 50
    assert sum(tag.startswith("eval/") for tag in file.scalars) == 20
    loaded = tensorboard.FORMAT.load([path], "run")
    assert [dict(finding.facts) for finding in loaded.findings] == [
        {"part": "name", "limit": 50, "count": None}
    ]


@pytest.mark.parametrize("several", [False, True])
def test_an_event_longer_than_a_block_is_reported_if_it_may_hold_scalars(tmp_path, monkeypatch, several):
    monkeypatch.setattr(event_files, "LONGEST", 2000)
    event = Event(wall_time=1.6e9, step=1)
    event.summary.value.add(tag="image", image=Summary.Image(encoded_image_string=bytes(5000)))
    if several:
        event.summary.value.add(tag="val/loss", simple_value=0.5)
    events = [scalar("val/loss", 0, 0.25), event, scalar("val/loss", 2, 0.125)]
    file = read_events(write(tmp_path / name(), events))
    assert file.scalars["val/loss"].step.tolist() == [0, 2]
    assert file.scalars["val/loss"].position.tolist() == [2, 4]
    assert file.events == 4
    assert file.damage is None
    assert [dict(finding.facts) for finding in file.findings] == (
        [{"part": "record", "limit": 2000, "count": 1}] if several else []
    )


def test_memory_does_not_grow_with_images(tmp_path):
    """Nothing of the images is held: the peak is a few blocks, however large the file."""
    import tracemalloc

    chance = np.random.default_rng(0)

    def events(images):
        yield header()
        for step in range(images):
            event = Event(wall_time=1.6e9 + step, step=step)
            image = Summary.Image(encoded_image_string=chance.bytes(300_000))
            event.summary.value.add(tag="image", image=image)
            yield event
            yield scalar("val/loss", step, 0.5)

    peaks = []
    for images in (40, 160):
        path = write(tmp_path / name(images), events(images), head=False)
        tracemalloc.start()
        read_events(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 2 * event_files.LONGEST


@pytest.mark.parametrize("in_turns", [True, False])
def test_memory_is_below_three_times_the_scalars(tmp_path, in_turns):
    import tracemalloc

    chance = random.Random(0)

    def events():
        for number in range(40_000):
            tag = TAGS[number % len(TAGS)] if in_turns else chance.choice(TAGS)
            step = number // len(TAGS) if in_turns else chance.randrange(2**40)
            yield scalar(tag, step, chance.random())

    path = write(tmp_path / name(), events())
    read_events(path)  # tables that are made once
    tracemalloc.start()
    file = read_events(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = sum(column.nbytes for points in file.scalars.values() for column in points)
    assert held == 4 * 8 * 40_000
    assert peak < 3 * held

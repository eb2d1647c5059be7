"""Reading TensorBoard event files: replay against EventAccumulator with sampling off, a plain protobuf loop,
and tbparse where it is installed. All times of a table are processor times of one run, taken in turns;
only their ratios mean anything.

Expected, as ratios to EventAccumulator's time for 50,000 events: 55 to 75 for regular scalars and tensors,
50 to 58 where most bytes are images, 20 in any order, and 24 to 30 for 100 folders of 2,000 events.
`replay.load`, which makes runs of them, reaches 45 to 60, 48 to 55, 7, and 15 to 20. With 200,000 events,
regular scalars and tensors reach 100 and more. The memory is at most 2 to 2.8 times the size of the scalars.
Values are checked to be the same, bit for bit. A loop that parses each record with protobuf and checks
nothing takes 2.5 times as long as replay for the files in any order, and as long as `replay.load`.

Run: python benchmarks/event_files.py [events]
"""

import importlib.util
import statistics
import struct
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

import replay
from replay.readers.checksums import mask_crc
from replay.readers.event_files import read_events

TAGS = [
    f"{split}/{name}" for split in ("train", "eval") for name in ("loss", "accuracy", "f1", "grad_norm", "lr")
]
SCALARS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))


def regular(events, rng):
    for step in range(1, events // len(TAGS) + 1):
        for tag in TAGS:
            value = Summary.Value(tag=tag, simple_value=float(rng.random()))
            yield Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value]))


def tensors(events, rng):
    for step in range(1, events // len(TAGS) + 1):
        for tag in TAGS:
            content = struct.pack("<f", rng.random())
            tensor = TensorProto(dtype=1, tensor_shape=TensorShapeProto(), tensor_content=content)
            value = Summary.Value(tag=tag, tensor=tensor, metadata=SCALARS)
            yield Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value]))


def images(events, rng):
    for step, event in enumerate(regular(events, rng)):
        yield event
        if step % 50 == 0:
            image = Summary.Image(encoded_image_string=rng.bytes(30_000 + int(rng.integers(2000))))
            histogram = HistogramProto(bucket=rng.random(200).tolist(), bucket_limit=rng.random(200).tolist())
            for value in (Summary.Value(tag="image", image=image), Summary.Value(tag="w", histo=histogram)):
                yield Event(wall_time=event.wall_time, step=event.step, summary=Summary(value=[value]))


def in_any_order(events, rng):
    for _ in range(events):
        value = Summary.Value(tag=TAGS[rng.integers(len(TAGS))], simple_value=float(rng.random()))
        step = int(rng.integers(1 << int(rng.integers(1, 40))))
        yield Event(wall_time=1.7e9 + rng.random(), step=step, summary=Summary(value=[value]))


def write(path, events):
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for event in events:
            data = event.SerializeToString()
            length = struct.pack("<Q", len(data))
            checksums = struct.pack("<I", mask_crc(length)), struct.pack("<I", mask_crc(data))
            file.write(length + checksums[0] + data + checksums[1])


def accumulate(files):
    found = []
    for path in files:
        events = EventAccumulator(
            str(path), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False
        )
        events.Reload()
        found.append(events)
    return found


def parse_each(files):
    """The scalars of files as a plain loop reads them: one protobuf message per record, no checksum."""
    found = []
    for path in files:
        data, at = path.read_bytes(), 0
        scalars = {}
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                number = value.simple_value
                if value.HasField("tensor"):
                    number = struct.unpack("<f", value.tensor.tensor_content)[0]
                scalars.setdefault(value.tag, []).append((event.wall_time, event.step, number))
        found.append(scalars)
    return found


def check(events, file):
    for tag in events.Tags()["scalars"]:
        theirs, ours = events.Scalars(tag), file.scalars[tag]
        assert [event.step for event in theirs] == ours.step.tolist()
        assert [event.wall_time for event in theirs] == ours.wall.tolist()
        assert np.array([event.value for event in theirs]).tobytes() == ours.value.tobytes()


def timed(readers, repeats):
    """The median processor time of each reader, in turns; the slow first one is run once."""
    taken = {name: [] for name in readers}
    for turn in range(repeats):
        for number, (name, read) in enumerate(readers.items()):
            if turn and not number:
                continue
            begin = time.process_time()
            read()
            taken[name].append(time.process_time() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def peak(read):
    tracemalloc.start()
    result = read()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size, result


def main(events=50_000):
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        for kind in (regular, tensors, images, in_any_order, "100 folders"):
            name = kind if isinstance(kind, str) else kind.__name__
            folders = 100 if isinstance(kind, str) else 1
            root = Path(scratch) / name
            for number in range(folders):
                path = root / f"run{number}" / "events.out.tfevents.1700000000.host.1.0"
                write(path, (regular if folders > 1 else kind)(events // 25 if folders > 1 else events, rng))
            files = sorted(root.rglob("events*"))
            for accumulator, path in zip(accumulate(files[:1]), files, strict=False):
                check(accumulator, read_events(path))
            readers = {"EventAccumulator": lambda files=files: accumulate(files)}
            if importlib.util.find_spec("tbparse") is not None:
                from tbparse import SummaryReader

                readers["tbparse"] = lambda root=root: SummaryReader(str(root)).scalars
            readers["protobuf, no crc"] = lambda files=files: parse_each(files)
            readers["replay, the files"] = lambda files=files: [read_events(path) for path in files]
            readers["replay.load"] = lambda root=root: replay.load(root)
            times = timed(readers, 5)
            size, read = peak(readers["replay, the files"])
            held = sum(
                column.nbytes for file in read for points in file.scalars.values() for column in points
            )
            total = sum(path.stat().st_size for path in files)
            print(f"{name}: {total / 1e6:.1f} MB")
            for reader, taken in times.items():
                print(f"  {reader:20} {taken:8.3f} s {times['EventAccumulator'] / taken:8.1f}x")
            print(f"  memory: at most {size / 1e6:.1f} MB, {size / held:.1f} times the size of the scalars")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

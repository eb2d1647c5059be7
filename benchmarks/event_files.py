"""Reading a TensorBoard event file: replay's reader against EventAccumulator with sampling off, in one run.

Values are checked to be the same, bit for bit.

Run: python benchmarks/event_files.py [steps]
"""

import statistics
import sys
import tempfile
import time

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

import replay

TAGS = [
    f"{split}/{name}" for split in ("train", "eval") for name in ("loss", "accuracy", "f1", "grad_norm", "lr")
]


def write(folder, steps):
    rng = np.random.default_rng(0)
    writer = EventFileWriter(folder)
    for step in range(1, steps + 1):
        for tag in TAGS:
            value = Summary.Value(tag=tag, simple_value=float(rng.random()))
            writer.add_event(Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value])))
    writer.close()


def timed(function, repeats=3):
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), result


def accumulate(folder):
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in TAGS}


def main(steps=5000):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, steps)
        theirs, expected = timed(lambda: accumulate(folder))
        ours, runs = timed(lambda: replay.load(folder))
    (run,) = runs
    curve = run.curve("eval/loss", "min")
    assert list(zip(curve.steps, curve.values, strict=True)) == expected["eval/loss"]
    events = steps * len(TAGS)
    print(f"{events} scalar events, {len(TAGS)} tags")
    print(f"  EventAccumulator {theirs:6.2f} s   {events / theirs / 1e6:.3f} M events/s")
    print(f"  replay           {ours:6.2f} s   {events / ours / 1e6:.3f} M events/s   {theirs / ours:.1f}x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

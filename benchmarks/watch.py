"""The cost of an update of `replay watch` against a full reading: one log grows by one eval, or none does.

Expected: where nothing has changed, an update costs the look at the folder. Where one log grows, it costs
this log's runs being made again from what is known of it, and the new bytes being read.

Run: python benchmarks/watch.py [evals ...]
"""

import io
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.cli.watching import Watch
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.readers import Growing, read

LOGS, PER_EVAL = 8, 10


def rows(number, chance):
    """One eval, and the train losses before it."""
    step = number * PER_EVAL
    made = [
        {"step": step - PER_EVAL + k + 1, "loss": chance.random(), "learning_rate": 1e-4}
        for k in range(PER_EVAL)
    ]
    made.append(
        {"step": step, "eval_loss": chance.random(), "eval_accuracy": chance.random(), "epoch": step / 500}
    )
    return "".join(json.dumps(row) + "\n" for row in made)


def eval_rows(number, chance):
    """The same in an eval log."""
    step = number * PER_EVAL
    made = [
        {"kind": "train", "step": step - PER_EVAL + k + 1, "loss": chance.random()} for k in range(PER_EVAL)
    ]
    made.append(
        {"kind": "eval", "step": step, "metrics": {"eval_loss": chance.random()}, "compute": {"steps": step}}
    )
    return "".join(json.dumps(row) + "\n" for row in made)


HEADER = json.dumps({"format": "replay-eval-log", "version": 1, "modes": {"eval_loss": "min"}}) + "\n"


def events(number, chance):
    """The same in a TensorBoard file."""
    made = io.BytesIO()
    writer, step = RecordWriter(made), number * PER_EVAL
    for tag, at in [*(("train/loss", step - PER_EVAL + k + 1) for k in range(PER_EVAL)), ("eval/loss", step)]:
        event = Event(wall_time=1.7e9 + at, step=at)
        event.summary.value.add(tag=tag, simple_value=chance.random())
        writer.write(event.SerializeToString())
    return made.getvalue()


#: Name of the file, what it begins with, what each eval writes, and the metric.
FORMATS = {
    "jsonl": ("log.jsonl", "", rows, "eval_loss"),
    "eval-log": ("log.jsonl", HEADER, eval_rows, "eval_loss"),
    "events": ("events.out.tfevents.1700000001.host.1.0", "", events, "eval/loss"),
}


def timed(function, before=lambda: None, repeats=5):
    taken = []
    for _ in range(repeats):
        before()
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.median(taken)


def measure(name, evals):
    file_name, header, write, metric = FORMATS[name]
    chance, number = random.Random(0), evals

    def make(one):
        made = write(one, chance)
        return made if isinstance(made, bytes) else made.encode()

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"run-{one}" / file_name for one in range(LOGS)]
        for path in paths:
            path.parent.mkdir()
            path.write_bytes(header.encode() + b"".join(make(one) for one in range(1, evals + 1)))
        size = sum(path.stat().st_size for path in paths)
        policies = list(zip(["patience=3"], parse_policies(["patience=3"]), strict=True))
        watch = Watch([Path(folder)], policies, Question(monitor=metric))
        time.sleep(2.1)  # so that the files count as settled

        def grow():
            nonlocal number
            number += 1
            with paths[0].open("ab") as file:
                file.write(make(number))

        full = timed(lambda: read([Path(folder)]), repeats=3)
        growing = Growing()
        read([Path(folder)], growing=growing)
        before = growing.bytes_read
        grown = timed(lambda: read([Path(folder)], growing=growing), grow)
        new = (growing.bytes_read - before) / 5
        watch.update()
        shown = timed(watch.update, grow)
        time.sleep(2.1)
        watch.update()
        idle = timed(watch.update)
    print(
        f"{name:9} {LOGS} logs of {evals:6} evals, {size / 1e6:6.1f} MB: full reading {full:8.1f} ms;"
        f" one log grows {grown:7.1f} ms ({new:.0f} new bytes), with the policies {shown:7.1f} ms;"
        f" nothing new {idle:6.1f} ms"
    )


def main(*sizes):
    for name in FORMATS:
        for evals in sizes or (100, 1_000, 5_000):
            measure(name, evals)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

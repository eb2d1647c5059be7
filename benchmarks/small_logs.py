"""Reading a folder of many small logs: replay against the parser alone, and pandas.

A log has 50 train entries and 10 evals. The first line of each table opens, reads and parses the files, and
does nothing with them: `cat` and the parser of the format; orjson and msgspec are tried where they are
installed. Times are processor time of one process, taken in turns; only their ratios mean anything. The last
line is the time that passes with one process and with one for each processor, and depends on what else runs.

Expected, as ratios to the parser alone: 2.7 to 3 for trainer_state.json and 2.3 to 2.7 for JSON lines, which
are 3.4 and 2.9 without msgspec, and 3 to 4.5 for CSV: 0.3 to 0.6 ms per log. pandas takes 7 times as long as
the parser for JSON lines and 3 times for CSV, and makes no runs.

Run: python benchmarks/small_logs.py [logs]
"""

import csv
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from replay.readers import read
from replay.readers.load import JOBS


def entries(chance):
    """What a Trainer logs."""
    level = 2 + chance.random()
    for number in range(1, 51):
        step, epoch = 10 * number, round(number / 17, 4)
        yield {
            "epoch": epoch,
            "grad_norm": chance.random(),
            "learning_rate": 1e-4 * (1 - number / 50),
            "loss": 0.9 * level + chance.random() / 10,
            "step": step,
        }
        if number % 5 == 0:
            level *= 0.97
            yield {
                "epoch": epoch,
                "eval_accuracy": chance.random(),
                "eval_loss": level + chance.random() / 100,
                "eval_runtime": chance.random(),
                "step": step,
            }


def write_state(path, chance):
    state = {"global_step": 500, "max_steps": 500, "log_history": list(entries(chance))}
    path.write_text(json.dumps(state, indent=2))


def write_lines(path, chance):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries(chance)))


def write_table(path, chance):
    rows = [f"{10 * number},{chance.random()},{chance.random()},{chance.random()}" for number in range(1, 51)]
    path.write_text("\n".join(["step,train_loss,val_loss,val_acc", *rows, ""]))


def parse_lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def other_parsers():
    """Faster parsers of JSON, by name."""
    if importlib.util.find_spec("orjson") is not None:
        import orjson

        yield "orjson", orjson.loads
    if importlib.util.find_spec("msgspec") is not None:
        import msgspec

        yield "msgspec", msgspec.json.decode


def parse_with(files, parse, by_line):
    for path in files:
        data = path.read_bytes()
        for piece in data.splitlines() if by_line else [data]:
            parse(piece)


def elapsed(root, jobs):
    """Seconds that pass while some processes read the logs."""
    os.environ[JOBS] = str(jobs)
    begin = time.perf_counter()
    read([root])
    taken = time.perf_counter() - begin
    del os.environ[JOBS]
    return taken


def parse_table(path):
    return [list(map(float, row)) for row in list(csv.reader(path.read_text().splitlines()))[1:]]


#: For each kind: the file's name, how it is written, the parser alone, and pandas.
KINDS = {
    "trainer_state.json": (write_state, lambda path: json.loads(path.read_bytes()), None),
    "log.jsonl": (write_lines, parse_lines, lambda path: pd.read_json(path, lines=True)),
    "log.csv": (write_table, parse_table, pd.read_csv),
}


def timed(readers, repeats):
    """The least processor time of each reader, in turns."""
    taken = {name: [] for name in readers}
    for _ in range(repeats):
        for name, run in readers.items():
            begin = time.process_time()
            run()
            taken[name].append(time.process_time() - begin)
    return {name: min(times) for name, times in taken.items()}


def main(count=1_000):
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (write, parse, pandas_reads) in KINDS.items():
            root = Path(scratch) / name.partition(".")[0] / name.rpartition(".")[2]
            files = [root / f"run{number}" / name for number in range(count)]
            for path in files:
                path.parent.mkdir(parents=True)
                write(path, chance)
            assert len(read([root]).runs) == count
            readers = {"the parser alone": lambda files=files, parse=parse: [parse(path) for path in files]}
            if pandas_reads is not None:
                readers["pandas"] = lambda files=files, one=pandas_reads: [one(path) for path in files]
            by_line = name.endswith("l")
            for parser, parse_one in other_parsers() if "json" in name else ():
                readers[parser] = lambda files=files, one=parse_one, lines=by_line: parse_with(
                    files, one, lines
                )
            readers["replay"] = lambda root=root: read([root])
            os.environ[JOBS] = "1"
            times = timed(readers, 3)
            size = sum(path.stat().st_size for path in files)
            print(f"{count} x {name}, {size / 1e6:.1f} MB")
            for reader, taken in times.items():
                ratio = taken / times["the parser alone"]
                print(f"  {reader:18} {taken:8.3f} s {1e3 * taken / count:8.3f} ms per log {ratio:8.1f}x")
            jobs = os.cpu_count() or 1
            alone, together = (min(elapsed(root, number) for _ in range(2)) for number in (1, jobs))
            print(f"  passed: {alone:.3f} s with one process, {together:.3f} s with {jobs}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Reading JSON logs: how much of the time the parser takes, and what other parsers would save. orjson and
msgspec are tried where they are installed.

Expected: the standard library's parser takes 37 to 50 % of the time of JSON lines, and about 55 % of that of
a trainer_state.json. The other parsers take a third to a fifth of its time.

Run: python benchmarks/json_logs.py [rows]
"""

import importlib.util
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from replay.readers.formats import jsonl, trainer_state


def parsers():
    yield "json", json.loads
    if importlib.util.find_spec("orjson") is not None:
        import orjson

        yield "orjson", orjson.loads
    if importlib.util.find_spec("msgspec") is not None:
        import msgspec

        yield "msgspec", msgspec.json.decode


def timed(function, repeats=3):
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main(count=30_000):
    chance = random.Random(0)
    names = ("loss", "learning_rate", "grad_norm", "eval_loss", "eval_accuracy")
    rows = [{"step": 10 * row, "epoch": row / 100} for row in range(1, count + 1)]
    for row in rows:
        row |= {name: chance.random() for name in names}
    state = {"log_history": rows, "global_step": 10 * count, "max_steps": 10 * count}
    with tempfile.TemporaryDirectory() as folder:
        for format, name, text in (
            (jsonl.FORMAT, "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
            (trainer_state.FORMAT, "trainer_state.json", json.dumps(state, indent=2)),
        ):
            path = Path(folder) / name
            path.write_text(text)
            whole = timed(lambda load=format.load, path=path: load([path], "run"))
            print(f"{name}: {count} rows, {len(text) / 1e6:.1f} MB, read in {whole:.2f} s")
            pieces = text.splitlines() if name.endswith("jsonl") else [text]
            for parser, parse in parsers():
                taken = timed(lambda pieces=pieces, parse=parse: [parse(piece) for piece in pieces])
                print(f"  {parser:10} alone {taken:6.3f} s, {100 * taken / whole:3.0f} % of that")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

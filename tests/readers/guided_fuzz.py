"""Damages the golden log of one format as the covered code of the readers suggests (atheris, libFuzzer).

    python -m tests.readers.guided_fuzz jsonl --runs 100000 --seed 1 --corpus corpus/ --keep failures/

An input is the number of a file of the golden log and the content that replaces it. Half of the new inputs
are made by `tests.readers.mutators.damage`, which knows containers and values; the others by libFuzzer. What
reaches new code is kept in the folder ``--corpus``, and begins the next run. The exit code is not 0 after a
failure, whose input is written below ``--keep``.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["replay.readers"]):
    from tests.readers import fuzz
    from tests.readers.mutators import damage

#: Bytes that an input may have: each golden file with room to grow.
LARGEST = 1 << 17


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("format", help="the format whose golden log is damaged")
    parser.add_argument("--runs", type=int, default=10_000, help="how many inputs to read")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", help="a folder for inputs that reached new code")
    parser.add_argument("--keep", help="a folder for inputs that failed")
    parser.add_argument("--scratch", help="a folder for the damaged logs, best in memory")
    options = parser.parse_args()

    logs = fuzz.all_logs()
    if options.format not in logs:
        parser.error(f"no format {options.format!r}: choose from {', '.join(logs)}")
    golden = logs[options.format]
    others = [content for log in logs.values() for content in log.values()]
    paths = list(golden)
    scratch = Path(tempfile.mkdtemp(dir=options.scratch))
    fuzz.write(scratch / "log", golden)
    begin = scratch / "golden"
    begin.mkdir()
    for number, path in enumerate(paths):
        (begin / str(number)).write_bytes(bytes([number]) + golden[path])
    kept = Path(options.corpus) if options.corpus else scratch / "corpus"
    kept.mkdir(parents=True, exist_ok=True)
    failed = Path(options.keep) if options.keep else Path.cwd()
    failed.mkdir(parents=True, exist_ok=True)

    def read(data):
        """Read the log with one file replaced. Raises `fuzz.Failed`, or what a reader raised."""
        path = paths[data[0] % len(paths)] if data else paths[0]
        (scratch / "log" / path).write_bytes(data[1:])
        try:
            fuzz.check(scratch / "log")
        except fuzz.Failed:
            print(fuzz.explain(scratch / "log"), file=sys.stderr)
            raise
        finally:
            (scratch / "log" / path).write_bytes(golden[path])

    def mutate(data, size, seed):
        chance = random.Random(seed)
        if not data or chance.random() < 0.5:
            return bytes(atheris.Mutate(data, size))
        return data[:1] + damage(chance, data[1:], others)[: size - 1]

    flags = {
        "atheris_runs": options.runs,
        "seed": options.seed,
        "max_len": LARGEST,
        "len_control": 0,
        "handle_alrm": 0,  # fuzz.check limits the time itself
        "timeout": 0,
        "rss_limit_mb": 0,
        "print_final_stats": 1,
        "artifact_prefix": f"{failed}/{options.format}-",
    }
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(kept), str(begin)]
    fuzz.limit_memory()
    atheris.Setup(arguments, read, custom_mutator=mutate)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()

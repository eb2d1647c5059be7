"""Damages the golden logs of every format at random and reads them: nothing may raise, hang, warn or grow.

    python -m tests.readers.fuzz --count 100000 --seed 1 --format jsonl --keep failures/

prints how many inputs of each format were read, and each failure with the number that makes it again
(``--seed 1 --first NUMBER --count 1``). Every format of the table takes part as soon as it has a folder below
tests/golden; `FURTHER` names logs beside these, which the format ``text`` reads.
"""

import argparse
import contextlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from replay.data.finding import Kind
from replay.errors import ReplayError
from replay.readers import FORMATS, read, sniff
from replay.report.sentences import error_text, sentences
from tests.readers.golden import GOLDEN
from tests.readers.mutators import damage

#: Seconds of the processor that one small log may take, and bytes that the process may grow by.
SECONDS, GROWTH = 20, 1 << 30


#: Logs beside the golden ones.
NOTEBOOK, PRINTED = "notebook", "printed"
FURTHER = (NOTEBOOK, PRINTED)
_BAR = "\r{}: 100%|██████████| 10/10 [00:07<00:00,  2.86it/s, loss={}]"
_TABLE = (
    "|Tasks|Version|Filter|n-shot|Metric|   |Value|   |Stderr|\n|-----|\n|boolq|2|none|0|acc|↑|{}|±|0.1|\n"
)
#: What loops print for an eval: its number, and its loss.
_PRINTED = (
    lambda n, loss: f"Epoch {n}/8\n{_BAR.format('Train', 0.5)}\n{_BAR.format('Val', loss)}\n",
    lambda n, loss: f"Epoch {n} train/val loss: 0.9/{loss} | acc (train/val): 81.5%|80.1%\n",
    lambda n, loss: f"{{'Train': 0.9, 'Validation': tensor({loss}), 'Test': 0.7}}\n",
    lambda n, loss: f"hf (pretrained=out/checkpoint-{n}00), limit: None\n{_TABLE.format(loss)}",
    lambda n, loss: f"Training epoch 0, iteration {n}9/99 | global_step: {n}9 | val_loss: {loss}\n",
)
_FRAME = "   epoch  train_loss  valid_loss\n0      1      0.9123      0.8750\n1      2         NaN      0.5\n"
_MARKUP = (
    "<table border='1' class='dataframe'><thead>"
    "<tr><th></th><th>Step</th><th>Validation Loss</th></tr></thead><tbody>"
    "<tr><th>0</th><td>100</td><td>0.5</td></tr><tr><th>1</th><td>200</td><td>0.25</td></tr></tbody></table>"
)


def printed_texts():
    """A small text of each of several kinds."""
    losses = (0.75, 0.5, 0.625)
    return ["".join(line(n, loss) for n, loss in enumerate(losses, 1)) for line in _PRINTED] + [
        '{"lr": 0.1}\nepoch,val_loss,lr\n1,0.5,0.1\n2,0.25,0.1\n',
        f"done\n{_FRAME}",
    ]


def notebook():
    """A notebook whose cells printed such texts, and show tables of pandas."""
    texts = [{"output_type": "stream", "text": text.splitlines(keepends=True)} for text in printed_texts()]
    tables = [
        {"output_type": "execute_result", "data": {"text/plain": _FRAME}},
        {"output_type": "display_data", "data": {"text/html": [_MARKUP], "text/plain": ["<table>"]}},
    ]
    cells = [{"cell_type": "code", "source": ["fit()"], "outputs": [output]} for output in texts + tables]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}, indent=1, ensure_ascii=False).encode()


class Overdue(BaseException):
    """Raised in the middle of a read that takes too long; no reader catches it."""


class Failed(Exception):
    """What a read of damaged logs must not do."""


def limit_memory():
    """Let this process grow by no more than `GROWTH`."""
    with Path("/proc/self/statm").open() as pages:
        used = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + GROWTH, resource.RLIM_INFINITY))


@contextlib.contextmanager
def limit_time(seconds=SECONDS):
    """Raise `Overdue` after so many seconds of the processor, or ten times as many by the clock."""

    def stop(number, frame):
        raise Overdue(f"took more than {seconds} s: " + "".join(traceback.format_stack(frame, 8)))

    signals = [
        (signal.SIGVTALRM, signal.ITIMER_VIRTUAL, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, 10 * seconds),
    ]
    for number, timer, allowed in signals:
        signal.signal(number, stop)
        signal.setitimer(timer, allowed)
    try:
        yield
    finally:
        for _, timer, _ in signals:
            signal.setitimer(timer, 0)


def check(path):
    """Read what lies below a path as a command does; returns the number of runs. Raises Failed."""
    with limit_time(), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = read(path)
        except ReplayError as error:
            error_text(error)
            findings, runs = list(getattr(error, "findings", ())), []
        else:
            findings, runs = result.findings, result.runs
    for finding in findings:
        if finding.kind is Kind.READER_FAILED:
            raise Failed(f"{finding.facts}")
    for text in sentences(findings):
        if not text.isprintable():
            raise Failed(f"a sentence with control characters: {text!r}")
    for run in runs:
        if not (np.isfinite(run.steps).all() and (np.diff(run.steps) > 0).all()):
            raise Failed(f"{run.id}: the steps are not ascending numbers")
        sentences(run.info.findings)
        lengths = {len(part) for column in run.columns.values() for part in column}
        if len(lengths) > 1:
            raise Failed(f"{run.id}: columns of different lengths")
    return len(runs)


def explain(path):
    """The traceback of what a format raised on the logs below a path."""
    for file in sorted(path.rglob("*")):
        if file.is_file():
            with contextlib.suppress(ReplayError, OSError):
                format = sniff(file)
                try:
                    if format is not None:
                        format.load([file], "run")
                except ReplayError:
                    raise
                except Exception:
                    return traceback.format_exc(limit=-6)
    return ""


def golden_logs():
    """Every golden log by format: its files by their path below the format's folder."""
    logs = {}
    for format in FORMATS:
        folder = GOLDEN / format.name
        if folder.is_dir():
            files = {
                path.relative_to(folder): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            logs[format.name] = files
    return logs


def all_logs():
    """The golden logs and those of `FURTHER`."""
    texts = {Path(f"out-{'abcdefgh'[at]}.log"): text.encode() for at, text in enumerate(printed_texts())}
    return {**golden_logs(), NOTEBOOK: {Path("train.ipynb"): notebook()}, PRINTED: texts}


def damaged(logs, name, seed, number):
    """The files of one damaged log."""
    chance = random.Random(f"{seed} {name} {number}")
    files = dict(logs[name])
    others = [content for log in logs.values() for content in log.values()]
    for _ in range(chance.choice([1, 1, 1, 2])):
        path = chance.choice(list(files))
        files[path] = damage(chance, files[path], others)
    if len(files) > 1 and chance.random() < 0.05:
        del files[chance.choice(list(files))]
    return files


def write(folder, files):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def run(names, seed, first, count, keep=None, scratch=None, show=lambda text: None, seconds=None):
    """Read ``count`` damaged logs, the formats in turn; returns counts of inputs, of those with runs, and the
    failures. After so many ``seconds`` no further log is read.
    """
    end = None if seconds is None else time.monotonic() + seconds
    logs = all_logs()
    names = list(names or logs)
    inputs, read_some, failures = Counter(), Counter(), []
    with tempfile.TemporaryDirectory(dir=scratch) as scratch_folder:
        for number in range(first, first + count):
            if end is not None and time.monotonic() > end:
                break
            name = names[number % len(names)]
            folder = Path(scratch_folder) / "log"
            write(folder, damaged(logs, name, seed, number))
            inputs[name] += 1
            try:
                read_some[name] += check(folder) > 0
            except (Overdue, Exception) as error:
                text = f"{name} --seed {seed} --first {number}: {type(error).__name__}: {error}"
                failures.append(text)
                show(text)
                if not isinstance(error, Overdue):
                    show(explain(folder) or traceback.format_exc(limit=-6))
                if keep is not None:
                    shutil.copytree(folder, Path(keep) / f"{name}-{seed}-{number}", dirs_exist_ok=True)
            shutil.rmtree(folder)
    return inputs, read_some, failures


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="how many logs to read")
    parser.add_argument("--seconds", type=float, help="read no further log after so many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first log")
    parser.add_argument(
        "--format",
        action="append",
        choices=sorted(all_logs()),
        metavar="FORMAT",
        help="only this format; may be repeated",
    )
    parser.add_argument("--keep", help="a folder for the logs that failed")
    parser.add_argument("--scratch", help="a folder for the damaged logs, best in memory")
    options = parser.parse_args(arguments)
    limit_memory()
    begin = time.perf_counter()
    inputs, read_some, failures = run(
        options.format,
        options.seed,
        options.first,
        options.count,
        options.keep,
        options.scratch,
        print,
        options.seconds,
    )
    for name, count in sorted(inputs.items()):
        print(f"{name:20} {count:9} inputs, {read_some[name]:9} with a run")
    seconds = time.perf_counter() - begin
    print(f"{inputs.total()} inputs in {seconds:.0f} s, {len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()

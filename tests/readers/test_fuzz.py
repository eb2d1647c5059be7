"""Damaged logs of every format: nothing raises, hangs, warns or grows. `python -m tests.readers.fuzz` reads
as many as one likes.
"""

import multiprocessing
import os
import time

import numpy as np
import pytest

from replay.readers import FORMATS
from replay.readers.points import PointsBuilder
from tests.readers import fuzz

SEED = int(os.environ.get("REPLAY_FUZZ_SEED", "1"))


def _run(name, count, results):
    fuzz.limit_memory()
    results.put(fuzz.run([name], SEED, 0, count))


def read_damaged(name, count):
    """The failures of so many damaged logs, in a process of its own, since the limit of memory stays."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_run, args=(name, count, results))
    process.start()
    inputs, _, failures = results.get()
    process.join()
    assert inputs.total() == count
    return failures


NAMES = [*(format.name for format in FORMATS), *fuzz.FURTHER]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_logs(name):
    assert read_damaged(name, 150) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_damaged_logs(name):
    assert read_damaged(name, 3_000) == []


def test_every_format_takes_part():
    assert set(fuzz.golden_logs()) == {format.name for format in FORMATS}


@pytest.mark.parametrize("name", fuzz.FURTHER)
def test_the_logs_beside_the_golden_ones_are_read(name, tmp_path):
    fuzz.write(tmp_path, fuzz.all_logs()[name])
    assert fuzz.check(tmp_path) >= 3


def test_a_format_that_does_not_exist_is_refused_with_the_names(capsys):
    with pytest.raises(SystemExit) as caught:
        fuzz.main(["--format", "trainer_state"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "trainer_state" in said
    assert all(name in said for name in NAMES)


def test_the_same_number_gives_the_same_log():
    logs = fuzz.all_logs()
    for name in logs:
        made = [fuzz.damaged(logs, name, 3, number) for number in range(20)]
        assert made == [fuzz.damaged(logs, name, 3, number) for number in range(20)]
        assert any(files != logs[name] for files in made)


def test_what_a_reader_must_not_do_is_noticed(monkeypatch, tmp_path):
    fuzz.write(tmp_path, fuzz.golden_logs()["jsonl"])
    assert fuzz.check(tmp_path) == 1

    def fail(*files):
        raise ValueError("a defect of a reader")

    def warn(*files):
        np.log(np.zeros(1))

    for defect in (fail, warn):
        with monkeypatch.context() as patch:
            patch.setattr(PointsBuilder, "points", defect)
            with pytest.raises(fuzz.Failed):
                fuzz.check(tmp_path)


def test_a_read_that_takes_too_long_is_stopped():
    def work():
        while True:
            time.process_time()

    with pytest.raises(fuzz.Overdue), fuzz.limit_time(0.2):
        work()

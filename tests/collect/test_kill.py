"""Real trainings, killed by SIGKILL at random moments and resumed: the log read back is that of an
uninterrupted one."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from collect.eval_log import read_existing_log
from replay.data.run import COUNTERS
from replay.readers.formats import eval_log, tensorboard, trainer_state
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml

#: Imports the libraries once, and then forks a training for each line that it reads, so that a kill costs no
#: start-up.
SERVER = """
import os, sys
from pathlib import Path
import peft, torch, transformers
from collect import checkpoints, config, events, step_log, train, trainer
path, cache = Path(sys.argv[1]), Path(sys.argv[2])
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        train.fit(config.load(path), Path(line.strip()), cache)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until then a child that has ended keeps its number
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
CONFIGS = {
    "classifier": changed(
        CLASSIFIER,
        lora={"dropout": 0.1},
        train={
            "max_steps": 38,
            "eval_every": 4,
            "log_every": 2,
            "save_every": 12,
            "gradient_accumulation": 2,
            "scheduler": "cosine",
        },
    ),
    "language": changed(
        LANGUAGE,
        lora={"dropout": 0.1},
        train={"eval_every": 4, "log_every": 2, "epochs": 3},
        generation={"every": 2, "examples": 6, "max_new_tokens": 4},
        generic={"file": "reviews.jsonl", "text": "text", "size": 8},
    ),
}
CLOCKS = {*(name for name in COUNTERS if name.endswith("seconds")), "wall_time", "segment"}


class Trainings:
    """Trainings of one config, each in a process that can be killed."""

    def __init__(self, path, cache):
        command = [sys.executable, "-c", SERVER, str(path), str(cache)]
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def train(self, folder, *, kill=None):
        """Train in a folder; ``kill`` is called with the process and decides when it is killed. Returns its
        exit code."""
        self.server.stdin.write(f"{folder}\n")
        self.server.stdin.flush()
        child = int(self.server.stdout.readline())
        if kill is not None:
            kill()
            os.kill(child, signal.SIGKILL)
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self):
        self.server.stdin.close()
        self.server.wait()


@pytest.fixture(scope="module", params=["classifier", pytest.param("language", marks=pytest.mark.slow)])
def trainings(request, workplace):
    path = workplace / f"kill-{request.param}.toml"
    path.write_text(toml({"name": "run", **CONFIGS[request.param]}))
    found = Trainings(path, workplace / "cache")
    yield found
    found.close()


@pytest.fixture(scope="module")
def whole(trainings, tmp_path_factory):
    """The folder of an uninterrupted training, and how long it took."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    began = time.monotonic()
    assert trainings.train(folder) == 0, trainings.server.stderr.read()
    return folder, time.monotonic() - began


def load(folder):
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "run").runs
    return run


def records(folder):
    """The whole lines of a log, without the header."""
    return [
        json.loads(line)
        for line in (folder / "eval_log.jsonl").read_text().split("\n")[1:-1]
        if line.endswith("}")
    ]


def assert_equal(folder, whole):
    """Every number of both logs is the same, but for clocks."""
    one, other = load(folder), load(whole)
    assert one.meta["complete"]
    assert set(one.columns) - CLOCKS == set(other.columns) - CLOCKS
    for name in set(one.columns) - CLOCKS:
        assert one.columns[name].present.tolist() == other.columns[name].present.tolist(), name
        assert one.columns[name].values.tobytes() == other.columns[name].values.tobytes(), name
    known = {name for name in other.train if not name.startswith(("compute/", "wall"))}
    for name in known:
        assert one.train[name].step.tolist() == other.train[name].step.tolist(), name
        assert one.train[name].value.tobytes() == other.train[name].value.tobytes(), name
    evals = [
        {record["step"]: record for record in records(path) if record["kind"] == "eval"}
        for path in (folder, whole)
    ]
    for step, record in evals[1].items():
        for key in ("metrics", "signals", "modules", "train", "counts"):
            assert evals[0][step].get(key) == record.get(key), (step, key)
        counted = {name for name in record["compute"] if name.endswith(("tokens", "flops", "flos"))}
        assert counted
        assert {name: evals[0][step]["compute"][name] for name in counted} == {
            name: record["compute"][name] for name in counted
        }
    steps = [read_step_signals(path / FILE_NAME) for path in (folder, whole)]
    assert steps[0].steps.tolist() == steps[1].steps.tolist()
    assert steps[0].values.tobytes() == steps[1].values.tobytes()
    assert steps[0].totals.tobytes() == steps[1].totals.tobytes()
    states = [
        trainer_state.FORMAT.load([path / "trainer_state.json"], "run").runs[0] for path in (folder, whole)
    ]
    events = [
        tensorboard.FORMAT.load(sorted(path.glob("events.out.tfevents.*")), "run").runs
        for path in (folder, whole)
    ]
    assert [len(runs) for runs in events] == [1, 1]
    for metric, mode in other.meta["modes"].items():
        assert one.curve(metric, mode).values.tolist() == states[0].curve(metric, mode).values.tolist(), (
            metric
        )
        assert (
            states[0].curve(metric, mode).values.tolist() == states[1].curve(metric, mode).values.tolist()
        ), metric
        assert (
            events[0][0].curve(metric, mode).values.tolist()
            == events[1][0].curve(metric, mode).values.tolist()
        ), metric
    left = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert left == sorted(path.name for path in whole.iterdir() if path.is_dir())


def test_killed_at_any_moment_and_resumed(trainings, whole, tmp_path):
    """Three kills of a classifier in the default run of the tests; the long run has many more, and a causal
    model."""
    kill_and_compare(trainings, whole, tmp_path, kills=3, seed=1)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed(trainings, whole, tmp_path):
    kill_and_compare(trainings, whole, tmp_path, kills=20, seed=2)


def moment(rng, log, finished, seconds):
    """A random moment of a training: some time after a random one of the lines that its log has yet to get.

    A time alone would not do: the first training takes longer than those after it, which are done before most
    moments of it."""
    lines, whole = (path.read_bytes().count(b"\n") if path.exists() else 0 for path in (log, finished))
    line = rng.randrange(lines, max(lines + 1, whole))
    after = rng.uniform(0.0, seconds / whole)

    def wait():
        deadline = time.monotonic() + 20 * seconds
        while line and not (log.exists() and log.read_bytes().count(b"\n") >= line):
            assert time.monotonic() < deadline, f"{line} lines were never written"
            time.sleep(0.001)
        time.sleep(after)

    return wait


def kill_and_compare(trainings, whole, tmp_path, *, kills, seed):
    rng = random.Random(seed)
    reference, seconds = whole
    finished = [record for record in records(reference) if record["kind"] == "eval"]
    resumed = begun = 0
    while kills > 0:
        folder = tmp_path / f"after-{kills}" / "run"
        # some runs are killed again after they were resumed
        for _ in range(min(kills, rng.choice([1, 1, 2]))):
            kills -= 1
            if (
                trainings.train(
                    folder, kill=moment(rng, folder / "eval_log.jsonl", reference / "eval_log.jsonl", seconds)
                )
                == 0
            ):
                continue  # it was done before the moment came
            if (folder / "eval_log.jsonl").exists():
                begun += 1
                prefix = (folder / "eval_log.jsonl").read_bytes()
                seen = {record["step"] for record in records(folder) if record["kind"] == "eval"}
                assert seen <= {record["step"] for record in finished}
        status = trainings.train(folder)
        assert status == 0
        if (folder / "eval_log.jsonl").read_bytes().count(b'"kind": "segment"'):
            resumed += 1
            assert (folder / "eval_log.jsonl").read_bytes().startswith(prefix[: prefix.rfind(b"\n") + 1])
        assert_equal(folder, reference)
    assert begun
    assert resumed


def test_what_a_kill_made_void_is_counted_as_waste(trainings, whole, tmp_path):
    folder = tmp_path / "run"
    log = folder / "eval_log.jsonl"

    def third_eval():
        while not (log.exists() and log.read_text().count('"kind": "eval"') >= 3):
            time.sleep(0.005)

    assert trainings.train(folder, kill=third_eval) == -signal.SIGKILL
    there = read_existing_log(folder)
    # as if the newest checkpoint had not been written completely
    newest = there.checkpoints()[-1]
    (folder / f"checkpoint-{newest}" / "trainer_state.json").unlink()
    assert trainings.train(folder) == 0
    segment = next(record for record in records(folder) if record["kind"] == "segment")
    assert segment["resumed_from"] < newest
    assert segment["wasted"]["steps"] >= there.step - segment["resumed_from"]
    assert segment["wasted"]["train_seconds"] > 0
    # what each step takes, but for the length of its texts
    steps = next(record for record in records(folder)[::-1] if record["kind"] == "end")
    assert segment["wasted"]["tokens"] == pytest.approx(
        steps["compute"]["tokens"] / steps["step"] * segment["wasted"]["steps"], rel=0.2
    )
    last = [record for record in records(folder) if record["kind"] == "eval"][-1]["compute"]
    assert last["wasted_tokens"] == segment["wasted"]["tokens"]
    assert load(folder).meta["wasted"] == segment["wasted"]
    assert_equal(folder, whole[0])
    assert not np.any(np.diff(load(folder).columns["wall_seconds"].values) <= 0)

"""Real trainings, killed by SIGKILL at random moments and resumed: the log read back is that of an
uninterrupted one."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collect.eval_log import read_existing_log
from replay.data.run import COUNTERS
from replay.readers.formats import eval_log, tensorboard, trainer_state
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml

#: Imports the libraries once, and then forks a training for each line that it reads, so that a kill costs no
#: start-up. The child kills itself at a moment: before or after it writes a line of the log or a record of
#: the step signals, or before it opens, renames or removes a file.
SERVER = """
import json, os, signal, sys
from pathlib import Path
import peft, torch, transformers
from collect import checkpoints, config, events, step_log, train, trainer
from collect.eval_log.writer import LogWriter
from collect.step_log import StepLog

path, cache = Path(sys.argv[1]), Path(sys.argv[2])
moments = evals = 0

def moment():
    global moments
    moments += 1
    if moments == kill_at.get("moment"):
        os.kill(os.getpid(), signal.SIGKILL)

def between_moments(cls, name):
    function = getattr(cls, name)

    def watched(self, *arguments):
        global evals
        moment()
        function(self, *arguments)
        moment()
        evals += name == "_write" and arguments[0].get("kind") == "eval"
        if name == "_write" and evals == kill_at.get("evals"):
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(cls, name, watched)

def train_until_killed():
    between_moments(LogWriter, "_write")
    between_moments(StepLog, "after")
    sys.addaudithook(
        lambda event, arguments: event in ("open", "os.rename", "os.remove", "os.rmdir") and moment()
    )
    train.fit(config.load(path), folder, cache)
    Path(f"{folder}-moments").write_text(str(moments))

while line := sys.stdin.readline():
    kill_at = json.loads(line)
    folder = Path(kill_at["folder"])
    child = os.fork()
    if not child:
        train_until_killed()
        os._exit(0)
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

    def train(self, folder, **kill_at):
        """Train in a folder, and kill the training at its n-th ``moment``, or when it has written its n-th
        of ``evals``. Returns its exit code."""
        self.server.stdin.write(json.dumps({"folder": str(folder), **kill_at}) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self):
        self.server.stdin.close()
        self.server.wait()


@pytest.fixture(scope="module", params=["classifier", pytest.param("language", marks=pytest.mark.slow)])
def trainings(request, workplace):
    path = workplace / f"kill-{request.param}.toml"
    path.write_text(toml({"name": "run", **CONFIGS[request.param]}))
    trainings = Trainings(path, workplace / "cache")
    yield trainings
    trainings.close()


@pytest.fixture(scope="module")
def whole(trainings, tmp_path_factory):
    """The folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert trainings.train(folder) == 0, trainings.server.stderr.read()
    return folder


def load(folder):
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "run").runs
    return run


def kept(folder):
    """The files of the adapter that stays, byte for byte, and the names beside them."""
    files = {path.name: path.read_bytes() for path in (folder / "adapter").iterdir()}
    assert "adapter_model.safetensors" in files
    return files, sorted(path.name for path in folder.glob(".*")), list(folder.glob("checkpoint-*/kept"))


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
    assert one.info.complete
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
    for metric, mode in other.info.modes.items():
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
    assert kept(folder) == kept(whole)
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert folders == sorted(path.name for path in whole.iterdir() if path.is_dir())


def test_killed_at_any_moment_and_resumed(trainings, whole, tmp_path):
    """Three kills of a classifier in the default run of the tests; the long run has many more, and a causal
    model."""
    kill_and_compare(trainings, whole, tmp_path, kills=3, seed=1)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed(trainings, whole, tmp_path):
    kill_and_compare(trainings, whole, tmp_path, kills=20, seed=2)


def kill_and_compare(trainings, whole, tmp_path, *, kills, seed):
    rng = random.Random(seed)
    moments = int(Path(f"{whole}-moments").read_text())
    finished = {record["step"] for record in records(whole) if record["kind"] == "eval"}
    resumed = begun = 0
    while kills > 0:
        folder = tmp_path / f"after-{kills}" / "run"
        # some runs are killed again after they were resumed
        for _ in range(min(kills, rng.choice([1, 1, 2]))):
            kills -= 1
            if trainings.train(folder, moment=rng.randint(1, moments)) == 0:
                continue  # what remained of it has fewer moments
            if (folder / "eval_log.jsonl").exists():
                begun += 1
                prefix = (folder / "eval_log.jsonl").read_bytes()
                assert {record["step"] for record in records(folder) if record["kind"] == "eval"} <= finished
        assert trainings.train(folder) == 0
        if (folder / "eval_log.jsonl").read_bytes().count(b'"kind": "segment"'):
            resumed += 1
            assert (folder / "eval_log.jsonl").read_bytes().startswith(prefix[: prefix.rfind(b"\n") + 1])
        assert_equal(folder, whole)
    assert begun
    assert resumed


def test_a_kill_after_the_end_of_the_log_leaves_nothing_that_the_next_start_does_not_remove(
    trainings, whole, tmp_path
):
    folder = tmp_path / "run"
    assert trainings.train(folder) == 0
    log = (folder / "eval_log.jsonl").read_bytes()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    (folder / "checkpoint-36" / "kept").mkdir(parents=True)
    (folder / "checkpoint-32").mkdir()
    assert trainings.train(folder) == 0
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == names
    assert (folder / "eval_log.jsonl").read_bytes() == log


def test_what_a_kill_made_void_is_counted_as_waste(trainings, whole, tmp_path):
    folder = tmp_path / "run"
    assert trainings.train(folder, evals=3) == -signal.SIGKILL
    prefix = load(folder)
    assert prefix.steps.tolist() == load(whole).steps.tolist()[:3]
    assert not prefix.info.complete
    log = read_existing_log(folder)
    # as if the newest checkpoint had not been written completely
    newest = log.checkpoints()[-1]
    (folder / f"checkpoint-{newest}" / "trainer_state.json").unlink()
    assert trainings.train(folder) == 0
    segment = next(record for record in records(folder) if record["kind"] == "segment")
    assert segment["resumed_from"] < newest
    assert segment["wasted"]["steps"] >= log.step - segment["resumed_from"]
    assert segment["wasted"]["train_seconds"] > 0
    # what each step takes, but for the length of its texts
    steps = next(record for record in records(folder)[::-1] if record["kind"] == "end")
    assert segment["wasted"]["tokens"] == pytest.approx(
        steps["compute"]["tokens"] / steps["step"] * segment["wasted"]["steps"], rel=0.2
    )
    last = [record for record in records(folder) if record["kind"] == "eval"][-1]["compute"]
    assert last["wasted_tokens"] == segment["wasted"]["tokens"]
    assert load(folder).info.wasted == segment["wasted"]
    assert_equal(folder, whole)
    assert not np.any(np.diff(load(folder).columns["wall_seconds"].values) <= 0)

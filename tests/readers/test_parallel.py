"""Several processes give the same runs and findings, in the same order, as one process does."""

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from replay.errors import InputError
from replay.readers import ReadResult, read
from replay.readers.load import JOBS


def write_logs(root, seed, count):
    chance = random.Random(seed)
    for number in range(count):
        folder = root / f"run{number}"
        folder.mkdir(parents=True)
        rows = []
        for step in range(10, 10 * chance.randint(3, 30), 10):
            rows.append({"step": step, "epoch": step / 70, "loss": chance.random(), "learning_rate": 1e-4})
            if step % 30 == 0:
                loss = math.nan if chance.random() < 0.05 else chance.random()
                rows.append({"step": step, "epoch": step / 70, "eval_loss": loss, "eval_runtime": 1.5})
        kind = chance.choice(["state", "lines", "table", "cut", "broken", "binary"])
        if kind == "state":
            (folder / "trainer_state.json").write_text(
                json.dumps({"log_history": rows, "global_step": rows[-1]["step"] if rows else 0})
            )
        elif kind == "lines":
            (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "table":
            lines = [f"{row['step']},{row['loss']},{chance.random()}" for row in rows if "loss" in row]
            (folder / "log.csv").write_text("\n".join(["step,train_loss,val_loss", *lines, ""]))
        elif kind == "cut":
            text = json.dumps({"log_history": rows})
            (folder / "trainer_state.json").write_text(text[: chance.randint(1, len(text))])
        elif kind == "broken":
            (folder / "trainer_state.json").write_text('{"log_history": 7}')
        else:
            (folder / "metrics.csv").write_bytes(bytes(range(256)))
    return root


def described(result: ReadResult):
    runs = [
        (
            run.id,
            repr(run.info),
            [
                (name, column.values.tobytes(), column.present.tobytes())
                for name, column in run.columns.items()
            ],
            [(name, *(part.tobytes() for part in series)) for name, series in run.train.items()],
        )
        for run in result.runs
    ]
    return runs, [repr(one) for one in result.findings], result.duplicates, result.files, result.skipped


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_several_processes_give_what_one_gives(tmp_path, monkeypatch, seed):
    root = write_logs(tmp_path / "logs", seed, 70)
    monkeypatch.setenv(JOBS, "1")
    alone = read([root])
    monkeypatch.setenv(JOBS, "2")
    together = read([root])
    assert len(alone.runs) > 10
    assert alone.findings
    assert described(together) == described(alone)
    for run in together.runs:
        assert not any(array.flags.writeable for column in run.columns.values() for array in column)


@pytest.mark.skipif(os.name == "nt", reason="needs an executable script")
@pytest.mark.parametrize("does", ["exit 3", "echo no pickle", "head -c 100 >&2; exit 1"])
def test_logs_of_a_process_that_ends_are_read_all_the_same(tmp_path, monkeypatch, does):
    root = write_logs(tmp_path / "logs", 4, 30)
    monkeypatch.setenv(JOBS, "1")
    alone = read([root])
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setenv(JOBS, "2")
    monkeypatch.setattr(sys, "executable", str(python))
    assert described(read([root])) == described(alone)


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    root = write_logs(tmp_path / "logs", 5, 30)
    script = tmp_path / "script.py"
    script.write_text(f"import replay\nprint('begin')\nprint(len(replay.load({str(root)!r})))\n")
    here = Path(__file__).parents[2]
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", str(script)],
            env={**os.environ, JOBS: jobs, "PYTHONPATH": str(here)},
            capture_output=True,
            text=True,
            check=True,
        )
        for jobs in ("1", "2")
    ]
    assert outputs[0].stdout.count("begin") == outputs[1].stdout.count("begin") == 1
    assert outputs[0].stdout == outputs[1].stdout
    assert outputs[1].stderr == outputs[0].stderr


@pytest.mark.parametrize("value", ["0", "many", "-2", "1e3", "5000"])
def test_a_number_of_processes_that_is_none_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv(JOBS, value)
    root = write_logs(tmp_path / "logs", 6, 3)
    with pytest.raises(InputError, match=f"{JOBS}: '{value}' is not a number of processes from 1 to 1024"):
        read([root])

"""``train.report_to``: other trackers get the numbers, and the training and its log stay as they are."""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from collect import config as settings
from collect.eval_log import read_existing_log
from replay.errors import InputError
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, at_record, at_signal, changed, toml

pytest.importorskip("transformers")
CONFIG = changed(CLASSIFIER, lora={"dropout": 0.1}, train={"max_steps": 9, "eval_every": 3})
#: A tracker of transformers that draws random numbers, prints, wants to stop the training, and fails late.
NOISY = """
import random, sys
import numpy, torch
from transformers import TrainerCallback
from transformers.integrations import integration_utils

class Noisy(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        random.random(), numpy.random.rand(), torch.rand(3)
        print("printed by the tracker")
        logs["eval_loss"] = 0.0
        control.should_training_stop = control.should_evaluate = True
        if state.global_step >= 6:
            raise ConnectionError("the server is away")

integration_utils.INTEGRATION_TO_CALLBACK["noisy"] = Noisy
from collect.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def collect(workplace, tmp_path):
    """Runs ``collect run`` in a process whose working folder is ``tmp_path``; returns it and the folder."""

    def run(name, *report_to, python=("-m", "collect"), out=None, **environment):
        path = workplace / f"{name}.toml"
        path.write_text(toml(changed(CONFIG, train={"report_to": list(report_to)} if report_to else {})))
        out = out or tmp_path / "logs"
        done = subprocess.run(
            [sys.executable, *python, "run", str(path), "--out", str(out)],
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
            capture_output=True,
            text=True,
        )
        return done, out / name

    return run


def numbers(folder):
    """All of a log but for the clocks and the config."""
    records = [
        {key: value for key, value in record.items() if key not in ("compute", "time", "segment")}
        for record in read_existing_log(folder).records
        if record.get("kind") in ("eval", "train")
    ]
    steps = read_step_signals(folder / FILE_NAME)
    return json.dumps(records, sort_keys=True), steps.values.tobytes(), steps.totals.tobytes()


def test_the_record_of_a_config_without_it_does_not_change():
    record = settings.parse({"name": "a", **CONFIG}, "a.toml").record()
    assert "report_to" not in record["train"]
    named = settings.parse(
        {"name": "a", **changed(CONFIG, train={"report_to": ["mlflow"]})}, "a.toml"
    ).record()
    assert named["train"].pop("report_to") == ["mlflow"]
    assert json.dumps(named) == json.dumps(record)
    assert settings.parse_record({**named}, "a log").train.report_to == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["wandbb"], "Did you mean wandb?"),
        (["tensorboard"], "the run's folder gets TensorBoard events in any case; leave 'tensorboard' out"),
        (["mlflow", "mlflow"], "it must name each tracker once"),
        ("wandb", "train.report_to = 'wandb'; it must be a list of strings"),
    ],
)
def test_a_name_that_transformers_does_not_have_is_refused(value, message):
    with pytest.raises(InputError) as error:
        settings.parse({"name": "a", **changed(CONFIG, train={"report_to": value})}, "a.toml")
    assert message in str(error.value)


def test_a_missing_library_is_one_sentence_before_the_training(collect):
    missing = next(
        name for name in ("clearml", "dvclive", "swanlab") if importlib.util.find_spec(name) is None
    )
    done, folder = collect("missing", missing)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
    assert f"train.report_to = '{missing}' cannot be used: " in line
    assert f"pip install {missing}" in line
    assert "Traceback" not in done.stderr
    assert not (folder / "eval_log.jsonl").exists()


@pytest.mark.slow
def test_a_tracker_changes_nothing_and_may_fail(collect, workplace, tmp_path):
    plain, whole = collect("plain")
    assert plain.returncode == 0, plain.stderr
    noisy, folder = collect("noisy", "noisy", python=("-c", NOISY))
    assert noisy.returncode == 0, noisy.stderr
    assert numbers(folder) == numbers(whole)
    assert noisy.stdout == plain.stdout
    assert noisy.stderr.count("noisy failed and gets nothing more of this run (the server is away)") == 1


@pytest.mark.slow
def test_a_resume_goes_on_where_a_tracker_is_added_or_left_out(collect):
    done, whole = collect("whole")
    assert done.returncode == 0, done.stderr
    killed, folder = collect("killed", python=at_record("checkpoint", 1, at_signal(9)))
    assert killed.returncode == -9
    resumed, _ = collect("killed", "noisy", python=("-c", NOISY))
    assert resumed.returncode == 0, resumed.stderr
    assert numbers(folder) == numbers(whole)
    again, _ = collect("killed")
    assert "finished already, skipped" in again.stderr


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_gets_the_numbers_of_each_run(collect, tmp_path):
    done, folder = collect("tracked", "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    assert done.returncode == 0, done.stderr
    assert "failed and gets nothing more" not in done.stderr
    (path,) = (tmp_path / "trackio").glob("*.db")
    rows = sqlite3.connect(path).execute("select run_name, metrics from metrics").fetchall()
    assert {name for name, _ in rows} == {"tracked"}
    values = [json.loads(metrics) for _, metrics in rows]
    losses = [row["eval/loss"] for row in values if "eval/loss" in row]
    log = [record for record in read_existing_log(folder).records if record.get("kind") == "eval"]
    assert losses == pytest.approx([record["metrics"]["eval_loss"] for record in log])


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_works_offline_and_each_run_is_one_of_its_own(workplace, tmp_path):
    paths = []
    for name in ("first", "second"):
        paths.append(workplace / f"{name}.toml")
        paths[-1].write_text(toml(changed(CONFIG, train={"report_to": ["wandb"]})))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-m", "collect", "run", *map(str, paths), "--out", str(tmp_path / "logs")],
        cwd=tmp_path,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "failed and gets nothing more" not in done.stderr
    assert len(list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))) == 2


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_gets_the_numbers(collect, tmp_path):
    environment = {"MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    done, folder = collect("flow", "mlflow", **environment)
    assert done.returncode == 0, done.stderr
    assert "failed and gets nothing more" not in done.stderr
    (path,) = (tmp_path / "mlruns").glob("*/*/metrics/eval_loss")
    losses = [float(line.split()[1]) for line in path.read_text().splitlines()]
    log = [record for record in read_existing_log(folder).records if record.get("kind") == "eval"]
    assert losses == pytest.approx([record["metrics"]["eval_loss"] for record in log])


@pytest.mark.skipif(importlib.util.find_spec("swanlab") is None, reason="swanlab is not installed")
def test_swanlab_works_offline_or_is_left_out(collect, tmp_path):
    """Its version 0.10 raises in the callback of transformers 5.24."""
    done, folder = collect("swan", "swanlab")
    assert done.returncode == 0, done.stderr
    assert read_existing_log(folder).ended
    left_out = done.stderr.count("swanlab failed and gets nothing more of this run (No active Run")
    assert left_out == 1 or list((tmp_path / "swanlog").glob("*run-*"))

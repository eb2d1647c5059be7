"""The live callback in a real Trainer: it stops where replay stops the full log."""

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

import replay
from replay.errors import InputError, PolicyError
from tests import tiny

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

from replay.live.transformers import StopCallback  # noqa: E402

#: Rises, dips, ties and a NaN: what an accuracy looks like.
SCORES = [0.5, 0.6, 0.58, 0.6, 0.65, 0.64, math.nan, 0.65, 0.63, 0.7, 0.69, 0.68, 0.67, 0.66, 0.66, 0.66]
POLICIES = [
    "patience=3",
    "patience=2,smooth=ema:0.5",
    "patience=2,every=2",
    "transformers:patience=3,threshold=0.02",
    "patience=4,start=3",
    "target=0.69",
    "patience=2 & budget=9",
    "patience=6 | target=0.7",
    "patience=20",
    "patience=2,monitor=eval_loss,mode=min | patience=3",
]


def trainer(folder, callbacks=(), **arguments):
    """A Trainer whose evals give the scripted scores by step, in two data sets."""
    data = tiny.data()
    options = {
        "max_steps": len(SCORES),
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "learning_rate": 0.1,
        "per_device_train_batch_size": 2,
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 1,
    }
    made = transformers.Trainer(
        tiny.model(),
        transformers.TrainingArguments(str(folder), **{**options, **arguments}),
        train_dataset=data,
        eval_dataset=data[:4],
        compute_metrics=lambda _: {"score": SCORES[made.state.global_step - 1]},
        callbacks=list(callbacks),
    )
    made.remove_callback(transformers.PrinterCallback)
    return made


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The state file of the whole training."""
    folder = tmp_path_factory.mktemp("full")
    whole = trainer(folder)
    whole.train()
    whole.save_state()
    return folder / "trainer_state.json"


@pytest.mark.parametrize("policy", POLICIES)
def test_it_stops_where_replay_stops_the_full_log(policy, full, tmp_path):
    expected = replay.simulate(replay.load(full), [policy], monitor="eval_score", mode="max").iloc[0]
    stop = StopCallback(policy, monitor="eval_score", mode="max")
    live = trainer(tmp_path, [stop])
    live.train()
    if pd.isna(expected["stopped_eval"]):
        assert live.state.global_step == len(SCORES)
        assert not stop.decision.stop
        return
    assert live.state.global_step == expected["stopped_step"]
    assert stop.decision == (expected["stopped_eval"], True, expected["reason"])
    (said,) = [row for row in live.state.log_history if "stop_policy" in row]
    assert said["stop_reason"] == expected["reason"]
    assert said["step"] == expected["stopped_step"]


def test_the_metric_and_its_mode_come_from_the_arguments(tmp_path):
    stop = StopCallback("patience=1")
    live = trainer(tmp_path, [stop], metric_for_best_model="score", greater_is_better=True)
    live.train()
    assert live.state.global_step == 3  # 0.6, then 0.58


def test_a_metric_that_is_not_logged_is_refused_at_the_first_eval(tmp_path):
    live = trainer(tmp_path, [StopCallback("patience=3", monitor="val_loss")])
    with pytest.raises(InputError, match=r"no metric 'val_loss'.*Did you mean eval_loss"):
        live.train()
    assert live.state.global_step == 1


def test_several_data_sets_are_waited_for(tmp_path):
    stop = StopCallback("patience=3", monitor="eval_b_loss")
    live = trainer(tmp_path, [stop])
    live.eval_dataset = {"a": live.eval_dataset, "b": live.eval_dataset[:2]}
    live.train()
    assert stop.decision.eval >= 3


def test_a_bad_specification_is_refused_at_once():
    with pytest.raises(PolicyError, match="patience must be at least 1"):
        StopCallback("patience=0")


def test_a_stopped_log_is_read_back_with_its_reason(tmp_path):
    live = trainer(tmp_path, [StopCallback("patience=1", monitor="eval_score", mode="max")])
    live.train()
    live.save_state()
    (run,) = replay.load(tmp_path / "trainer_state.json")
    assert run.steps.tolist() == [1, 2, 3]
    assert json.loads((tmp_path / "trainer_state.json").read_text())["log_history"][-2]["stop_reason"]


@pytest.mark.filterwarnings("ignore:.*twice the eval noise")
@pytest.mark.parametrize(
    "scores", [[0.1, 0.2, 0.6, 0.5, 0.4, 0.4], [0.1, 0.6, 0.5, 0.5, 0.5, 0.5], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]]
)
def test_the_checkpoint_that_a_trainer_loads(scores, tmp_path, monkeypatch):
    """With save_steps twice eval_steps, load_best_model_at_end may load a worse one than the best, or
    none."""
    monkeypatch.setattr("tests.live.test_transformers.SCORES", scores)
    live = trainer(
        tmp_path,
        [transformers.EarlyStoppingCallback(3)],
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=True,
        max_steps=len(scores),
    )
    live.train()
    saved = [float(step % 2 == 0) for step in range(1, len(scores) + 1)]
    made = replay.Run("r", {"step": range(1, len(scores) + 1), "eval_score": scores, "saved": saved})
    (row,) = replay.simulate(
        [made], ["transformers:patience=3"], monitor="eval_score", mode="max", keep="transformers"
    ).to_dict("records")
    loaded = live.state.best_model_checkpoint
    assert row["stopped_step"] == live.state.global_step
    assert row["kept_step"] == (live.state.global_step if loaded is None else int(loaded.rsplit("-", 1)[1]))


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {root!r})
import transformers
from pathlib import Path
from tests.live.test_transformers import trainer
from replay.live.transformers import StopCallback

class Kill(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)

trainer({folder!r}, [StopCallback("patience=4", monitor="eval_score", mode="max"), Kill()], save_strategy="steps", save_steps=3).train()
"""  # noqa: E501


def test_a_killed_and_resumed_trainer_stops_at_the_same_eval(full, tmp_path):
    """The counter stands at 1 of 4 where the checkpoint is: transformers' own callback would begin it
    anew."""
    from pathlib import Path

    expected = replay.simulate(replay.load(full), ["patience=4"], monitor="eval_score", mode="max").iloc[0]
    code = SCRIPT.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    stop = StopCallback("patience=4", monitor="eval_score", mode="max")
    live = trainer(tmp_path, [stop], save_strategy="steps", save_steps=3)
    live.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert live.state.global_step == expected["stopped_step"]
    assert stop.decision == (expected["stopped_eval"], True, expected["reason"])
    assert replay.parse_policy("patience=4").stop_eval(SCORES[6:], "max") + 6 != expected["stopped_eval"]


def test_a_training_that_was_stopped_stops_again(tmp_path):
    """Resuming its last checkpoint does not train on as if nothing had been."""
    live = trainer(
        tmp_path,
        [StopCallback("patience=1", monitor="eval_score", mode="max")],
        save_strategy="steps",
        save_steps=1,
    )
    live.train()
    assert live.state.global_step == 3
    again = trainer(
        tmp_path,
        [StopCallback("patience=1", monitor="eval_score", mode="max")],
        save_strategy="steps",
        save_steps=1,
    )
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.state.global_step == 4
    assert sum("stop_policy" in row for row in again.state.log_history) == 1

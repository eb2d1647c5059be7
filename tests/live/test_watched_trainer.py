"""``replay watch`` beside a real transformers Trainer that writes its log in a process of its own."""

import os
import subprocess
import sys
import time

import pandas as pd
import pytest

import replay
from replay.cli.watching import Watch
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from tests.readme import ROOT

pytest.importorskip("transformers")
pytest.importorskip("torch")

#: What the evals of the training give.
SCORES = [0.5, 0.6, 0.58, 0.65, 0.64, 0.63, 0.61, 0.7, 0.69]
SPECS = ("patience=2", "patience=3", "target=0.69", "transformers:patience=3,threshold=0.02", "patience=20")
#: No test depends on how busy the machine is.
PATIENCE_S = 300

#: Trains, and waits after each eval (or checkpoint) until the watch has looked.
TRAINING = """
import sys, time
from pathlib import Path

import transformers

from tests import tiny

folder, kind, scores = Path(sys.argv[1]), sys.argv[2], [float(one) for one in sys.argv[3:]]


class Wait(transformers.TrainerCallback):
    def wait(self, step):
        (folder / f"at-{step}").touch()
        while not (folder / f"go-{step}").exists():
            time.sleep(0.01)

    def on_evaluate(self, args, state, control, **more):
        if kind == "tensorboard":
            self.wait(state.global_step)

    def on_save(self, args, state, control, **more):
        if kind == "checkpoints":
            self.wait(state.global_step)


made = transformers.Trainer(
    tiny.model(),
    transformers.TrainingArguments(
        str(folder / "out"),
        max_steps=len(scores),
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps" if kind == "checkpoints" else "no",
        save_steps=1,
        save_total_limit=1,
        report_to=["tensorboard"] if kind == "tensorboard" else [],
        per_device_train_batch_size=2,
        logging_steps=1,
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=tiny.data(),
    eval_dataset=tiny.data(4),
    compute_metrics=lambda _: {"score": scores[made.state.global_step - 1]},
    callbacks=[Wait()],
)
made.train()
"""


@pytest.mark.parametrize("kind", ["tensorboard", pytest.param("checkpoints", marks=pytest.mark.slow)])
def test_a_trainer_that_writes_while_it_is_watched(kind, tmp_path):
    logs = tmp_path / "logs"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TENSORBOARD_LOGGING_DIR": str(logs / "events"),
        "HF_HUB_OFFLINE": "1",
    }
    watched = tmp_path / "out" if kind == "checkpoints" else logs
    watched.mkdir()
    metric = "eval/score" if kind == "tensorboard" else "eval_score"
    policies = list(zip(SPECS, parse_policies(SPECS), strict=True))
    watch = Watch([watched], policies, Question(metric, "max"))
    assert "no log found below" in watch.update(first=True).message
    with (tmp_path / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(tmp_path), kind, *map(str, SCORES)],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    seen, coming = [], {}
    try:
        for step in range(1, len(SCORES) + 1):
            end = time.monotonic() + PATIENCE_S
            while not (tmp_path / f"at-{step}").exists():
                assert process.poll() is None, (tmp_path / "said.txt").read_text()
                assert time.monotonic() < end, f"no eval {step}"
                watch.update()  # also in the middle of what is being written
                time.sleep(0.02)
            (state,) = watch.update().states
            assert state.values.tolist() == pytest.approx(SCORES[:step])
            assert not state.ended or step == len(SCORES)
            seen.append({one.spec: one for one in state.standings})
            for spec, one in seen[-1].items():
                if spec in coming:
                    assert (one.stopped_eval == step) == coming[spec](SCORES[step - 1]), (spec, step)
            coming = {spec: _promise(one) for spec, one in seen[-1].items() if _promise(one) is not None}
            (tmp_path / f"go-{step}").touch()
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "said.txt").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    full = replay.simulate(replay.load(watched), list(SPECS), monitor=metric, mode="max")
    assert len(full) == len(SPECS)
    for row in full.itertuples():
        stop = None if pd.isna(row.stopped_eval) else int(row.stopped_eval)
        told = [one[row.spec].stopped_eval for one in seen]
        assert told == [
            stop if stop is not None and step >= stop else None for step in range(1, len(SCORES) + 1)
        ]
    assert full["stopped_eval"].notna().sum() >= 3


def _promise(one):
    """Whether the next eval stops the run, by its value, as the standing says; None where it does not say."""
    if one.next is None or one.next.kind == "open":
        return None

    def stops(value):
        bound, strict = one.next.bound, one.next.strict
        better = bound is not None and (value > bound or (not strict and value == bound))
        return {
            "continues": False,
            "stops": True,
            "stops_unless_better": not better,
            "stops_if_better": better,
        }[one.next.kind]

    return stops

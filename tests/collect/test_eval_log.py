"""EvalLog in a loop of one's own, and as a callback of a plain Trainer."""

import json
import math
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collect.eval_log import FILE_NAME, EvalLog
from replay.data.run import COUNTERS
from replay.errors import InputError, ReplayWarning
from replay.readers import read
from replay.readers.formats import eval_log
from replay.report.sentences import sentences
from tests import tiny


def load(folder):
    loaded = eval_log.FORMAT.load([folder / FILE_NAME], "run")
    (run,) = loaded.runs
    return run, sentences(loaded.findings)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8),
    number=st.integers(1, 10**9),
)
def test_what_is_read_back_is_what_was_written(values, number, tmp_path_factory):
    """Every double, NaN and the infinities, to the last bit."""
    folder = tmp_path_factory.mktemp("log")
    with EvalLog(folder, modes={"eval_loss": "min"}, planned_steps=number) as log:
        for step, value in enumerate(values, 1):
            log.log(step, {"eval_loss": value}, train={"loss": value}, compute={"tokens": step})
    run, problems = load(folder)
    assert problems == []
    curve = run.curve("eval_loss", "min")
    assert np.array(curve.values).tobytes() == np.where(np.isnan(values), math.nan, values).tobytes()
    assert curve.steps.tolist() == list(range(1, len(values) + 1))
    assert run.columns["tokens"].values.tolist() == list(range(1, len(values) + 1))
    assert run.info.planned_steps == number
    assert run.info.complete
    for line in (folder / FILE_NAME).read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_a_loop_of_ones_own(tmp_path):
    with EvalLog(tmp_path / "my-run", modes={"val_loss": "min"}, group="mine", seed=7) as log:
        for step in (1, 2, 3, 4):
            log.count(tokens=100)
            log.log_train(step, {"loss": float(step), "learning_rate": 0.1})
            if step % 2 == 0:
                log.log(
                    step,
                    {"val_loss": np.float32(0.5), "val_acc": None},
                    epoch=step / 2,
                    eval_seconds=0.25,
                    saved=step == 4,
                )
    run, _ = load(tmp_path / "my-run")
    assert (run.info.extra["run"], run.info.group, run.info.extra["seed"]) == ("my-run", "mine", 7)
    assert run.metrics == ("val_loss",)
    assert run.columns["train_loss"].values.tolist() == [1.5, 3.5]
    assert run.columns["tokens"].values.tolist() == [200, 400]
    assert run.columns["eval_seconds"].values.tolist() == [0.25, 0.25]
    assert run.columns["saved"].values.tolist() == [0, 1]
    last = json.loads((tmp_path / "my-run" / FILE_NAME).read_text().splitlines()[-1])
    assert (last["kind"], last["step"]) == ("end", 4)
    assert {"train_seconds", "eval_seconds", "wall_seconds", "tokens"} <= set(COUNTERS)


def test_every_line_is_on_disk_when_log_returns(tmp_path):
    """A process that kills itself right after, without closing anything."""
    code = (
        "import os, signal; from collect import EvalLog\n"
        f"log = EvalLog({str(tmp_path / 'run')!r})\n"
        "for step in range(1, 6): log.log(step, {'eval_loss': 1 / step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    run, problems = load(tmp_path / "run")
    assert run.curve("eval_loss", "min").values.tolist() == [1 / step for step in range(1, 6)]
    assert problems == []
    assert not run.info.complete


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_resumed_log_keeps_the_good_part_and_voids_the_rest(cut, tmp_path):
    header = {"config": {"lr": 0.1}}
    log = EvalLog(tmp_path, **header)
    for step in (1, 2, 3, 4):
        log.count(tokens=10)
        log.log(step, {"eval_loss": float(step)}, eval_seconds=1.0)
    log.close()
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-cut])  # the kill came in the middle of the last line
    before = path.read_bytes()
    with EvalLog(tmp_path, **header) as log:
        log.resume(2)
        for step in (3, 4, 5):
            log.count(tokens=10)
            log.log(step, {"eval_loss": 10.0 + step}, eval_seconds=1.0)
    assert path.read_bytes().startswith(before)
    run, _ = load(tmp_path)
    assert run.curve("eval_loss", "min").values.tolist() == [1, 2, 13, 14, 15]
    assert run.columns["tokens"].values.tolist() == [10, 20, 30, 40, 50]
    assert (np.diff(run.columns["wall_seconds"].values) > 0).all()


def test_a_log_of_another_run_is_refused(tmp_path):
    with EvalLog(tmp_path, config={"train": {"lr": 0.1}}) as log:
        log.log(1, {"eval_loss": 1.0})
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(
        InputError, match=r"another run \(lr 0.1 there, 0.2 here\); nothing is written over it"
    ):
        EvalLog(tmp_path, config={"train": {"lr": 0.2}}).log(1, {"eval_loss": 1.0})
    with pytest.raises(InputError, match=r"holds this run already, up to step 1 \(1 evals\)"):
        EvalLog(tmp_path, config={"train": {"lr": 0.1}}).log(1, {"eval_loss": 1.0})
    with pytest.raises(InputError, match="has ended at step 1; it is not continued"):
        EvalLog(tmp_path, config={"train": {"lr": 0.1}}).resume(1)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / FILE_NAME).write_text("my notes\n")
    with pytest.raises(InputError, match="is not an eval log of version 1; nothing is written over it"):
        EvalLog(tmp_path).log(1, {"eval_loss": 1.0})
    assert (tmp_path / FILE_NAME).read_text() == "my notes\n"


def test_mistakes_in_calls(tmp_path):
    with pytest.raises(InputError, match=r"has no 'planed_steps'; it has .*Did you mean planned_steps"):
        EvalLog(tmp_path, planed_steps=3)
    with pytest.raises(
        InputError, match=r"gave no 'eval_acc'; it gave eval_accuracy. Did you mean eval_accuracy"
    ):
        EvalLog(tmp_path / "a", modes={"eval_acc": "max"}).log(1, {"eval_accuracy": 1.0})
    for value in ("0.5", [1.0], np.zeros(2), True):
        with pytest.raises(InputError, match=r"eval_loss = .* is not a number"):
            EvalLog(tmp_path / "b").log(1, {"eval_loss": value})
    assert not (tmp_path / "b").exists()


@pytest.fixture
def plain_trainer(workplace, tmp_path):
    """A Trainer as a user would build it, with a peft model and two eval sets."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

    def build(log, max_steps=6, **arguments):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(workplace / "bert", num_labels=2)
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]))
        rows = [
            {"input_ids": [3 + n, 4, 5], "attention_mask": [1, 1, n % 2], "labels": n % 2} for n in range(12)
        ]
        options = {
            "output_dir": str(tmp_path / "out"),
            "max_steps": max_steps,
            "eval_strategy": "steps",
            "eval_steps": 2,
            "logging_steps": 1,
            "per_device_train_batch_size": 4,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "save_strategy": "steps",
            "save_steps": 4,
            "label_names": ["labels"],
        }
        trainer = Trainer(
            model=model,
            args=TrainingArguments(**{**options, **arguments}),
            train_dataset=rows,
            eval_dataset={"a": rows, "b": rows[:5]},
        )
        trainer.add_callback(log)
        return trainer

    return build


def test_one_line_in_a_plain_trainer(plain_trainer, tmp_path):
    trainer = plain_trainer(EvalLog(tmp_path / "log", group="mine"))
    trainer.train()
    trainer.evaluate()  # after the training: not part of it
    run, problems = load(tmp_path / "log")
    assert problems == []
    assert set(run.metrics) == {"eval_a_loss", "eval_b_loss"}
    assert run.steps.tolist() == [2, 4, 6]
    assert run.columns["saved"].values.tolist() == [0, 1, 1]
    # two epochs of 12 examples, half of them with a padded last token
    assert run.columns["tokens"].values[-1] == 2 * (6 * 3 + 6 * 2)
    assert run.columns["eval_tokens"].values.tolist() == [30 + 12] * 3
    history = [row for row in trainer.state.log_history if "eval_a_loss" in row][:3]
    assert run.curve("eval_a_loss", "min").values.tolist() == [row["eval_a_loss"] for row in history]
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert run.columns["train_loss"].values.tolist() == pytest.approx(
        [np.mean(losses[at : at + 2]) for at in (0, 2, 4)]
    )
    assert run.info.hyperparameters["r"] == 2
    assert run.info.planned_steps == 6
    assert run.info.planned_epochs == 2
    assert run.info.model == "bert"
    assert run.info.complete


def test_a_trainer_that_resumes_goes_on_in_its_log(plain_trainer, tmp_path):
    from transformers import TrainerCallback

    class Crash(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 7:
                raise KeyboardInterrupt

    log = EvalLog(tmp_path / "log")
    trainer = plain_trainer(log, max_steps=10)
    trainer.add_callback(Crash())
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    log.close()
    plain_trainer(EvalLog(tmp_path / "log"), max_steps=10).train(
        resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4")
    )
    resumed, _ = load(tmp_path / "log")
    plain_trainer(EvalLog(tmp_path / "whole"), max_steps=10, output_dir=str(tmp_path / "out2")).train()
    whole, _ = load(tmp_path / "whole")
    assert resumed.steps.tolist() == whole.steps.tolist() == [2, 4, 6, 8, 10]
    for name in ("eval_a_loss", "eval_b_loss", "tokens", "eval_tokens", "train_loss", "saved"):
        assert resumed.columns[name].values.tolist() == whole.columns[name].values.tolist(), name
    assert resumed.columns["segment"].values.tolist() == [0, 0, 1, 1, 1]


def test_a_trainer_that_gives_no_loss_fails_at_the_first_eval(plain_trainer, tmp_path):
    trainer = plain_trainer(EvalLog(tmp_path / "log"), label_names=["start_positions"])
    with pytest.raises(InputError, match=r"gave no loss and no metric: .*label_names=\['labels'\]"):
        trainer.train()
    assert trainer.state.global_step == 2


def test_a_trainer_that_never_evaluates_is_warned_before_it_trains(plain_trainer, tmp_path):
    trainer = plain_trainer(EvalLog(tmp_path / "log"), eval_strategy="no")
    with pytest.raises(ReplayWarning, match="set eval_strategy and eval_steps"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_trainer_with_other_arguments_is_refused(plain_trainer, tmp_path):
    plain_trainer(EvalLog(tmp_path / "log")).train()
    with pytest.raises(InputError, match=r"another run \(learning_rate 5e-05 there, 0.001 here\)"):
        plain_trainer(EvalLog(tmp_path / "log"), learning_rate=1e-3).train()


def test_an_early_stop_is_on_record(plain_trainer, tmp_path):
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 4

    trainer = plain_trainer(EvalLog(tmp_path / "log"))
    trainer.add_callback(Stop())
    trainer.train()
    assert (
        json.loads((tmp_path / "log" / FILE_NAME).read_text().splitlines()[-1])["reason"]
        == "stopped at step 4 of 6"
    )


def test_only_one_process_writes(tmp_path):
    """Two that start at once: the file is created by one of them."""
    first, second = EvalLog(tmp_path), EvalLog(tmp_path)
    first.log(1, {"eval_loss": 1.0})
    with pytest.raises(InputError, match="holds this run already"):
        second.log(1, {"eval_loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_trainer_of_ones_own_writes_the_same_log(tmp_path):
    """One line in somebody's script: the callback's log is the Trainer's own history, with what was saved."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    data = tiny.data()
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"),
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=4,
        max_steps=8,
        report_to=[],
        per_device_train_batch_size=2,
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
        learning_rate=0.1,
    )
    trainer = transformers.Trainer(tiny.model(), arguments, train_dataset=data, eval_dataset=data[:4])
    trainer.add_callback(EvalLog(tmp_path / "log" / "my-run"))
    trainer.train()
    (run,) = read([tmp_path / "log"]).runs
    history = [row for row in trainer.state.log_history if "eval_loss" in row]
    assert run.columns["eval_loss"].values.tolist() == [row["eval_loss"] for row in history]
    assert run.steps.tolist() == [row["step"] for row in history] == [2, 4, 6, 8]
    assert run.columns["saved"].values.tolist() == [0, 1, 0, 1]
    assert run.info.planned_steps == 8
    assert run.info.complete

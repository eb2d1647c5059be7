"""One log and several writers, what kills made void, and methods that read a text several times."""

import json
import signal
import subprocess
import sys

import pytest

from collect import EvalLog
from collect.eval_log import FILE_NAME
from replay.errors import InputError
from replay.readers.formats import eval_log
from tests.collect.conftest import TRAINER_OPTIONS

#: A process that goes on in a log, says so, and waits.
WRITES = """
import sys
from collect import EvalLog

log = EvalLog(sys.argv[1])
log.resume(2)
print("writes", flush=True)
sys.stdin.readline()
log.log(3, {"eval_loss": 0.5})
log.end(3, "done")
"""
#: Trains a LoRA model in a plain Trainer, logging rarely, and is killed by its own callback.
TRAINS = """
import os, signal, sys

import torch, transformers
from peft import LoraConfig, get_peft_model

from collect import EvalLog

workplace, folder, kill_at, checkpoint = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
step_signals = sys.argv[5] == "True"

class Kill(transformers.TrainerCallback):
    def on_train_begin(self, *args, **kwargs):
        if kill_at < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

model = transformers.AutoModelForCausalLM.from_pretrained(workplace + "/llama")
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
data = [{"input_ids": [5, 6, 7 + n % 20, 2], "labels": [5, 6, 7 + n % 20, 2]} for n in range(64)]
arguments = transformers.TrainingArguments(
    folder + "/out", max_steps=24, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=10,
    logging_steps=10, save_strategy="steps", save_steps=5, report_to="none", disable_tqdm=True, use_cpu=True,
    label_names=["labels"],
)
trainer = transformers.Trainer(
    model, arguments, train_dataset=data, eval_dataset=data[:8],
    callbacks=[EvalLog(folder + "/log", step_signals=step_signals), Kill()],
)
trainer.train(resume_from_checkpoint=checkpoint or None)
"""
BEFORE_ITS_FIRST_STEP = -1


def records(folder, kind):
    lines = [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]
    return [line for line in lines if line.get("kind") == kind]


def begun(folder, steps=(1, 2)):
    """A log that a kill left behind."""
    log = EvalLog(folder)
    for step in steps:
        log.log(step, {"eval_loss": 1.0 / step})
    log.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no lock on Windows")
def test_of_two_processes_that_resume_one_log_the_second_is_refused(tmp_path):
    begun(tmp_path)
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writes\n"
        before = (tmp_path / FILE_NAME).read_bytes()
        message = (
            "eval_log.jsonl is being written by another process; wait until that has ended, or give another"
        )
        with pytest.raises(InputError, match=message):
            EvalLog(tmp_path).resume(2)
        assert (tmp_path / FILE_NAME).read_bytes() == before
        process.communicate("\n")
    assert process.returncode == 0
    assert [record["segment"] for record in records(tmp_path, "segment")] == [1]
    assert len(records(tmp_path, "end")) == 1
    with pytest.raises(InputError, match="has ended at step 3"):
        EvalLog(tmp_path).resume(2)


@pytest.mark.skipif(sys.platform == "win32", reason="no lock on Windows")
def test_a_killed_writer_leaves_no_lock(tmp_path):
    begun(tmp_path)
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writes\n"
        process.send_signal(signal.SIGKILL)
    log = EvalLog(tmp_path)
    log.resume(2)
    log.log(3, {"eval_loss": 0.5})
    log.end(3, "done")
    assert [record["segment"] for record in records(tmp_path, "segment")] == [1, 2]


def test_a_new_log_is_locked_too(tmp_path):
    with EvalLog(tmp_path) as log:
        log.log(1, {"eval_loss": 1.0})
        with pytest.raises(InputError, match="by another process" if sys.platform != "win32" else ""):
            EvalLog(tmp_path).resume(1)


def test_a_header_that_a_kill_cut_off_is_written_anew(tmp_path):
    begun(tmp_path)
    line = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(line[:30])
    begun(tmp_path, [7])
    (run,) = eval_log.FORMAT.load([tmp_path / FILE_NAME], "run").runs
    assert run.steps.tolist() == [7]


def train(workplace, folder, *, kill_at, resume, step_signals=True):
    checkpoint = folder / "out" / f"checkpoint-{resume}" if resume else ""
    arguments = [workplace, folder, kill_at, checkpoint, step_signals]
    command = [sys.executable, "-c", TRAINS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("step_signals", [True, False])
@pytest.mark.slow
def test_all_steps_that_were_trained_twice_are_counted(step_signals, workplace, tmp_path):
    """Logged at steps 10 and 20, saved every 5, killed at the end of steps 8 and 18."""
    for kill_at, resume in ((8, 0), (18, 5)):
        done = train(workplace, tmp_path, kill_at=kill_at, resume=resume, step_signals=step_signals)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert (tmp_path / "log" / ".last_step").exists() != step_signals
    done = train(workplace, tmp_path, kill_at=0, resume=10, step_signals=step_signals)
    assert done.returncode == 0, done.stderr
    segments = records(tmp_path / "log", "segment")
    assert [(one["resumed_from"], one["wasted"]["steps"]) for one in segments] == [(5, 3), (10, 8)]
    (run,) = eval_log.FORMAT.load([tmp_path / "log" / FILE_NAME], "run").runs
    assert run.info.wasted["steps"] == 11
    assert {path.name for path in (tmp_path / "log").iterdir()} == {
        "eval_log.jsonl",
        *(["step_signals.bin"] if step_signals else []),
    }


@pytest.mark.parametrize("step_signals", [True, False])
@pytest.mark.slow
def test_a_segment_that_made_no_step_wastes_none(step_signals, workplace, tmp_path):
    """What the segment before it recorded is void already, and not counted again."""
    for kill_at, resume, code in ((8, 0, -9), (BEFORE_ITS_FIRST_STEP, 5, -9), (0, 5, 0)):
        done = train(workplace, tmp_path, kill_at=kill_at, resume=resume, step_signals=step_signals)
        assert done.returncode == code, done.stderr
    wasted = [one["wasted"]["steps"] for one in records(tmp_path / "log", "segment")]
    assert wasted == [3, 0]


def test_evals_of_checkpoints_that_are_kept_do_not_say_that_none_was_saved(classifier_run):
    """Checkpoints of steps 10, 20 and 24 stay; those of 5 and 15 only serve to resume."""
    said = {record["step"]: record.get("saved") for record in records(classifier_run, "eval")}
    assert said == {5: False, 10: None, 15: False, 20: None, 24: None}
    (run,) = eval_log.FORMAT.load([classifier_run / FILE_NAME], "run").runs
    assert run.columns["saved"].values.tolist() == [0, 1, 0, 1, 1]


def test_a_checkpoint_that_a_kill_cut_off_does_not_count_as_saved(classifier_run, tmp_path):
    """The log ends with the eval of step 20, before the record of its checkpoint."""
    text = (classifier_run / FILE_NAME).read_text()
    (tmp_path / FILE_NAME).write_text(text[: text.index('{"kind": "checkpoint", "step": 20,')])
    (run,) = eval_log.FORMAT.load([tmp_path / FILE_NAME], "run").runs
    assert run.steps.tolist() == [5, 10, 15, 20]
    assert run.columns["saved"].values.tolist() == [0, 1, 0, 0]


def test_a_loop_that_gives_its_loss_keeps_the_rate_and_the_clipped_norm(workplace, tmp_path):
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    model = transformers.AutoModelForCausalLM.from_pretrained(workplace / "llama")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    ids = torch.tensor([[5, 6, 7, 2]])
    with EvalLog(tmp_path, planned_steps=3) as log:
        log.watch(model, optimizer)
        for step in (1, 2, 3):
            optimizer.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 0.01)
            optimizer.step()
            schedule.step()
            given = {"loss": 4.0 - step} | ({"learning_rate": 7.0} if step == 3 else {})
            log.log(step, {"eval_loss": 1.0}, train=given)
    train = [record["train"] for record in records(tmp_path, "eval")]
    assert [one["loss"] for one in train] == [3.0, 2.0, 1.0]
    assert [one["learning_rate"] for one in train] == [3e-3, 1.5e-3, 7.0]  # what is given counts
    assert [one["grad_norm_clipped"] for one in train] == pytest.approx([0.01] * 3, rel=1e-3)


# ---- tokens of methods that read a text several times ----


@pytest.fixture
def preference(workplace, tmp_path):
    """Sums with a right and a wrong answer, and what the trainers of TRL have in common."""
    pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    import transformers
    from peft import LoraConfig

    rows = [
        {"prompt": f"{left} plus {right} equals", "chosen": f" {left + right}", "rejected": f" {left}"}
        for left in range(8)
        for right in range(2)
    ]
    options = {**TRAINER_OPTIONS, "max_steps": 2}
    parts = {
        "train_dataset": datasets.Dataset.from_list(rows[:12]),
        "eval_dataset": datasets.Dataset.from_list(rows[12:]),
        "processing_class": transformers.AutoTokenizer.from_pretrained(workplace / "llama"),
        "peft_config": LoraConfig(task_type="CAUSAL_LM", r=3, target_modules="all-linear"),
        "callbacks": [EvalLog(tmp_path / "log")],
    }
    return str(workplace / "llama"), str(tmp_path / "out"), options, parts


def test_dpo_counts_the_trained_tokens_once(preference, tmp_path):
    """Four prompts a step, each with two answers: 8 texts of 4 + 1 words and the end."""
    import trl

    model, out, options, parts = preference
    trl.DPOTrainer(model, args=trl.DPOConfig(out, **options), **parts).train()
    for number, record in enumerate(records(tmp_path / "log", "eval"), 1):
        compute = record["compute"]
        assert compute["tokens"] == compute["inference_tokens"] == number * 8 * 6
        assert compute["eval_tokens"] == compute["eval_reference_tokens"] == 8 * 6


def test_grpo_counts_the_trained_tokens_once(preference, tmp_path):
    """Two prompts a step with two answers of up to 3 tokens; writing them trains nothing."""
    import trl

    model, out, options, parts = preference
    arguments = trl.GRPOConfig(out, num_generations=2, max_completion_length=3, beta=0.1, **options)
    reward = lambda completions, **_: [float(len(text)) for text in completions]  # noqa: E731
    trl.GRPOTrainer(model, reward_funcs=reward, args=arguments, **parts).train()
    for number, record in enumerate(records(tmp_path / "log", "eval"), 1):
        compute = record["compute"]
        assert number * 4 * 5 <= compute["tokens"] <= compute["padded_tokens"] <= number * 4 * 7
        # at least as many for the log probabilities without the adapter, and those that were generated
        assert compute["inference_tokens"] > compute["tokens"]

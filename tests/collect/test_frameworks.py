"""EvalLog in the trainings of others: TRL's SFTTrainer, a bare PyTorch loop, a plain Trainer, and several
processes."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collect import EvalLog, data, generate
from collect import config as settings
from collect.eval_log import FILE_NAME
from replay.errors import InputError
from replay.readers.formats import eval_log
from replay.readers.step_signals import FILE_NAME as SIGNALS
from replay.readers.step_signals import read_step_signals
from tests.collect.conftest import CLASSIFIER, LANGUAGE, at_record, at_signal, changed, toml
from tests.collect.test_kill import assert_equal

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")


def load(folder):
    loaded = eval_log.FORMAT.load([folder / FILE_NAME], "run")
    assert loaded.findings == []
    (run,) = loaded.runs
    return run


def records(folder, kind=None):
    """The lines of a log; of one kind, or all with the header."""
    lines = [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]
    return lines if kind is None else [line for line in lines if line.get("kind") == kind]


# ---- TRL ----


def test_trl_trains_with_one_line_more(workplace, tmp_path):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    texts = [
        {"text": f"{left} plus {right} equals {left + right}"} for left in range(8) for right in range(4)
    ]
    arguments = trl.SFTConfig(
        str(tmp_path / "out"),
        max_steps=6,
        eval_strategy="steps",
        eval_steps=2,
        logging_steps=1,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=1e-2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        max_length=16,
    )
    trainer = trl.SFTTrainer(
        str(workplace / "llama"),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(texts[:24]),
        eval_dataset=datasets.Dataset.from_list(texts[24:]),
        processing_class=transformers.AutoTokenizer.from_pretrained(workplace / "llama"),
        peft_config=peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules="all-linear"),
    )
    trainer.add_callback(EvalLog(tmp_path / "log"))
    trainer.train()
    run = load(tmp_path / "log")
    history = [row for row in trainer.state.log_history if "eval_loss" in row]
    assert run.steps.tolist() == [row["step"] for row in history] == [2, 4, 6]
    assert run.curve("eval_loss", "min").values.tolist() == [row["eval_loss"] for row in history]
    for record, row in zip(records(tmp_path / "log", "eval"), history, strict=True):
        assert {"eval_loss", "eval_mean_token_accuracy"} <= set(record["metrics"])
        assert not [
            name
            for name in record["metrics"]
            if name.endswith(("tokens", "runtime", "second", "epoch", "time"))
        ]
        assert record["metrics"]["eval_mean_token_accuracy"] == row["eval_mean_token_accuracy"]
        assert record["signals"]["delta_norm"] > 0
        assert record["compute"]["eval_tokens"] == 8 * 6  # five words and the end
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert run.columns["train_loss"].values.tolist() == pytest.approx(
        [np.mean(losses[at : at + 2]) for at in (0, 2, 4)]
    )
    assert run.columns["tokens"].values.tolist() == [2 * 4 * 6, 4 * 4 * 6, 6 * 4 * 6]
    assert run.info.hyperparameters["r"] == 3
    assert run.info.planned_steps == 6
    assert run.info.versions["trl"] == trl.__version__
    assert run.info.model == "llama"
    assert run.info.complete
    header, *_, end = records(tmp_path / "log")
    assert len(header["lora"]["modules"]) == 14
    assert (end["kind"], end["step"], end["reason"]) == ("end", 6, "all planned steps are done")
    assert read_step_signals(tmp_path / "log" / SIGNALS).steps.tolist() == [1, 2, 3, 4, 5, 6]


# ---- a loop of one's own ----


def lora_llama(workplace, dropout=0.1):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(workplace / "llama")
    return peft.get_peft_model(
        model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", lora_dropout=dropout)
    )


def weights(model):
    return {name: weight.detach().numpy().tobytes() for name, weight in model.named_parameters()}


def test_a_bare_loop_is_watched_and_not_touched(workplace, tmp_path):
    def batches(seed, count):
        generator = torch.Generator().manual_seed(seed)
        return [torch.randint(3, 30, (4, 8), generator=generator) for _ in range(count)]

    def train(log):
        model = lora_llama(workplace)
        optimizer = torch.optim.AdamW(
            [weight for weight in model.parameters() if weight.requires_grad], lr=1e-2
        )
        if log is not None:
            log.watch(model, optimizer)
        torch.manual_seed(1)
        for step, ids in enumerate(batches(0, 9), 1):
            model.train()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
            if log is not None:
                log.count(tokens=ids.numel())
                log.log_train(step, {"loss": loss, "learning_rate": 1e-2})
            if step % 3 == 0:
                model.eval()
                with torch.no_grad():
                    value = torch.stack(
                        [model(input_ids=ids, labels=ids).loss for ids in batches(9, 2)]
                    ).mean()
                if log is not None:
                    log.log(step, {"eval_loss": value}, eval_seconds=0.1)
        return weights(model)

    with EvalLog(tmp_path / "log", modes={"eval_loss": "min"}, planned_steps=9) as log:
        watched = train(log)
    assert watched == train(None)
    run = load(tmp_path / "log")
    assert run.steps.tolist() == [3, 6, 9]
    assert run.columns["tokens"].values.tolist() == [96, 192, 288]
    assert run.info.complete
    evals = records(tmp_path / "log", "eval")
    assert evals[0]["signals"]["cosine"] is None
    for record in evals:
        assert record["signals"]["delta_norm"] > 0
        assert record["train"]["grad_norm_clipped"] <= 0.5 * (1 + 1e-5)
    for record in evals[1:]:
        assert record["signals"]["relative_change"] > 0
        assert -1 <= record["signals"]["cosine"] <= 1
        assert len(record["modules"]["cosine"]) == 14
    signals = read_step_signals(tmp_path / "log" / SIGNALS)
    assert signals.steps.tolist() == list(range(1, 10))
    assert records(tmp_path / "log")[0]["lora"]["modules"] == signals.header["modules"]
    assert signals.totals[:, 0].tolist() == [np.float32(1e-2)] * 9
    assert (signals.column("weight_change_l1") > 0).any(axis=1).all()


def test_a_model_without_lora_is_refused_before_a_log_begins(workplace, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(workplace / "llama")
    with pytest.raises(InputError, match="LlamaForCausalLM has no trainable LoRA layer"):
        EvalLog(tmp_path / "log").watch(model)
    assert not (tmp_path / "log").exists()


def test_a_trainer_trains_the_same_with_and_without_a_log(workplace, tmp_path):
    """To the last bit, with dropout: the log draws no random number and changes no weight and no gradient."""

    def train(name, log):
        model = lora_llama(workplace)
        rows = [{"input_ids": [3 + n, 4, 5, 6 + n], "labels": [3 + n, 4, 5, 6 + n]} for n in range(20)]
        arguments = transformers.TrainingArguments(
            str(tmp_path / name),
            max_steps=10,
            eval_strategy="steps",
            eval_steps=2,
            logging_steps=1,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            learning_rate=1e-2,
            max_grad_norm=0.5,
            save_strategy="steps",
            save_steps=4,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            label_names=["labels"],
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:6])
        if log is not None:
            trainer.add_callback(log)
        trainer.train()
        history = [
            {key: value for key, value in row.items() if not key.endswith(("runtime", "second"))}
            for row in trainer.state.log_history
        ]
        return weights(model), history

    watched = train("with", EvalLog(tmp_path / "log"))
    assert len(load(tmp_path / "log")) == 5
    assert watched == train("without", None)


# ---- several processes ----


def launch(*arguments):
    """Two processes on the CPU, by accelerate's launcher; its --cpu would start a single one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        str(port),
        *map(str, arguments),
    ]


ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
#: Texts of at most 8 tokens, which all are padded to 8; sizes that two processes share without a remainder.
KINDS = {
    "classifier": changed(
        CLASSIFIER,
        model={"path": "bert-without-dropout"},
        data={"validation_size": 28, "test_size": 14, "max_length": 8},
        train={"max_steps": None, "epochs": 4, "save_every": 10, "device": "cpu"},
    ),
    "language": changed(
        LANGUAGE,
        data={"validation_size": 28, "test_size": 16},
        train={
            "epochs": 2,
            "eval_every": 5,
            "log_every": 5,
            "save_every": 10,
            "eval_batch_size": 2,
            "device": "cpu",
        },
        generation={"every": 2, "examples": 5, "max_new_tokens": 4, "metrics": ["exact_match", "rougeL"]},
    ),
}
EVALS = {"classifier": [5, 10, 12], "language": [5, 10, 12]}


@pytest.fixture(scope="session")
def dry_bert(workplace):
    """A BERT without dropout: the processes draw random numbers of their own, and only without them it makes
    no difference how many there are."""
    folder = workplace / "bert-without-dropout"
    model = transformers.AutoModel.from_pretrained(
        workplace / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(workplace / "bert").save_pretrained(folder)
    return folder


def run_config(workplace, kind, out):
    """Trains a config in two processes; returns the folder of the run."""
    path = workplace / f"two-{kind}.toml"
    path.write_text(toml(KINDS[kind]))
    command = launch("-m", "collect", "run", path, "--out", out, "--cache", workplace / "cache")
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": done (") == 1
    return out / f"two-{kind}"


@pytest.fixture(scope="session")
def two_processes(workplace, dry_bert, tmp_path_factory):
    """Trains each kind once, when it is asked for."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = run_config(workplace, kind, tmp_path_factory.mktemp("two"))
        return made[kind]

    return folder


#: The second kind only in the long run of the tests.
kinds = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "language")) for kind in KINDS]
)


#: Trains as the command does, and writes down the threads that are left when all else that is done at the end
#: has been done.
ENDED = """
import atexit, os, pathlib, sys

def threads():
    names = [path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
    pathlib.Path(sys.argv[1], f"threads-{os.environ['RANK']}").write_text("".join(names))

atexit.register(threads)
from collect.cli import main
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for threads in /proc")
def test_no_thread_of_gloo_is_left_to_abort_a_process_that_ends(workplace, dry_bert, tmp_path):
    path = workplace / "two-ended.toml"
    path.write_text(toml(changed(KINDS["classifier"], train={"epochs": 1})))
    (tmp_path / "script.py").write_text(ENDED)
    command = launch(
        tmp_path / "script.py",
        tmp_path,
        "run",
        path,
        "--out",
        tmp_path / "logs",
        "--cache",
        workplace / "cache",
    )
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    left = [(tmp_path / f"threads-{rank}").read_text() for rank in range(2)]
    assert all("python" in names and "gloo" not in names for names in left), left


@pytest.mark.slow
@kinds
def test_two_processes_write_one_log(kind, two_processes):
    folder = two_processes(kind)
    lines = records(folder)
    assert ["format" in line for line in lines] == [True, *[False] * (len(lines) - 1)]
    assert [line["step"] for line in lines if line.get("kind") == "eval"] == EVALS[kind]
    assert [line["kind"] for line in lines[1:]].count("reference") == 1
    assert [line["kind"] for line in lines[1:]].count("end") == 1
    assert (lines[-1]["kind"], lines[-1]["step"]) == ("end", 12)
    assert load(folder).info.complete
    assert read_step_signals(folder / SIGNALS).steps.tolist() == list(range(1, 13))
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 12
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-12"]


@kinds
def test_counters_are_sums_over_both_processes(kind, two_processes, workplace):
    folder = two_processes(kind)
    config = settings.load(workplace / f"two-{kind}.toml")
    texts = data.load(config, workplace / "cache")
    tokenizer = transformers.AutoTokenizer.from_pretrained(workplace / config.model.path)

    def tokens(examples):
        if kind == "language":
            return sum(
                len(tokenizer(f"{example.source} {example.target}")["input_ids"]) + 1 for example in examples
            )
        return sum(min(len(tokenizer(example.source)["input_ids"]), 8) for example in examples)

    epochs, held_out = config.train.epochs, [*texts.validation, *texts.test]
    last = records(folder, "eval")[-1]
    assert last["epoch"] == epochs
    assert epochs * len(texts.train) == 12 * 8 * 2
    assert last["compute"]["tokens"] == epochs * tokens(texts.train)
    assert last["compute"]["padded_tokens"] == 8 * epochs * len(texts.train)
    for record in records(folder, "eval"):
        read, padded = record["compute"]["eval_tokens"], record["compute"]["eval_padded_tokens"]
        if "eval_exact_match" in record["metrics"]:  # what is generated counts as well
            assert read > tokens(held_out)
            assert padded > 8 * len(held_out)
        else:
            assert read == tokens(held_out)
            assert padded == 8 * len(held_out)
    counts = records(folder, "eval")[0]["counts"]
    assert counts["eval_loss"] == (
        len(texts.validation) if kind == "classifier" else 2 * len(texts.validation)
    )


@kinds
def test_two_processes_train_like_one_with_twice_the_batch(
    kind, two_processes, collect_run, workplace, tmp_path
):
    """The examples of a step are the same; their gradient is summed up in another order."""
    two = two_processes(kind)
    result, one = collect_run(changed(KINDS[kind], train={"batch_size": 16}), f"one-{kind}", tmp_path)
    assert result.exit_code == 0, result.output
    pairs = list(zip(records(one, "eval"), records(two, "eval"), strict=True))
    assert len(pairs) == 3
    for single, double in pairs:
        assert set(double["metrics"]) == set(single["metrics"])
        for name in ("metrics", "train", "counts"):
            assert double[name] == pytest.approx(single[name], rel=2e-3), name
        known = {name: value for name, value in single["signals"].items() if value is not None}
        assert {name: double["signals"][name] for name in known} == pytest.approx(known, rel=2e-3)
        for name in ("tokens", "padded_tokens", "flops"):
            assert double["compute"][name] == single["compute"][name], name
    assert records(two, "reference")[0]["metrics"] == pytest.approx(
        records(one, "reference")[0]["metrics"], rel=1e-5
    )
    single, double = (read_step_signals(folder / SIGNALS) for folder in (one, two))
    np.testing.assert_allclose(double.totals, single.totals, rtol=5e-3)
    np.testing.assert_allclose(
        double.column("gradient_l1"), single.column("gradient_l1"), rtol=2e-2, atol=1e-6
    )


@kinds
def test_accumulated_batches_train_like_one(kind, dry_bert, collect_run, tmp_path):
    evals = []
    for name, train in (
        ("whole", {"batch_size": 16}),
        ("parts", {"batch_size": 4, "gradient_accumulation": 4}),
    ):
        result, folder = collect_run(changed(KINDS[kind], train=train), f"{name}-{kind}", tmp_path)
        assert result.exit_code == 0, result.output
        evals.append(records(folder, "eval"))
    for whole, parts in zip(*evals, strict=True):
        for key in ("metrics", "train"):
            assert parts[key] == pytest.approx(whole[key], rel=2e-3), key
        assert parts["compute"]["tokens"] == whole["compute"]["tokens"]


@kinds
def test_metrics_of_two_processes_are_those_of_the_checkpoint_in_one(kind, two_processes, workplace):
    folder = two_processes(kind)
    config = settings.load(workplace / f"two-{kind}.toml")
    texts = data.load(config, workplace / "cache")
    tokenizer = transformers.AutoTokenizer.from_pretrained(workplace / config.model.path)
    classifies = kind == "classifier"
    auto = (
        transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModelForCausalLM
    )
    for step in (10, 12):
        model = peft.PeftModel.from_pretrained(
            auto.from_pretrained(workplace / config.model.path), folder / f"checkpoint-{step}"
        ).eval()
        (record,) = (one for one in records(folder, "eval") if one["step"] == step)
        for prefix, examples in (("eval", texts.validation), ("test", texts.test)):
            losses, right = [], []
            for example in examples:
                with torch.no_grad():
                    if classifies:
                        ids = tokenizer(example.source, truncation=True, max_length=8)["input_ids"]
                        scores, wanted = (
                            model(input_ids=torch.tensor([ids])).logits,
                            torch.tensor([texts.labels.index(example.target)]),
                        )
                    else:
                        prompt = tokenizer(example.source)["input_ids"]
                        answer = [*tokenizer(example.target)["input_ids"], tokenizer.eos_token_id]
                        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
                        scores, wanted = logits[len(prompt) - 1 : -1], torch.tensor(answer)
                losses += torch.nn.functional.cross_entropy(scores, wanted, reduction="none").tolist()
                right += (scores.argmax(-1) == wanted).tolist()
            assert record["metrics"][f"{prefix}_loss"] == pytest.approx(np.mean(losses), rel=1e-6)
            assert record["metrics"][f"{prefix}_accuracy"] == pytest.approx(np.mean(right))
            if not classifies:
                prompts = generate.make_prompts(examples[:5], tokenizer, config.data.max_length)
                written = generate.generate_answers(model, tokenizer, prompts, batch_size=1, max_new_tokens=4)
                generated = generate.score_answers(
                    written, [prompt.answer for prompt in prompts], ("exact_match", "rougeL")
                )
                assert {name: record["metrics"][f"{prefix}_{name}"] for name in generated} == pytest.approx(
                    generated
                )


@kinds
@pytest.mark.slow
def test_two_processes_killed_and_resumed(kind, two_processes, workplace, tmp_path):
    """The first process is killed at a checkpoint, and the launcher ends the other one."""
    whole = two_processes(kind)  # writes the config too
    (tmp_path / "script.py").write_text(at_record("checkpoint", 1, at_signal(signal.SIGKILL))[1])
    command = launch(
        tmp_path / "script.py",
        "run",
        workplace / f"two-{kind}.toml",
        "--out",
        tmp_path,
        "--cache",
        workplace / "cache",
    )
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode != 0
    assert [record["kind"] for record in records(tmp_path / whole.name)[1:]].count("eval") == 1, done.stderr
    assert_equal(run_config(workplace, kind, tmp_path), whole)
    assert len(records(tmp_path / whole.name, "segment")) == 1


SCRIPT = """
import gc, json, sys
import peft, torch, transformers
from collect import EvalLog
from pathlib import Path

out = Path(sys.argv[2])
torch.manual_seed(0)
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", lora_dropout=0.1))
rows = [{"input_ids": [3 + n, 4, 5, 6 + n], "attention_mask": [1, 1, 1, n % 2], "labels": [3 + n, 4, 5, 6 + n]} for n in range(24)]
arguments = transformers.TrainingArguments(
    str(out / "out"), num_train_epochs=2, eval_strategy="steps", eval_steps=2, logging_steps=1, per_device_train_batch_size=3,
    per_device_eval_batch_size=2, gradient_accumulation_steps=2, learning_rate=1e-2, save_strategy="no", report_to="none",
    disable_tqdm=True, use_cpu=True, label_names=["labels"], ddp_find_unused_parameters=False,
)
trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset={"a": rows[:8], "b": rows[8:12]})
trainer.add_callback(EvalLog(out / "log"))
trainer.train()
if trainer.is_world_process_zero():
    (out / "history.json").write_text(json.dumps(trainer.state.log_history))
del trainer
gc.collect()  # what is left of it holds the group
torch.distributed.destroy_process_group()  # threads of gloo that still run when a process ends may abort it
"""  # noqa: E501


@pytest.mark.slow
def test_a_plain_trainer_in_two_processes(workplace, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        launch(tmp_path / "script.py", workplace / "llama", tmp_path),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    history = json.loads((tmp_path / "history.json").read_text())
    run = load(tmp_path / "log")
    assert run.steps.tolist() == [2, 4]
    for name in ("eval_a_loss", "eval_b_loss"):
        assert run.curve(name, "min").values.tolist() == [row[name] for row in history if name in row]
    losses = [row["loss"] for row in history if "loss" in row]
    assert run.columns["train_loss"].values.tolist() == pytest.approx(
        [np.mean(losses[:2]), np.mean(losses[2:])]
    )
    assert run.columns["tokens"].values.tolist() == [
        24 * 3 + 12,
        2 * (24 * 3 + 12),
    ]  # an epoch is two steps of 2 x 2 x 3 examples
    assert run.columns["eval_tokens"].values.tolist() == [12 * 3 + 6] * 2
    assert run.info.planned_steps == 4
    assert run.info.planned_epochs == 2
    assert run.info.complete
    signals = read_step_signals(tmp_path / "log" / SIGNALS)
    assert signals.steps.tolist() == [1, 2, 3, 4]
    norms = [row["grad_norm"] for row in history if "grad_norm" in row]
    assert signals.totals[:, 1].tolist() == pytest.approx([min(norm, 1.0) for norm in norms], rel=1e-4)
    first, _, second, _ = records(
        tmp_path / "log", "eval"
    )  # each set is a record; the adapter is measured once a step
    assert first["signals"]["delta_norm"] > 0
    assert math.isfinite(second["signals"]["relative_change"])

"""Whole fine-tunes of tiny models, by the command."""

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from collect import config as settings
from collect import data
from collect.cli import cli
from collect.eval_log import EvalLog
from replay.readers import read
from replay.readers.formats import eval_log, trainer_state
from tests.collect.conftest import CLASSIFIER, LANGUAGE, at_record, at_signal, changed, toml


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]


def test_every_planned_step_is_trained_though_the_loss_rises(collect_run):
    """A learning rate that ruins the model: any stop rule would have fired."""
    result, folder = collect_run(changed(CLASSIFIER, train={"learning_rate": 5.0}), "ruined")
    assert result.exit_code == 0, result.output
    header, *rest = records(folder)
    losses = [record["metrics"]["eval_loss"] for record in rest if record["kind"] == "eval"]
    assert header["planned_steps"] == 24
    assert rest[-1]["kind"] == "end"
    assert rest[-1]["step"] == 24
    assert any(after > before for before, after in itertools.pairwise(losses))
    assert [record["step"] for record in rest if record["kind"] == "eval"] == [5, 10, 15, 20, 24]


def test_the_header_says_what_was_run(classifier_run):
    header = records(classifier_run)[0]
    assert header["run"] == "classifier"
    assert header["modes"] == {
        "eval_loss": "min",
        "eval_accuracy": "max",
        "eval_f1": "max",
        "test_loss": "min",
        "test_accuracy": "max",
        "test_f1": "max",
    }
    assert {name: split["examples"] for name, split in header["data"].items()} == {
        "train": 48,
        "validation": 30,
        "test": 20,
    }
    assert all(re.fullmatch("[0-9a-f]{64}", split["sha256"]) for split in header["data"].values())
    (counts,) = header["rows"]
    assert (counts["source"], counts["rows"], counts["unused"]) == ("reviews.jsonl", 120, 22)
    assert counts["splits"] == {"train": 48, "validation": 30, "test": 20}
    assert header["hyperparameters"]["r"] == 2
    assert header["hyperparameters"]["learning_rate"] == 5e-3
    assert (header["planned_steps"], header["planned_epochs"], header["seed"], header["model"]) == (
        24,
        4.0,
        0,
        "bert",
    )
    assert header["config"]["train"]["max_steps"] == 24
    assert header["versions"]["torch"]
    assert header["hardware"]["cpus"] == os.cpu_count()


def test_every_eval_has_both_splits_companions_and_counters(classifier_run, language_run):
    for folder, saved_every in ((classifier_run, 10), (language_run, 6)):
        evals = [record for record in records(folder)[1:] if record["kind"] == "eval"]
        assert len(evals) >= 4
        modes = records(folder)[0]["modes"]
        for before, record in zip([None, *evals], evals, strict=False):
            assert list(record["metrics"]) == list(modes)
            assert set(record["train"]) == {"loss", "learning_rate", "grad_norm", "grad_norm_clipped"}
            assert record["train"]["grad_norm_clipped"] == pytest.approx(
                min(record["train"]["grad_norm"], 1.0), rel=1e-4
            )
            compute = record["compute"]
            assert compute["tokens"] < compute["padded_tokens"]
            assert compute["eval_tokens"] == evals[0]["compute"]["eval_tokens"]
            assert compute["eval_flops"] == evals[0]["compute"]["eval_flops"] > 0
            assert compute["eval_seconds"] > 0
            kept = [one["step"] for one in records(folder)[1:] if one["kind"] == "checkpoint" and one["kept"]]
            assert (record["step"] in kept) == (
                record["step"] % saved_every == 0 or record["step"] == evals[-1]["step"]
            )
            if before is not None:
                for name in (
                    "train_seconds",
                    "wall_seconds",
                    "tokens",
                    "padded_tokens",
                    "flops",
                    "total_flos",
                ):
                    assert compute[name] > before["compute"][name]
        spent = [
            record["compute"]["eval_seconds"]
            for record in records(folder)[1:]
            if record["kind"] in ("eval", "reference")
        ]
        total = (
            sum(spent)
            + evals[-1]["compute"]["train_seconds"]
            + evals[-1]["compute"].get("checkpoint_seconds", 0)
        )
        assert total == pytest.approx(evals[-1]["compute"]["wall_seconds"], rel=0.02)


def test_tokens_are_those_of_the_examples(language_run, workplace):
    """Two epochs train each example twice; an eval reads both splits once."""
    from transformers import AutoTokenizer

    config = settings.load(workplace / "language.toml")
    texts = data.load(config, workplace)
    tokenizer = AutoTokenizer.from_pretrained(workplace / "llama")

    def tokens(examples):
        return sum(
            len(tokenizer(f"{example.source} {example.target}")["input_ids"]) + 1 for example in examples
        )

    last = [record for record in records(language_run)[1:] if record["kind"] == "eval"][-1]
    assert last["epoch"] == 2.0
    assert last["compute"]["tokens"] == 2 * tokens(texts.train)
    assert last["compute"]["eval_tokens"] == tokens(texts.validation) + tokens(texts.test)


def test_train_loss_is_the_mean_since_the_last_eval(language_run):
    rows = records(language_run)[1:]
    since = []
    for record in rows:
        if record["kind"] == "train":
            since.append(record["loss"])
        elif record["kind"] == "eval":
            assert len(since) == 2
            assert record["train"]["loss"] == pytest.approx(np.mean(since), rel=1e-12)
            since = []


def test_flops_agree_with_the_same_work_counted_by_hand(classifier_run, workplace):
    """The first training step's operations: twice the products of its shapes, forward and backward."""
    from transformers import AutoModelForSequenceClassification

    rows = [record for record in records(classifier_run)[1:] if record["kind"] == "eval"]
    model = AutoModelForSequenceClassification.from_pretrained(workplace / "bert", num_labels=2)
    layers = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "encoder" in name)
    padded = rows[-1]["compute"]["eval_padded_tokens"]
    forward = rows[-1]["compute"]["eval_flops"]
    # beside the layers: attention scores, adapters of rank 2, pooler and head, each smaller than the layers
    assert 2 * layers * padded < forward < 1.6 * 2 * layers * padded
    per_token = rows[-1]["compute"]["flops"] / rows[-1]["compute"]["padded_tokens"]
    # frozen weights need no gradient of their own: backward costs as much as forward, not twice
    assert 1.7 < per_token / (forward / padded) < 2.4


@pytest.mark.parametrize("kind", ["classifier", "language"])
def test_metrics_agree_with_a_plain_computation_from_the_checkpoint(kind, workplace, request):
    """One example at a time, no padding, no batch: the saved adapter gives the logged numbers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    folder = request.getfixturevalue(f"{kind}_run")
    kept = [
        record["step"] for record in records(folder)[1:] if record["kind"] == "checkpoint" and record["kept"]
    ]
    record = next(
        record for record in records(folder)[1:] if record["kind"] == "eval" and record["step"] in kept
    )
    texts = data.load(settings.load(workplace / f"{kind}.toml"), workplace)
    base = "bert" if kind == "classifier" else "llama"
    tokenizer = AutoTokenizer.from_pretrained(workplace / base)
    auto = AutoModelForSequenceClassification if kind == "classifier" else AutoModelForCausalLM
    model = auto.from_pretrained(workplace / base)
    model = PeftModel.from_pretrained(model, folder / f"checkpoint-{record['step']}").eval()
    for prefix, examples in (("eval", texts.validation), ("test", texts.test)):
        losses, pairs = [], []
        for example in examples:
            with torch.no_grad():
                if kind == "classifier":
                    ids = torch.tensor([tokenizer(example.source)["input_ids"]])
                    scores, wanted = (
                        model(input_ids=ids).logits,
                        torch.tensor([texts.labels.index(example.target)]),
                    )
                else:
                    prompt, answer = (
                        tokenizer(example.source)["input_ids"],
                        [*tokenizer(example.target)["input_ids"], tokenizer.eos_token_id],
                    )
                    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
                    scores, wanted = logits[len(prompt) - 1 : -1], torch.tensor(answer)
            losses += torch.nn.functional.cross_entropy(scores, wanted, reduction="none").tolist()
            pairs += list(zip(scores.argmax(-1).tolist(), wanted.tolist(), strict=True))
        metrics = record["metrics"]
        assert metrics[f"{prefix}_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert metrics[f"{prefix}_accuracy"] == pytest.approx(
            np.mean([got == wanted for got, wanted in pairs])
        )
        if kind == "classifier":
            f1 = []
            for label in (0, 1):
                hits = sum(got == wanted == label for got, wanted in pairs)
                f1.append(2 * hits / max(1, sum((got == label) + (wanted == label) for got, wanted in pairs)))
            assert metrics[f"{prefix}_f1"] == pytest.approx(np.mean(f1))


@pytest.mark.parametrize("kind", ["classifier", "language"])
def test_the_three_formats_give_the_same_curves(kind, request):
    folder = request.getfixturevalue(f"{kind}_run")
    (own,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], kind).runs
    (state,) = trainer_state.FORMAT.load([folder / "trainer_state.json"], kind).runs
    (events,) = read([next(folder.glob("events.out.tfevents.*"))]).runs
    modes = records(folder)[0]["modes"]
    assert set(own.metrics) == set(modes)
    for metric, mode in modes.items():
        curve, other = own.curve(metric, mode), state.curve(metric, mode)
        assert curve.steps.tolist() == other.steps.tolist()
        assert curve.values.tolist() == other.values.tolist()
        single = events.curve(metric, mode)
        assert curve.steps.tolist() == single.steps.tolist()
        assert curve.values.astype(np.float32).tolist() == single.values.tolist()


def test_a_folder_of_a_run_counts_as_one_run(classifier_run):
    found = read([classifier_run])
    assert [len(run) for run in found.runs] == [5]
    assert found.runs[0].info.format == "eval-log"


def test_nothing_in_the_logs_names_the_machine_or_a_place(classifier_run, workplace):
    files = [path for path in classifier_run.iterdir() if path.is_file()]
    assert sorted(re.sub(r"\d+", "N", path.name) for path in files) == [
        "eval_log.jsonl",
        "events.out.tfevents.N.classifier",
        "step_signals.bin",
        "trainer_state.json",
    ]
    for path in files:
        content = b"\n".join(
            re.findall(rb"[ -~]{8,}", path.read_bytes())
        )  # texts, not numbers that look like a short name
        for secret in (str(workplace), str(Path.home()), socket.gethostname()):
            assert not re.search(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])".encode(), content), (
                path.name,
                secret,
            )


def test_a_finished_run_is_skipped(classifier_run, collect_run):
    before = (classifier_run / "eval_log.jsonl").read_bytes()
    result, _ = collect_run(changed(CLASSIFIER, train={"save_every": 10}), "classifier")
    assert result.exit_code == 0
    assert result.stderr == "classifier: finished already, skipped (5 evals, 24 steps)\n"
    assert (classifier_run / "eval_log.jsonl").read_bytes() == before


def test_a_run_of_another_config_is_left_alone(language_run, collect_run):
    before = (language_run / "eval_log.jsonl").read_bytes()
    result, _ = collect_run(changed(LANGUAGE, train={"save_every": 6, "learning_rate": 1e-4}), "language")
    assert result.exit_code == 2
    assert "another config (learning_rate 0.003 there, 0.0001 here)" in result.stderr
    assert (language_run / "eval_log.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"file": "nowhere.jsonl"}}, "nowhere.jsonl: no such file or directory"),
        ({"data": {"label": "lable"}}, "has no column 'lable'; it has label, text. Did you mean label?"),
        ({"data": {"label": "{text} again"}}, "has 48 values in 48 training examples; it is no class label"),
        (
            {"data": {"train_size": 500}},
            "has 120 different examples; train 500, validation 30 and test 20 do not fit into it",
        ),
        ({"data": {"where": {"label": "odd"}}}, "the data set is empty where {'label': 'odd'}"),
        (
            {"data": {"where": {"label": "good"}, "train_size": 2, "validation_size": 2, "test_size": 0}},
            "needs two values",
        ),
        ({"model": {"path": "llama2"}}, "model.path = 'llama2' cannot be loaded"),
        ({"model": {"path": "./llama2"}}, "model.path = './llama2' is no folder"),
        ({"model": {"path": "bert", "gguf_file": "x.gguf"}}, "model.gguf_file = 'x.gguf' is not in bert"),
        (
            {"lora": {"target_modules": ["q_proj"]}},
            "its linear modules are classifier, dense, key, query, value",
        ),
        ({"train": {"precision": "bf16", "device": "cpu"}}, "train.precision = 'bf16' needs a GPU"),
    ],
)
def test_mistakes_are_reported_before_training(sections, message, collect_run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result, folder = collect_run(changed(CLASSIFIER, **sections), "mistaken")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (folder / "eval_log.jsonl").exists()


def test_a_read_only_folder(collect_run, tmp_path):
    (tmp_path / "file").write_text("")
    result, _ = collect_run(CLASSIFIER, "nowhere", tmp_path / "file" / "logs")
    assert result.exit_code == 2
    assert "not a directory" in result.stderr


def test_no_network_is_used_when_all_is_local(workplace, tmp_path):
    (workplace / "offline.toml").write_text(
        toml(changed(CLASSIFIER, train={"max_steps": 4, "eval_every": 2, "save_every": 2}))
    )
    code = (
        "import sys\ndef watch(event, arguments):\n    if event in ('socket.connect', 'socket.getaddrinfo',"
        " 'socket.gethostbyname'): print('network', event, arguments)\nsys.addaudithook(watch)\nfrom"
        f" collect.cli import main; main(['run', {str(workplace / 'offline.toml')!r}, '--out',"
        f" {str(tmp_path)!r}])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == ""
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(
        "offline: reviews.jsonl: 120 rows read; 48 train, 30 validation, 20 test; left out:"
    )
    assert re.fullmatch(r"offline: done \(eval_loss .*\)", last)


CUT = {"max_steps": 40, "resume_every": 0, "keep": "none"}


@pytest.fixture(scope="module")
def full_disk(workplace, tmp_path_factory):
    """A process that trains, and a folder of its run, which ended in the middle, as a full disk ends it."""

    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    path, out = workplace / "cut.toml", tmp_path_factory.mktemp("full")
    # only the eval log comes near the limit: the model is not written, and the last checkpoint is older
    path.write_text(toml(changed(CLASSIFIER, lora={"dropout": 0.1}, train=CUT)))
    command = [sys.executable, "-m", "collect", "run", str(path), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    return done, out / "cut"


@pytest.fixture
def cut_short(full_disk, tmp_path):
    """The process, and a copy of the folder."""
    done, folder = full_disk
    shutil.copytree(folder, tmp_path / "cut")
    return done, tmp_path / "cut"


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(cut_short, collect_run):
    done, folder = cut_short
    assert done.returncode == 74
    assert re.fullmatch(
        r"Error: .*(eval_log.jsonl|step_signals.bin|writing).*: file too large; once there is space, the same"
        r" command goes on",
        done.stderr.splitlines()[-1],
    )
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "cut").runs
    before = run.curve("eval_loss", "min").values.tolist()
    assert len(before) >= 1
    result, _ = collect_run(
        changed(CLASSIFIER, lora={"dropout": 0.1}, train=CUT),
        "cut",
        folder.parent,
    )
    assert result.exit_code == 0, result.output
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "cut").runs
    assert run.info.complete
    assert run.curve("eval_loss", "min").values.tolist()[: len(before)] == before
    assert run.steps.tolist() == [5, 10, 15, 20, 25, 30, 35, 40]


def test_a_run_is_resumed_from_its_folder_alone(cut_short, workplace):
    _, folder = cut_short
    result = CliRunner().invoke(cli, ["resume", str(folder), "--root", str(workplace)])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"cut: done \(eval_loss .*\)", result.stderr.splitlines()[-1])
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "cut").runs
    assert run.info.complete
    result = CliRunner().invoke(cli, ["resume", str(folder), "--root", str(workplace)])
    assert result.stderr == "cut: finished already, skipped (8 evals, 40 steps)\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "holds no eval_log.jsonl; it must be the folder of a run of collect"),
        (
            lambda folder: EvalLog(folder).log(1, {"eval_loss": 1.0}),
            "says no config; only a run of collect can be resumed by it",
        ),
    ],
)
def test_what_cannot_be_resumed(make, message, tmp_path):
    make(tmp_path)
    result = CliRunner().invoke(cli, ["resume", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_run_that_fails_does_not_stop_the_others(workplace, tmp_path):
    """Whether its config cannot be read, or its texts."""
    few = changed(CLASSIFIER, train={"max_steps": 2, "eval_every": 1})
    paths = [workplace / f"{name}.toml" for name in ("unreadable", "wrong", "first", "last")]
    paths[0].write_text("task = ")
    for path, config in zip(paths[1:], (changed(few, data={"label": "lable"}), few, few), strict=True):
        path.write_text(toml(config))
    result = CliRunner().invoke(cli, ["run", *map(str, paths), "--out", str(tmp_path)])
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert f"{paths[0]}: not a TOML file" in errors[0]
    assert "has no column 'lable'" in errors[1]
    # what cannot be read is reported before anything is trained
    assert result.stderr.startswith(errors[0])
    for name in ("first", "last"):
        assert records(tmp_path / name)[-1]["kind"] == "end"
    result = CliRunner().invoke(
        cli, ["resume", str(tmp_path / "none"), str(tmp_path / "last"), "--root", str(workplace)]
    )
    assert result.exit_code == 2
    assert "none holds no eval_log.jsonl" in result.stderr
    assert "last: finished already" in result.stderr


def test_a_single_eval_is_noticed(collect_run, tmp_path):
    result, _ = collect_run(changed(CLASSIFIER, train={"max_steps": 3, "eval_every": 7}), "noticed", tmp_path)
    assert result.exit_code == 0, result.output
    assert "noticed: train.eval_every = 7 is more than the 3 steps of this training" in result.stderr
    epochs = changed(LANGUAGE, train={"epochs": 1, "eval_every": 13, "log_every": 13})
    result, _ = collect_run(epochs, "epochs", tmp_path)
    assert "epochs: train.eval_every = 13 is more than the 12 steps" in result.stderr
    result, _ = collect_run(changed(epochs, train={"eval_every": 12, "log_every": 12}), "exact", tmp_path)
    assert result.exit_code == 0
    assert "train.eval_every" not in result.stderr


def test_two_processes_do_not_train_the_same_run(workplace, collect_run, tmp_path):
    (workplace / "busy.toml").write_text(toml(CLASSIFIER))
    waits = at_record("eval", 1, 'print("trains", flush=True); sys.stdin.readline()')
    command = [sys.executable, *waits, "run", str(workplace / "busy.toml"), "--out", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "trains\n"
        result, folder = collect_run(CLASSIFIER, "busy", tmp_path)
        process.communicate("\n")
    assert result.exit_code == 75
    assert result.stderr == "Error: busy: another process trains it\n"
    assert process.returncode == 0
    assert records(folder)[-1]["kind"] == "end"


def test_an_interrupt_is_one_sentence(workplace, tmp_path):
    (workplace / "stopped.toml").write_text(toml(CLASSIFIER))
    interrupted = at_record("eval", 1, at_signal(signal.SIGINT))
    command = [sys.executable, *interrupted, "run", str(workplace / "stopped.toml"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("\nstopped: interrupted; the same command goes on\n")
    assert "Traceback" not in done.stderr


def test_a_rate_that_is_reduced_on_a_plateau_is_marked_as_such(collect_run):
    plateau = {
        "scheduler": "reduce-on-plateau",
        "plateau_patience": 0,
        "plateau_factor": 0.5,
        "learning_rate": 0.5,
        "max_steps": 40,
    }
    result, folder = collect_run(changed(CLASSIFIER, train=plateau), "plateau")
    assert result.exit_code == 0, result.output
    header, *rest = records(folder)
    assert header["hyperparameters"]["lr_scheduler_type"] == "reduce_lr_on_plateau"
    assert header["hyperparameters"]["lr_scheduler_kwargs"] == {"mode": "min", "patience": 0, "factor": 0.5}
    evals = [record for record in rest if record["kind"] == "eval"]
    rates = [record["train"]["learning_rate"] for record in evals]
    assert set(rates) <= {0.5 * 0.5**power for power in range(10)}
    assert rates[-1] < 0.5
    # patience 0: the rate is halved after each eval that is not better than the best before (by torch's
    # relative threshold)
    best, rate = np.inf, 0.5
    for record in evals:
        assert record["train"]["learning_rate"] == rate
        loss = record["metrics"]["eval_loss"]
        if loss < best * (1 - 1e-4):
            best = loss
        else:
            rate /= 2


def test_checkpointed_gradients_give_the_same_training(collect_run, classifier_run):
    """Activations are computed again, with the same random numbers, instead of being kept."""
    result, folder = collect_run(
        changed(CLASSIFIER, train={"save_every": 10, "gradient_checkpointing": True}), "rethought"
    )
    assert result.exit_code == 0, result.output
    first, second = (
        [record for record in records(path) if record.get("kind") == "eval"]
        for path in (classifier_run, folder)
    )
    for one, other in zip(first, second, strict=True):
        assert other["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    # the forward pass of the layers is done twice
    assert second[-1]["compute"]["flops"] > 1.2 * first[-1]["compute"]["flops"]


def test_the_memory_trial_changes_nothing(classifier_run, collect_run, monkeypatch, tmp_path):
    """On a GPU one step and one eval are tried before the training; here it is made to happen on the CPU."""
    import collect.trainer

    train = collect.trainer.Sets.train
    tried = []

    def try_first(self, **kwargs):
        self.try_memory()
        tried.append(all(weight.grad is None for weight in self.model.parameters()))
        return train(self, **kwargs)

    monkeypatch.setattr(collect.trainer.Sets, "train", try_first)
    result, folder = collect_run(changed(CLASSIFIER, train={"save_every": 10}), "classifier", tmp_path)
    assert result.exit_code == 0, result.output
    assert tried == [True]
    first, second = (
        [record for record in records(path) if record.get("kind") == "eval"]
        for path in (classifier_run, folder)
    )
    for key in ("metrics", "signals", "modules"):
        assert [one[key] for one in first] == [other[key] for other in second]
    assert [one["compute"]["flops"] for one in first] == [other["compute"]["flops"] for other in second]


def test_memory_that_does_not_suffice_is_one_sentence(collect_run, monkeypatch):
    import torch

    import collect.trainer

    def too_large(self, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(collect.trainer.Sets, "train", too_large)
    result, _ = collect_run(CLASSIFIER, "large")
    assert result.exit_code == 2
    assert (
        "the GPU's memory is too small for train.batch_size = 8, train.eval_batch_size = 7 and"
        " data.max_length = 16" in result.stderr.splitlines()[-1]
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("missing", ["peft", "pydantic"])
def test_without_the_extra_the_error_says_what_to_install(missing, workplace):
    path = workplace / "extra.toml"
    path.write_text(toml(CLASSIFIER))
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from collect.cli import main; main(['run', {str(path)!r}, '--out', 'logs'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=workplace, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"Error: {missing} is not installed; pip install 'stop-replay[collect]'\n"


@pytest.mark.parametrize(
    "code",
    [
        "import collect",
        "from collect import EvalLog",
        "from collect.cli import main; main(['run', '--help'])",
    ],
)
def test_starting_is_cheap(code):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    for heavy in ("torch", "transformers", "peft", "pydantic"):
        assert not re.search(rf"\| +{heavy}$", done.stderr, re.MULTILINE)


def test_of_several_visible_gpus_one_is_used(collect_run, monkeypatch, tmp_path):
    """transformers is made to see three GPUs, as it does in a process without a launcher."""
    import transformers

    config = changed(CLASSIFIER, train={"max_steps": None, "epochs": 2})
    result, folder = collect_run(config, "gpus", tmp_path / "one")
    assert result.exit_code == 0, result.output
    assert "GPUs" not in result.stderr
    (one,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "gpus").runs
    setup = transformers.TrainingArguments.__post_init__

    def see_three(self):
        setup(self)
        self._n_gpu = 3

    monkeypatch.setattr(transformers.TrainingArguments, "__post_init__", see_three)
    result, folder = collect_run(config, "gpus", tmp_path / "three")
    assert result.exit_code == 0, result.output
    note, *_ = result.stderr.splitlines()
    assert note == (
        "gpus: 3 GPUs are visible, and this run uses the first one; to train on all of them:"
        " accelerate launch --num_processes 3 -m collect run CONFIG.toml --out DIR"
    )
    (three,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "gpus").runs
    assert three.steps.tolist() == [5, 10, 12]  # 48 examples in batches of 8
    assert three.curve("eval_loss", "min").values.tolist() == one.curve("eval_loss", "min").values.tolist()
    flops = [records(tmp_path / name / "gpus")[-1]["compute"]["flops"] for name in ("one", "three")]
    assert flops[0] == flops[1] > 0

"""The adapter that stays: it is the one that the log says, also after a kill, and plain peft loads it."""

import json
import math
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collect import config as settings
from collect import data
from collect.keep import Keeper
from replay.errors import InputError
from replay.readers import read
from tests.collect.conftest import CLASSIFIER, LANGUAGE, at_record, at_signal, changed, toml

TASKS = {"classifier": CLASSIFIER, "language": LANGUAGE}


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]


def evals(folder):
    return [record for record in records(folder) if record.get("kind") == "eval"]


def best(folder, monitor="eval_loss", sign=1):
    """The first of the best evals."""
    return min(evals(folder), key=lambda record: sign * record["metrics"][monitor])


def step_of(adapter):
    return int(re.search(r"the adapter of step (\d+) of", (adapter / "README.md").read_text())[1])


def weights(adapter):
    from safetensors.torch import load_file

    return load_file(adapter / "adapter_model.safetensors")


def loss_of(adapter, base, config, workplace, dtype="float32"):
    """The mean loss of the validation examples, one by one, by plain peft and transformers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    texts = data.load(config, workplace)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    auto = AutoModelForSequenceClassification if texts.labels else AutoModelForCausalLM
    model = PeftModel.from_pretrained(auto.from_pretrained(workplace / base, dtype=dtype), adapter).eval()
    losses = []
    for example in texts.validation:
        with torch.no_grad():
            if texts.labels:
                scores = model(input_ids=torch.tensor([tokenizer(example.source)["input_ids"]])).logits
                wanted = torch.tensor([texts.labels.index(example.target)])
            else:
                prompt = tokenizer(example.source)["input_ids"]
                answer = [*tokenizer(example.target)["input_ids"], tokenizer.eos_token_id]
                logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
                scores, wanted = logits[len(prompt) - 1 : -1], torch.tensor(answer)
        losses += torch.nn.functional.cross_entropy(scores.float(), wanted, reduction="none").tolist()
    return np.mean(losses)


@pytest.mark.parametrize("kind", TASKS)
def test_the_best_adapter_gives_the_best_loss_of_the_log(kind, workplace, request):
    folder = request.getfixturevalue(f"{kind}_run")
    record = best(folder)
    assert step_of(folder / "adapter") == record["step"]
    config = settings.load(workplace / f"{kind}.toml")
    base = {"classifier": "bert", "language": "llama"}[kind]
    loss = loss_of(folder / "adapter", base, config, workplace)
    assert loss == pytest.approx(record["metrics"]["eval_loss"], rel=1e-5)
    others = {other["metrics"]["eval_loss"] for other in evals(folder) if other["step"] != record["step"]}
    assert all(loss != pytest.approx(other, rel=1e-5) for other in others)


def test_it_is_the_checkpoint_of_that_step(classifier_run):
    """Bit for bit; the head of the classifier is in it."""
    record = best(classifier_run)
    adapter, checkpoint = (
        weights(classifier_run / "adapter"),
        weights(classifier_run / f"checkpoint-{record['step']}"),
    )
    assert adapter.keys() == checkpoint.keys()
    assert all(weight.equal(checkpoint[name]) for name, weight in adapter.items())
    assert any("classifier" in name for name in adapter)


def test_what_is_trained_in_full_is_saved_once_and_the_embedding_is_no_more_than_that(language_run):
    names = set(weights(language_run / "adapter"))
    assert {name for name in names if "lora_" not in name} == {
        "base_model.model.model.embed_tokens.weight",
        "base_model.model.lm_head.weight",
    }


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"keep": "last"}, lambda folder: evals(folder)[-1]["step"]),
        ({"keep_monitor": "eval_accuracy"}, lambda folder: best(folder, "eval_accuracy", -1)["step"]),
        ({"keep_monitor": "test_loss"}, lambda folder: best(folder, "test_loss")["step"]),
    ],
)
def test_what_is_kept_is_what_is_asked_for(keys, wanted, collect_run, tmp_path):
    result, folder = collect_run(changed(CLASSIFIER, train=keys), "kept", tmp_path)
    assert result.exit_code == 0, result.output
    step = wanted(folder)
    assert step_of(folder / "adapter") == step
    chosen = "last" if "keep" in keys else "best"
    assert f"kept: the adapter of step {step}, the {chosen} one, is in {folder / 'adapter'}" in result.stderr
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["adapter"]
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_all_adapters_are_kept_and_the_best_one_beside_them(collect_run, classifier_run, tmp_path):
    result, folder = collect_run(changed(CLASSIFIER, train={"keep": "all"}), "all", tmp_path)
    assert result.exit_code == 0, result.output
    steps = [record["step"] for record in evals(folder)]
    assert {path.name for path in (folder / "adapters").iterdir()} == {f"step-{step}" for step in steps}
    for step in (10, 20):
        mine, checkpoint = (
            weights(folder / "adapters" / f"step-{step}"),
            weights(classifier_run / f"checkpoint-{step}"),
        )
        assert all(weight.equal(checkpoint[name]) for name, weight in mine.items())
    assert step_of(folder / "adapter") == best(folder)["step"]
    log = re.search(r"\]\((\S+eval_log.jsonl)\)", (folder / "adapters" / "step-5" / "README.md").read_text())[
        1
    ]
    assert (folder / "adapters" / "step-5" / log).resolve() == (folder / "eval_log.jsonl").resolve()


def test_nothing_is_kept_where_nothing_is_asked_for_and_the_numbers_are_the_same(
    collect_run, classifier_run, tmp_path
):
    config = changed(CLASSIFIER, train={"save_every": 10, "keep": "none"})
    result, folder = collect_run(config, "classifier", tmp_path)
    assert result.exit_code == 0, result.output
    assert not (folder / "adapter").exists()
    assert "adapter of step" not in result.stderr
    for one, other in zip(evals(classifier_run), evals(folder), strict=True):
        assert list(one) == list(other)
        for key in ("step", "epoch", "metrics", "train", "signals", "modules", "counts", "saved"):
            assert one.get(key) == other.get(key)
    header = records(classifier_run)[0]
    assert "keep" not in header["config"]["train"]
    assert "keep_monitor" not in header["config"]["train"]


@pytest.mark.parametrize("monitor", ["eval_loss", "eval_accuracy"])
def test_of_equal_evals_the_first_is_kept_and_nan_is_never_the_best(monitor, tmp_path, monkeypatch):
    config = settings.parse({"name": "a", **changed(CLASSIFIER, train={"keep_monitor": monitor})}, "a.toml")
    keeper = Keeper(config, tmp_path, None, None)
    written = []
    monkeypatch.setattr(keeper, "_write", lambda model, name, choice, step, metrics: written.append(step))
    sign = 1 if monitor == "eval_loss" else -1
    values = [math.nan, 1.0, 1.0, math.nan, 0.5, math.inf, -math.inf, 0.5, 0.7, 0.4]
    for step, value in enumerate(values):
        assert keeper.evaluated(None, step, {monitor: sign * value}, is_last=False) == (step in written)
    keeper.evaluated(None, 99, {"eval_f1": 0.5}, is_last=True)  # an eval without the monitor
    assert written == [1, 4, 9]
    assert (keeper.step, keeper.value) == (9, sign * 0.4)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            changed(CLASSIFIER, train={"keep_monitor": "eval_los"}),
            "train.keep_monitor = 'eval_los'; the evaluations of this config give .* Did you mean eval_loss",
        ),
        (
            changed(LANGUAGE, train={"keep_monitor": "eval_rougeL"}),
            "train.keep_monitor = 'eval_rougeL'; the evaluations of this config give eval_accuracy",
        ),
        (
            changed(CLASSIFIER, train={"keep": "last", "keep_monitor": "eval_f1"}),
            "train.keep_monitor = 'eval_f1'; it needs train.keep = 'best' or 'all', not 'last'",
        ),
        (
            changed(CLASSIFIER, train={"keep": "bets"}),
            "train.keep = 'bets'; it must be one of all, best, last, none. Did you mean best",
        ),
    ],
)
def test_mistakes(raw, message):
    with pytest.raises(InputError, match=message):
        settings.parse({"name": "a", **raw}, "a.toml")


def test_the_card_says_what_the_log_says(classifier_run):
    text = (classifier_run / "adapter" / "README.md").read_text()
    record = best(classifier_run)
    assert text.startswith('---\nbase_model: "bert"\nlibrary_name: peft\npipeline_tag: text-classification\n')
    value = record["metrics"]["eval_loss"]
    assert f"the one with the lowest eval_loss, {value:.6g}, of the 5 evals of the run." in text
    assert (classifier_run / "adapter" / re.search(r"\]\((\S+eval_log.jsonl)\)", text)[1]).is_file()
    (reference,) = (
        record["metrics"] for record in records(classifier_run) if record.get("kind") == "reference"
    )
    for name, value in record["metrics"].items():
        assert f"| {name} | {value:.6g} | {reference[name]:.6g} |" in text
    assert "reviews.jsonl: 120 rows read; 48 train, 30 validation, 20 test" in text
    assert '`["bad", "good"]`' in text
    header = records(classifier_run)[0]
    assert json.loads(text.partition("```json\n")[2].partition("\n```")[0]) == header["config"]
    for name in ("stop-replay", "peft", "torch"):
        assert f"{name} {header['versions'][name]}" in text


def test_the_card_shows_how_to_load_it(language_run, workplace, monkeypatch):
    """The code of the card runs in the folder that has the base model and the adapter."""
    code = (
        (language_run / "adapter" / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    )
    folder = language_run.parent / "used"
    folder.mkdir()
    shutil.copytree(workplace / "llama", folder / "llama")
    shutil.copytree(language_run / "adapter", folder / "adapter")
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["model"].peft_config["default"].base_model_name_or_path == "llama"
    assert names["tokenizer"].eos_token == "[END]"


def test_nothing_of_it_names_the_machine_or_a_place(classifier_run, workplace):
    for path in (classifier_run / "adapter").iterdir():
        content = path.read_bytes()
        for secret in (str(workplace), str(Path.home()), socket.gethostname()):
            assert not re.search(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])".encode(), content)


def test_a_folder_with_adapters_is_read_as_one_run(classifier_run, tmp_path):
    shutil.copytree(classifier_run, tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "adapter", tmp_path / "run" / "adapters" / "step-5")
    found = read([tmp_path])
    assert len(found.runs) == 1
    assert found.findings == read([classifier_run]).findings


KILLED = changed(
    CLASSIFIER,
    lora={"dropout": 0.1},
    train={"max_steps": 40, "save_every": 0, "keep_monitor": "eval_accuracy"},
)


@pytest.fixture(scope="module")
def uninterrupted(collect_run, tmp_path_factory):
    result, folder = collect_run(KILLED, "killed", tmp_path_factory.mktemp("whole"))
    assert result.exit_code == 0, result.output
    return folder


def kill(workplace, out, kind, number):
    (workplace / "killed.toml").write_text(toml(KILLED))
    killed = at_record(kind, number, at_signal(signal.SIGKILL))
    command = [sys.executable, *killed, "run", str(workplace / "killed.toml"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out / "killed"


def files(adapter):
    return {path.name: path.read_bytes() for path in adapter.iterdir()}


@pytest.mark.parametrize("older", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_a_checkpoint_goes_on_from_is_what_was_kept_by_then(
    older, uninterrupted, workplace, collect_run, tmp_path
):
    """Also where the best adapter of the killed process is of a step that became void."""
    last = best(uninterrupted, "eval_accuracy", -1)["step"] // 5
    folder = kill(workplace, tmp_path, "checkpoint" if older else "eval", last)
    shutil.rmtree(folder / "adapter")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "of-another-time").write_text("")
    if older:  # the newest checkpoint is broken, and no other one is there: all is trained again
        for checkpoint in folder.glob("checkpoint-*"):
            (checkpoint / "trainer_state.json").unlink()
    result, _ = collect_run(KILLED, "killed", tmp_path)
    assert result.exit_code == 0, result.output
    assert files(folder / "adapter") == files(uninterrupted / "adapter")
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_checkpoint_holds_what_was_kept_until_the_run_ends(workplace, tmp_path, classifier_run):
    folder = kill(workplace, tmp_path, "checkpoint", 3)
    (checkpoint,) = folder.glob("checkpoint-15")
    state = json.loads((checkpoint / "kept" / "state.json").read_text())
    expected = best(folder, "eval_accuracy", -1)
    assert (state["step"], state["metrics"]) == (expected["step"], expected["metrics"])
    assert files(checkpoint / "kept" / "adapter") == files(folder / "adapter")
    assert list(classifier_run.glob("checkpoint-*"))
    assert not list(classifier_run.glob("checkpoint-*/kept"))


@pytest.mark.slow
def test_a_run_of_a_version_that_kept_nothing_goes_on(workplace, collect_run, tmp_path):
    """Its checkpoint says nothing of an adapter: the best of the evals to come is kept."""
    folder = kill(workplace, tmp_path, "checkpoint", 3)
    shutil.rmtree(folder / "checkpoint-15" / "kept")
    shutil.rmtree(folder / "adapter")
    result, _ = collect_run(KILLED, "killed", tmp_path)
    assert result.exit_code == 0, result.output
    later = [record for record in evals(folder) if record["step"] > 15]
    expected = max(later, key=lambda record: record["metrics"]["eval_accuracy"])
    assert step_of(folder / "adapter") == expected["step"]
    assert "of the 5 evals of the run after step 15" in (folder / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("nth", [1, 2])
def test_a_disk_that_fills_up_names_the_file_and_leaves_no_half(nth, collect_run, monkeypatch, tmp_path):
    import safetensors
    import safetensors.torch

    original, calls = safetensors.torch.save_file, []

    def save(tensors, path, **kwargs):
        if ".adapter.partial" in str(path):
            calls.append(path)
            if len(calls) == nth:
                Path(path).write_bytes(b"part")
                raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        original(tensors, path, **kwargs)

    monkeypatch.setattr(safetensors.torch, "save_file", save)
    result, folder = collect_run(CLASSIFIER, "full", tmp_path)
    assert result.exit_code == 74
    assert result.stderr.splitlines()[-1] == (
        f"Error: {folder / '.adapter.partial' / 'adapter_model.safetensors'}: no space left on device; once"
        " there is space, the same command goes on"
    )
    assert not (folder / ".adapter.partial").exists()
    assert (folder / "adapter").exists() == (nth == 2)
    if nth == 2:
        assert set(files(folder / "adapter")) >= {
            "adapter_model.safetensors",
            "adapter_config.json",
            "README.md",
        }
    monkeypatch.undo()
    result, folder = collect_run(CLASSIFIER, "full", tmp_path)
    assert result.exit_code == 0, result.output
    assert step_of(folder / "adapter") == best(folder)["step"]

"""Any optimizer of transformers: it trains, or one sentence says what is missing."""

import importlib.util
import json

import pytest

from collect import config as settings
from collect.optimizers import explain_first_step
from replay.errors import InputError
from tests.collect.conftest import LANGUAGE, changed

CONFIG = changed(LANGUAGE, train={"epochs": 1})


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]


def losses(folder):
    return [record["metrics"]["eval_loss"] for record in records(folder) if record.get("kind") == "eval"]


@pytest.mark.parametrize(
    "name",
    ["adafactor", "sgd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("adagrad", "rmsprop"))],
)
def test_an_optimizer_of_transformers_trains(name, collect_run, tmp_path):
    result, folder = collect_run(changed(CONFIG, train={"optimizer": name}), name, tmp_path)
    assert result.exit_code == 0, result.output
    header = records(folder)[0]
    assert header["hyperparameters"]["optim"] == name
    assert header["config"]["train"]["optimizer"] == name
    _, default = collect_run(CONFIG, "default", tmp_path)
    assert losses(folder) != losses(default)
    assert losses(folder)[-1] < losses(folder)[0]


def test_the_default_is_that_of_transformers(collect_run, tmp_path):
    """Named or not, the numbers are the same, bit for bit."""
    _, default = collect_run(CONFIG, "default", tmp_path)
    name = records(default)[0]["hyperparameters"]["optim"]
    assert "optimizer" not in records(default)[0]["config"]["train"]
    _, named = collect_run(changed(CONFIG, train={"optimizer": name}), "named", tmp_path)
    for one, other in zip(records(default), records(named), strict=True):
        for key in ("metrics", "signals", "modules", "train"):
            assert one.get(key) == other.get(key)


def test_the_names_are_those_of_transformers():
    from transformers.training_args import OptimizerNames

    for name in OptimizerNames:
        config = settings.parse({"name": "a", **changed(LANGUAGE, train={"optimizer": name.value})}, "a.toml")
        assert config.train.optimizer == name.value
    with pytest.raises(InputError) as caught:
        settings.parse({"name": "a", **changed(LANGUAGE, train={"optimizer": "adamw_torhc"})}, "a.toml")
    assert str(caught.value).startswith(
        "a.toml: train.optimizer = 'adamw_torhc'; it must be one of adafactor, "
    )
    assert str(caught.value).endswith("Did you mean adamw_torch?")


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("paged_adamw_8bit", "bitsandbytes"),
        ("galore_adamw", "galore_torch"),
        ("lomo", "lomo_optim"),
        ("adamw_torch_4bit", "torchao"),
        ("schedule_free_adamw", "schedulefree"),
    ],
)
def test_a_missing_package_is_one_sentence(name, package, collect_run, tmp_path):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    result, folder = collect_run(changed(CONFIG, train={"optimizer": name}), "missing", tmp_path)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: train.optimizer = '{name}' cannot be used: ")
    assert package in line
    assert "pip install" in line
    assert not folder.exists()


def test_a_record_is_read_without_asking_transformers(monkeypatch):
    """A log may be of another version of transformers."""
    record = settings.parse({"name": "a", **CONFIG}, "a.toml").record()
    record["train"]["optimizer"] = "adamw_of_tomorrow"
    assert settings.parse_record(record, "a").train.optimizer == "adamw_of_tomorrow"


def test_what_an_optimizer_says_in_its_first_step_is_one_sentence():
    def step():
        raise AssertionError("Torch not compiled with CUDA enabled\nand more")

    expected = r"train.optimizer = 'adalomo' cannot make a step here: Torch not compiled with CUDA enabled$"
    with pytest.raises(InputError, match=expected), explain_first_step("adalomo", lambda: 0):
        step()
    with pytest.raises(AssertionError), explain_first_step("adalomo", lambda: 5):
        step()
    with pytest.raises(AssertionError), explain_first_step(None, lambda: 0):
        step()


def test_an_error_elsewhere_is_left_as_it_is():
    def forward():
        raise AssertionError("shapes")

    with pytest.raises(AssertionError), explain_first_step("sgd", lambda: 0):
        forward()


def test_an_optimizer_that_leaves_no_gradients_has_no_step_signals(collect_run, tmp_path, monkeypatch):
    """Such an optimizer is not installed here; sgd is taken for one."""
    monkeypatch.setattr("collect.train.hides_gradients", lambda name: name == "sgd")
    result, folder = collect_run(changed(CONFIG, train={"optimizer": "sgd"}), "hidden", tmp_path)
    assert result.exit_code == 0, result.output
    assert "hidden: train.optimizer = 'sgd' leaves no gradients behind a step" in result.stderr
    assert not (folder / "step_signals.bin").exists()
    assert records(folder)[-2]["kind"] == "eval"
    assert records(folder)[-2]["signals"]["delta_norm"] > 0

"""Configs: what is taken, and what is said about mistakes."""

import pytest

from collect import config as settings
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml


def test_a_config_reads_back_with_defaults(tmp_path):
    (tmp_path / "my-run.toml").write_text(toml(CLASSIFIER))
    config = settings.load(tmp_path / "my-run.toml")
    assert (config.name, config.task, config.lora.r, config.lora.alpha, config.train.batch_size) == ("my-run", "classification", 2, 16.0, 8)
    assert config.root == tmp_path
    assert str(tmp_path) not in str(config.record())
    assert config.record() == settings.load(tmp_path / "my-run.toml").record()


def test_a_base_is_overridden_key_by_key(tmp_path):
    (tmp_path / "common.toml").write_text(toml(CLASSIFIER))
    (tmp_path / "r8.toml").write_text('base = "common.toml"\n[lora]\nr = 8\n')
    config = settings.load(tmp_path / "r8.toml")
    assert (config.name, config.lora.r, config.train.max_steps) == ("r8", 8, 24)


def test_a_base_that_leads_back_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"')
    (tmp_path / "b.toml").write_text('base = "a.toml"')
    with pytest.raises(InputError, match="leads back"):
        settings.load(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(CLASSIFIER, lora={"rank": 4}), r"unknown key lora.rank; allowed in \[lora\] are alpha, dropout, modules_to_save, r"),
        (changed(CLASSIFIER, tain={}), "unknown key tain; .*Did you mean train"),
        (changed(CLASSIFIER, task="classify"), "task = 'classify'; it must be one of .*Did you mean classification"),
        (changed(CLASSIFIER, task=3), "task = 3; it must be one of classification, causal-lm"),
        (changed(CLASSIFIER, lora="r8"), r"lora = 'r8'; it must be a section \[lora\]"),
        (changed(CLASSIFIER, lora={"r": "8"}), "lora.r = '8'; it must be a whole number"),
        (changed(CLASSIFIER, lora={"r": True}), "lora.r = True; it must be a whole number"),
        (changed(CLASSIFIER, lora={"r": 0}), "lora.r = 0; it must be at least 1"),
        (changed(CLASSIFIER, lora={"alpha": 0}), "lora.alpha = 0.0; it must be above 0"),
        (changed(CLASSIFIER, lora={"dropout": 1.0}), "lora.dropout = 1.0; it must be at least 0 and below 1"),
        (changed(CLASSIFIER, lora={"target_modules": "query"}), "lora.target_modules = 'query'; it must be 'all-linear' or a list"),
        (changed(CLASSIFIER, train={"learning_rate": -1e-3}), "train.learning_rate = -0.001; it must be above 0"),
        (changed(CLASSIFIER, train={"learning_rate": "fast"}), "train.learning_rate = 'fast'; it must be a finite number"),
        (changed(CLASSIFIER, train={"epochs": 2.0}), "give train.max_steps or train.epochs, one of the two"),
        (changed(CLASSIFIER, train={"max_steps": None}), "give train.max_steps or train.epochs, one of the two"),
        (changed(CLASSIFIER, train={"learning_rate": None}), "train.learning_rate is missing; it must be a finite number"),
        (changed(CLASSIFIER, train={"log_every": 3}), r"train.log_every = 3; it must divide train.eval_every \(5\)"),
        (changed(CLASSIFIER, train={"scheduler": "cosin"}), "train.scheduler = 'cosin'; it must be one of .*Did you mean cosine"),
        (changed(CLASSIFIER, data={"validation_size": None}), "data.validation_size is missing"),
        (changed(CLASSIFIER, data={"validation_size": 0}), "data.validation_size = 0; it must be at least 1"),
        (changed(CLASSIFIER, data={"label": None}), "data.label is missing; task classification needs it"),
        (changed(CLASSIFIER, data={"answer": "x"}), "data.answer = 'x'; task classification has no answer; it takes text, label"),
        (changed(CLASSIFIER, data={"file": None}), "give data.file, to be split, or data.train_file"),
        (changed(CLASSIFIER, data={"test_file": "t.csv"}), "data.test_file = 't.csv'; with data.file all splits come from that one file"),
        (changed(LANGUAGE, data={"validation_file": None}), "data.validation_file is missing; without an eval set"),
        (changed(LANGUAGE, data={"text": "x"}), "data.text = 'x'; task causal-lm has no text; it takes prompt, answer"),
        (changed(CLASSIFIER, name="../x"), "name = '../x'; it must be the name of a folder"),
        (changed(CLASSIFIER, model={"package": "a-package"}), "model.package = 'a-package'; it must be name==version"),
        (changed(CLASSIFIER, data={"package": "--index-url=x==1"}), "data.package = '--index-url=x==1'; it must be name==version"),
    ],
)  # fmt: skip
def test_mistakes_name_the_key_the_value_and_what_is_allowed(config, message, tmp_path):
    (tmp_path / "run.toml").write_text(toml(config))
    with pytest.raises(InputError, match=message) as caught:
        settings.load(tmp_path / "run.toml")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "run.toml") in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [("r = ", "not a TOML file"), (None, "no such file")])
def test_files_that_cannot_be_read(content, message, tmp_path):
    if content is not None:
        (tmp_path / "run.toml").write_text(content)
    with pytest.raises(InputError, match=message):
        settings.load(tmp_path / "run.toml")

"""Configs: what is taken, and what is said about mistakes."""

import json
from pathlib import Path

import pytest

from collect import config as settings
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml

GENERIC = {"file": "generic.jsonl", "text": "text"}


def test_a_config_reads_back_with_defaults(tmp_path):
    (tmp_path / "my-run.toml").write_text(toml(CLASSIFIER))
    config = settings.load(tmp_path / "my-run.toml")
    assert (config.name, config.task, config.lora.r, config.lora.alpha, config.train.batch_size) == (
        "my-run",
        "classification",
        2,
        16.0,
        8,
    )
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
        (
            changed(CLASSIFIER, lora={"rank": 4}),
            r"unknown key lora.rank; allowed in \[lora\] are alora_invocation_tokens, alpha, .*Did you mean",
        ),
        (changed(CLASSIFIER, tain={}), "unknown key tain; .*Did you mean train"),
        (changed(CLASSIFIER, root="."), "unknown key root; allowed are data, "),
        (
            {key: part for key, part in CLASSIFIER.items() if key != "model"},
            "model.path is missing; it must be a string",
        ),
        (
            changed(CLASSIFIER, train={"learning_rate": None, "learning_rates": 1e-3}),
            r"unknown key train.learning_rates; allowed in \[train\] are .*Did you mean learning_rate",
        ),
        (
            changed(CLASSIFIER, data={"where": {"a": 1}}),
            "data.where = {'a': 1}; it must be a table of strings",
        ),
        (
            changed(CLASSIFIER, lora={"target_modules": ["query", 1]}),
            r"lora.target_modules = \['query', 1\]; it must be a string or a list of strings",
        ),
        (
            changed(CLASSIFIER, task="classify"),
            "task = 'classify'; it must be one of .*Did you mean classification",
        ),
        (changed(CLASSIFIER, task=3), "task = 3; it must be one of classification, causal-lm"),
        (changed(CLASSIFIER, lora="r8"), r"lora = 'r8'; it must be a section \[lora\]"),
        (changed(CLASSIFIER, lora={"r": "8"}), "lora.r = '8'; it must be a whole number"),
        (changed(CLASSIFIER, lora={"r": True}), "lora.r = True; it must be a whole number"),
        (changed(CLASSIFIER, lora={"r": 0}), "lora.r = 0; it must be at least 1"),
        (changed(CLASSIFIER, lora={"alpha": 0}), "lora.alpha = 0; it must be above 0"),
        (changed(CLASSIFIER, lora={"dropout": 1.0}), "lora.dropout = 1.0; it must be at least 0 and below 1"),
        (
            changed(CLASSIFIER, lora={"target_modules": "query"}),
            "lora.target_modules = 'query'; it must be 'all-linear' or a list",
        ),
        (
            changed(CLASSIFIER, train={"learning_rate": -1e-3}),
            "train.learning_rate = -0.001; it must be above 0",
        ),
        (
            changed(CLASSIFIER, train={"learning_rate": "fast"}),
            "train.learning_rate = 'fast'; it must be a finite number",
        ),
        (changed(CLASSIFIER, train={"epochs": 2.0}), "give train.max_steps or train.epochs, one of the two"),
        (
            changed(CLASSIFIER, train={"max_steps": None}),
            "give train.max_steps or train.epochs, one of the two",
        ),
        (
            changed(CLASSIFIER, train={"learning_rate": None}),
            "train.learning_rate is missing; it must be a finite number",
        ),
        (
            changed(CLASSIFIER, train={"log_every": 3}),
            r"train.log_every = 3; it must divide train.eval_every \(5\)",
        ),
        (
            changed(CLASSIFIER, train={"scheduler": "cosin"}),
            "train.scheduler = 'cosin'; it must be one of .*Did you mean cosine",
        ),
        (changed(CLASSIFIER, data={"validation_size": None}), "data.validation_size is missing"),
        (changed(CLASSIFIER, data={"validation_size": 0}), "data.validation_size = 0; it must be at least 1"),
        (changed(CLASSIFIER, data={"label": None}), "data.label is missing; task classification needs it"),
        (
            changed(CLASSIFIER, data={"answer": "x"}),
            "data.answer = 'x'; task classification has no answer; it takes text, label",
        ),
        (changed(CLASSIFIER, data={"file": None}), "give data.file, to be split, or data.train_file"),
        (
            changed(CLASSIFIER, data={"test_file": "t.csv"}),
            "data.test_file = 't.csv'; with data.file all splits come from that one file",
        ),
        (
            changed(LANGUAGE, data={"validation_file": None}),
            "data.validation_file is missing; without an eval set",
        ),
        (
            changed(LANGUAGE, data={"text": "x"}),
            "data.text = 'x'; task causal-lm has no text; it takes prompt, answer",
        ),
        (changed(CLASSIFIER, name="../x"), "name = '../x'; it must be the name of a folder"),
        (
            changed(CLASSIFIER, model={"package": "a-package"}),
            "model.package = 'a-package'; it must be name==version",
        ),
        (
            changed(CLASSIFIER, data={"package": "--index-url=x==1"}),
            "data.package = '--index-url=x==1'; it must be name==version",
        ),
        (
            changed(LANGUAGE, model={"quantization": "3bit"}),
            "model.quantization = '3bit'; it must be one of 4bit, 8bit",
        ),
        (
            changed(LANGUAGE, model={"quantization": "4bit", "gguf_file": "m.gguf"}),
            "model.quantization = '4bit'; with model.gguf_file",
        ),
        (
            changed(LANGUAGE, model={"quantization": "8bit"}, train={"device": "cpu"}),
            "model.quantization = '8bit'; it needs a GPU",
        ),
        (
            changed(LANGUAGE, data={"hub": "a/b", "package": "c==1"}),
            "data.hub = 'a/b'; with data.package .* give one of the two",
        ),
        (changed(LANGUAGE, data={"hub": ""}), "data.hub = ''; it must be a data set's name"),
        (changed(LANGUAGE, data={"hub_config": "en"}), "data.hub_config = 'en'; it needs data.hub"),
        (changed(LANGUAGE, lora={"use_rslora": 1}), "lora.use_rslora = 1; it must be true or false"),
        (
            changed(LANGUAGE, train={"gradient_checkpointing": "yes"}),
            "train.gradient_checkpointing = 'yes'; it must be true or false",
        ),
        (changed(LANGUAGE, train={"resume_every": -1}), "train.resume_every = -1; it must be at least 0"),
        (
            changed(LANGUAGE, train={"save_every": 9}),
            r"train.save_every = 9; it must be a multiple of train.eval_every \(6\), so that",
        ),
        (
            changed(LANGUAGE, train={"scheduler": "reduce-on-plateau", "warmup_steps": 2}),
            "train.warmup_steps = 2; it must be 0 with",
        ),
        (
            changed(LANGUAGE, train={"scheduler": "reduce-on-plateau", "plateau_patience": -1}),
            "plateau_patience = -1; it must be at",
        ),
        (
            changed(LANGUAGE, train={"scheduler": "reduce-on-plateau", "plateau_factor": 1.0}),
            "plateau_factor = 1.0; it must be above 0",
        ),
        (
            changed(LANGUAGE, train={"plateau_patience": 3}),
            "train.plateau_patience = 3; it needs train.scheduler = 'reduce-on-plat",
        ),
        (
            changed(LANGUAGE, train={"plateau_factor": 0.5}),
            "train.plateau_factor = 0.5; it needs train.scheduler = 'reduce-on-plateau'",
        ),
        (
            changed(CLASSIFIER, generation={}),
            r"\[generation\] is of no use to task classification; a classifier generates nothing",
        ),
        (
            changed(LANGUAGE, generation={"metrics": []}),
            r"generation.metrics = \[\]; it must have one or more of rougeL, bleu, exact",
        ),
        (
            changed(LANGUAGE, generation={"metrics": ["blue"]}),
            "generation.metrics = .*'blue' must be one of .*Did you mean bleu",
        ),
        (
            changed(LANGUAGE, generation={"metrics": ["bleu", "bleu"]}),
            "generation.metrics = .*it must name each metric once",
        ),
        (
            changed(LANGUAGE, generation={"metrics": "bleu"}),
            "generation.metrics = 'bleu'; it must be a list of strings",
        ),
        (changed(LANGUAGE, generation={"every": 0}), "generation.every = 0; it must be at least 1"),
        (changed(LANGUAGE, generation={"examples": 0}), "generation.examples = 0; it must be at least 1"),
        (
            changed(LANGUAGE, generation={"max_new_tokens": 0}),
            "generation.max_new_tokens = 0; it must be at least 1",
        ),
        (
            changed(LANGUAGE, generation={"evry": 1}),
            r"unknown key generation.evry; allowed in \[generation\] are .*Did you mean every",
        ),
        (changed(LANGUAGE, generation=[]), r"generation = \[\]; it must be a section \[generation\]"),
        (
            changed(CLASSIFIER, generic=GENERIC),
            r"\[generic\] is of no use to task classification; a classifier has no language loss",
        ),
        (changed(LANGUAGE, generic={"text": "text"}), "generic.file is missing; it must be a string"),
        (changed(LANGUAGE, generic={"file": "a.csv"}), "generic.text is missing; it must be a string"),
        (
            changed(LANGUAGE, generic={**GENERIC, "text": ""}),
            "generic.text = ''; it must be a column, or a template",
        ),
        (changed(LANGUAGE, generic={**GENERIC, "size": 0}), "generic.size = 0; it must be at least 1"),
        (
            changed(LANGUAGE, generic={**GENERIC, "max_length": 1}),
            "generic.max_length = 1; it must be at least 2",
        ),
        (changed(LANGUAGE, generic={**GENERIC, "seed": -1}), "generic.seed = -1; it must be at least 0"),
        (
            changed(LANGUAGE, generic={**GENERIC, "package": "c"}),
            "generic.package = 'c'; it must be name==version",
        ),
        (
            changed(LANGUAGE, generic={**GENERIC, "package": "c==1", "hub": "a/b"}),
            "generic.hub = 'a/b'; with generic.package",
        ),
        (
            changed(LANGUAGE, generic={**GENERIC, "hub_config": "en"}),
            "generic.hub_config = 'en'; it needs generic.hub",
        ),
    ],
)
def test_mistakes_name_the_key_the_value_and_what_is_allowed(config, message, tmp_path):
    (tmp_path / "run.toml").write_text(toml(config))
    with pytest.raises(InputError, match=message) as caught:
        settings.load(tmp_path / "run.toml")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "run.toml") in str(caught.value)


def test_sections_that_may_be_absent():
    config = settings.parse({"name": "run", **LANGUAGE}, "run.toml")
    assert (config.generation, config.generic) == (None, None)
    assert not {"generation", "generic"} & set(config.record())
    config = settings.parse({"name": "run", **changed(LANGUAGE, generation={}, generic=GENERIC)}, "run.toml")
    assert config.generation == settings.Generation(5, 32, 32, ("rougeL", "bleu", "exact_match"))
    assert config.generic == settings.Generic("generic.jsonl", "text")


@pytest.mark.parametrize(
    "raw",
    [
        CLASSIFIER,
        LANGUAGE,
        changed(
            LANGUAGE,
            generation={"metrics": ["bleu"]},
            generic={**GENERIC, "where": {"a": "b"}},
            lora={"target_modules": ["q"]},
        ),
        changed(
            LANGUAGE,
            train={
                "scheduler": "reduce-on-plateau",
                "plateau_patience": 2,
                "plateau_factor": 0.5,
                "save_every": 12,
            },
        ),
    ],
)
def test_a_record_reads_back(raw):
    config = settings.parse({"name": "run", **raw}, "run.toml")
    record = config.record()
    assert json.loads(json.dumps(record)) == record
    assert settings.parse_record(record, "run") == config


def test_an_older_record_reads_as_its_defaults():
    config = settings.parse({"name": "run", **LANGUAGE}, "run.toml")
    record = config.record()
    for section, keys in {
        "model": ["quantization"],
        "data": ["hub", "hub_config"],
        "lora": ["use_rslora"],
        "train": ["plateau_patience", "plateau_factor", "gradient_checkpointing", "resume_every"],
    }.items():
        for key in keys:
            del record[section][key]
    assert settings.parse_record(record, "run") == config
    # what a newer rule refuses is still what that run was
    record["train"]["save_every"] = 7
    assert settings.parse_record(record, "run").train.save_every == 7
    with pytest.raises(InputError, match=r"run: unknown key train.optimiser"):
        settings.parse_record({**record, "train": {**record["train"], "optimiser": "x"}}, "run")


@pytest.mark.parametrize(("content", "message"), [("r = ", "not a TOML file"), (None, "no such file")])
def test_files_that_cannot_be_read(content, message, tmp_path):
    if content is not None:
        (tmp_path / "run.toml").write_text(content)
    with pytest.raises(InputError, match=message):
        settings.load(tmp_path / "run.toml")


def test_a_record_holds_a_newer_key_only_where_it_is_set():
    """The record of a config without it stays the same, byte for byte, and with it that of its log."""
    plain = settings.parse({"name": "run", **LANGUAGE}, "run.toml").record()
    for section, key, value in (("model", "dtype", "bf16"), ("train", "optimizer", "sgd")):
        assert key not in plain[section]
        record = settings.parse({"name": "run", **changed(LANGUAGE, **{section: {key: value}})}, "").record()
        assert record[section].pop(key) == value
        assert json.dumps(record) == json.dumps(plain)
    assert list(plain["model"]) == ["path", "package", "gguf_file", "quantization"]


def test_the_records_of_older_logs_read_back_to_themselves():
    """A log is resumed, and recognised as finished, by its config."""
    logs = sorted((Path(__file__).parents[2] / "sample_logs").rglob("eval_log.jsonl"))
    assert logs
    for log in logs:
        with log.open() as lines:
            record = json.loads(next(lines)).get("config")
        if record is not None:
            assert settings.parse_record(record, str(log)).record() == record

"""The keys of [lora] that are peft's: which there are, what they take, and that they reach peft."""

import dataclasses
import json

import pytest

from collect import config as settings
from collect.config import peft_options
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed

peft = pytest.importorskip("peft")


def parsed(config=LANGUAGE, **lora):
    return settings.parse({"name": "a", **changed(config, lora=lora)}, "a.toml")


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"usedora": True}, r"unknown key lora.usedora; allowed in \[lora\] are .*Did you mean use_dora"),
        ({"options": {}}, r"unknown key lora.options; allowed in \[lora\] are "),
        ({"lora_alpha": 8}, "unknown key lora.lora_alpha; its name is lora.alpha"),
        ({"lora_dropout": 0.1}, "unknown key lora.lora_dropout; its name is lora.dropout"),
        ({"task_type": "CAUSAL_LM"}, "lora.task_type cannot be set: it follows from task"),
        (
            {"megatron_core": "os"},
            "lora.megatron_core cannot be set: it names Python code that peft would run",
        ),
        ({"use_dora": 1}, "lora.use_dora = 1; it must be true or false"),
        (
            {"init_lora_weights": "pisa"},
            "lora.init_lora_weights = 'pisa'; it must be true or false or one of gaussian",
        ),
        ({"init_lora_weights": "pissa_niter_x"}, "lora.init_lora_weights = 'pissa_niter_x'; it must be"),
        ({"rank_pattern": {"q_proj": "2"}}, "lora.rank_pattern = .*; it must be a table of whole numbers"),
        ({"layers_to_transform": "0"}, "it must be a list of whole numbers or a whole number"),
        ({"layer_replication": [[0, 1, 2]]}, "it must be a list of lists of 2 whole numbers"),
        ({"bias": "some"}, "lora.bias = 'some'; it must be one of none, all, lora_only"),
        ({"eva_config": {"rhoo": 2.0}}, "unknown key lora.eva_config.rhoo; allowed are .*Did you mean rho"),
        ({"eva_config": {"rho": "2"}}, "lora.eva_config.rho = '2'; it must be a number"),
        ({"eva_config": True}, "lora.eva_config = True; it must be a table with rho, tau"),
        (
            {"corda_config": {"cache_file": "x.pt"}},
            "lora.corda_config.cache_file cannot be set: a training reads no files",
        ),
        ({"eva_config": {"rho": 0.5}}, "peft refuses lora.eva_config = {'rho': 0.5}: `rho` must be >= 1.0"),
        (
            {"use_dora": True, "lora_bias": True},
            "peft refuses lora.use_dora = True, lora.lora_bias = True: The argument lora_bias=True",
        ),
        ({"eva_config": {"rho": 2.0}}, "peft refuses lora.eva_config = .* will be ignored when"),
    ],
)
def test_mistakes(lora, message):
    with pytest.raises(InputError, match=f"a.toml: .*{message}"):
        parsed(**lora)


def test_an_option_for_another_task_is_refused():
    with pytest.raises(
        InputError, match=r"peft refuses lora.alora_invocation_tokens = .* only supported for CAUSAL_LM"
    ):
        parsed(CLASSIFIER, alora_invocation_tokens=[1])


def test_biases_of_a_model_in_half_precision_are_not_trained():
    raw = changed(LANGUAGE, lora={"bias": "all"}, model={"dtype": "bf16"})
    with pytest.raises(
        InputError, match=r"lora.bias = 'all'; it trains biases of the model, which model.dtype"
    ):
        settings.parse({"name": "a", **raw}, "a.toml")


def test_every_field_of_peft_is_a_key_or_has_a_reason_why_not():
    """A value of its own default is taken, whatever peft's version has."""
    own = {field.name for field in dataclasses.fields(settings.Lora)}
    for field in dataclasses.fields(peft.LoraConfig):
        if field.name in own or field.default in (dataclasses.MISSING, None):
            continue
        if field.name in peft_options._OURS or field.name in peft_options._REFUSED:
            with pytest.raises(InputError, match=f"lora.{field.name}"):
                parsed(**{field.name: field.default})
        else:
            assert parsed(**{field.name: field.default}).lora.options == {field.name: field.default}


def test_the_options_reach_peft_and_the_record():
    lora = {
        "use_dora": True,
        "rank_pattern": {"q_proj": 2},
        "init_lora_weights": "pissa_niter_4",
        "layers_to_transform": [0, 1],
        "target_modules": ["q_proj"],
    }
    config = parsed(**lora)
    made = settings.make_lora_config(config.lora, config.task)
    assert (made.use_dora, made.rank_pattern, made.init_lora_weights) == (
        True,
        {"q_proj": 2},
        "pissa_niter_4",
    )
    assert made.layers_to_transform == [0, 1]
    record = config.record()
    assert record["lora"] == {**parsed().record()["lora"], **lora}
    assert settings.parse_record(json.loads(json.dumps(record)), "a") == config
    made = settings.make_lora_config(
        parsed(init_lora_weights="eva", eva_config={"rho": 1.5}).lora, "causal-lm"
    )
    assert made.eva_config.rho == 1.5


def test_without_an_option_the_record_is_that_of_before():
    assert list(parsed().record()["lora"]) == [
        "r",
        "alpha",
        "dropout",
        "target_modules",
        "modules_to_save",
        "use_rslora",
    ]
    with pytest.raises(InputError, match=r"a: unknown key lora.rankk"):
        settings.parse_record({**parsed().record(), "lora": {"rankk": 1}}, "a")


def test_options_may_vary_in_a_grid(tmp_path):
    from collect import grid
    from tests.collect.conftest import toml

    text = (
        toml(LANGUAGE)
        + '\n[grid]\n"lora.use_dora" = [true, false]\n"lora.init_lora_weights" = ["pissa", "olora"]\n'
    )
    (tmp_path / "g.toml").write_text(text)
    configs = grid.expand(tmp_path / "g.toml")
    assert [config.name for config in configs] == [
        f"g-usedora{dora}-initloraweights{how}" for dora in ("true", "false") for how in ("pissa", "olora")
    ]
    assert configs[0].lora.options == {"use_dora": True, "init_lora_weights": "pissa"}

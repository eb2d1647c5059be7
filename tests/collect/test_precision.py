"""Frozen weights in half precision: what is trained is float32, and the run is that of float32 up to
rounding."""

import json

import pytest

from collect import config as settings
from collect import model
from collect.precision import train_in_full_precision
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed
from tests.collect.test_model import config_of

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

TASKS = {"classifier": CLASSIFIER, "language": LANGUAGE}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def evals(folder):
    lines = (folder / "eval_log.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record.get("kind") == "eval"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_a_run_in_half_precision_is_that_of_float32_up_to_rounding(
    task, dtype, collect_run, request, tmp_path
):
    whole = evals(request.getfixturevalue(f"{task}_run"))
    kept = {"classifier": 10, "language": 6}[task]
    config = changed(TASKS[task], model={"dtype": dtype}, train={"save_every": kept})
    result, folder = collect_run(config, f"{task}-{dtype}", tmp_path)
    assert result.exit_code == 0, result.output
    half = evals(folder)
    for one, other in zip(whole, half, strict=True):
        assert one["metrics"]["eval_loss"] == pytest.approx(other["metrics"]["eval_loss"], rel=0.02)
        assert one["signals"]["delta_norm"] == pytest.approx(other["signals"]["delta_norm"], rel=0.05)
    # the losses are not those of float32: the weights are really rounded
    assert [one["metrics"] for one in whole] != [one["metrics"] for one in half]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_frozen_weights_are_rounded_and_trained_ones_are_not(task, dtype, workplace, tmp_path):
    config = config_of(changed(TASKS[task], model={"dtype": dtype}), workplace)
    adapted = model.add_lora(model.load(config, ["bad", "good"], tmp_path)[0], config)
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert any("modules_to_save" in name for name in trained)
    for name, weight in adapted.named_parameters():
        assert weight.dtype == (torch.float32 if name in trained else DTYPES[dtype]), name


def test_a_module_trained_in_full_computes_in_float32():
    torch.manual_seed(0)

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.body(x))

    whole = Two().to(torch.bfloat16)
    inputs = torch.randn(3, 8, dtype=torch.bfloat16)
    hidden, head = whole.body(inputs), whole.head.weight.detach().clone()
    adapted = peft.get_peft_model(whole, peft.LoraConfig(target_modules=["body"], modules_to_save=["head"]))
    train_in_full_precision(adapted)
    out = adapted(inputs)
    bias = whole.head.modules_to_save["default"].bias
    expected = torch.nn.functional.linear(hidden.float(), head.float(), bias).to(torch.bfloat16)
    assert out.dtype == torch.bfloat16
    assert out.equal(expected)
    # a step that bf16 would round away
    optimizer = torch.optim.SGD([bias], lr=1e-6)
    before = bias.detach().clone()
    out.float().sum().backward()
    optimizer.step()
    assert (bias != before).all()
    assert (bias.to(torch.bfloat16) == before.to(torch.bfloat16)).all()


@pytest.mark.parametrize("name", ["eager", "sdpa"])
def test_the_attention_is_the_one_that_is_asked_for(name, workplace, collect_run, tmp_path):
    config = changed(LANGUAGE, model={"attn_implementation": name}, train={"epochs": 1})
    loaded, _ = model.load(config_of(config, workplace), (), tmp_path)
    assert loaded.config._attn_implementation == name
    result, folder = collect_run(config, name, tmp_path)
    assert result.exit_code == 0, result.output
    _, default = collect_run(changed(LANGUAGE, train={"epochs": 1}), "default", tmp_path)
    for one, other in zip(evals(folder), evals(default), strict=True):
        assert one["metrics"]["eval_loss"] == pytest.approx(other["metrics"]["eval_loss"], rel=1e-5)
        if name == "sdpa":  # what transformers takes here by itself: the trial before changes nothing
            assert one["metrics"] == other["metrics"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"attn_implementation": "flash_attention_2", "dtype": "bf16"},
            "model.attn_implementation = 'flash_attention_2' cannot be used: ",
        ),
        (
            {"attn_implementation": "flash_attention_2"},
            "model.attn_implementation = 'flash_attention_2'; it computes in half precision only; set model",
        ),
        pytest.param(
            {"attn_implementation": "flex_attention"},
            "model.attn_implementation = 'flex_attention' cannot be used here: ",
            marks=pytest.mark.slow,
        ),
        (
            {"attn_implementation": "spda"},
            "model.attn_implementation = 'spda'; it must be one of eager, flash_attention_2, ",
        ),
        ({"dtype": "bf32"}, "model.dtype = 'bf32'; it must be one of bf16, fp16, fp32. Did you mean fp32?"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(keys, message, collect_run, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("these are missing where there is no GPU")
    result, _ = collect_run(changed(LANGUAGE, model=keys), "wrong", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_kernel_of_the_hub_is_no_attention():
    """transformers would download it and run it."""
    raw = changed(LANGUAGE, model={"attn_implementation": "kernels-community/flash-attn"})
    with pytest.raises(
        InputError, match=r"model.attn_implementation = 'kernels-community/flash-attn'; it must"
    ):
        settings.parse({"name": "a", **raw}, "a.toml")

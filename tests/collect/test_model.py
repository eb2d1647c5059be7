"""Models: quantization where it cannot be had, and what is asked of the libraries."""

import dataclasses

import pytest

from collect import config as settings
from collect import model
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed


def config_of(raw, root="."):
    return dataclasses.replace(settings.parse({"name": "run", **raw}, "run.toml"), root=root)


@pytest.fixture
def as_if(monkeypatch):
    """Says whether bitsandbytes is installed and whether there is a GPU."""
    torch = pytest.importorskip("torch")
    import importlib.metadata
    import importlib.util

    find, version = importlib.util.find_spec, importlib.metadata.version

    def say(installed, gpu):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: installed if name == "bitsandbytes" else find(name, *rest),
        )
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: "0.48.0" if name == "bitsandbytes" else version(name)
        )
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)

    return say


@pytest.mark.parametrize(
    ("installed", "gpu", "message"),
    [
        (None, True, r"model.quantization = '4bit' needs bitsandbytes \(pip install bitsandbytes\)"),
        (object(), False, "model.quantization = '4bit' needs a CUDA GPU, and this machine has none"),
    ],
)
def test_quantization_is_refused_before_anything_is_loaded(installed, gpu, message, as_if, tmp_path):
    as_if(installed, gpu)
    config = config_of(changed(LANGUAGE, model={"path": "./not-there", "quantization": "4bit"}), tmp_path)
    with pytest.raises(InputError, match=message):
        model.load(config, (), tmp_path)


def test_trained_modules_are_not_quantized(as_if):
    pytest.importorskip("transformers")
    as_if(object(), True)
    four = model._quantization(config_of(changed(CLASSIFIER, model={"quantization": "4bit"})))
    assert (four.load_in_4bit, four.bnb_4bit_quant_type, four.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert str(four.bnb_4bit_compute_dtype) == "torch.bfloat16"
    assert {"classifier", "score"} <= set(four.llm_int8_skip_modules)
    eight = model._quantization(config_of(changed(LANGUAGE, model={"quantization": "8bit"})))
    assert eight.load_in_8bit
    assert {"embed_tokens", "lm_head"} <= set(eight.llm_int8_skip_modules)
    plain = model._quantization(
        config_of(changed(LANGUAGE, model={"quantization": "8bit"}, lora={"modules_to_save": []}))
    )
    assert plain.llm_int8_skip_modules is None


def test_the_adapter_of_a_quantized_model_is_all_that_trains(workplace, tmp_path):
    loaded, _ = model.load(config_of(LANGUAGE, workplace), (), tmp_path)
    raw = changed(
        LANGUAGE,
        model={"quantization": "4bit"},
        lora={"modules_to_save": []},
        train={"gradient_checkpointing": True},
    )
    adapted = model.add_lora(loaded, config_of(raw, workplace))
    assert all("lora_" in name for name, weight in adapted.named_parameters() if weight.requires_grad)


@pytest.mark.parametrize(("stabilized", "scaling"), [(False, 4.0), (True, 8.0)])
def test_rank_stabilized_scaling(stabilized, scaling, workplace, tmp_path):
    raw = changed(LANGUAGE, lora={"r": 4, "alpha": 16.0, "use_rslora": stabilized})
    adapted = model.add_lora(
        model.load(config_of(raw, workplace), (), tmp_path)[0], config_of(raw, workplace)
    )
    assert {
        module.scaling["default"]
        for module in adapted.modules()
        if isinstance(getattr(module, "scaling", None), dict) and module.scaling
    } == {scaling}


def test_a_gguf_file_is_converted_once(workplace, tmp_path, monkeypatch):
    """transformers' reader of the file is replaced by one that reads a plain folder."""
    import transformers

    folder, read = tmp_path / "model", []
    folder.mkdir()
    (folder / "m.gguf").write_bytes(b"GGUF")
    for name in ("AutoModelForCausalLM", "AutoTokenizer"):
        load = getattr(transformers, name).from_pretrained

        def reads(source, *args, gguf_file=None, load=load, name=name, **options):
            if gguf_file is not None:
                read.append((name, gguf_file))
                source = workplace / "llama"
            return load(source, *args, **options)

        monkeypatch.setattr(getattr(transformers, name), "from_pretrained", reads)
    config = config_of(changed(LANGUAGE, model={"path": "model", "gguf_file": "m.gguf"}), tmp_path)
    plain, _ = model.load(config_of(LANGUAGE, workplace), [], tmp_path)
    for _ in range(2):
        converted, _ = model.load(config, [], tmp_path / "cache")
        for one, other in zip(converted.parameters(), plain.parameters(), strict=True):
            assert one.equal(other)
    assert read == [("AutoTokenizer", "m.gguf"), ("AutoModelForCausalLM", "m.gguf")]

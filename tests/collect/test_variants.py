"""Every variant of LoRA by peft's own configuration: its signals are those of the change of the original
weights, formed and subtracted, and the kept adapter gives the logged loss on the base model."""

import re

import numpy as np
import pytest

from collect import config as settings
from collect import model as models
from collect.examples import Collate
from collect.signals import Adapter, EvalSignals, initial_factors
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed
from tests.collect.test_keep import best, evals, loss_of, records
from tests.collect.test_model import config_of

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

PATTERNS = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 32.0}, "use_rslora": True}
BLOCKS = {
    "target_modules_bd_a": ["q_proj", "k_proj", "v_proj"],
    "target_modules_bd_b": ["o_proj"],
    "nblocks": 2,
    "match_strict": False,
}
#: Those that change the frozen weights.
SHIFTED = {
    "pissa": {"init_lora_weights": "pissa"},
    "pissa_niter": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "corda": {"init_lora_weights": "corda"},
    "corda_kpm": {"init_lora_weights": "corda", "corda_config": {"corda_method": "kpm"}},
    "lora_ga": {"init_lora_weights": "lora_ga", "lora_ga_config": {"scale": "weight_svd"}},
    "pissa_patterns": {**PATTERNS, "init_lora_weights": "pissa"},
    "pissa_dora": {"init_lora_weights": "pissa", "use_dora": True},
}
VARIANTS = SHIFTED | {
    "dora": {"use_dora": True},
    "dora_patterns": {**PATTERNS, "use_dora": True},
    "patterns": PATTERNS,
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "random": {"init_lora_weights": False},
    "mica": {"init_lora_weights": "mica"},
    "eva": {"init_lora_weights": "eva"},
    "velora": {"velora_config": {"num_groups": 4}},
    "bdlora": {"use_bdlora": BLOCKS},
    "monteclora": {"monteclora_config": {"num_samples": 2}},
    "layers": {"layers_to_transform": [0], "target_modules": ["q_proj"]},
    "parameters": {"target_parameters": ["self_attn.q_proj.weight"], "target_modules": ["v_proj"]},
}


def batches():
    collate = Collate(0)
    generator = np.random.default_rng(0)
    examples = []
    for _ in range(16):
        ids = generator.integers(3, 20, size=int(generator.integers(5, 12))).tolist()
        examples.append({"input_ids": ids, "labels": ids})
    return [collate(examples[start : start + 4]) for start in range(0, 16, 4)]


def stirred(model, seed):
    """Moves all that is trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn(weight.shape, generator=generator))


def weights_of(model, names):
    """The weights of these modules as they act, by peft's own merge, in float64."""
    import copy

    merged = copy.deepcopy(model).merge_and_unload()
    parameters = dict(merged.named_parameters())
    return [parameters[f"{name}.weight"].detach().double().numpy() for name in names]


@pytest.mark.parametrize("variant", VARIANTS)
def test_signals_are_those_of_the_change_of_the_original_weight(variant, workplace, tmp_path):
    raw = changed(LANGUAGE, lora={"modules_to_save": [], **VARIANTS[variant]})
    config = config_of(raw, workplace)
    torch.manual_seed(0)
    loaded, _ = models.load(config, (), tmp_path)
    original = {name: weight.detach().double().numpy() for name, weight in loaded.named_parameters()}
    model = models.add_lora(loaded, config, batches())
    initial = initial_factors(model)
    assert bool(initial) == (variant in SHIFTED)
    adapter = Adapter.of(model, initial)
    header = adapter.header()
    assert header.get("shifted") == ([True] * len(adapter.names) if variant in SHIFTED else None)
    assert "undefined" not in header
    before = [original[f"{name}.weight"] for name in adapter.names]
    assert header["weight_norm"] == pytest.approx([np.linalg.norm(weight) for weight in before], rel=1e-5)
    measured, past = EvalSignals(adapter), None
    norm = np.linalg.norm
    for turn in range(3):
        now = [new - old for new, old in zip(weights_of(model, adapter.names), before, strict=True)]
        whole, modules = measured.measure()
        flat = np.concatenate([one.ravel() for one in now])
        size = norm(np.concatenate([one.ravel() for one in before]))
        # at the start a merged weight is the original one up to float32
        assert whole["delta_norm"] == pytest.approx(norm(flat), rel=1e-4, abs=3e-6 * size)
        assert whole["delta_ratio"] == pytest.approx(norm(flat) / size, rel=1e-4, abs=3e-6)
        assert modules["delta_norm"] == pytest.approx([norm(one) for one in now], rel=1e-4, abs=3e-6 * size)
        if turn:
            if "dora" not in variant:
                ranks = [(norm(one) / norm(one, 2)) ** 2 for one in now]
                assert modules["stable_rank"] == pytest.approx(ranks, rel=1e-3)
            assert whole["delta_norm"] > 1e-2
        if turn > 1:
            old = np.concatenate([one.ravel() for one in past])
            assert whole["cosine"] == pytest.approx(flat @ old / norm(flat) / norm(old), rel=1e-4)
            assert whole["relative_change"] == pytest.approx(norm(flat - old) / norm(old), rel=1e-3)
        past = now
        stirred(model, turn)


def test_the_factors_as_they_are_would_tell_another_change(workplace, tmp_path):
    """Of PiSSA: what peft put into the adapter counts as no change, and without it nothing is told."""
    config = config_of(changed(LANGUAGE, lora=SHIFTED["pissa"]), workplace)
    model = models.add_lora(models.load(config, (), tmp_path)[0], config)
    whole, _ = EvalSignals(Adapter.of(model, initial_factors(model))).measure()
    assert whole["delta_norm"] == 0
    adapter = Adapter.of(model)
    assert set(adapter.header()["undefined"]) == {"what was moved into the adapter at the start is not known"}
    whole, modules = EvalSignals(adapter).measure()
    assert set(whole.values()) == {None}
    assert modules["delta_norm"] == [None] * len(adapter.names)


RUNS = {
    "pissa": (LANGUAGE, SHIFTED["pissa"]),
    "pissa_niter": (LANGUAGE, SHIFTED["pissa_niter"]),
    "pissa of a classifier": (CLASSIFIER, SHIFTED["pissa"]),
    "pissa_patterns": (LANGUAGE, SHIFTED["pissa_patterns"]),
    "pissa_dora": (LANGUAGE, SHIFTED["pissa_dora"]),
    "corda": (LANGUAGE, SHIFTED["corda"]),
    "corda of a classifier": (CLASSIFIER, SHIFTED["corda"]),
    "lora_ga of a classifier": (CLASSIFIER, {"init_lora_weights": "lora_ga"}),
    "eva": (LANGUAGE, {"init_lora_weights": "eva"}),
    "eva of a classifier": (CLASSIFIER, {"init_lora_weights": "eva"}),
    "dora": (LANGUAGE, {"use_dora": True}),
    "kasa": (LANGUAGE, {"kasa_config": {"beta": 1e-3}}),
    "tokens": (LANGUAGE, {"trainable_token_indices": [3, 4], "modules_to_save": []}),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_kept_adapter_gives_the_logged_loss_on_the_base_model(name, workplace, collect_run, tmp_path):
    base, lora = RUNS[name]
    config = changed(
        base, lora=lora, train={"epochs": None, "max_steps": 12, "eval_every": 4, "log_every": 4}
    )
    run = re.sub(r"\W", "-", name)
    result, folder = collect_run(config, run, tmp_path)
    assert result.exit_code == 0, result.output
    task = "bert" if base is CLASSIFIER else "llama"
    loss = loss_of(folder / "adapter", task, settings.load(workplace / f"{run}.toml"), workplace)
    assert loss == pytest.approx(best(folder)["metrics"]["eval_loss"], rel=1e-5)
    header = records(folder)[0]
    for key, value in lora.items():
        assert header["config"]["lora"][key] == value
    signals = {name: record["signals"]["delta_norm"] for record in evals(folder) for name in ("delta_norm",)}
    if name == "kasa":
        assert signals == {"delta_norm": None}
        assert len(set(header["lora"]["undefined"])) == 1
        assert not any(record.get("kind") == "reference" for record in records(folder))
    else:
        assert signals["delta_norm"] > 0
        assert "undefined" not in header["lora"]


def test_the_base_model_is_the_original_one(workplace, collect_run, tmp_path):
    """Not what an initialisation left of it."""
    losses = {}
    for name, lora in (("plain", {}), ("shifted", SHIFTED["pissa"])):
        config = changed(
            LANGUAGE, lora=lora, train={"epochs": None, "max_steps": 4, "eval_every": 2, "log_every": 2}
        )
        result, folder = collect_run(config, name, tmp_path)
        assert result.exit_code == 0, result.output
        (losses[name],) = (
            record["metrics"] for record in records(folder) if record.get("kind") == "reference"
        )
    assert losses["shifted"] == pytest.approx(losses["plain"], rel=1e-5)


@pytest.mark.slow
def test_a_shifted_run_is_the_same_after_a_kill(workplace, collect_run, tmp_path):
    """The weights are shifted again, and by the same; a random method draws the same numbers."""
    from tests.collect.test_keep import files

    config = changed(
        LANGUAGE,
        lora={"init_lora_weights": "pissa_niter_2", "dropout": 0.1},
        train={"epochs": None, "max_steps": 12, "eval_every": 4, "log_every": 4},
    )
    result, whole = collect_run(config, "shifted", tmp_path / "whole")
    assert result.exit_code == 0, result.output
    folder = kill_at(config, workplace, tmp_path / "killed")
    result, _ = collect_run(config, "shifted", tmp_path / "killed")
    assert result.exit_code == 0, result.output
    assert any(record.get("kind") == "segment" for record in records(folder))
    for one, other in zip(evals(whole), evals(folder), strict=True):
        for key in ("metrics", "signals", "modules"):
            assert one[key] == other[key]
    steps = [read_step_signals(path / FILE_NAME) for path in (whole, folder)]
    assert steps[0].values.tobytes() == steps[1].values.tobytes()
    assert files(whole / "adapter") == files(folder / "adapter")


def kill_at(config, workplace, out):
    import signal
    import subprocess
    import sys

    from tests.collect.conftest import at_record, at_signal, toml

    (workplace / "shifted.toml").write_text(toml(config))
    killed = at_record("checkpoint", 2, at_signal(signal.SIGKILL))
    command = [sys.executable, *killed, "run", str(workplace / "shifted.toml"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out / "shifted"


@pytest.mark.parametrize("accumulation", [1, 2])
def test_what_kasa_adds_to_the_loss_is_added(accumulation, collect_run, tmp_path):
    """Its weight decides how large the singular values of the update stay."""
    losses = {}
    for beta in (0.0, 10.0):
        config = changed(
            LANGUAGE,
            lora={"kasa_config": {"beta": beta, "gamma": 0.0}},
            train={
                "epochs": None,
                "max_steps": 2,
                "eval_every": 1,
                "log_every": 1,
                "gradient_accumulation": accumulation,
            },
        )
        result, folder = collect_run(config, f"kasa-{beta:g}", tmp_path)
        assert result.exit_code == 0, result.output
        losses[beta] = [record["loss"] for record in records(folder) if record.get("kind") == "train"]
    # 14 modules of rank 4 with singular values from a normal distribution: the term is about 10 x 14 x 4
    assert losses[10.0][0] - losses[0.0][0] == pytest.approx(560, rel=0.6)


@pytest.mark.parametrize("lora", [{"init_lora_weights": "orthogonal", "r": 3}, {"kasa_config": {}, "r": 40}])
def test_what_peft_finds_out_late_is_one_sentence(lora, collect_run, tmp_path):
    result, folder = collect_run(changed(LANGUAGE, lora=lora), "late", tmp_path)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: the adapter cannot be added with lora.{next(iter(lora))} = ")
    assert not (folder / "eval_log.jsonl").exists()

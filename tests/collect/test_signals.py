"""LoRA signals against the naive computation, that forms s * B @ A in float64 and subtracts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.readers.step_signals import FILE_NAME, read_step_signals

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from collect.signals import Adapter, EvalSignals, StepMeter  # noqa: E402
from collect.step_log import StepLog  # noqa: E402

NAMES = ("delta_norm", "delta_ratio", "cosine", "relative_change", "stable_rank")


class Stack(torch.nn.Module):
    """Linear layers of the given (in, out), side by side; one that is not adapted, and a bias that is trained
    or not."""

    def __init__(self, shapes):
        super().__init__()
        self.part = torch.nn.ModuleList([torch.nn.Linear(fan_in, fan_out) for fan_in, fan_out in shapes])
        self.head = torch.nn.Linear(sum(fan_out for _, fan_out in shapes), 2)

    def forward(self, xs):
        return self.head(torch.cat([part(x) for part, x in zip(self.part, xs, strict=True)], dim=-1))


def adapted(shapes, *, r=4, seed=0, **options):
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=r, target_modules=[f"part.{number}" for number in range(len(shapes))], **options
    )
    return peft.get_peft_model(Stack(shapes), config)


def lora_layers(model):
    return [module for _, module in model.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)]


def factors(model):
    """Scale, A, B and W of each layer, as float64."""
    layers = []
    for layer in lora_layers(model):
        weights = (
            layer.lora_A["default"].weight,
            layer.lora_B["default"].weight,
            layer.get_base_layer().weight,
        )
        layers.append((layer.scaling["default"], *(weight.detach().double().numpy() for weight in weights)))
    return layers


def deltas(model):
    return [scale * (b @ a) for scale, a, b, _ in factors(model)]


def expected(model, before):
    """(whole, modules) by definition; ``before`` are the products at the evaluation before, or None."""
    now, weights = deltas(model), [weight for *_, weight in factors(model)]

    def signals(new, old, base):
        norm = np.linalg.norm
        out = {"delta_norm": norm(new), "delta_ratio": norm(new) / norm(base)}
        if old is not None:
            out["cosine"] = (new * old).sum() / (norm(new) * norm(old))
            out["relative_change"] = norm(new - old) / norm(old)
        return out

    def flat(parts):
        return None if parts is None else np.concatenate([part.ravel() for part in parts])

    ranks = [np.square(np.linalg.norm(one) / np.linalg.norm(one, 2)) for one in now]
    each = [signals(one, None if before is None else before[at], weights[at]) for at, one in enumerate(now)]
    modules = {name: [one[name] for one in each] for name in each[0]} | {"stable_rank": ranks}
    return signals(flat(now), flat(before), flat(weights)) | {"stable_rank": np.mean(ranks)}, modules


def assert_same(measured, wanted):
    whole, modules = measured
    whole_wanted, modules_wanted = wanted
    assert set(whole) == set(NAMES)
    assert set(modules) == set(modules_wanted)
    for name in NAMES:
        if name not in whole_wanted:
            assert whole[name] is None
            continue
        assert whole[name] == pytest.approx(whole_wanted[name], rel=1e-5, abs=1e-12), name
        assert modules[name] == pytest.approx(modules_wanted[name], rel=1e-5, abs=1e-9), name


def randomize(model, size=0.1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model):
            for weight in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
                weight.copy_(size * torch.randn(weight.shape, generator=generator))


def move(model, size, seed=2):
    """A change of this size, relative to each weight, in the precision of the weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model):
            for weight in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
                weight.mul_((1 + size * torch.randn(weight.shape, generator=generator)).to(weight.dtype))


OPTIONS = {
    "plain": {},
    "several ranks and scales": {
        "rank_pattern": {"part.0": 2, "part.2": 7},
        "alpha_pattern": {"part.0": 32, "part.1": 3},
    },
    "rslora": {"use_rslora": True, "rank_pattern": {"part.1": 9}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("size", [0.1, 1e-2, 1e-4, 1e-6])
def test_eval_signals_are_those_of_the_products(options, size):
    model = adapted([(20, 30), (40, 12), (16, 16)], **options)
    randomize(model)
    adapter = Adapter.of(model)
    measured = EvalSignals(adapter)
    assert_same(measured.measure(), expected(model, None))
    for turn in range(3):
        before = deltas(model)
        move(model, size, seed=turn)
        signals = measured.measure()
        assert_same(signals, expected(model, before))
        assert size / 10 < signals[0]["relative_change"] < size * 10


def test_ranks_and_scales_in_the_header_are_those_of_peft():
    model = adapted(
        [(20, 30), (40, 12)], rank_pattern={"part.1": 9}, alpha_pattern={"part.0": 3}, use_rslora=True
    )
    header = Adapter.of(model).header()
    assert header["modules"] == ["part.0", "part.1"]
    assert header["rank"] == [4, 9]
    assert header["scale"] == pytest.approx([3 / math.sqrt(4), 8 / math.sqrt(9)])
    assert header["parameters"] == [4 * 50, 9 * 52]
    assert header["weight_norm"] == pytest.approx(
        [np.linalg.norm(weight) for *_, weight in factors(model)], rel=1e-6
    )


def test_bf16_adapters_are_measured_as_what_they_hold():
    model = adapted([(20, 30), (40, 12)]).to(torch.bfloat16)
    randomize(model)
    assert lora_layers(model)[0].lora_A["default"].weight.dtype == torch.bfloat16
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    for size in (0.1, 0.01):
        before = deltas(model)
        move(model, size)
        assert_same(measured.measure(), expected(model, before))


def test_an_adapter_that_turns_around_has_a_negative_cosine():
    model = adapted([(20, 30), (40, 12)])
    randomize(model)
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    before = deltas(model)
    with torch.no_grad():
        for layer in lora_layers(model):
            layer.lora_B["default"].weight.mul_(-0.5)
    move(model, 0.1)
    signals = measured.measure()
    assert_same(signals, expected(model, before))
    assert signals[0]["cosine"] < -0.9
    assert max(signals[1]["cosine"]) < -0.9


def test_an_adapter_that_stands_still_has_cosine_one_and_no_change():
    model = adapted([(20, 30), (40, 12)])
    randomize(model)
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    whole, modules = measured.measure()
    assert (whole["relative_change"], modules["relative_change"]) == (0, [0, 0])
    assert whole["cosine"] == pytest.approx(1, abs=1e-12)
    assert whole["cosine"] <= 1
    assert modules["cosine"] == [1, 1]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_eval_signals_hold_for_any_shape_rank_and_scale(data):
    sizes = st.integers(1, 24)
    shapes = data.draw(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4))
    ranks = {f"part.{at}": data.draw(st.integers(1, 9)) for at in range(len(shapes))}
    alphas = {name: data.draw(st.floats(1e-3, 1e3)) for name in ranks}
    model = adapted(shapes, rank_pattern=ranks, alpha_pattern=alphas, use_rslora=data.draw(st.booleans()))
    randomize(
        model, size=data.draw(st.sampled_from([1e-4, 0.02, 1.0, 50.0])), seed=data.draw(st.integers(0, 99))
    )
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    before = deltas(model)
    move(model, data.draw(st.sampled_from([1.0, 0.1, 1e-3, 1e-5])), seed=data.draw(st.integers(0, 99)))
    assert_same(measured.measure(), expected(model, before))


def test_at_the_start_only_the_norms_are_defined():
    """peft begins with B = 0: there is no direction, and nothing to be relative to."""
    model = adapted([(20, 30), (40, 12)])
    measured = EvalSignals(Adapter.of(model))
    for _ in range(2):
        whole, modules = measured.measure()
        assert (whole["delta_norm"], whole["delta_ratio"]) == (0, 0)
        assert (modules["delta_norm"], modules["delta_ratio"]) == ([0, 0], [0, 0])
        for name in ("cosine", "relative_change", "stable_rank"):
            assert whole[name] is None
            assert modules.get(name, [None, None]) == [None, None]
    randomize(model)
    whole, modules = measured.measure()  # from nothing to something
    assert (whole["cosine"], whole["relative_change"]) == (None, None)
    assert (modules["cosine"], modules["relative_change"]) == ([None, None], [None, None])
    assert whole["stable_rank"] > 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
@pytest.mark.filterwarnings("error")
def test_a_diverged_module_is_none_and_does_not_hide_the_others(value, factor):
    model = adapted([(20, 30), (40, 12)])
    randomize(model)
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    before = deltas(model)
    move(model, 0.1)
    _, good = expected(model, before)
    with torch.no_grad():
        getattr(lora_layers(model)[0], factor)["default"].weight[0, 0] = value
    for _ in range(2):  # also as the evaluation before
        whole, modules = measured.measure()
        assert [whole[name] for name in ("delta_norm", "delta_ratio", "cosine", "relative_change")] == [
            None
        ] * 4
        for name in NAMES:
            assert modules[name][0] is None
    assert modules["delta_norm"][1] == pytest.approx(good["delta_norm"][1], rel=1e-5)
    assert modules["stable_rank"][1] == pytest.approx(good["stable_rank"][1], rel=1e-5)


def test_weights_as_large_as_float32_can_be_are_still_measured():
    model = adapted([(20, 30), (40, 12)])
    randomize(model, size=1e37)
    measured = EvalSignals(Adapter.of(model))
    measured.measure()
    before = deltas(model)
    move(model, 0.1)
    _, modules = measured.measure()
    assert modules["delta_norm"] == pytest.approx([np.linalg.norm(one) for one in deltas(model)], rel=1e-5)
    cosines = [(new / 1e70 * (old / 1e70)).sum() for new, old in zip(deltas(model), before, strict=True)]
    lengths = [
        np.linalg.norm(new / 1e70) * np.linalg.norm(old / 1e70)
        for new, old in zip(deltas(model), before, strict=True)
    ]
    assert modules["cosine"] == pytest.approx(np.divide(cosines, lengths), rel=1e-5)


def test_no_matrix_of_the_size_of_a_weight_is_formed():
    from torch.utils._python_dispatch import TorchDispatchMode

    shapes = [(70, 50), (64, 90)]
    sizes = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(
                one.numel()
                for one in (out if isinstance(out, list | tuple) else [out])
                if isinstance(one, torch.Tensor)
            )
            return out

    model = adapted(shapes, r=3)
    randomize(model)
    measured = EvalSignals(Adapter.of(model))
    with Record():
        measured.measure()
        measured.measure()
    assert len(sizes) > 20
    assert max(sizes) <= 2 * 3 * max(map(max, shapes)) < min(fan_in * fan_out for fan_in, fan_out in shapes)


def test_a_model_without_lora_has_no_adapter():
    assert Adapter.of(Stack([(4, 4)])) is None


def test_a_frozen_adapter_is_none():
    model = adapted([(20, 30), (40, 12)])
    for layer in lora_layers(model):
        layer.requires_grad_(False)
    assert Adapter.of(model) is None


def test_a_partly_frozen_adapter_is_what_is_trained():
    model = adapted([(20, 30), (40, 12)])
    lora_layers(model)[0].requires_grad_(False)
    assert Adapter.of(model).names == ["part.1"]


def test_of_two_adapters_the_trained_one_is_measured():
    model = adapted([(20, 30)])
    model.add_adapter("second", peft.LoraConfig(r=2, target_modules=["part.0"]))
    model.set_adapter("second")
    assert Adapter.of(model).header()["rank"] == [2]


def test_a_convolution_is_passed_over():
    class Mixed(torch.nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.conv = torch.nn.Conv1d(3, 4, 3)
            self.linear = torch.nn.Linear(8, 8) if linear else torch.nn.Identity()

    both = peft.get_peft_model(Mixed(True), peft.LoraConfig(r=2, target_modules=["conv", "linear"]))
    assert Adapter.of(both).names == ["linear"]
    alone = peft.get_peft_model(Mixed(False), peft.LoraConfig(r=2, target_modules=["conv"]))
    assert Adapter.of(alone) is None


# ---- at each step ----


def l1(tensor):
    return float(np.abs(tensor.detach().double().numpy()).sum())


def pairs(model):
    return [(layer.lora_A["default"].weight, layer.lora_B["default"].weight) for layer in lora_layers(model)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_step_signals_are_those_of_the_gradients_and_weights(dtype):
    """Plain SGD steps; also where a module gets no gradient at all, as an expert that no token goes to."""
    shapes = [(20, 30), (40, 12), (16, 16)]
    model = adapted(shapes, modules_to_save=["head"]).to(dtype)
    randomize(model)
    meter = StepMeter(Adapter.of(model))
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.05)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert len(trained) == 2 * len(shapes) + 2  # the head counts in the norm of all gradients
    before = None
    for turn in range(5):
        torch.manual_seed(turn)
        optimizer.zero_grad()
        model([torch.randn(8, fan_in).to(dtype) for fan_in, _ in shapes]).float().pow(2).mean().backward()
        if turn == 2:
            for weight in pairs(model)[1]:
                weight.grad = None
        gradients = [
            [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in pair]
            for pair in pairs(model)
        ]
        norm = math.sqrt(
            sum(weight.grad.double().pow(2).sum().item() for weight in trained if weight.grad is not None)
        )
        old = [[one.detach().clone() for one in pair] for pair in pairs(model)]
        meter.before()
        optimizer.step()
        totals, values = meter.after(0.05)
        assert totals == pytest.approx([0.05, norm], rel=1e-5)
        assert values[0] == pytest.approx([l1(a) + l1(b) for a, b in gradients], rel=1e-5)
        if before is None:
            assert np.isnan(values[1]).all()
        else:
            changes = [
                sum(l1(new.double() - past.double()) for new, past in zip(*both, strict=True))
                for both in zip(gradients, before, strict=True)
            ]
            assert values[1] == pytest.approx(changes, rel=1e-5)
        moved = [
            sum(l1(new.detach().double() - past.double()) for new, past in zip(*both, strict=True))
            for both in zip(pairs(model), old, strict=True)
        ]
        assert values[2] == pytest.approx(moved, rel=1e-5)
        before = gradients
    assert values[2].min() > 0


def test_a_step_without_any_gradient_and_rate_is_nan():
    model = adapted([(8, 8)])
    meter = StepMeter(Adapter.of(model))
    meter.before()
    totals, values = meter.after(None)
    assert np.isnan(totals).all()
    assert values[0].tolist() == values[2].tolist() == [0]


def test_the_last_gradients_outlive_a_checkpoint(tmp_path):
    """A meter that gets them back goes on as if there had been no break; gradients of another adapter are
    left alone."""
    shapes = [(20, 30), (40, 12)]

    def steps(model, meter, turns):
        out = []
        for turn in turns:
            torch.manual_seed(turn)
            model.zero_grad()
            model([torch.randn(8, fan_in) for fan_in, _ in shapes]).pow(2).mean().backward()
            meter.before()
            out.append(meter.after(0.1)[1].tolist())
        return out

    model = adapted(shapes)
    randomize(model)
    checkpoint = tmp_path / "checkpoint-2"
    checkpoint.mkdir()
    (tmp_path / "first").mkdir()
    log = StepLog(tmp_path / "first", Adapter.of(model), 0)
    log.save(checkpoint)  # before the first step there is nothing to keep
    assert list(checkpoint.iterdir()) == []
    steps(model, log._meter, (1, 2))
    log.save(checkpoint)
    whole = steps(model, log._meter, (3, 4))
    log.close()
    (tmp_path / "second").mkdir()
    again = StepLog(tmp_path / "second", Adapter.of(model), 1)
    again.restore(checkpoint)
    assert steps(model, again._meter, (3, 4)) == whole
    again.close()
    other = StepMeter(Adapter.of(adapted([(20, 31), (40, 12)])))
    other.restore({str(number): torch.zeros(4, 4) for number in range(4)})
    assert other.gradients == {}


@pytest.fixture
def watched_trainer(workplace, tmp_path):
    """A Trainer with accumulation, clipping and a trained head; and what a callback beside EvalLog copies at
    each step."""
    transformers = pytest.importorskip("transformers")
    from collect.eval_log import EvalLog

    class Copies(transformers.TrainerCallback):
        def __init__(self):
            self.steps = []

        def copies(self, model):
            trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
            return {name: weight.detach().double().numpy().copy() for name, weight in trained.items()}, {
                name: weight.grad.double().numpy().copy() for name, weight in trained.items()
            }

        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            self.weights, self.gradients = self.copies(model)

        def on_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
            after, _ = self.copies(model)
            moved = {name: after[name] - self.weights[name] for name in after}
            self.steps.append((optimizer.param_groups[0]["lr"], self.gradients, moved))

    def build(max_grad_norm):
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            workplace / "bert", num_labels=2
        )
        model = peft.get_peft_model(
            model, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules="all-linear", lora_dropout=0.1)
        )
        rows = [
            {"input_ids": [3 + n, 4, 5], "attention_mask": [1, 1, n % 2], "labels": n % 2} for n in range(24)
        ]
        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"),
            max_steps=8,
            eval_strategy="steps",
            eval_steps=3,
            per_device_train_batch_size=3,
            learning_rate=1e-2,
            gradient_accumulation_steps=2,
            max_grad_norm=max_grad_norm,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            save_strategy="no",
            label_names=["labels"],
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:6])
        copies = Copies()
        trainer.add_callback(EvalLog(tmp_path / "log"))
        trainer.add_callback(copies)
        return trainer, copies

    return build


@pytest.mark.parametrize("max_grad_norm", [0.05, 0.0], ids=["clipped", "unclipped"])
def test_step_signals_in_a_trainer_are_what_its_optimizer_did(watched_trainer, max_grad_norm, tmp_path):
    trainer, copies = watched_trainer(max_grad_norm)
    trainer.train()
    signals = read_step_signals(tmp_path / "log" / FILE_NAME)
    modules = signals.header["modules"]
    assert (
        len(modules) == 13
    )  # six linear layers in each of two blocks, and the pooler; the head is trained whole
    assert signals.steps.tolist() == list(range(1, 9))
    assert set(signals.segments.tolist()) == {0}

    def by_module(values):
        """Sums of A and B; the names in the log are those of the model without peft's prefix and its own."""
        out = []
        for module in modules:
            mine = [
                np.abs(one).sum()
                for name, one in values.items()
                if name.startswith(f"base_model.model.{module}.lora_")
            ]
            assert len(mine) == 2
            out.append(sum(mine))
        return out

    before = None
    for row, (rate, gradients, moved) in enumerate(copies.steps):
        norm = math.sqrt(sum(np.square(one).sum() for one in gradients.values()))
        assert len(gradients) > 2 * len(modules)
        assert signals.totals[row] == pytest.approx([rate, norm], rel=1e-5)
        if max_grad_norm:
            assert norm == pytest.approx(max_grad_norm, rel=1e-4)
        assert signals.column("gradient_l1")[row] == pytest.approx(by_module(gradients), rel=1e-5)
        assert signals.column("weight_change_l1")[row] == pytest.approx(by_module(moved), rel=1e-5)
        if before is None:
            assert np.isnan(signals.column("gradient_change_l1")[row]).all()
        else:
            change = by_module({name: gradients[name] - before[name] for name in gradients})
            assert signals.column("gradient_change_l1")[row] == pytest.approx(change, rel=1e-5)
        before = gradients


def test_norms_of_many_weights_are_those_of_float64():
    """In float32, torch's sum on a CPU loses 2e-4 of the norm of 8 million weights."""
    model = adapted([(2048, 4096)], r=512)
    wanted = [layer.get_base_layer().weight.double().norm().item() for layer in lora_layers(model)]
    assert Adapter.of(model).weight_norms.tolist() == pytest.approx(wanted, rel=1e-7)
    generator = torch.Generator().manual_seed(1)
    squares = 0.0
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = torch.randn(weight.shape, generator=generator)
            squares += weight.grad.double().square().sum().item()
    meter = StepMeter(Adapter.of(model))
    meter.before()
    totals, _ = meter.after(1e-3)
    assert totals[1] == pytest.approx(squares**0.5, rel=1e-6)


# ---- DoRA ----


def dora_deltas(model):
    """What the forward pass of each layer does to its weight, by peft's own merge, in float64."""
    changes = []
    for layer in lora_layers(model):
        weight = layer.get_base_layer().weight.detach().double()
        scale, a, b, m = (
            layer.scaling["default"],
            layer.lora_A["default"].weight.detach().double(),
            layer.lora_B["default"].weight.detach().double(),
            layer.lora_magnitude_vector["default"].weight.detach().double(),
        )
        whole = weight + scale * b @ a
        changes.append(((m / whole.norm(dim=1))[:, None] * whole - weight).numpy())
    return changes


def stir(model, size, seed):
    """Moves the factors and the magnitudes."""
    move(model, size, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for layer in lora_layers(model):
            weight = layer.lora_magnitude_vector["default"].weight
            weight.mul_(1 + size * torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("size", [0.1, 1e-2, 1e-4])
def test_the_change_of_a_dora_weight_is_that_of_the_weight(size, monkeypatch):
    monkeypatch.setattr("collect.dora._AT_ONCE", 200)  # several parts per weight
    model = adapted([(20, 30), (40, 12)], use_dora=True)
    randomize(model)
    adapter = Adapter.of(model)
    assert adapter.header()["dora"] == [True, True]
    measured = EvalSignals(adapter)
    whole, modules = measured.measure()
    before = dora_deltas(model)
    weights = [weight for *_, weight in factors(model)]
    assert modules["delta_norm"] == pytest.approx([np.linalg.norm(one) for one in before], rel=1e-6)
    # the norm of the update alone is another number
    assert modules["delta_norm"] != pytest.approx([np.linalg.norm(one) for one in deltas(model)], rel=1e-2)
    for turn in range(3):
        stir(model, size, turn)
        now = dora_deltas(model)
        whole, modules = measured.measure()
        flat, old = (np.concatenate([one.ravel() for one in part]) for part in (now, before))
        norm = np.linalg.norm
        assert whole["delta_norm"] == pytest.approx(norm(flat), rel=1e-9)
        assert whole["delta_ratio"] == pytest.approx(
            norm(flat) / norm(np.concatenate([one.ravel() for one in weights])), rel=1e-6
        )
        assert whole["cosine"] == pytest.approx(flat @ old / (norm(flat) * norm(old)), rel=1e-9)
        assert whole["relative_change"] == pytest.approx(norm(flat - old) / norm(old), rel=1e-6)
        changes = [norm(new - one) / norm(one) for new, one in zip(now, before, strict=True)]
        assert modules["relative_change"] == pytest.approx(changes, rel=1e-6)
        assert whole["stable_rank"] is None
        assert modules["stable_rank"] == [None, None]
        before = now


def test_a_merged_dora_weight_differs_from_the_base_by_delta_norm():
    model = adapted([(20, 30), (40, 12)], use_dora=True)
    randomize(model)
    stir(model, 0.2, 5)
    _, modules = EvalSignals(Adapter.of(model)).measure()
    base = [layer.get_base_layer().weight.detach().clone() for layer in lora_layers(model)]
    for layer in lora_layers(model):
        layer.merge()
    merged = [layer.get_base_layer().weight.detach() for layer in lora_layers(model)]
    wanted = [(one - other).norm().item() for one, other in zip(merged, base, strict=True)]
    assert modules["delta_norm"] == pytest.approx(wanted, rel=1e-5)


def test_dora_goes_on_from_what_it_remembers():
    """As after a resume: the evaluation before is the adapter as it is now."""
    model = adapted([(20, 30)], use_dora=True)
    randomize(model)
    measured = EvalSignals(Adapter.of(model))
    measured.remember()
    before = dora_deltas(model)
    stir(model, 0.1, 0)
    whole, _ = measured.measure()
    change = np.linalg.norm(dora_deltas(model)[0] - before[0]) / np.linalg.norm(before[0])
    assert whole["relative_change"] == pytest.approx(change, rel=1e-6)

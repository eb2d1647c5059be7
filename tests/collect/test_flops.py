"""Counting operations: the right number, and nothing of the computation changed."""

import pytest

torch = pytest.importorskip("torch")

from collect.flops import Meter  # noqa: E402
from collect.operations import Counter  # noqa: E402


@pytest.fixture(params=["bert", "llama"])
def model(request, workplace):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    torch.manual_seed(0)
    auto = AutoModelForSequenceClassification if request.param == "bert" else AutoModelForCausalLM
    base = auto.from_pretrained(workplace / request.param)
    return get_peft_model(base, LoraConfig(r=4, lora_dropout=0.1, target_modules="all-linear"))


@pytest.fixture
def batch(model):
    ids = torch.randint(3, 40, (4, 16), generator=torch.Generator().manual_seed(0))
    labels = ids if model.config.model_type == "llama" else torch.tensor([0, 1, 0, 1])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def train(model, batch):
    torch.manual_seed(1)
    model.zero_grad()
    model.train()
    loss = model(**batch).loss
    loss.backward()
    return loss.item(), {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }


def test_a_counted_pass_gives_the_same_bits(model, batch):
    """torch's own counter does not: a resumed run, which measures again, would go another way."""
    loss, gradients = train(model, batch)
    with Counter():
        counted_loss, counted = train(model, batch)
    assert counted_loss == loss
    assert all(torch.equal(counted[name], gradient) for name, gradient in gradients.items())


def test_it_counts_what_torch_counts_and_attention(model, batch):
    from torch.utils.flop_counter import FlopCounterMode

    with Counter() as mine:
        train(model, batch)
    with FlopCounterMode(display=False) as theirs:
        train(model, batch)
    config = model.config
    # scores and their use: two products of (16 x 16) x width each, forward; the backward of the fused kernel
    # takes 2.5 times that. With dropout in the attention there is no fused kernel on CPUs, and torch counts
    # the products itself.
    fused = config.model_type == "llama"
    forward = fused * config.num_hidden_layers * 4 * 2 * 2 * 16 * 16 * config.hidden_size
    assert mine.total - theirs.get_total_flops() == pytest.approx(3.5 * forward)


class Counts(dict):
    def count(self, **amounts):
        for name, amount in amounts.items():
            self[name] = self.get(name, 0) + amount


def test_a_shape_is_measured_once_for_each_kind(model, batch):
    counts = Counts()
    meter = Meter(counts)

    def evaluate(kind):
        before = counts.get("eval_flops", 0)
        with torch.no_grad(), meter.measure("eval_flops", batch, kind):
            model.eval()(**batch)
        return counts["eval_flops"] - before

    with model.disable_adapter():
        base = evaluate("base")
    adapted = evaluate("")
    assert base < adapted
    assert evaluate("") == adapted
    with model.disable_adapter():
        assert evaluate("base") == base

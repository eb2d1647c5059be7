"""Answers that a model writes, and their scores."""

import json

import pytest

from collect import generate
from collect.config import GENERATED
from collect.data import Example
from tests.collect.conftest import LANGUAGE, changed

GENERATING = changed(
    LANGUAGE,
    train={"epochs": 2, "eval_every": 6},
    generation={
        "every": 2,
        "examples": 10,
        "max_new_tokens": 3,
        "metrics": ["exact_match", "rougeL", "bleu"],
    },
    generic={"file": "reviews.jsonl", "text": "text", "size": 20, "max_length": 8},
)


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(collect_run):
    result, folder = collect_run(changed(GENERATING, train={"save_every": 24}), "generating")
    assert result.exit_code == 0, result.output
    return folder


def test_scores_are_those_of_the_libraries():
    written, wanted = [" 4 apples", "the cat sat", "7"], ["4 apples", "the cat sat down", "8"]
    scores = generate.score_answers(written, wanted, GENERATED)
    assert scores["exact_match"] == pytest.approx(1 / 3)
    # longest common subsequence: 2 of 2 and 2; 3 of 3 and 4 words; none
    assert scores["rougeL"] == pytest.approx((1 + 2 * 1 * 0.75 / 1.75 + 0) / 3)
    import sacrebleu

    assert scores["bleu"] == sacrebleu.corpus_bleu(["4 apples", "the cat sat", "7"], [wanted]).score
    assert list(generate.score_answers(written, wanted, ["exact_match"])) == ["exact_match"]


def test_answers_do_not_depend_on_the_batch(workplace):
    """Padding on the left and the order of the work change nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(workplace / "llama")
    model = AutoModelForCausalLM.from_pretrained(workplace / "llama").eval()
    examples = [Example(" ".join(["film"] * length), "good") for length in (1, 5, 2, 9, 0, 3)]
    prompts = generate.make_prompts(examples, tokenizer, 32)
    assert prompts[4].ids == [tokenizer.eos_token_id]
    with torch.no_grad():
        alone = [
            generate.generate_answers(model, tokenizer, [prompt], batch_size=1, max_new_tokens=5)[0]
            for prompt in prompts
        ]
        for size in (1, 2, 4, 6):
            assert (
                generate.generate_answers(model, tokenizer, prompts, batch_size=size, max_new_tokens=5)
                == alone
            )


def test_long_prompts_lose_their_beginning(workplace):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(workplace / "llama")
    (prompt,) = generate.make_prompts([Example("good film was dull", "x")], tokenizer, 2)
    assert prompt.ids == tokenizer("was dull")["input_ids"]


def test_generated_at_the_first_every_second_and_the_last_eval(run):
    header, *rest = records(run)
    evals = [record for record in rest if record["kind"] == "eval"]
    assert [record["step"] for record in evals] == [6, 12, 18, 24]
    assert [("eval_rougeL" in record["metrics"]) for record in evals] == [True, True, False, True]
    assert all(
        0 <= record["metrics"]["eval_exact_match"] <= 1
        for record in evals
        if "eval_exact_match" in record["metrics"]
    )
    assert header["modes"]["test_bleu"] == "max"
    assert all(
        record["compute"]["eval_tokens"] > evals[2]["compute"]["eval_tokens"]
        for record in evals
        if record is not evals[2]
    )
    assert all(
        record["compute"]["eval_flops"] > evals[2]["compute"]["eval_flops"]
        for record in evals
        if record is not evals[2]
    )


def test_generated_scores_are_those_of_the_saved_adapter(run, workplace):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from collect import config, data

    texts = data.load(config.load(workplace / "generating.toml"), workplace)
    tokenizer = AutoTokenizer.from_pretrained(workplace / "llama")
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(workplace / "llama"), run / "checkpoint-24"
    ).eval()
    evals = [record for record in records(run) if record.get("kind") == "eval"]
    right = 0
    for example in texts.validation[:10]:
        ids = tokenizer(example.source, return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=2)
        right += tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip() == example.target
    assert evals[-1]["metrics"]["eval_exact_match"] == right / 10


def test_generic_texts_tell_what_is_forgotten(run, workplace):
    """The base model's loss on them is its own, token by token; training on sums moves it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from collect import config, data

    header, *rest = records(run)
    assert header["data"]["generic"]["examples"] == 20
    reference = next(record for record in rest if record["kind"] == "reference")["metrics"]
    texts = data.load(config.load(workplace / "generating.toml"), workplace).generic
    tokenizer = AutoTokenizer.from_pretrained(workplace / "llama")
    model = AutoModelForCausalLM.from_pretrained(workplace / "llama").eval()
    losses = []
    for text in texts:
        ids = torch.tensor([tokenizer(text, truncation=True, max_length=8)["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        losses += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").tolist()
    assert reference["eval_generic_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    evals = [record for record in rest if record["kind"] == "eval"]
    assert evals[0]["counts"]["eval_generic_loss"] == len(losses)
    assert evals[-1]["metrics"]["eval_generic_loss"] != pytest.approx(
        reference["eval_generic_loss"], rel=1e-3
    )
    assert "eval_generic_accuracy" not in evals[0]["metrics"]


def test_the_base_model_is_asked_once_and_changes_nothing(run, collect_run, workplace, monkeypatch, tmp_path):
    """Its metrics are those of the base, and a training that does not ask goes the same way."""
    from collect.trainer import Sets

    rest = records(run)[1:]
    assert [record["kind"] for record in rest].count("reference") == 1
    assert rest[0]["kind"] == "reference"
    assert rest[0]["compute"]["eval_seconds"] > 0
    monkeypatch.setattr(Sets, "ask_base_model", lambda self: None)
    result, folder = collect_run(changed(GENERATING, train={"save_every": 24}), "generating", tmp_path)
    assert result.exit_code == 0, result.output
    first, second = (
        [record["metrics"] for record in records(path) if record.get("kind") == "eval"]
        for path in (run, folder)
    )
    assert first == second

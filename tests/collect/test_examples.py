"""Token ids of prompts and answers, with tokenizers that begin or end every text with a token and with one
that does not."""

import copy

import pytest

from collect import config as settings
from collect.data import Example
from collect.examples import IGNORED, encode, encode_plain
from collect.generate import make_prompts
from replay.errors import InputError
from tests.collect.conftest import LANGUAGE, changed

#: What a tokenizer puts around every text.
AROUND = {"none": [], "begin": ["[BEGIN]"], "two": ["[BEGIN]", "[UNK]"], "both": ["[BEGIN]"], "end": []}


@pytest.fixture(params=AROUND)
def kind(request):
    return request.param


@pytest.fixture
def tokenizer(kind, workplace):
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer = copy.deepcopy(AutoTokenizer.from_pretrained(workplace / "llama"))
    tokenizer.add_special_tokens({"bos_token": "[BEGIN]"})
    template = " ".join([*AROUND[kind], "$A", *(["[END]"] if kind in ("both", "end") else [])])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[
            (word, tokenizer.convert_tokens_to_ids(word)) for word in ("[BEGIN]", "[END]", "[UNK]")
        ],
    )
    return tokenizer


def config_of(max_length):
    raw = changed(
        LANGUAGE,
        data={"max_length": max_length},
        generic={"file": "generic.jsonl", "text": "text", "max_length": max_length},
    )
    return settings.parse({"name": "run", **raw}, "run.toml")


def words_of(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids)


@pytest.mark.parametrize("prompt", ["the film was good", "warm", ""])
@pytest.mark.parametrize("room", [2, 3, 4, 20])
def test_what_begins_a_text_is_kept_in_training_and_in_generation(kind, tokenizer, prompt, room):
    begin, words = AROUND[kind], prompt.split()
    expected = [*begin, *words[max(len(words) + len(begin) - room, 0) :]]
    max_length = room + 2  # the answer and the end
    (example,) = encode([Example(prompt, "fine")], (), tokenizer, config_of(max_length))
    assert words_of(tokenizer, example["input_ids"]) == [*expected, "fine", "[END]"]
    answer = tokenizer("fine", add_special_tokens=False)["input_ids"]
    assert example["labels"] == [IGNORED] * len(expected) + answer + [tokenizer.eos_token_id]
    (generated,) = make_prompts([Example(prompt, "fine")], tokenizer, room)
    assert words_of(tokenizer, generated.ids) == (expected or ["[BEGIN]"])


def test_generic_texts_keep_what_begins_a_text(kind, tokenizer):
    (example,) = encode_plain(["the film was good and warm"], tokenizer, config_of(4))
    words = words_of(tokenizer, example["input_ids"])
    assert len(words) == 4
    assert words[: len(AROUND[kind])] == AROUND[kind]
    assert example["labels"] == example["input_ids"]


def test_an_answer_needs_room_for_what_begins_a_text(kind, tokenizer):
    limit = 3 + max(len(AROUND[kind]), 1)
    (example,) = encode([Example("the film", "good 1")], (), tokenizer, config_of(limit))
    assert len(example["input_ids"]) == limit
    with pytest.raises(
        InputError, match=f"an answer has 3 tokens; data.max_length = {limit - 1} leaves no room"
    ):
        encode([Example("the film", "good 1")], (), tokenizer, config_of(limit - 1))

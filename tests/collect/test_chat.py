"""Conversations: columns of messages, the tokens that carry loss, and a fine-tune of a tiny chat model."""

import json
import random
import re
from pathlib import Path

import pytest

from collect import data
from collect.chat import encode_conversation
from collect.conversations import read_conversation
from collect.examples import IGNORED, encode
from replay.errors import InputError
from tests.collect.conftest import LANGUAGE, WORDS, changed
from tests.collect.test_data import config_of

transformers = pytest.importorskip("transformers")

TURNS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
MARKED = (
    "{% for m in messages %}<|{{ m.role }}|> {% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    " <|end|> {% endgeneration %}{% else %}{{ m.content }} <|end|> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
#: Counts the turns at the beginning: what was written before changes with each turn.
COUNTING = "{{ messages | length }} " + PLAIN
#: Takes turns of the user and the assistant only, one after the other.
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% endfor %}" + PLAIN
)


def tokenizer_of(template):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = ["[PAD]", "[UNK]", "[END]", *WORDS, "40"]
    words = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]"
    )
    fast.add_special_tokens({"additional_special_tokens": TURNS})
    fast.chat_template = template
    return fast


def chat(*contents, system=None):
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]
    return [*([] if system is None else [{"role": "system", "content": system}]), *messages]


LONG = chat(
    "1 plus 2", "3", "plus 4", "the story equals 7", "was it good", "it was", system="the cast is warm"
)


@pytest.mark.parametrize("template", [PLAIN, MARKED], ids=["prefixes", "marks"])
def test_the_assistant_s_turns_are_learned_and_nothing_else(template):
    tokenizer = tokenizer_of(template)
    ids, learned = encode_conversation(read_conversation(LONG), tokenizer)
    text = tokenizer.convert_ids_to_tokens(ids)
    # made by hand, word by word
    wanted = []
    for message in LONG:
        says = [*message["content"].split(), "<|end|>"]
        wanted += [
            (f"<|{message['role']}|>", False),
            *((word, message["role"] == "assistant") for word in says),
        ]
    assert list(zip(text, learned, strict=True)) == wanted


def test_prefixes_and_marks_agree_with_the_mask_of_transformers():
    marked = tokenizer_of(MARKED)
    rng = random.Random(3)
    for turns in range(2, 9):
        messages = chat(
            *(" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(turns)),
            system="a film" if turns % 3 else None,
        )
        wanted = marked.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        for template in (PLAIN, MARKED):
            ids, learned = encode_conversation(read_conversation(messages), tokenizer_of(template))
            assert ids == wanted["input_ids"]
            assert learned == [bool(counts) for counts in wanted["assistant_masks"]]


def byte_level(texts, template):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>"]
    special += [
        "<|end_header_id|>",
        "<|begin_of_text|>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|end|>",
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    words.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<|begin_of_text|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )


@pytest.mark.parametrize("family", ["llama3", "phi3", "qwen2_5", "qwen3_instruct_2507"])
def test_templates_of_models_agree_with_the_marks_that_trl_adds_to_them(family):
    """TRL has the templates of common models, each as it is and with marks. What a marked template counts
    beyond the turn is at most the line break before it, which the prompt ends with."""
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    if not (folder / f"{family}_training.jinja").is_file():
        pytest.skip(f"this TRL has no templates of {family}")
    plain, marked = ((folder / f"{family}{end}.jinja").read_text() for end in ("", "_training"))
    messages = chat("What is 2 + 2?", "It is 4.", "And 3 + 3?", "That is 6,\nI think.", system="Be brief.")
    texts = [message["content"] for message in messages]
    wanted = byte_level(texts, marked).apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    tokenizer = byte_level(texts, plain)
    ids, learned = encode_conversation(read_conversation(messages), tokenizer)
    assert ids == wanted["input_ids"]
    only_there = [
        tokenizer.decode([token])
        for token, here, there in zip(ids, learned, wanted["assistant_masks"], strict=True)
        if there and not here
    ]
    only_here = [
        tokenizer.decode([token])
        for token, here, there in zip(ids, learned, wanted["assistant_masks"], strict=True)
        if here and not there
    ]
    assert {text.strip() for text in only_here + only_there} <= {""}, (only_here, only_there)
    assert sum(learned) > 10


@pytest.mark.parametrize(
    ("template", "messages", "message"),
    [
        (COUNTING, LONG, r"does not say which tokens the assistant writes: it has no {% generation %}"),
        (
            STRICT,
            LONG,
            "the chat template refuses the conversation that begins with 'the cast is warm': Conv",
        ),
        ("{{ messages.x.y }}", LONG, "the chat template refuses the conversation"),
        ("{% for", LONG, "the chat template refuses the conversation"),
    ],
)
def test_templates_that_leave_it_open_are_refused(template, messages, message):
    with pytest.raises(InputError, match=message) as caught:
        encode_conversation(read_conversation(messages), tokenizer_of(template))
    assert "\n" not in str(caught.value)


def test_white_space_that_grows_together_with_the_prompt_is_refused():
    """Where a token is of the prompt and of the answer alike, neither way to count it would be right."""
    messages = chat("What is 2?", "\n\nIt is 2.")
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = byte_level(["a\n\n\nb"] * 9, template)
    with pytest.raises(InputError, match="White space at the beginning of that turn can be the cause"):
        encode_conversation(read_conversation(messages), tokenizer)
    messages[1]["content"] = "It is 2."
    assert sum(encode_conversation(read_conversation(messages), tokenizer)[1]) > 3


# ---- columns ----


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hello", "it is the text 'hello', and no JSON"),
        (3, "it is a value of type int"),
        ({"role": "user"}, "it is a table of keys and values"),
        (["hello"], "message 1 is a value of type str, not a table with role and content"),
        ([{"content": "a"}], "message 1 has no role"),
        ([{"role": "user"}], "message 1 has no content"),
        ([{"role": "human", "content": "a"}], "message 1 has role = 'human'; it must be one of system, "),
        (
            [{"from": "bot", "value": "a"}],
            "message 1 has from = 'bot'; it must be one of system, human, user",
        ),
        ([{"role": "user", "content": 3}], "the content of message 1 is a value of type int, not text"),
        (
            [{"role": "user", "content": [{"type": "image", "url": "x"}]}],
            "message 1 holds more than text, such as",
        ),
        (
            [*chat("a"), {"role": "assistant", "content": "b", "tool_calls": [{"id": 1}]}],
            "message 2 has the key 'tool_calls', whose effect on the training would be unclear",
        ),
        ([*chat("a"), {"role": "assistant", "content": "b", "weight": 0}], "message 2 has the key 'weight'"),
        (chat("a"), "it has no turn of the assistant"),
        (chat("a", " "), "a turn of the assistant is empty"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_row(value, message, tmp_path):
    write(tmp_path, [{"chat": chat("a", "b")}, {"chat": value}])
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        data.load(config_of(of_chats(validation_size=1), tmp_path), tmp_path)
    assert "chats.jsonl: column 'chat'" in str(caught.value)
    assert "in row 2: " in str(caught.value)


def write(folder, rows, name="chats.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def of_chats(model="chat", **keys):
    raw = changed(LANGUAGE, model={"path": model})
    raw["data"] = {"file": "chats.jsonl", "messages": "chat", "max_length": 40, **keys}
    return raw


def test_all_ways_to_write_a_conversation_are_one(tmp_path):
    plain = chat("1 plus 2", "3", system="warm")
    speakers = {"user": "human", "assistant": "gpt", "system": "system"}
    ways = [
        plain,
        [{"from": speakers[one["role"]], "value": one["content"]} for one in plain],
        [{**one, "tool_calls": None, "name": None} for one in plain],
        [{"role": one["role"], "content": [{"type": "text", "text": one["content"]}]} for one in plain],
        json.dumps(plain),
    ]
    assert len({read_conversation(way) for way in ways}) == 1
    write(tmp_path, [*({"chat": way} for way in ways), {"chat": chat("2 plus 2", "4")}, {"chat": None}])
    texts = data.load(config_of(of_chats(validation_size=1, drop_empty=True), tmp_path), tmp_path)
    (counts,) = texts.counts
    assert (counts.rows, counts.empty, counts.duplicates) == (7, 1, 4)
    assert len(texts.train) == len(texts.validation) == 1


def test_parquet_and_csv_hold_conversations_too(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import csv

    import pyarrow

    chats = [chat(f"{number} plus 1", f"{number + 1}") for number in range(4)]
    parquet.write_table(pyarrow.table({"chat": chats}), tmp_path / "chats.parquet")
    with (tmp_path / "chats.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["chat"], *([json.dumps(one)] for one in chats)])
    write(tmp_path, [{"chat": one} for one in chats])
    texts = [
        data.load(config_of(of_chats(file=f"chats.{end}", validation_size=1), tmp_path), tmp_path)
        for end in ("jsonl", "parquet", "csv")
    ]
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].record() == texts[1].record() == texts[2].record()


def test_conversations_with_one_first_message_stay_in_one_split(tmp_path):
    rows = [
        {"chat": chat(f"film {number}", f"answer {answer}", "more", "no", system=f"system {answer}")}
        for answer in range(3)
        for number in range(20)
    ]
    write(tmp_path, rows)
    texts = data.load(config_of(of_chats(validation_size=12, test_size=9), tmp_path), tmp_path)
    parts = [{example.prompt for example in part} for part in (texts.train, texts.validation, texts.test)]
    assert [len(part) for part in parts] == [13, 4, 3]
    assert len(set.union(*parts)) == 20
    write(tmp_path, rows[:40], "train.jsonl")
    write(tmp_path, rows[39:], "validation.jsonl")
    files = {"file": None, "train_file": "train.jsonl", "validation_file": "validation.jsonl"}
    with pytest.raises(InputError, match="20 first messages are in both train and validation, such as 'film"):
        data.load(config_of(of_chats(**files), tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"prompt": "a"}}, "data.prompt = 'a'; with data.messages the texts are conversations"),
        ({"data": {"answer": "a"}}, "data.answer = 'a'; with data.messages the texts are conversations"),
        ({"data": {"messages": ""}}, "data.messages = ''; it must be the name of a column"),
        (
            {"data": {"messages": None}},
            "data.answer is missing; .*, or data.messages, a column of conversations",
        ),
        (
            {"task": "classification", "data": {"text": "a", "label": "b"}},
            "data.messages = 'chat'; task classification has no messages",
        ),
    ],
)
def test_mistakes_in_the_config(sections, message, tmp_path):
    with pytest.raises(InputError, match=message):
        config_of(changed(of_chats(validation_size=1), **sections), tmp_path)


def test_a_config_without_messages_has_the_record_it_always_had(tmp_path):
    record = config_of(LANGUAGE, tmp_path).record()
    assert "messages" not in record["data"]
    assert config_of(of_chats(validation_size=1), tmp_path).record()["data"]["messages"] == "chat"


# ---- token ids ----


def encoded(chats, tokenizer, tmp_path, limit):
    config = config_of(of_chats(validation_size=1, max_length=limit), tmp_path)
    return encode([read_conversation(one) for one in chats], (), tokenizer, config)


def test_a_long_conversation_loses_its_end(tmp_path):
    tokenizer = tokenizer_of(PLAIN)
    (whole,), (cut,) = (encoded([LONG], tokenizer, tmp_path, limit) for limit in (99, 14))
    assert (whole["cut"], cut["cut"]) == (False, True)
    assert cut["input_ids"] == whole["input_ids"][:14]
    assert cut["labels"] == whole["labels"][:14]
    assert any(label != IGNORED for label in cut["labels"])
    with pytest.raises(
        InputError, match=r"data.max_length = 12 cuts off all that .*to answer at token 13; give"
    ):
        encoded([LONG], tokenizer, tmp_path, 12)


def test_without_a_template_or_without_a_token_to_learn_nothing_is_trained(tmp_path):
    with pytest.raises(
        InputError, match=r"the tokenizer of model.path = 'chat' has none; take a model that was"
    ):
        encoded([LONG], tokenizer_of(None), tmp_path, 40)
    nothing = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    silent = nothing + "{% if false %}{% generation %}{% endgeneration %}{% endif %}"
    with pytest.raises(InputError, match="gives the assistant no token in the conversation that begins with"):
        encoded([LONG], tokenizer_of(silent), tmp_path, 40)


# ---- whole runs ----


@pytest.fixture(scope="module")
def chats(workplace):
    """A folder with a tiny chat model and conversations about sums."""
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }
    tokenizer = tokenizer_of(PLAIN)
    transformers.set_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), **size, num_key_value_heads=2, pad_token_id=0, eos_token_id=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(workplace / "chat")
    tokenizer.save_pretrained(workplace / "chat")
    rows = [
        {"chat": chat(f"{left} plus {right}", f"{left + right}", "is it good", "it is", system="a cold film")}
        for left in range(10)
        for right in range(10)
    ]
    random.Random(1).shuffle(rows)
    write(workplace, rows)
    return workplace


def test_a_chat_model_is_trained_on_its_own_turns_and_answers(chats, collect_run, tmp_path):
    config = of_chats(validation_size=20, test_size=10)
    config["lora"] = {"r": 4, "modules_to_save": ["embed_tokens", "lm_head"]}
    config["train"] = {
        "max_steps": 40,
        "learning_rate": 2e-2,
        "eval_every": 20,
        "threads": 1,
        "save_every": 40,
    }
    config["generation"] = {"every": 1, "examples": 6, "max_new_tokens": 6, "metrics": ["exact_match"]}
    result, folder = collect_run(config, "chatting", tmp_path)
    assert result.exit_code == 0, result.output
    lines = [line.removeprefix("chatting: ") for line in result.stderr.splitlines()]
    # 12 words in each conversation, and two more around each of its 5 turns; learned are the 3 words of the
    # assistant, and what ends its 2 turns
    assert "tokens: 1,540 train, 440 validation, 220 test" in lines
    assert "tokens with loss: 350 train, 100 validation, 50 test" in lines
    records = [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]
    evals = [record for record in records if record.get("kind") == "eval"]
    assert evals[-1]["counts"]["eval_loss"] == 100
    assert evals[-1]["metrics"]["eval_loss"] < 0.9 * evals[0]["metrics"]["eval_loss"]
    # the last turn is always the same, and it ends where <|end|> ends it
    assert evals[-1]["metrics"]["eval_exact_match"] == evals[-1]["metrics"]["test_exact_match"] == 1.0

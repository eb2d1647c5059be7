"""Tiny random models and texts, made here: nothing is downloaded, and a whole fine-tune takes seconds."""

import json
import os
import random
import signal

import pytest

# one thread: a tiny model gains nothing from more, and spinning threads slow down whatever runs beside
os.environ.setdefault("OMP_NUM_THREADS", "1")

WORDS = [
    *("a", "an", "the", "is", "was", "it", "film", "story", "cast"),
    *("good", "great", "fine", "warm"),
    *("bad", "poor", "dull", "cold"),
    *("plus", "equals"),
    *(str(n) for n in range(40)),
]
#: Of trainings by the trainers of TRL: an eval at every step, and nothing beside the log.
TRAINER_OPTIONS = {
    "eval_strategy": "steps",
    "eval_steps": 1,
    "logging_steps": 1,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
}
CLASSIFIER = {
    "task": "classification",
    "model": {"path": "bert"},
    "data": {
        "file": "reviews.jsonl",
        "text": "text",
        "label": "label",
        "train_size": 48,
        "validation_size": 30,
        "test_size": 20,
        "max_length": 16,
    },
    "lora": {"r": 2},
    "train": {
        "max_steps": 24,
        "learning_rate": 5e-3,
        "eval_every": 5,
        "scheduler": "constant",
        "eval_batch_size": 7,
        "threads": 1,
    },
}
LANGUAGE = {
    "task": "causal-lm",
    "model": {"path": "llama"},
    "data": {
        "train_file": "train.csv",
        "validation_file": "validation.csv",
        "test_file": "test.csv",
        "prompt": "{left} plus {right} equals",
        "answer": "sum",
        "max_length": 12,
    },
    "lora": {"r": 4, "modules_to_save": ["embed_tokens", "lm_head"]},
    "train": {
        "epochs": 2,
        "learning_rate": 3e-3,
        "eval_every": 6,
        "log_every": 3,
        "scheduler": "cosine",
        "threads": 1,
    },
}


#: The command line of collect, which does something when its log has got a record: `at_record` fills it in.
AT_RECORD = """
import os, signal, sys

from collect.cli import main
from collect.eval_log.writer import LogWriter

write, remaining = LogWriter._write, {number}

def watched(self, record):
    global remaining
    write(self, record)
    if record.get("kind") == {kind!r}:
        remaining -= 1
        if not remaining:
            {action}

LogWriter._write = watched
main(sys.argv[1:])
"""


def at_record(kind, number, action):
    """Python's arguments for a ``collect`` that does this when the n-th record of a kind is on disk; those of
    collect follow."""
    return ["-c", AT_RECORD.format(kind=kind, number=number, action=action)]


def at_signal(number):
    """What a process does that a signal reaches."""
    return f"os.kill(os.getpid(), signal.{signal.Signals(number).name})"


def toml(config):
    """A nested mapping as TOML."""

    def value(item):
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{key} = {value(inner)}" for key, inner in item.items()) + " }"
        return json.dumps(item)

    plain = [f"{key} = {value(item)}" for key, item in config.items() if not isinstance(item, dict)]
    for key, section in config.items():
        if isinstance(section, dict):
            plain += [
                "",
                f"[{key}]",
                *(f"{name} = {value(item)}" for name, item in section.items() if item is not None),
            ]
    return "\n".join(plain) + "\n"


def changed(config, **sections):
    """The config with some keys of some sections replaced; a section that is no dict replaces a top-level
    key."""
    out = dict(config)
    for name, change in sections.items():
        out[name] = {**config.get(name, {}), **change} if isinstance(change, dict) else change
    return out


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder with a random BERT, a random Llama, reviews and sums."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("workplace")
    special = ["[PAD]", "[UNK]", "[END]"]
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate([*special, *WORDS])}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]"
    )
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
    }
    transformers.set_seed(0)
    for name, config in (
        ("bert", transformers.BertConfig(vocab_size=len(fast), **size)),
        (
            "llama",
            transformers.LlamaConfig(
                vocab_size=len(fast), **size, num_key_value_heads=2, pad_token_id=0, eos_token_id=2
            ),
        ),
    ):
        kind = transformers.BertModel if name == "bert" else transformers.LlamaForCausalLM
        kind(config).save_pretrained(folder / name)
        fast.save_pretrained(folder / name)
    rng = random.Random(0)
    reviews = {}
    while len(reviews) < 120:
        good = rng.random() < 0.5
        judgement = rng.choice(WORDS[9:13] if good else WORDS[13:17])
        words = [
            *rng.choices(WORDS[:8], k=rng.randint(1, 6)),
            judgement,
            *rng.choices(WORDS[:8], k=rng.randint(1, 6)),
        ]
        reviews[" ".join(words)] = "good" if good else "bad"
    with (folder / "reviews.jsonl").open("w") as file:
        for text, label in reviews.items():
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    sums = [(left, right) for left in range(20) for right in range(20)]
    rng.shuffle(sums)
    for name, part in (("train", sums[:96]), ("validation", sums[96:126]), ("test", sums[126:150])):
        rows = [f"{left},{right},{left + right}\n" for left, right in part]
        (folder / f"{name}.csv").write_text("left,right,sum\n" + "".join(rows))
    return folder


@pytest.fixture(scope="session")
def collect_run(workplace):
    """Runs ``collect run`` in this process on a config given as a mapping; returns click's result and the
    run's folder."""
    from click.testing import CliRunner

    from collect.cli import cli

    def invoke(config, name, out=None):
        path = workplace / f"{name}.toml"
        path.write_text(toml(config))
        out = out or workplace / "logs"
        return CliRunner().invoke(cli, ["run", str(path), "--out", str(out)]), out / name

    return invoke


@pytest.fixture(scope="session")
def classifier_run(collect_run):
    """The folder of a finished classification run, with checkpoints."""
    result, folder = collect_run(changed(CLASSIFIER, train={"save_every": 10}), "classifier")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def language_run(collect_run):
    """The folder of a finished causal run, with checkpoints."""
    result, folder = collect_run(changed(LANGUAGE, train={"save_every": 6}), "language")
    assert result.exit_code == 0, result.output
    return folder

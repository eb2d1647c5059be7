"""What the checks of ``benchmarks/gpu.py`` share: their place and result, a tiny model with texts, and its
training.
"""

import dataclasses
import json
import math
import random
import subprocess
import sys
from pathlib import Path

PASS, FAIL, SKIPPED = "pass", "fail", "skipped"
#: A collect that kills itself once its log has the given number of evals.
KILLED = """
import os, signal, sys
from collect.cli import main
from collect.eval_log.writer import LogWriter

write, remaining = LogWriter._write, int(sys.argv.pop(1))

def watched(self, record):
    global remaining
    write(self, record)
    remaining -= record.get("kind") == "checkpoint"
    if remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)

LogWriter._write = watched
main(sys.argv[1:])
"""


@dataclasses.dataclass
class Result:
    """``text`` says in one sentence what was found; ``figures`` are what was measured."""

    status: str
    text: str
    figures: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a check runs: an empty folder of its own, the device, and until when it may run."""

    folder: Path
    device: str
    deadline: float
    grids: Path
    cache: Path

    @property
    def gpu(self):
        return self.device == "cuda"


def judge(holds, text, **figures):
    return Result(PASS if holds else FAIL, text, figures)


def make_inputs(place):
    """Write a random Llama with its tokenizer, and sums to learn."""
    import tokenizers
    import transformers

    words = ["[PAD]", "[UNK]", "[END]", "plus", "equals", *map(str, range(60))]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]"
    )
    width = 512 if place.gpu else 32
    transformers.set_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=8 if place.gpu else 2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(place.folder / "llama")
    fast.save_pretrained(place.folder / "llama")
    pairs = [(left, right) for left in range(30) for right in range(30)]
    random.Random(0).shuffle(pairs)
    for name, part in (("train", pairs[:256]), ("validation", pairs[256:320])):
        lines = [f"{left},{right},{left + right}\n" for left, right in part]
        (place.folder / f"{name}.csv").write_text("left,right,sum\n" + "".join(lines))


def write_config(place, name, **keys):
    """A config file of 30 steps; ``keys`` such as ``train__eval_every`` replace or add one key."""
    settings = {
        "model": {"path": "llama"},
        "data": {
            "train_file": "train.csv",
            "validation_file": "validation.csv",
            "prompt": "{left} plus {right} equals",
            "answer": "sum",
            "max_length": 16,
        },
        "lora": {"r": 4},
        "train": {
            "max_steps": 30,
            "learning_rate": 3e-3,
            "eval_every": 5,
            "scheduler": "constant",
            "device": "auto" if place.gpu else "cpu",
            "threads": 0 if place.gpu else 1,
        },
    }
    for key, value in keys.items():
        section, _, inner = key.partition("__")
        settings[section][inner] = value
    lines = ['task = "causal-lm"']
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = place.folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def command(place, path):
    return ["run", str(path), "--out", str(place.folder / "logs"), "--cache", str(place.cache)]


def train(place, name, **keys):
    """Train a config to its end in this process; returns the folder of the run."""
    from collect import config, train

    if not (place.folder / "llama").exists():
        make_inputs(place)
    folder = place.folder / "logs" / name
    train.fit(config.load(write_config(place, name, **keys)), folder, place.cache)
    return folder


def train_killed(place, name, evals, **keys):
    """Train a config in a process that is killed after some evals; returns its exit code."""
    if not (place.folder / "llama").exists():
        make_inputs(place)
    path = write_config(place, name, **keys)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(evals), *command(place, path)], capture_output=True, text=True
    )
    return done.returncode


def records(folder, kind="eval"):
    from collect.eval_log import read_existing_log

    return [record for record in read_existing_log(folder).records if record.get("kind") == kind]


def losses(folder):
    return [record["metrics"]["eval_loss"] for record in records(folder)]


def steps(folder):
    from replay.readers.step_signals import FILE_NAME, read_step_signals

    return read_step_signals(folder / FILE_NAME)


def same_steps(one, other):
    """Whether two runs have the same step signals, bit for bit, and the largest relative difference."""
    import numpy as np

    a, b = steps(one), steps(other)
    if a.values.shape != b.values.shape:
        return False, math.inf
    scale = np.maximum(np.abs(a.values), np.abs(b.values))
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.nanmax(np.where(scale > 0, np.abs(a.values - b.values) / scale, 0.0))
    equal = a.values.tobytes() == b.values.tobytes() and a.totals.tobytes() == b.totals.tobytes()
    return equal, float(difference)


def note(place, result):
    """Write what is known so far, for the case that the time runs out; a kill leaves the former note."""
    path = place.folder / "result.json"
    path.with_suffix(".new").write_text(json.dumps(dataclasses.asdict(result)))
    path.with_suffix(".new").replace(path)

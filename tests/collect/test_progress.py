"""The line on a terminal."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from collect import config as settings
from collect import data, progress
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml


@pytest.mark.parametrize("width", [20, 40, 79, 200])
def test_the_line_fits(width):
    parts = ["step 120/450", "12 min left", "eval 8/30: 0.5123, best 0.5012 at 105", "train 0.4991"]
    line = progress._fitted("a-run-with-a-rather-long-name-r32-lr1e-3-cosine-s0", parts, width)
    assert len(line) <= width
    assert "step 120/450"[: width - 10] in line
    assert ("train 0.4991" in line) == (width > 79)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 min"), (59, "1 min"), (3541, "1 h 00 min"), (3601, "1 h 01 min"), (7200, "2 h 00 min")],
)
def test_spans(seconds, text):
    assert progress._span(seconds) == text


def lines_of(result, name):
    return [line.removeprefix(f"{name}: ") for line in result.stderr.splitlines()]


@pytest.fixture(scope="module")
def batch(collect_run, tmp_path_factory):
    """The lines of a classification run without a terminal, and its folder."""
    config = changed(CLASSIFIER, data={"max_length": 9}, train={"max_steps": 12, "eval_every": 4})
    result, folder = collect_run(config, "batch", tmp_path_factory.mktemp("batch"))
    assert result.exit_code == 0, result.output
    return lines_of(result, "batch"), folder


def test_a_batch_job_says_what_it_trains(batch, workplace):
    """Tokens and cut texts are counted again, by the tokenizer alone."""
    from transformers import AutoTokenizer

    config = settings.load(workplace / "batch.toml")
    texts = data.load(config, workplace)
    tokenizer = AutoTokenizer.from_pretrained(workplace / "bert")
    lengths = {
        name: [len(tokenizer(example.source)["input_ids"]) for example in split]
        for name, split in (("train", texts.train), ("validation", texts.validation), ("test", texts.test))
    }
    rows, tokens, cut, parameters, *_ = batch[0]
    assert rows.startswith("reviews.jsonl: 120 rows read; 48 train, 30 validation, 20 test; left out: 22 not")
    counts = [f"{sum(min(length, 9) for length in some)} {name}" for name, some in lengths.items()]
    assert tokens == f"tokens: {', '.join(counts)}"
    longer = [f"{sum(n > 9 for n in some)} of {len(some)} {name}" for name, some in lengths.items()]
    assert all(not part.startswith("0 ") for part in longer)
    assert cut == f"texts cut to data.max_length = 9 tokens: {', '.join(longer)}"
    # rank 2 on 6 linear modules of each of 2 layers and the pooler, and the head
    head = 32 * 2 + 2
    modules = 2 * (4 * (32 + 32) + 2 * (32 + 64)) + (32 + 32)
    assert parameters.startswith(f"{2 * modules + head:,} of ")
    assert parameters.endswith("; 12 steps, 3 evals")


def test_a_batch_job_says_each_eval(batch):
    lines, folder = batch
    *evals, kept, done = lines[4:]
    records = [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]
    logged = [record for record in records if record.get("kind") == "eval"]
    assert len(evals) == len(logged) == 3
    for number, (line, record) in enumerate(zip(evals, logged, strict=True), 1):
        losses = [(row["metrics"]["eval_loss"], row["step"]) for row in logged[:number]]
        best, step = min(losses)
        loss, train = losses[-1][0], record["train"]["loss"]
        assert re.fullmatch(
            rf"step {4 * number}/12, \d+ min left, eval {number}/3: {loss:.4g}, best {best:.4g} at {step},"
            rf" train {train:.4g}",
            line,
        )
    assert re.match(r"the adapter of step \d+, the best one, is in ", kept)
    assert done.startswith("done (eval_loss ")


def test_cut_prompts_and_generic_texts_are_counted(collect_run, tmp_path):
    config = changed(
        LANGUAGE,
        data={"max_length": 5},
        train={"epochs": 1, "eval_every": 12},
        generic={"file": "reviews.jsonl", "text": "text", "size": 10, "max_length": 3},
    )
    result, _ = collect_run(config, "cut-prompts", tmp_path)
    assert result.exit_code == 0, result.output
    lines = lines_of(result, "cut-prompts")
    # "1 plus 2 equals" has 4 tokens, the answer and the end 2
    assert (
        "texts cut to data.max_length = 5 tokens: 96 of 96 train, 30 of 30 validation, 24 of 24 test" in lines
    )
    assert "texts cut to generic.max_length = 3 tokens: 10 of 10 generic" in lines
    assert "tokens: 480 train, 150 validation, 120 test, 30 generic" in lines


def in_a_terminal(*arguments):
    """The exit code and the lines of a ``collect`` in a real terminal of 80 columns."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "collect", *map(str, arguments)]
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=environment) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the terminal's other end is closed
                break
            said += part
        process.wait()
    os.close(master)
    lines = re.split(r"[\r\n]+", said.decode().replace("\x1b[K", ""))
    return process.returncode, [line for line in lines if line]


def test_on_a_terminal_it_is_rewritten_and_ends_with_the_result(workplace, tmp_path):
    """No line is longer than the terminal is wide, evals are counted, and the last line is the result."""
    (workplace / "shown.toml").write_text(toml(changed(CLASSIFIER, train={"max_steps": 12, "eval_every": 4})))
    code, lines = in_a_terminal("run", workplace / "shown.toml", "--out", tmp_path)
    assert code == 0, lines
    shown = [line for line in lines if line.startswith("shown: step")]
    assert len(shown) >= 12
    assert max(map(len, shown)) < 80
    assert re.fullmatch(
        r"shown: step 12/12, 0 min left, eval 3/3: [\d.]+, best [\d.]+ at \d+, train [\d.]+", shown[-1]
    )
    assert lines[-1].startswith("shown: done (eval_loss ")


@pytest.mark.slow
def test_a_grid_with_one_job_shows_the_line_and_keeps_the_rest_in_a_file(workplace, tmp_path):
    config = changed(CLASSIFIER, train={"max_steps": 12, "eval_every": 4})
    (workplace / "shown-grid.toml").write_text(toml(config) + '[grid]\n"lora.r" = [2]\n')
    code, lines = in_a_terminal("grid", workplace / "shown-grid.toml", "--out", tmp_path)
    assert code == 0, lines
    assert lines[:2] == ["1 run, 0 finished already", "[1/1] shown-grid-r2"]
    steps = [int(re.search(r"step (\d+)/12", line)[1]) for line in lines if ": step " in line]
    assert set(steps) == set(range(1, 13))
    assert lines[-1] == "1 run: 1 finished"
    console = (tmp_path / "shown-grid-r2" / "collect_console.log").read_text()
    assert "\r" not in console
    # what a batch job says: its data, each eval, and the result
    said = console.splitlines()
    assert said[0].startswith("shown-grid-r2: reviews.jsonl: 120 rows read")
    assert [re.search(r"eval (\d)/3", line)[1] for line in said if ", eval " in line] == ["1", "2", "3"]
    assert said[-1].startswith("shown-grid-r2: done (eval_loss ")
    assert set(said) <= set(lines)

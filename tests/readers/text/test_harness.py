"""Tables of lm-evaluation-harness, one per checkpoint."""

import pytest

from replay.readers.formats.text_log import FORMAT
from tests.readers.columns import curve
from tests.readers.reading import refusal
from tests.readers.text.printing import put, run_of

ACCURACIES = {500: 0.25, 1000: 0.5, 1500: 0.375}
TABLE = """
|    Tasks     |Version|     Filter     |n-shot|    Metric     |   |Value |   |Stderr|
|--------------|------:|----------------|-----:|---------------|---|-----:|---|-----:|
|arc_easy      |      1|none            |     0|acc            |↑  |{acc}|±  |0.0101|
|              |       |none            |     0|acc_norm       |↑  |0.75|±  |0.0101|
|gsm8k         |      3|flexible-extract|     5|exact_match    |↑  |{acc}|±  |0.0084|
|wikitext      |      2|none            |     0|word_perplexity|↓  |12.5|±  |   N/A|

|Groups|Version|Filter|n-shot|Metric|   |Value |   |Stderr|
|------|------:|------|-----:|------|---|-----:|---|-----:|
|mmlu  |      2|none  |      |acc   |↑  |{acc}|±  |0.0040|
"""
OLD = """
|    Task    |Version| Metric |Value |   |Stderr|
|------------|------:|--------|-----:|---|-----:|
|arc_easy    |      0|acc     |{acc}|±  |0.0146|
"""
SETTINGS = "gen_kwargs: (None), limit: None, num_fewshot: None, batch_size: 8"


def printed(head, table=TABLE):
    return "".join(head.format(step=step) + table.format(acc=acc) for step, acc in ACCURACIES.items())


@pytest.mark.parametrize("table", [TABLE, OLD])
@pytest.mark.parametrize(
    "head",
    [
        f"hf (pretrained=out/run-2/checkpoint-{{step}},dtype=bfloat16), {SETTINGS}",
        f"hf (pretrained=EleutherAI/pythia-160m,revision=step{{step}}), {SETTINGS}",
        f"=== Evaluating checkpoint {{step}} ===\nhf (pretrained=tmp/model), {SETTINGS}",
        f"iter_{{step:07}}\nvllm (pretrained=tmp/model), {SETTINGS}",
    ],
)
def test_the_checkpoint_is_named_above_the_table(tmp_path, head, table):
    run = run_of(tmp_path, printed(head, table))
    assert curve(run, "arc_easy/acc") == ACCURACIES
    assert run.info.step_unit == "step"


def test_metrics_and_their_directions(tmp_path):
    run = run_of(tmp_path, printed(f"hf (pretrained=out/checkpoint-{{step}}), {SETTINGS}"))
    assert curve(run, "mmlu/acc") == curve(run, "gsm8k/exact_match,flexible-extract") == ACCURACIES
    assert curve(run, "arc_easy/acc_norm") == dict.fromkeys(ACCURACIES, 0.75)
    assert run.info.modes == {
        **dict.fromkeys(("arc_easy/acc", "arc_easy/acc_norm", "gsm8k/exact_match,flexible-extract"), "max"),
        "wikitext/word_perplexity": "min",
        "mmlu/acc": "max",
    }


@pytest.mark.parametrize("head", ["hf (pretrained=tmp/model), ", "hf (pretrained=a/steps/7b), "])
def test_tables_without_a_checkpoint_are_refused(tmp_path, head):
    path = put(tmp_path / "a.log", printed(head + SETTINGS))
    assert FORMAT.sniff(path, path.read_bytes())
    assert "a table of lm-evaluation-harness was seen, but no line" in refusal(FORMAT, path)


def test_a_table_at_the_end_of_a_training_is_no_run(tmp_path):
    lines = "".join(f"epoch {n}: val_loss 0.{n}5\n" for n in (1, 2, 3))
    run = run_of(tmp_path, lines + printed(f"hf (pretrained=out/checkpoint-{{step}}), {SETTINGS}"))
    assert curve(run) == {1: 0.15, 2: 0.25, 3: 0.35}

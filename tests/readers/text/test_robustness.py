"""Histories between noise, texts that are cut anywhere, and texts that are large or made to be slow."""

import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.readers import FORMATS, UnusableLog
from replay.readers.formats.text_log import FORMAT
from replay.readers.text.lines import lines_of
from replay.readers.text.reading import DIALECTS, read_text
from tests.readers.columns import curve
from tests.readers.text.printing import bar, put, run_of

#: How each dialect prints an eval: step, loss, and all steps of the history.
DIALECT_LINES = {
    "mlx": lambda step, loss: f"Iter {step}: Val loss {loss}, Val took 1.2s\n",
    "torchtune": lambda step, loss: f"Step {step} | val_loss:{loss} \n",
    "litgpt": lambda step, loss: f"iter {step}: val loss {loss}, val time: 12.00 ms\n",
    "nanogpt": lambda step, loss: f"step {step}: train loss 0.5, val loss {loss}\n",
    "modded": lambda step, loss: f"step:{step}/900000 val_loss:{loss} train_time:10ms\n",
    "llm.c": lambda step, loss: f"s:{step} tel:{loss}\n",
    "lightgbm": lambda step, loss: f"[{step}]\tvalid_0's l2: {loss}\n",
    "xgboost": lambda step, loss: f"[{step}]\tval-rmse:{loss}\n",
    "catboost": lambda step, loss: f"{step}:\ttest: {loss}\tbest: 0 (0)\ttotal: 1s\tremaining: 2s\n",
    "transformers": lambda step, loss: f"{bar(step, 900000)}{{'eval_loss': {loss}}}\n",
    "entry": lambda step, loss: f"{{'eval_loss': '{loss}', 'step': {step}}}\n",
    "fairseq": lambda step, loss: f"epoch 001 | valid on 'val' subset | loss {loss} | num_updates {step}\n",
    "line": lambda step, loss: f"step {step}, val_loss: {loss}\n",
}
NOISE = st.sampled_from(
    [
        "\n",
        "Some weights were not initialised from the checkpoint\n",
        "UserWarning: lr_scheduler.step() was called 2 times before optimizer.step()\n",
        "\x1b[33mWARNING\x1b[0m disk is 97% full\n",
        "Saving model checkpoint to out/checkpoint-500\n",
        "Loading weights:  50%|█████  | 6/12 [00:00<00:00]\rLoading weights: 100%|███| 12/12 [00:00<00:00]\n",
        "\r 50%|█████     | 3/6 [00:00<00:00, 9.87it/s]\r100%|██████████| 6/6 [00:00<00:00, 9.87it/s]\n",
        "{'lr': 0.1, 'hidden': 64}\n",
        "[2026-10-03 09:00:00,123] [INFO] [trainer.py:203] [PID:4242] evaluating 500 examples\n",
        "The answer is 42. Let x = 3.\n",
        'Traceback (most recent call last):\n  File "a.py", line 3, in f\n',
        "[LightGBM] [Warning] No further splits with positive gain, best gain: -inf\n",
        "GPU 0: 71C, 11034 MiB / 24576 MiB\n",
    ]
)
HISTORY = st.lists(
    st.tuples(
        st.integers(1, 400),
        # a loop whose values are all whole numbers is not taken for a training
        st.floats(1e-6, 100).map(lambda value: float(f"{value:.6g}")).filter(lambda value: value % 1 > 0),
        st.lists(NOISE, max_size=3),
    ),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize("name", DIALECT_LINES)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=HISTORY)
def test_a_history_between_noise_is_read_exactly(tmp_path, name, history):
    text, step, expected = [], 0, {}
    for gap, loss, noise in history:
        step += gap
        expected[step] = loss
        text += [*noise, DIALECT_LINES[name](step, repr(loss))]
    run = run_of(tmp_path, "".join(text))
    (metric,) = [metric for metric in run.metrics if metric != "train/loss"]
    assert curve(run, metric) == expected


def texts():
    """A small text of each dialect."""
    losses = {step: 1 / step for step in (10, 20, 30)}
    made = {
        name: "".join(line(step, loss) for step, loss in losses.items())
        for name, line in DIALECT_LINES.items()
    }
    made["mlx-table"] = "  iter   train_loss     tok/s     tokens\n" + "".join(
        f"  {step:4}    val {loss:.3f}    1.23s\n" for step, loss in losses.items()
    )
    made["keras"] = "".join(
        f"Epoch {n}/5\n\r1/9 ━━━ 1s 8ms/step - loss: 9.5\r9/9 ━━━ 1s 8ms/step - loss: 0.5"
        f" - val_loss: {1 / n:.4f}\n"
        for n in (1, 2, 3)
    )
    made["lightning"] = "".join(bar(9, 9, f"Epoch {n}: ", f", val_loss={1 / (n + 1):.3f}") for n in (0, 1, 2))
    made["spacy"] = "E    #       LOSS NER  SCORE \n---  ------  --------  ------\n" + "".join(
        f"  0  {step:6}     {loss:5.2f}    {1 - loss:.2f}\n" for step, loss in losses.items()
    )
    return made


@pytest.mark.parametrize("name", texts())
def test_cut_off_at_every_byte_no_value_is_wrong(tmp_path, name):
    whole = texts()[name].encode()
    full = run_of(tmp_path, whole)
    path = tmp_path / "cut.log"
    most = 0
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            runs, _ = FORMAT.load([path], "run")
        except UnusableLog:
            continue
        for run in runs:
            for metric in run.metrics:
                assert curve(run, metric).items() <= curve(full, metric).items()
            most = max(most, len(run))
    assert most >= len(full) - 1


@pytest.mark.parametrize("line_end", ["\n", "\r", ""])
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        " ",
        "\t",
        "[",
        "{'",
        "[0]\t",
        "%|",
        "1/",
        "epoch 1 ",
        "loss: 1, ",
        "x-",
        "'s ",
        "e1:",
        "\x1b[",
    ],
)
def test_no_line_makes_an_expression_slow(unit, line_end):
    """A line of 60,000 characters takes as long in each dialect as any other line: milliseconds."""
    text = unit * (60_000 // len(unit))
    for prefix in (
        "",
        "Step 1 | ",
        "[1]\t",
        "epoch 1: ",
        "step:1/9 ",
        "0:\tlearn: ",
        "Iter 1: Val loss ",
        "{'loss': ",
    ):
        begin = time.process_time()
        read_text(lines_of([prefix + text + line_end]))
        assert time.process_time() - begin < 2.0, prefix


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_taken_without_an_error(text):
    for dialect in DIALECTS:
        made = dialect()
        made.take(text or " ", 0)
        made.finish()


@pytest.mark.slow
def test_a_large_text_is_read_line_by_line(tmp_path):
    """130 MB: bars for hours, a line without an end, 20,000 train lines: none of it is kept in memory."""
    path = tmp_path / "large.log"
    bars = "".join(bar(step, 90_000) for step in range(1000)) + "\n"
    with path.open("w", encoding="utf-8") as file:
        file.write("x" * 50_000_000 + "\n")
        for block in range(20):
            for step in range(block * 1000, block * 1000 + 1000):
                file.write(f"step {step}: loss {1 / (step + 1):.5f}\n")
            file.write(f"step {block * 1000 + 999}: val_loss {1 / (block + 1):.5f}\n")
            file.write(bars * 80)
    assert path.stat().st_size > 100_000_000
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from replay.readers.formats.text_log import FORMAT\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "(run,), _ = FORMAT.load([Path(sys.argv[1])], 'run')\n"
        "print(len(run), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    evals, grown = map(int, done.stdout.split())
    assert evals == 20
    assert grown < (60_000 if sys.platform != "darwin" else 60_000_000)  # KiB


@pytest.mark.slow
def test_trainings_without_end_keep_their_evals(tmp_path):
    """Of more train rows than are kept, every second one goes; no eval does."""
    lines = []
    for step in range(1, 450_001):
        lines.append(f"s:{step} trl:0.5\n")
        if step % 50_000 == 0:
            lines.append(f"s:{step} tel:{1 / step}\n")
    run = run_of(tmp_path, "".join(lines))
    assert curve(run) == {step: 1 / step for step in range(50_000, 450_001, 50_000)}
    assert 50_000 < len(run.train["train_loss"].step) <= 200_001
    assert run.trained_steps == 450_000


def test_other_formats_do_not_claim_texts(tmp_path):
    for name, text in texts().items():
        path = put(tmp_path / f"{name}.log", text)
        assert [one.name for one in FORMATS if one.sniff(path, path.read_bytes())] == ["text"], name

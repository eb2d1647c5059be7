"""Lines with a step: MLX-LM, torchtune, litgpt, nanoGPT and llm.c."""

import pytest

from replay.data.censoring import censoring
from replay.readers.formats.text_log import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.text.printing import put, run_of, runs_of

REST = "Learning Rate 2.000e-05, It/sec 1.302, Tokens/sec 300.125, Trained Tokens"
MLX = f"""Loading pretrained model
Loading datasets
Starting training..., iters: 300
Iter 1: Val loss 2.731, Val took 8.120s
Iter 50: Train loss 2.420, {REST} 9000, Peak mem 7.01 GB
Iter 100: Val loss 1.904, Val took 8.050s
Iter 100: Train loss 1.913, {REST} 18000, Peak mem 7.01 GB
Iter 100: Saved adapter weights to adapters/adapters.safetensors.
Iter 200: Val loss 1.704, Val took 8.050s
Iter 200: Train loss 1.602, {REST} 36000, Peak mem 7.01 GB
"""


def test_mlx(tmp_path):
    run = run_of(tmp_path, MLX)
    assert curve(run) == {1: 2.731, 100: 1.904, 200: 1.704}
    assert curve(run, "tokens") == {100: 18000, 200: 36000}
    assert curve(run, "train_loss") == {100: (2.420 + 1.913) / 2, 200: 1.602}
    assert run.info.planned_steps == 300
    assert censoring(run).reached == 200


def test_each_training_of_mlx_is_a_run_of_one_group(tmp_path):
    """It counts from 1 again, also where it goes on from an adapter."""
    again = MLX.replace("1.904", "1.604").replace("Iter 1:", "Iter 150:")  # whatever the first step is
    runs, _ = runs_of(tmp_path, MLX + again)
    assert [run.id for run in runs] == ["run#1", "run#2"]
    assert {run.info.group for run in runs} == {"run"}
    assert curve(runs[1]) == {100: 1.604, 150: 2.731, 200: 1.704}


MLX_TABLE = """Training
  \x1b[1miter   train_loss     tok/s     tokens\x1b[0m
  \x1b[38;5;244m   1\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m2.731\x1b[0m    \x1b[38;5;244m8.12s\x1b[0m
  \x1b[38;5;244m  50\x1b[0m    \x1b[1;32m2.420 ▼\x1b[0m    \x1b[1m  300\x1b[0m    \x1b[38;5;244m  9.0k\x1b[0m
  \x1b[38;5;244m 100\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m1.904\x1b[0m    \x1b[38;5;244m8.05s\x1b[0m
  \x1b[38;5;244m 100\x1b[0m    \x1b[1;33m2.513 ▲\x1b[0m    \x1b[1m  300\x1b[0m    \x1b[38;5;244m 18.0k\x1b[0m
  \x1b[1;32msave\x1b[0m  \x1b[38;5;244m0000100_adapters.safetensors\x1b[0m
\x1b[34m  train ███ 100%\x1b[0m \x1b[38;5;244m·\x1b[0m \x1b[34m100\x1b[0m\x1b[38;5;244m/1,100\x1b[0m
"""


def test_the_table_of_mlx(tmp_path):
    run = run_of(tmp_path, MLX_TABLE)
    assert curve(run) == {1: 2.731, 100: 1.904}
    assert run.train["train_loss"].value.tolist() == [2.420, 2.513]
    assert run.info.planned_steps == 1100


def torchtune(steps, loss=lambda step: 3 - step / 100):
    lines = []
    for step in steps:
        lines.append(f"Step {step} | loss:{loss(step) + 0.25} lr:2e-05 tokens_per_second_per_gpu:1024.5 \n")
        if step % 20 == 0:
            lines.append(f"Step {step} | val_loss:{loss(step)} \n")
    return "".join(lines)


def test_torchtune_goes_on_in_a_second_file(tmp_path):
    first = put(tmp_path / "log_1600000000.txt", torchtune(range(5, 71, 5)))
    second = put(tmp_path / "log_1600000900.txt", torchtune(range(41, 101), lambda step: 2 - step / 100))
    assert FORMAT.group([first, second]) == [[first, second]]
    (run,), findings = FORMAT.load([first, second], "run")
    assert not findings
    assert curve(run) == {20: 2.8, 40: 2.6, 60: 1.4, 80: 1.2, 100: 1.0}
    assert run.info.resumes == (41,)
    assert run.info.sources == (str(first), str(second))


def test_files_of_different_trainings_stay_apart(tmp_path):
    """Two that begin at the begin, and one that begins where nothing was trained before."""
    paths = [
        put(tmp_path / f"slurm-{number}.out", torchtune(steps))
        for number, steps in enumerate([range(5, 71, 5), range(5, 101, 5), range(505, 601, 5)], 1)
    ]
    runs, findings = FORMAT.load(paths, "run")
    assert not findings
    assert [run.id for run in runs] == [f"run/slurm-{number}.out" for number in (1, 2, 3)]


def test_one_unreadable_file_hides_no_other(tmp_path):
    good = put(tmp_path / "slurm-1.out", torchtune(range(5, 71, 5)))
    bad = put(tmp_path / "slurm-2.out", "Starting training..., iters: 300\n")
    (run,), findings = FORMAT.load([good, bad, tmp_path / "slurm-3.out"], "run")
    assert len(run) == 3
    text = sentences(findings)
    assert text[0] == (
        f"{bad}: MLX-LM was seen, but no line that holds a metric and says at which step or epoch it was"
        " measured"
    )
    assert text[1].startswith(f"{tmp_path / 'slurm-3.out'}: No such file")


def test_litgpt(tmp_path):
    text = """Epoch 1 | iter 16 step 4 | loss train: 2.512, val: n/a | iter time: 11.25 ms (step)
iter 32: val loss 2.2250, val time: 15.00 ms
Epoch 1 | iter 48 step 12 | loss train: 2.144, val: 2.225 | iter time: 11.25 ms (step)
iter 64: val loss 1.9321, val time: 15.00 ms
Final evaluation | val loss: 1.901 | val ppl: 6.693
"""
    run = run_of(tmp_path, text)
    assert curve(run) == {32: 2.2250, 64: 1.9321}
    assert run.train["train_loss"].value.tolist() == [2.512, 2.144]


def test_nanogpt(tmp_path):
    text = """number of parameters: 10.65M
step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.2653, time 11215.30ms, mfu -100.00%
iter 100: loss 2.4650, time 100.21ms, mfu 3.21%
step 250: train loss 1.9646, val loss 2.0662
saving checkpoint to out
step 500: train loss 1.5259, val loss 1.7312
"""
    run = run_of(tmp_path, text)
    assert curve(run) == {0: 4.2823, 250: 2.0662, 500: 1.7312}


@pytest.mark.parametrize(
    "lines",
    [
        [
            "step:0/300 val_loss:10.8258 train_time:250ms step_avg:nanms",
            "step:1/300 train_time:350ms step_avg:nanms",
            "step:150/300 val_loss:4.1021 train_time:250ms step_avg:60.1ms",
        ],
        ["s:0 tel:10.8258", "s:0 trl:10.9 lr:0.001 norm:15.2", "s:150 tel:4.1021"],
    ],
)
def test_descendants_of_nanogpt(tmp_path, lines):
    run = run_of(tmp_path, "".join(f"{line}\n" for line in lines))
    assert curve(run) == {0: 10.8258, 150: 4.1021}


def test_the_source_code_in_front_of_a_log(tmp_path):
    """The script prints itself first, which is longer than what is looked at of a file at first."""
    code = "".join(
        f"    if step % {number} == 0: val_loss = {number}.0  # epoch = 0, loss = 1.5\n"
        for number in range(2000)
    )
    assert len(code) > 70_000
    text = code + "".join(
        f"step:{step}/90 val_loss:{4 - step / 90:.4f} train_time:1ms\n" for step in range(0, 91, 30)
    )
    run = run_of(tmp_path, text)
    assert curve(run) == {0: 4.0, 30: 3.6667, 60: 3.3333, 90: 3.0}


def test_torchtune_validation_below_a_bar(tmp_path):
    losses = {50: 0.75, 100: 0.5, 150: 0.625}
    text = "".join(
        f"1|{step - 1}|Loss: 2.3: 10%|#1        | {step - 1}/500 [00:01<00:09,  1.0it/s]\r"
        f"1|{step}|Loss: 2.2: 10%|#1        | {step}/500 [00:01<00:09,  1.0it/s]\nValidation loss: {loss}\n"
        for step, loss in losses.items()
    )
    assert curve(run_of(tmp_path, text), "val_loss") == losses

"""Dicts with the figures of several sets, on lines that name no epoch."""

import pytest

from replay.data.finding import Kind
from replay.readers import NothingFound, read
from tests.readers.columns import curve
from tests.readers.text.printing import put, run_of, runs_of

SHARES = {1: 0.75, 2: 0.5, 3: 0.625}


@pytest.mark.parametrize(
    "line",
    [
        "{{'Train': 0.9, 'Validation': {share}, 'Test': 0.25}}",
        "Results: {{'Train': tensor(0.9), 'Validation': np.float64({share})}}",
        "2026-01-02 10:00:00,123 - INFO - {{'Train': 0.9, 'Validation': {share}}}",
        "{{'Train': array(0.9, dtype=float32), 'Validation': tensor({share}, device='cuda:0')}}",
    ],
)
def test_dicts_are_counted(tmp_path, line):
    run = run_of(tmp_path, "".join(line.format(share=share) + "\n" for share in SHARES.values()))
    assert curve(run, "Validation") == SHARES
    assert run.train["Train"].value.tolist() == [0.9] * 3
    assert [finding.kind for finding in run.info.findings] == [Kind.COUNTED_EPOCHS]


@pytest.mark.parametrize("line", ["=====Epoch {n}\nTraining...\n", "Run: 01, Epoch: {n:02}\n"])
def test_the_epoch_of_a_line_before(tmp_path, line):
    text = line + "{{'Train': 0.9, 'Validation': {share}, 'Test': 0.25}}\n"
    run = run_of(tmp_path, "".join(text.format(n=n, share=share) for n, share in SHARES.items()))
    assert curve(run, "Validation") == SHARES
    assert not run.info.findings


@pytest.mark.parametrize("head", ["Run {}", "===== Seed: {} =====", "Fold {}:"])
def test_each_run_is_one(tmp_path, head):
    parts = []
    for run in (1, 2):
        parts.append(head.format(run) + "\n")
        parts += [f"{{'Train': 0.9, 'Valid': {share / run}}}\n" for share in SHARES.values()]
    runs, _ = runs_of(tmp_path, "".join(parts))
    assert [curve(run, "Valid") for run in runs] == [SHARES, {n: share / 2 for n, share in SHARES.items()}]


@pytest.mark.parametrize(
    "text",
    [
        "{'train': 0.8, 'val': 0.1, 'test': 0.1}\n" * 5,
        "{'train': 800, 'val': 100}\n{'train': 700, 'val': 200}\n",
        "{'train_ratio': 0.8, 'val_ratio': 0.1}\n{'train_ratio': 0.7, 'val_ratio': 0.2}\n",
        "{'lr': 0.8, 'val': 0.1}\n{'lr': 0.7, 'val': 0.2}\n",
        "{'Validation': 0.8}\n{'Validation': 0.7}\n",
    ],
)
def test_other_dicts(tmp_path, text):
    with pytest.raises(NothingFound):
        read(put(tmp_path / "a.log", text))

"""Lines with several values behind one name: of several sets, or of several metrics."""

import pytest

from replay.readers.text.paired import Paired
from tests.readers.columns import curve
from tests.readers.text.printing import run_of

LOSSES = {1: 0.75, 2: 0.5, 3: 0.625}


@pytest.mark.parametrize(
    "line",
    [
        "Epoch {n}/9 train/val loss: 0.875/{loss}",
        "Epoch {n} loss (train/val): 0.875 / {loss}",
        "Epoch {n}: Train/Val Loss 0.875, {loss} | Train/Val Acc 0.5, 0.25",
        "Epoch {n} - loss: 0.875/{loss} (train/val)",
        "[{n}/9] loss train/val: 0.875/{loss} | acc train/val: 50.1%/60.2%",
        "epoch {n} loss(train|val): 0.875|{loss}",
        "Epoch {n}, train-val loss: 0.875 - {loss}",
        "Epoch {n} Loss: train=0.875 val={loss}",
        "Epoch {n} Loss [train: 0.875, val: {loss}]",
        "Epoch {n}: loss={loss} (val), 0.875 (train)",
        "Epoch {n} Train loss/acc: 0.875/0.5 Val loss/acc: {loss}/0.25",
        "Epoch {n}: train (loss/acc): 0.875/0.5, val (loss/acc): {loss}/0.25",
        "Epoch {n} | loss 0.875 / {loss} | train / val",
        "Epoch {n} acc (train/val): 0.5|0.25 loss: 0.875|{loss}",
        "Epoch {n} train/val/test loss: 0.875/{loss}/0.125",
    ],
)
def test_pairs(tmp_path, line):
    text = "".join(line.format(n=n, loss=loss) + "\n" for n, loss in LOSSES.items())
    run = run_of(tmp_path, text)
    (name,) = [name for name in run.metrics if name.lower() == "val_loss"]
    assert curve(run, name) == LOSSES
    (trained,) = [name for name in run.train if name.lower() == "train_loss"]
    assert run.train[trained].value.tolist() == [0.875] * 3


@pytest.mark.parametrize(
    "text",
    [
        "train/val split: 0.8/0.2",
        "val acc: 85/100",
        "epoch 3/9 loss 0.5",
        "read train/val files: 3/4",
        "2026/01/02 loss/step",
        "train/val loss: 0.5/0.25/0.125",
        "batch 3/9, loss: 0.5/0.25",
    ],
)
def test_other_numbers_stay(text):
    assert Paired().apart(text) == text


def test_sets_that_a_line_before_names():
    paired = Paired()
    paired.apart("columns are train|val")
    assert paired.apart("epoch 1 acc: 0.5|0.25") == "epoch 1 train_acc: 0.5 | val_acc: 0.25"
    assert paired.apart("epoch 1 acc: 5|100") == "epoch 1 acc: 5|100"

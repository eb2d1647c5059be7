"""Evals on lines that name no epoch and no step."""

import pytest

from replay.data.finding import Kind
from replay.readers import NothingFound, read
from tests.readers.columns import curve
from tests.readers.text.printing import put, run_of

LOSSES = {1: 0.75, 2: 0.5, 3: 0.625, 4: 0.25}


@pytest.mark.parametrize(
    "lines",
    [
        "Validation loss: {loss}, accuracy: 0.5\n",
        "train_loss=0.9 validation_loss={loss}\n",
        "Train loss: 0.9\nEvaluating...\nValidation loss: {loss}\n",
        "2026-01-02 10:00:00,123 - INFO - trainer - validation loss {loss}\n",
        "Validation loss: {loss}\nValidation accuracy: 71.5%\nSaved the model.\n",
    ],
)
def test_evals_are_counted(tmp_path, lines):
    text = "Loading the data\n" + "".join(lines.format(loss=loss) for loss in LOSSES.values())
    run = run_of(tmp_path, text)
    assert curve(run, "validation_loss") == LOSSES
    assert [finding.kind for finding in run.info.findings] == [Kind.COUNTED_EPOCHS]


def test_what_a_line_says_comes_first(tmp_path):
    text = "".join(f"Epoch {2 * at}\nval loss: {loss}\n" for at, loss in LOSSES.items())
    run = run_of(tmp_path, text)
    assert curve(run) == {2 * at: loss for at, loss in LOSSES.items()}
    assert not run.info.findings


def test_a_result_at_the_end_is_no_further_eval(tmp_path):
    text = (
        "".join(f"val loss: {loss}, val acc: 0.5\n" for loss in LOSSES.values())
        + "Best val loss of all: 0.25\n"
    )
    assert curve(run_of(tmp_path, text)) == LOSSES


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"model {at}: val loss {loss}\n" for at, loss in LOSSES.items()),
        "".join(f"Fold {at}\nval loss {loss}\n" for at, loss in LOSSES.items()),
        "".join(f"{name}: val loss {loss}\n" for name, loss in zip("abcd", LOSSES.values(), strict=True)),
        "".join(f"lr=0.{at} wd=0.1 -> val_loss {loss}\n" for at, loss in LOSSES.items()),
        "val loss 0.5\nval loss 0.25\n",
        "val loss 0.5\n" * 5,
        "".join(f"test accuracy {loss}\n" for loss in LOSSES.values()),
    ],
)
def test_results_of_several_models_are_no_training(tmp_path, text):
    with pytest.raises(NothingFound):
        read(put(tmp_path / "results.txt", text))


def test_errors_are_counted_where_the_training_goes_on_between_them(tmp_path):
    lines = "Training loss: 0.9\n\nModel test error: {loss}\n"
    run = run_of(tmp_path, "".join(lines.format(loss=loss) for loss in LOSSES.values()))
    assert curve(run, "model_test_error") == LOSSES
    with pytest.raises(NothingFound):
        read(
            put(tmp_path / "results.txt", "".join(f"Model test error: {loss}\n" for loss in LOSSES.values()))
        )


def test_settings_are_no_number_of_a_run(tmp_path):
    settings = "Namespace(batch_size=128, lr=0.0002, seed=1, cuda=True)\n"
    run = run_of(tmp_path, settings + "".join(f"[({n}) valid_loss: {loss}]\n" for n, loss in LOSSES.items()))
    assert curve(run, "valid_loss") == LOSSES

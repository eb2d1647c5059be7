"""Lines that are printed only where a metric improved are never read as all evals."""

import pytest

from replay.data.finding import Kind
from replay.readers import UnusableLog
from replay.readers.formats.text_log import FORMAT
from tests.readers.columns import curve
from tests.readers.text.printing import bar, put, run_of, runs_of

VALUES = [0.9125, 0.7415, 0.655, 0.702, 0.688]


def printed(line_of):
    """A line for each eval, by its number, value and whether it is the best so far."""
    return "".join(line_of(n, v, v == min(VALUES[: n + 1])) for n, v in enumerate(VALUES))


def of_lightning(number, value, is_best, top=1):
    place = f"Epoch {number}, global step {100 * number + 100}: 'val_loss'"
    if not is_best:
        return f"{place} was not in top {top}\n"
    return f"{place} reached {value:.5f} (best {value:.5f}), saving model to '/a/b.ckpt' as top {top}\n"


def of_early_stopping(_, value, is_best):
    if not is_best:
        return ""
    return f"Metric val_loss improved by 0.011 >= min_delta = 0.0. New best score: {value:.3f}\n"


def of_old_lightning(number, value, is_best):
    if not is_best:
        return f"Epoch {number}: val_loss was not in top 1\n"
    return f"Epoch {number}: val_loss reached {value:.5f} (best {value:.5f}), saving model to a as top 1\n"


def of_keras(number, value, is_best):
    if not is_best:
        return f"\nEpoch {number + 1}: val_loss did not improve from {min(VALUES[:number]):.5f}\n"
    return f"\nEpoch {number + 1}: val_loss improved from 1.0 to {value:.5f}, saving model to x.keras\n"


@pytest.mark.parametrize(
    ("line_of", "shown", "of"),
    [
        (of_lightning, 3, 5),
        (of_old_lightning, 3, 5),
        (of_early_stopping, 3, None),
        (lambda *line: of_early_stopping(*line) + of_lightning(*line), 3, 5),
        (of_keras, 3, 5),
    ],
)
def test_improvements_alone_are_no_curve(tmp_path, line_of, shown, of):
    path = put(tmp_path / "a.log", printed(line_of))
    assert FORMAT.sniff(path, path.read_bytes())
    with pytest.raises(UnusableLog) as caught:
        FORMAT.load([path], "run")
    finding = caught.value.finding
    assert (finding.kind, finding.log) == (Kind.ONLY_IMPROVEMENTS, str(path))
    assert finding.facts == {"metric": "val_loss", "shown": shown, "of": of}


def test_the_lines_of_early_stopping_that_pytorch_users_copy(tmp_path):
    text = "".join(f"Validation loss decreased ({n + 1} --> {n}).  Saving model ...\n" for n in (3, 2, 1))
    path = put(tmp_path / "a.log", f"{text}EarlyStopping counter: 1 out of 7\n")
    with pytest.raises(UnusableLog) as caught:
        FORMAT.load([path], "run")
    assert caught.value.finding.kind is Kind.ONLY_IMPROVEMENTS


def test_checkpoints_of_all_evals_are_the_curve(tmp_path):
    run = run_of(tmp_path, printed(lambda n, v, _: of_lightning(n, v, is_best=True, top=5)))
    assert curve(run) == {100 * n + 100: value for n, value in enumerate(VALUES)}
    assert run.info.step_unit == "step"


def test_checkpoints_beside_bars_count_once(tmp_path):
    def line_of(number, value, is_best):
        shown = bar(50, 50, f"Epoch {number}: ", f", v_num=0, val_loss={value}")
        return f"{shown}\n{of_early_stopping(number, value, is_best)}{of_lightning(number, value, is_best)}"

    run = run_of(tmp_path, printed(line_of))
    assert list(run.metrics) == ["val_loss"]
    assert curve(run) == {n + 1: value for n, value in enumerate(VALUES)}


def test_checkpoints_beside_lines_of_keras_count_once(tmp_path):
    def line_of(number, value, is_best):
        state = f"50/50 - 3s - 60ms/step - loss: 0.5 - val_loss: {value}\n"
        return f"Epoch {number + 1}/5\n{of_keras(number, value, is_best)}{state}"

    assert curve(run_of(tmp_path, printed(line_of))) == {n + 1: value for n, value in enumerate(VALUES)}


@pytest.mark.parametrize(
    "line",
    [
        "New best model at epoch {epoch}: val_loss {value}",
        "Saved the model at epoch {epoch} with val_loss={value}",
        "Epoch {epoch}: improved, val_loss {value}",
    ],
)
def test_a_loop_that_prints_improvements_only(tmp_path, line):
    text = printed(
        lambda n, v, is_best: (
            f"Epoch {n + 1}/5 train_loss 0.5\n" + (line.format(epoch=n + 1, value=v) + "\n") * is_best
        )
    )
    (run,), _ = runs_of(tmp_path, text)
    assert not run.metrics
    (finding,) = (one for one in run.info.findings if one.kind is Kind.ONLY_IMPROVEMENTS)
    assert finding.facts == {"metric": "val_loss", "shown": 3, "of": None}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("Epoch {epoch}: val_loss {value}, saved to epoch_{epoch}.pt", VALUES),
        ("Epoch {epoch}: val_loss {value}, improved", [0.9, 0.8, 0.7, 0.6]),
    ],
)
def test_words_of_saving_in_the_line_of_each_eval(tmp_path, line, values):
    text = "".join(line.format(epoch=n, value=value) + "\n" for n, value in enumerate(values, 1))
    assert curve(run_of(tmp_path, text)) == dict(enumerate(values, 1))

"""Keras' and Lightning's epochs: which state of a bar counts."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import bar, run_of, runs_of


def keras(epoch, of, loss, *, end=True, old=False):
    lines = [f"Epoch {epoch}/{of}\n"]
    for done in (1, 20, 40):
        shown = f"[{'=' * 20}>...]" if old else "\x1b[32m━━━━━\x1b[0m\x1b[37m━━━━\x1b[0m"
        lines.append(
            f"\r\x1b[1m{done}/40\x1b[0m {shown} \x1b[1m1s\x1b[0m 8ms/step - loss: {loss + 1 / done:.4f}"
        )
    if end:
        lines.append(
            f" - val_loss: {loss:.4f}\n"
            if old
            else f"\r40/40 ━━━━ 1s 9ms/step - loss: {loss:.4f} - val_loss: {loss:.4f}\n"
        )
    return "".join(lines)


@pytest.mark.parametrize("old", [False, True])
def test_the_last_state_of_each_epoch(tmp_path, old):
    run = run_of(tmp_path, "".join(keras(epoch, 5, 1 / epoch, old=old) for epoch in (1, 2, 3)))
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 0.3333}
    assert run.info.planned_epochs == run.info.planned_steps == 5


def test_an_epoch_that_was_killed_has_no_eval(tmp_path):
    run = run_of(tmp_path, keras(1, 5, 0.5) + keras(2, 5, 0.25) + keras(3, 5, 0.2, end=False) + "\n")
    assert curve(run) == {1: 0.5, 2: 0.25}


def test_an_evaluation_after_the_training_is_no_epoch(tmp_path):
    text = (
        keras(1, 2, 0.5)
        + keras(2, 2, 0.25)
        + "\r1/9 ━━━━ 0s 4ms/step - loss: 9.0\r9/9 ━━━━ 0s 4ms/step - loss: 9.5\n"
    )
    run = run_of(tmp_path, text)
    assert run.train["loss"].value.tolist() == [0.5, 0.25]


def test_folds_of_one_epoch(tmp_path):
    runs, _ = runs_of(tmp_path, "".join(keras(1, 1, loss) for loss in (0.5, 0.25, 0.75)))
    assert [curve(run) for run in runs] == [{1: 0.5}, {1: 0.25}, {1: 0.75}]


def test_keras_resumed_and_stopped(tmp_path):
    """fit(initial_epoch=2) begins at epoch 3."""
    first = "".join(keras(epoch, 9, 1 / epoch) for epoch in (1, 2, 3, 4))
    second = "".join(keras(epoch, 9, 2 / epoch) for epoch in (3, 4, 5))
    run = run_of(
        tmp_path, first + second + "Epoch 5: early stopping\nRestoring model weights from the end.\n"
    )
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 0.6667, 4: 0.5, 5: 0.4}
    assert run.info.stopped_by == "early stopping"


def lightning(epochs, validates=lambda epoch: True, *, first=0, bars=True):
    parts, shown = [], ""
    for epoch in range(first, first + epochs):
        for done in (0, 25, 50):
            parts.append(
                bar(done, 50, f"Epoch {epoch}: ", f", v_num=3, train_loss={1 / (epoch + 2):.3f}{shown}")
            )
        if validates(epoch):
            if bars:
                parts += [bar(done, 4, "Validation DataLoader 0: ") for done in (0, 2, 4)]
            shown = f", val_loss={1 / (epoch + 1):.3f}"
            parts.append(bar(50, 50, f"Epoch {epoch}: ", f", v_num=3, train_loss=0.5{shown}"))
        parts.append(bar(0, 50, f"Epoch {epoch}: ", f", v_num=3, train_loss=0.5{shown}"))
    return "".join(parts)


def test_lightning_counts_from_0(tmp_path):
    run = run_of(tmp_path, bar(2, 2, "Sanity Checking DataLoader 0: ") + lightning(4) + "\n")
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 0.333, 4: 0.25}
    assert run.info.step_unit == "epoch"


@pytest.mark.parametrize("bars", [True, False])
def test_lightning_shows_the_last_validation_for_long(tmp_path, bars):
    run = run_of(tmp_path, lightning(6, lambda epoch: epoch % 3 == 2, bars=bars) + "\n")
    assert curve(run) == {3: 0.333, 6: 0.167}


def test_lightning_shows_equal_values_of_two_validations(tmp_path):
    """Each epoch has a validation, as two in a row have new values."""
    text = "".join(
        bar(done, 50, f"Epoch {n}: ", f", v_num=3, val_loss={loss}")
        for n, loss in enumerate((0.75, 0.5, 0.5, 0.25))
        for done in (25, 50)
    )
    assert curve(run_of(tmp_path, text + "\n")) == {1: 0.75, 2: 0.5, 3: 0.5, 4: 0.25}


def test_lightning_trainings_and_what_stopped_one(tmp_path):
    stop = "\nMonitored metric val_loss did not improve in the last 3 records. Signaling Trainer to stop.\n"
    runs, _ = runs_of(tmp_path, lightning(3) + stop + lightning(2))
    assert [len(run) for run in runs] == [3, 2]
    assert [run.info.stopped_by for run in runs] == ["EarlyStopping", None]


def test_loops_that_name_the_epoch_on_their_bar(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        parts += [
            bar(done, 9, f"Epoch {epoch}/5: ", f", loss={1 / epoch:.2f}, val_loss={2 / epoch:.2f}")
            for done in (3, 9)
        ]
        parts.append("\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run) == {1: 2.0, 2: 1.0, 3: 0.67}
    assert run.info.planned_epochs == 5


def test_a_text_that_begins_within_the_first_epoch(tmp_path):
    bar_line = "39792/39792 [==============================] - 88s - loss: 0.0243 - val_loss: {}\n".format
    run = run_of(tmp_path, bar_line(0.5) + "Epoch 2/50\n" + bar_line(0.25) + "Epoch 3/50\n" + bar_line(0.375))
    assert curve(run) == {1: 0.5, 2: 0.25, 3: 0.375}


def test_what_a_loop_prints_below_the_bar_of_keras(tmp_path):
    text = "".join(
        f"Epoch {n}/9\n40/40 ━━━━ 1s 9ms/step - loss: 0.75\nval_loss: 0.{n}5, val_f1: 0.5{n}\n"
        for n in (1, 2, 3)
    )
    run = run_of(tmp_path, text)
    assert curve(run) == {1: 0.15, 2: 0.25, 3: 0.35}


def test_the_bars_of_evaluations(tmp_path):
    """OpenRLHF: the step is in the bar's name, and only the last state is the mean of all batches."""
    parts = []
    for step, loss in ((50, 0.75), (100, 0.5), (150, 0.625)):
        parts.append(bar(step % 100 or 100, 100, "Train step of epoch 0: ", ", gpt_loss=0.9, lr=1e-5"))
        for done in (1, 10, 20):
            shown = f", eval gpt_loss={loss + (20 - done) / 64}, acc_mean=0.5"
            parts.append(bar(done, 20, f"Eval stage of steps {step}: ", shown))
        parts.append("\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval_gpt_loss") == {50: 0.75, 100: 0.5, 150: 0.625}
    assert curve(run, "eval_acc_mean") == dict.fromkeys((50, 100, 150), 0.5)


@pytest.mark.parametrize("in_front", [True, False])
def test_a_bar_that_shows_the_last_eval(tmp_path, in_front):
    parts = []
    for step in range(1, 31):
        before = f"loss:  0.5 test_accuracy: {90 + step // 10}.25%: " if in_front else "steps: "
        parts.append(bar(step, 30, before, "" if in_front else f", loss=0.5, val_acc={90 + step // 10}.25"))
    run = run_of(tmp_path, "".join([*parts, "\n"]))
    assert curve(run, run.metrics[0]) == {1: 90.25, 10: 91.25, 20: 92.25, 30: 93.25}
    assert run.info.planned_steps == 30


def test_lines_count_where_a_bar_shows_the_same(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        parts += [bar(5, 10, "fit: ", f", val_loss={epoch}.5"), f"\nepoch {epoch}: val_loss {epoch}.5\n"]
    assert curve(run_of(tmp_path, "".join(parts))) == {1: 1.5, 2: 2.5, 3: 3.5}


def test_the_bars_of_evaluations_of_an_epoch(tmp_path):
    parts = []
    for epoch, loss in ((1, 0.75), (2, 0.5), (3, 0.625)):
        parts += [bar(50, 50, f"Epoch {epoch} [train]: ", ", loss=0.9"), "\n"]
        parts += [bar(done, 10, f"Epoch {epoch} [val]: ", f", loss={loss + 10 - done}") for done in (1, 10)]
        parts.append("\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run) == {1: 0.75, 2: 0.5, 3: 0.625}

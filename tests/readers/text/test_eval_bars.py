"""Bars of evaluations that no step and no epoch names: the lines and bars beside them tell the place."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import bar, run_of, runs_of

LOSSES = {1: 0.75, 2: 0.5, 3: 0.625}


def trained(name="Train: ", total=50):
    return "".join(bar(done, total, name, f", loss={1 - done / 100}") for done in (1, total)) + "\n"


def evaluated(loss, name="Val: ", key="loss"):
    """The bar shows the mean so far, which counts at its end."""
    drawn = (bar(done, 10, name, f", {key}={loss + (10 - done) / 8}") for done in (1, 5, 10))
    return "".join(drawn) + "\n"


@pytest.mark.parametrize(
    "name", ["Val: ", "Validation: ", "Validating: ", "  Validate: ", "valid: ", "[val]: "]
)
@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    "head", ["Epoch {}/8\n", "2026-01-02 10:00:00,123 - INFO - Epoch [{}/8]\n", "=== Epoch {} / 8 ===\n"]
)
def test_below_a_line_with_the_epoch(tmp_path, name, trains, head):
    parts = [head.format(n) + trained() * trains + evaluated(loss, name) for n, loss in LOSSES.items()]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run) == LOSSES
    assert run.info.planned_epochs == 8
    assert [series.value.tolist() for series in run.train.values()] == [[0.5] * 3] * trains


@pytest.mark.parametrize(("name", "metric"), [("Eval: ", "eval_loss"), ("Testing: ", "test_loss")])
def test_other_sets(tmp_path, name, metric):
    parts = [f"Epoch {n}/8\n" + evaluated(9) + evaluated(loss, name) for n, loss in LOSSES.items()]
    assert curve(run_of(tmp_path, "".join(parts)), metric) == LOSSES


@pytest.mark.parametrize(
    "made",
    [
        lambda n, loss: trained() + evaluated(loss) + f"Epoch {n} done in 35s\n",
        lambda n, loss: trained() + evaluated(loss),
        lambda n, loss: f"Starting epoch {n - 1}\n" + trained() + evaluated(loss),
        lambda n, loss: bar(n - 1, 3, "Epochs: ") + trained() + evaluated(loss) + bar(n, 3, "Epochs: "),
        lambda n, loss: trained(f"Epoch {n}/3: ") + evaluated(loss, "Validation: "),
        lambda n, loss: trained(f"TR - Epoch {n - 1}: ") + evaluated(loss, f"VA - Epoch {n - 1}: "),
        lambda n, loss: f"Epoch {n}\n" + bar(9, 9, "Val: ", f", avg_loss={loss}, loss=9.5"),
        lambda n, loss: bar(9, 9, f"Epoch {n}/3: ") + f"\nEvaluation: {{'f1': 0.5, 'loss': {loss}}}\n",
        lambda n, loss: f"Epoch {n}/8\n" + trained("") + evaluated(loss, "", "val_loss"),
        lambda n, loss: f"EPOCH {n}\n" + bar(50, 50, "Loss: 0.5") + "\n" + bar(10, 10, f"Val loss: {loss}"),
        lambda n, loss: f"Epoch {n}\n" + bar(1, 50) + bar(50, 50, "", f", loss=0.5, val_loss={loss}"),
        lambda n, loss: f"Epoch {n}\n" + trained() + bar(10, 10, "Val: ") + f"\nval loss: {loss}\n",
    ],
)
def test_other_places(tmp_path, made):
    run = run_of(tmp_path, "".join(made(n, loss) for n, loss in LOSSES.items()) + "\n")
    (name,) = [name for name in run.metrics if name.lower().endswith("loss")]
    assert curve(run, name) == LOSSES
    assert run.info.step_unit == "epoch"


def test_lines_behind_many_states_of_bars(tmp_path):
    """A bar is drawn hundreds of times between the line of the epoch and that of its values."""
    drawn = "".join(bar(done, 200, "Training: ", ", loss=0.5") for done in range(201))
    checked = "".join(bar(done, 90, "Validating: ") for done in range(91))
    parts = [f"Epoch {n}/8\n{drawn}\n{checked}\nVal Loss: {loss}\n" for n, loss in LOSSES.items()]
    assert curve(run_of(tmp_path, "".join(parts)), "val_loss") == LOSSES


def test_what_a_line_announces_stands_behind_bars(tmp_path):
    """As PyTorch-YOLOv3 prints it."""
    parts = [
        f"{bar(33, 33, f'Training Epoch {n}: ')}\n---- Evaluating Model ----\n{bar(6, 6, 'Validating: ')}"
        f"{bar(4, 4, 'Computing AP: ')}\n---- mAP {value:.5f} ----\n"
        for n, value in LOSSES.items()
    ]
    (run,) = runs_of(tmp_path, "".join(parts))[0]
    (name,) = run.metrics
    assert curve(run, name) == LOSSES
    assert name.endswith("mAP")


def test_pairs_in_front_of_a_bar_of_epochs(tmp_path):
    parts = [
        bar(n, 9, f"Epoch: {n}/9, Train/Val Loss: 0.5,{loss}: ") for n, loss in LOSSES.items() for _ in "ab"
    ]
    run = run_of(tmp_path, "".join(parts) + "\n")
    (name,) = run.metrics
    assert curve(run, name) == LOSSES


def test_within_an_epoch(tmp_path):
    parts = []
    for at, loss in enumerate((0.875, 0.75, 0.5, 0.625)):
        parts.append(f"Epoch {1 + at // 2}/2\n" if at % 2 == 0 else "")
        parts += [bar(50 * (1 + at % 2), 100, "Train: ", ", loss=0.5"), evaluated(loss)]
    assert curve(run_of(tmp_path, "".join(parts))) == {0.5: 0.875, 1: 0.75, 1.5: 0.5, 2: 0.625}


def test_one_bar_of_the_training(tmp_path):
    parts = []
    for n, loss in LOSSES.items():
        parts += [bar(50 * n - 25, 150, "Training: "), bar(50 * n, 150, "Training: "), evaluated(loss)]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run) == {50 * n: loss for n, loss in LOSSES.items()}
    assert run.info.planned_steps == 150


def test_each_training_is_a_run(tmp_path):
    parts = [
        f"Epoch {n}/3\n" + trained() + evaluated(loss + fold) for fold in (0, 1) for n, loss in LOSSES.items()
    ]
    runs, _ = runs_of(tmp_path, "".join(parts))
    assert [curve(run)[1] for run in runs] == [0.75, 1.75]


def test_a_name_that_touches_its_share(tmp_path):
    """tqdm writes the share right behind the name where this ends without a space."""
    parts = [f"Epoch {n}\n" + bar(10, 10, f"val loss: {loss:.3f}") for n, loss in LOSSES.items()]
    assert curve(run_of(tmp_path, "".join(parts))) == LOSSES


def test_a_bar_of_all_epochs_beside_bars_of_evaluations(tmp_path):
    """The bar of kohya's training goes on from epoch to epoch, so it counts the steps."""
    values = [0.5, 0.25, 0.375]
    text = ""
    for epoch, value in enumerate(values, 1):
        text += f"\nepoch {epoch}/3\n" + bar(10 * epoch, 30, "steps: ", ", avr_loss=0.75") + "\n"
        text += bar(5, 5, "epoch validation steps: ", f", val_epoch_avg_loss={value}, timestep=400") + "\n"
    run = run_of(tmp_path, text)
    assert (run.info.step_unit, run.info.planned_steps) == ("step", 30)
    assert curve(run, "val_epoch_avg_loss") == {10: 0.5, 20: 0.25, 30: 0.375}


def drawn(epochs, postfix_of, *, ahead):
    """The states of a bar of all epochs, with what it shows: before it counts the epoch, or behind that."""
    text, shown = bar(0, epochs, "Epochs: "), ""
    for epoch in range(1, epochs + 1):
        new = postfix_of(epoch)
        text += bar(epoch - ahead, epochs, "Epochs: ", shown) + bar(epoch - ahead, epochs, "Epochs: ", new)
        shown = new
    return text + bar(epochs, epochs, "Epochs: ", shown) + "\n"


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("every", [1, 5])
def test_what_a_bar_of_all_epochs_shows(tmp_path, ahead, every):
    """Rasa evaluates every few epochs, and draws the bar again behind each epoch."""
    values = [0.75, 0.5, 0.625]

    def postfix_of(epoch):
        number = (epoch - 1) // every if ahead else epoch // every - 1
        of_eval = f", val_t_loss={values[number]}" if number >= 0 and (ahead or epoch % every == 0) else ""
        return f", t_loss={2 - epoch / 100}{of_eval}"

    run = run_of(tmp_path, drawn(3 * every, postfix_of, ahead=ahead))
    begin = 1 if ahead else every
    places = [begin + every * number for number in range(3)]
    assert curve(run, "val_t_loss") == dict(zip(places, values, strict=True))
    assert (run.info.step_unit, run.info.planned_epochs) == ("epoch", 3 * every)


def test_values_behind_a_dash(tmp_path):
    """segmentation_models_pytorch."""
    text = "".join(
        f"\nEpoch: {epoch}\n"
        + bar(50, 50, "train: ", ", dice_loss - 0.5, iou_score - 0.5")
        + "\n"
        + bar(5, 5, "valid: ", f", dice_loss - {loss}, iou_score - 0.6")
        + "\n"
        for epoch, loss in LOSSES.items()
    )
    assert curve(run_of(tmp_path, text), "val_dice_loss") == LOSSES

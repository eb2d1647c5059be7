"""Tables with a column per set, or a row per set."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import run_of

VALUES = {1: 0.75, 2: 0.5, 3: 0.625}


def table(rows, style="fancy_grid"):
    """As tabulate prints it."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    if style == "pipe":
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])
    lines = [f"│ {' │ '.join(row)} │" for row in cells]
    rule = "┼".join("─" * (width + 2) for width in widths)
    return f"╒{rule}╕\n" + f"\n├{rule}┤\n".join(lines) + f"\n╘{rule}╛"


def of_columns(loss, accuracy="0.6"):
    return [
        ["", "train", "validation", "test"],
        ["accuracy", "0.5", accuracy, "0.4"],
        ["loss", "0.9", str(loss), ""],
    ]


def of_rows(loss):
    head = ["label", "loss", "accuracy"]
    return [head, ["train", "0.9", "0.5"], ["vali", str(loss), "0.6"], ["test", "0.8", "0.4"]]


@pytest.mark.parametrize("style", ["fancy_grid", "pipe"])
@pytest.mark.parametrize("rows_of", [of_columns, of_rows])
@pytest.mark.parametrize(
    ("head", "unit"),
    [
        ("Running evaluation for step: {step}, epoch: {epoch}", "step"),
        ("Epoch {epoch}", "epoch"),
        ("----- Epoch {epoch}/3 -----", "epoch"),
    ],
)
def test_tables_of_sets(tmp_path, style, rows_of, head, unit):
    text = "".join(
        f"{head.format(step=10 * epoch, epoch=epoch)}\nEvaluation took 1s\n\n{table(rows_of(loss), style)}\n"
        "'label' 'loss' decreased by 0.1.\n"
        for epoch, loss in VALUES.items()
    )
    run = run_of(tmp_path, text)
    size = 10 if unit == "step" else 1
    assert run.info.step_unit == unit
    assert curve(run, "validation_loss") == {size * epoch: loss for epoch, loss in VALUES.items()}
    assert set(curve(run, "validation_accuracy").values()) == {0.6}
    assert set(curve(run, "test_accuracy").values()) == {0.4}
    assert set(run.train) == {"train_loss", "train_accuracy"}


def test_tables_of_several_outputs(tmp_path):
    text = "".join(
        f"Running evaluation for step: {10 * epoch}, epoch: {epoch}\n"
        f"{table(of_columns(loss))}\n{table(of_columns(2 * loss, '0.7'))}\n"
        for epoch, loss in VALUES.items()
    )
    run = run_of(tmp_path, text)
    assert curve(run, "validation_loss") == {10 * epoch: loss for epoch, loss in VALUES.items()}
    assert curve(run, "validation_loss (2)") == {10 * epoch: 2 * loss for epoch, loss in VALUES.items()}


def test_one_table_is_no_curve(tmp_path):
    text = f"Epoch 1\nval_acc: 0.5\nEpoch 2\nval_acc: 0.625\n{table(of_columns(0.75))}\n"
    assert list(run_of(tmp_path, text).metrics) == ["val_acc"]

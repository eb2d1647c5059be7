"""Steps that begin again while the epochs go on."""

import json

import pytest

from replay.data.finding import Kind
from replay.readers import read
from tests.readers.columns import curve


def write_rows(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    path.write_text("".join(",".join(line) + "\n" for line in lines))


def rows_of(epochs, begins, first=1):
    """Rows of four steps per epoch, whose steps begin again at some epochs."""
    rows, step = [], 0
    for epoch in range(first, first + epochs):
        step = 0 if epoch in begins else step
        for _ in range(4):
            step += 10
            rows.append({"epoch": epoch, "step": step, "train_loss": 3 / len([*rows, 1])})
        rows.append({"epoch": epoch, "step": step, "val_loss": 2 / epoch})
    return rows


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv"])
@pytest.mark.parametrize("begins", [{5}, {3, 6}, set(range(2, 9))], ids=["once", "twice", "each epoch"])
def test_one_training_whose_steps_begin_again(tmp_path, name, begins):
    write_rows(tmp_path / name, rows_of(8, begins))
    (run,) = read(tmp_path).runs
    assert curve(run) == {40 * epoch: 2 / epoch for epoch in range(1, 9)}
    (finding,) = (one for one in run.info.findings if one.kind is Kind.STEPS_COUNTED_ON)
    assert finding["epochs"] == tuple(sorted(begins))


def test_a_training_that_begins_anew_has_epochs_that_do(tmp_path):
    again = [
        {**row, "val_loss": row["val_loss"] + 1} if "val_loss" in row else row for row in rows_of(4, set())
    ]
    write_rows(tmp_path / "log.jsonl", [*rows_of(4, set()), *again])
    assert len(read(tmp_path).runs) == 2


def test_a_resume_in_the_middle_of_an_epoch_is_no_new_count(tmp_path):
    rows = rows_of(6, set())
    write_rows(tmp_path / "log.jsonl", [*rows[:18], *rows[11:]])
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == [40 * epoch for epoch in range(1, 7)]
    assert Kind.STEPS_COUNTED_ON not in {finding.kind for finding in run.info.findings}


def test_steps_from_0_do_not_meet_those_before(tmp_path):
    rows = [
        {"epoch": epoch, "step": step, "train_loss": 1 / (epoch + 1), "val_loss": 2 / (4 * epoch + step + 1)}
        for epoch in range(3)
        for step in range(4)
    ]
    write_rows(tmp_path / "log.jsonl", rows)
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == list(range(12))


def test_evals_that_count_epochs_as_their_steps_are_placed(tmp_path):
    rows = []
    for epoch in range(10):
        rows += [
            {"epoch": epoch, "step": 40 * epoch + step, "train_loss": 1 / (epoch + 1)} for step in (10, 40)
        ]
        rows.append({"epoch": epoch + 1, "step": epoch + 1, "val_loss": 2 / (epoch + 1)})
    write_rows(tmp_path / "log.jsonl", rows)
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == [40 * epoch for epoch in range(1, 11)]
    assert Kind.TWO_CLOCKS in {finding.kind for finding in run.info.findings}

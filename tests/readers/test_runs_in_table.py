"""Tables of several trainings, tables of finished runs, and tables without a step."""

import json

import pytest

import replay
from replay.data.finding import Kind
from replay.readers import NothingFound, read
from replay.readers.formats import csv_log
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal


def table(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]), encoding="utf-8")


@pytest.mark.parametrize("by_turns", [True, False])
@pytest.mark.parametrize(
    ("column", "labels", "ids"),
    [
        ("fold", [0, 1, 2], ["fold=0", "fold=1", "fold=2"]),
        ("seed", [17, 23], ["seed=17", "seed=23"]),
        ("run_name", ["small", "large"], ["large", "small"]),
    ],
)
def test_a_column_that_names_the_training_gives_a_run_each_in_one_group(
    tmp_path, column, labels, ids, by_turns
):
    rows = [
        (label, epoch, 1 / epoch, number + 1 / epoch)
        for number, label in enumerate(labels)
        for epoch in range(1, 6)
    ]
    if by_turns:
        rows.sort(key=lambda row: row[1])
    table(tmp_path / "cv.csv", f"{column},epoch,train_loss,val_loss", rows)
    runs = {run.id.partition("#")[2]: run for run in replay.load(str(tmp_path))}
    assert sorted(runs) == ids
    assert len({run.info.group for run in runs.values()}) == 1
    for number, label in enumerate(labels):
        run = runs[f"{column}={label}" if isinstance(label, int) else label]
        assert curve(run) == {epoch: number + 1 / epoch for epoch in range(1, 6)}
        assert set(run.train) == {"train_loss"}


def test_a_column_with_one_value_is_no_second_training(tmp_path):
    table(tmp_path / "log.csv", "seed,epoch,val_loss", [(7, epoch, 1 / epoch) for epoch in range(1, 6)])
    (run,) = replay.load(str(tmp_path))
    assert len(run) == 5


def test_folds_of_different_epochs_are_not_split(tmp_path):
    """A column that changes once, such as the id of the process, does not name a training."""
    rows = [(1 + (epoch > 3), epoch, 1 / epoch) for epoch in range(1, 7)]
    table(tmp_path / "log.csv", "run_id,epoch,val_loss", rows)
    (run,) = replay.load(str(tmp_path))
    assert len(run) == 6


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("model,epochs,train_loss,eval_loss", [("a", 3, 0.9, 1.1), ("b", 3, 0.8, 1.0), ("c", 3, 0.7, 0.9)]),
        ("Name,lr,step,val_loss", [("sweep-1", 1e-3, 900, 1.1), ("sweep-2", 1e-4, 700, 1.0)]),
        ("config,max_steps,epochs,eval_loss", [("x", "all", 1, 0.5), ("y", "all", 1, 0.4)]),
    ],
)
def test_a_table_of_finished_runs_is_refused_with_what_would_work(tmp_path, header, rows):
    table(tmp_path / "summary.csv", header, rows)
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    (text,) = sentences(caught.value.findings)
    assert f"a table with one row per run ({len(rows)} rows, told apart by {header.split(',')[0]})" in text
    assert "give the logs of the runs" in text


def test_a_name_that_all_rows_share_is_that_of_the_run(tmp_path):
    rows = [("mine", epoch, 1 / epoch) for epoch in range(1, 6)]
    table(tmp_path / "log.csv", "model,epoch,val_loss", rows)
    (run,) = replay.load(str(tmp_path))
    assert len(run) == 5


@pytest.mark.parametrize(
    "header",
    ["loss,acc,val_loss,val_acc", "train_loss,train_acc,valid_loss,valid_acc", "Train Loss,Val Loss"],
)
def test_a_table_without_a_step_is_read_by_row(tmp_path, header):
    width = header.count(",") + 1
    rows = [[round((column + 2) / row, 4) for column in range(width)] for row in range(1, 7)]
    table(tmp_path / "history.csv", header, rows)
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert run.info.step_unit == "epoch"
    assert [finding.kind for finding in run.info.findings] == [Kind.ROWS_AS_EPOCHS]


@pytest.mark.parametrize("header", ["price,loss", "loss,accuracy", "val_loss,val_acc", "x,test_loss,y"])
def test_other_tables_without_a_step_are_no_log(tmp_path, header):
    rows = [[1.0 / row] * (header.count(",") + 1) for row in range(1, 7)]
    table(tmp_path / "data.csv", header, rows)
    with pytest.raises(NothingFound):
        read(tmp_path)


@pytest.mark.parametrize(("column", "labels"), [("fold", [1, 2, 3]), ("run_name", ["wide", "deep"])])
def test_lines_of_json_that_name_the_training(tmp_path, column, labels):
    rows = [
        {column: label, "epoch": epoch, "loss": 2 / epoch, "val_loss": number + 1 / epoch}
        for epoch in range(1, 6)
        for number, label in enumerate(labels)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "cv.jsonl").write_text(text, encoding="utf-8")
    runs = {run.id.partition("#")[2]: run for run in replay.load(str(tmp_path))}
    assert len({run.info.group for run in runs.values()}) == 1
    for number, label in enumerate(labels):
        run = runs[f"{column}={label}" if isinstance(label, int) else label]
        assert curve(run) == {epoch: number + 1 / epoch for epoch in range(1, 6)}
        assert set(run.train) == {"loss"}


def test_lines_of_json_with_several_evals_per_epoch(tmp_path):
    rows = []
    for epoch in range(3):
        for part in range(1, 41):
            rows.append({"epoch": epoch, "train_loss": 1 / (epoch * 40 + part)})
            if part % 20 == 0:
                rows.append({"epoch": epoch, "val_loss": 2 / (epoch * 40 + part)})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "log.jsonl").write_text(text, encoding="utf-8")
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


@pytest.mark.parametrize("column", ["run_id", "trial", "seed"])
def test_a_row_per_training_with_a_number_is_no_curve(tmp_path, column):
    rows = [(7 + run, 0.5 - run / 100, 10 + 3 * run) for run in range(6)]
    table(tmp_path / "runs.csv", f"{column},val_loss,epochs", rows)
    assert f"a table with one row per run (6 rows, told apart by {column})" in refusal(
        csv_log.FORMAT, tmp_path / "runs.csv"
    )


def test_a_number_that_counts_the_epochs_names_no_training(tmp_path):
    table(tmp_path / "log.csv", "run,epoch,val_loss", [(n, n, 0.5 - n / 100) for n in range(1, 7)])
    (run,) = read(tmp_path).runs
    assert len(run.steps) == 6


@pytest.mark.parametrize("column", ["fold", "n_estimators", "train_size", "alpha"])
def test_a_row_per_fold_or_size_is_no_training(tmp_path, column):
    rows = [(n, 0.5 / n, 0.6 / n) for n in range(1, 6)]
    table(tmp_path / "results.csv", f"{column},train_loss,val_loss", rows)
    with pytest.raises(NothingFound):
        read(tmp_path)

"""A column that says which set a row is about, under its usual names and values."""

import json

import pytest

from replay.readers import read
from replay.readers.splits import find_set, is_set_column, names_a_set, parse_set
from tests.readers.columns import curve

COLUMNS = [
    *("split", "phase", "stage", "mode", "subset", "dataset", "set", "partition"),
    *("data_split", "Split", "eval_set"),
]
VALUES = [
    ("train", "val"),
    ("Train", "Validation"),
    ("training", "dev"),
    ("TRAIN", "TEST"),
    ("trn", "vld"),
    ("train", "valid_seen"),
    ("train_set", "eval_set"),
    ("fit", "validate"),
    ("tr", "va"),
    ("train", "vl"),
]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(("train", "held_out"), VALUES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "tsv"])
def test_rows_of_the_held_out_set_are_the_evals(tmp_path, column, train, held_out, kind):
    rows = []
    for epoch in range(1, 7):
        rows.append({"epoch": epoch, column: train, "loss": 1 / epoch, "acc": epoch / 9})
        rows.append({"epoch": epoch, column: held_out, "loss": 1.5 / epoch, "acc": epoch / 10})
    if kind == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        sign = "," if kind == "csv" else "\t"
        lines = [list(rows[0]), *(row.values() for row in rows)]
        text = "".join(sign.join(map(str, line)) + "\n" for line in lines)
    (tmp_path / f"log.{kind}").write_text(text)
    (run,) = read(tmp_path).runs
    loss, accuracy = run.metrics
    assert loss.endswith("/loss")
    assert accuracy.endswith("/acc")
    assert curve(run, loss) == {epoch: 1.5 / epoch for epoch in range(1, 7)}
    assert run.train["loss"].value.tolist() == [1 / epoch for epoch in range(1, 7)]


def test_two_held_out_sets_and_a_learning_rate(tmp_path):
    rows = ["step,phase,loss,lr"]
    for step in range(10, 60, 10):
        rows += [f"{step},train,{9 / step},0.1", f"{step},val,{8 / step},0.1", f"{step},test,{7 / step},0.1"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    (run,) = read(tmp_path).runs
    assert run.metrics == ("val/loss", "test/loss")
    assert curve(run, "test/loss") == {step: 7 / step for step in range(10, 60, 10)}
    assert run.columns["learning_rate"].present.all()


@pytest.mark.parametrize(("flag", "yes"), [("is_train", "False"), ("training", "false"), ("is_val", "1")])
def test_a_yes_or_no(tmp_path, flag, yes):
    no = {"False": "True", "false": "true", "1": "0"}[yes]
    rows = [f"{epoch},{no},{1 / epoch}\n{epoch},{yes},{2 / epoch}" for epoch in range(1, 5)]
    (tmp_path / "log.csv").write_text(f"epoch,{flag},loss\n" + "\n".join(rows) + "\n")
    (run,) = read(tmp_path).runs
    (name,) = run.metrics
    assert curve(run, name) == {epoch: 2 / epoch for epoch in range(1, 5)}


def test_a_column_of_values_is_no_flag(tmp_path):
    (tmp_path / "losses.csv").write_text("epoch,train,val\n1,1,1\n2,1,0\n3,0,0\n")
    (run,) = read(tmp_path).runs
    assert run.metrics == ("val",)


@pytest.mark.parametrize("text", ["", "law", "max", "warmup", "train/val", "a test of four words here", "0"])
def test_other_texts_name_no_set(text):
    assert parse_set(text) is None


def test_names_of_columns():
    assert is_set_column("Data Split")
    assert not is_set_column("note")
    assert find_set([("mode", "max"), ("split", "dev")]).name == "dev"
    assert find_set([("mode", 3)]) is None


@pytest.mark.parametrize("column", ["fold", "loader", "which", "event"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_any_column_that_holds_the_names_of_sets(tmp_path, column, kind):
    rows = [
        (epoch, part, 0.5 + epoch / 8 + (part == "val")) for epoch in (1, 2, 3) for part in ("train", "val")
    ]
    if kind == "csv":
        text = f"epoch,{column},loss\n" + "".join(f"{epoch},{part},{loss}\n" for epoch, part, loss in rows)
    else:
        text = "".join(
            json.dumps({"epoch": epoch, column: part, "loss": loss}) + "\n" for epoch, part, loss in rows
        )
    path = tmp_path / f"log.{kind}"
    path.write_text(text)
    (run,) = read(path).runs
    assert curve(run, "val/loss") == {1: 1.625, 2: 1.75, 3: 1.875}


def test_a_training_may_be_called_test(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,experiment,train_loss,val_loss\n1,test,0.9,0.5\n2,test,0.8,0.25\n")
    (run,) = read(path).runs
    assert list(run.metrics) == ["val_loss"]


def test_a_short_word_in_another_column_names_no_set():
    """The state Virginia, in a table of places."""
    assert not names_a_set("place", "va")
    assert names_a_set("subset", "va")


@pytest.mark.parametrize("name", ["metrics.csv", "log.jsonl"])
def test_first_letters_of_sets(tmp_path, name):
    rows = [(epoch, letter, 1 / epoch) for epoch in (1, 2, 4) for letter in "TV"]
    lines = {
        "metrics.csv": ["epoch,phase,loss", *(f"{epoch},{letter},{loss}" for epoch, letter, loss in rows)],
        "log.jsonl": [json.dumps(dict(zip(("epoch", "phase", "loss"), row, strict=True))) for row in rows],
    }
    (tmp_path / name).write_text("".join(f"{line}\n" for line in lines[name]), encoding="utf-8")
    (run,) = read(tmp_path).runs
    assert run.metrics == ("val/loss",)
    assert curve(run, "val/loss") == {1: 1.0, 2: 0.5, 4: 0.25}
    assert set(run.train) == {"loss"}


def test_a_letter_in_another_column_is_no_set():
    assert find_set([("grade", "V")]) is None
    assert not names_a_set("grade", "V")

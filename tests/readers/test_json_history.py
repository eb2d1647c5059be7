"""JSON with one list of values per metric."""

import json

import pytest

from replay.readers import read, sniff
from replay.readers.formats.json_history import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import load_if_usable, refusal
from tests.readers.tracked import TRACKERS

BOOSTED = TRACKERS / "boosting"


def put(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def load(tmp_path, document):
    path = put(tmp_path / "history.json", document)
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    return run, sentences([*findings, *run.info.findings])


def test_a_history_of_keras(tmp_path):
    lists = {"loss": [2.0, 1.5, 1.2], "val_loss": [1.0, 0.5, 0.7], "learning_rate": [0.1, 0.1, 0.01]}
    run, problems = load(tmp_path, lists)
    assert not problems
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 0.7}
    assert run.info.step_unit == "epoch"
    assert run.columns["train_loss"].values.tolist() == [2.0, 1.5, 1.2]
    assert run.columns["learning_rate"].values.tolist() == [0.1, 0.1, 0.01]


def test_inside_another_object(tmp_path):
    run, _ = load(tmp_path, {"params": {"epochs": 3}, "out": {"history": {"val_acc": [0.5, 0.6]}}})
    assert curve(run, "val_acc") == {1: 0.5, 2: 0.6}


def test_a_list_of_rows_inside_a_document(tmp_path):
    rows = [{"epoch": epoch, "train_loss": 2 / epoch, "val_loss": 1 / epoch} for epoch in (1, 2, 3)]
    rows[1]["val_acc"] = 0.5
    run, _ = load(tmp_path, {"args": {"lr": 0.1}, "history": rows})
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 1 / 3}
    assert curve(run, "val_acc") == {2: 0.5}
    assert set(run.train) == {"train_loss"}
    for other in ([{"name": "a", "val_loss": 0.5}], [], [rows[0], 3]):
        path = put(tmp_path / "other.json", {"trials": other})
        assert not FORMAT.sniff(path, path.read_bytes())


def test_json_lines_with_lists_are_not_its_own(tmp_path):
    rows = [{"epoch": epoch, "test_scores": [0.1, 0.2]} for epoch in range(3)]
    path = put(tmp_path / "log.txt", "\n".join(map(json.dumps, rows)))
    assert not FORMAT.sniff(path, path.read_bytes())


def test_the_trainings_of_several_folds(tmp_path):
    folds = {f"fold {fold}": {"loss": [3, 2], "val_loss": [fold, fold / 2]} for fold in (1, 2, 3)}
    path = put(tmp_path / "folds.json", folds)
    runs = read(path).runs
    assert [run.id.rpartition("/")[2] for run in runs] == ["fold 1", "fold 2", "fold 3"]
    assert [curve(run) for run in runs] == [{1: fold, 2: fold / 2} for fold in (1, 2, 3)]


@pytest.mark.parametrize(
    ("name", "values", "steps"),
    [
        ("step", [10, 20, 30], [10, 20, 30]),
        ("global_step", [10, 20, 30], [10, 20, 30]),
        ("epoch", [0, 1, 2], [1, 2, 3]),
        ("epoch", [1, 2, 3], [1, 2, 3]),
        ("epochs", [5, 10, 15], [5, 10, 15]),
    ],
)
def test_a_list_that_numbers_the_values(tmp_path, name, values, steps):
    run, _ = load(tmp_path, {name: values, "train_loss": [3, 2, 1], "val_loss": [1.0, 0.5, 0.7]})
    assert run.steps.tolist() == steps
    assert run.columns["val_loss"].values.tolist() == [1.0, 0.5, 0.7]


def test_numbers_as_words_and_missing_values(tmp_path):
    text = '{"val_loss": [0.9, 0.8, NaN, 0.7, null, 0.6, Infinity, 0.5, "nan"], "loss": [9,8,7,6,5,4,3,2,1]}'
    run, _ = load(tmp_path, text)
    values, present = run.columns["val_loss"]
    assert run.steps.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert present.all()
    assert str(values.tolist()) == "[0.9, 0.8, nan, 0.7, 0.6, inf, 0.5, nan]"


def test_lists_of_other_lengths_are_left_out_by_name(tmp_path):
    lists = {"batch_loss": [1.0] * 30, "val_loss": [3.0, 2.0, 1.0], "val_acc": [0.1, 0.2, 0.3]}
    run, problems = load(tmp_path, {**lists, "val_bleu": [0.1]})
    assert set(run.metrics) == {"val_loss", "val_acc"}
    assert not run.train
    (problem,) = problems
    assert "each of the 3 evals" in problem
    assert problem.endswith("batch_loss, val_bleu")


def test_only_train_figures(tmp_path):
    run, _ = load(tmp_path, {"losses": [3.0, 2.0, 1.0]})
    assert not len(run)
    assert "validation_data" in sentences([run.info.eval_hint])[0]


@pytest.mark.parametrize(
    ("name", "held_out", "first", "count"),
    [
        ("lightgbm.json", {"valid_1/auc", "valid_1/binary_logloss"}, 1, 8),
        ("xgboost.json", {"holdback/auc", "holdback/logloss"}, 0, 8),
        (
            "catboost.json",
            {f"validation_{n}/{metric}" for n in (0, 1) for metric in ("AUC", "Logloss")},
            0,
            12,
        ),
    ],
)
def test_what_boosting_libraries_record(name, held_out, first, count):
    path = BOOSTED / name
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    assert not findings
    assert set(run.metrics) == held_out
    assert run.steps.tolist() == list(range(first, first + count))
    assert run.train
    sets = json.loads(path.read_text())
    for metric in run.metrics:
        data, _, short = metric.partition("/")
        assert list(curve(run, metric).values()) == sets[data][short]


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"val_loss": 0.5},
        {"val_loss": []},
        {"val_loss": [None]},
        {"val_loss": ["a", "b"]},
        {"names": [1, 2]},
        {"epochs": 3, "lr": [0.1, 0.2]},
        {"loss": {"steps": [1, 2], "values": [0.5, 0.4], "timestamps": [1, 2]}},  # one curve, with its steps
        {"a": {"b": {"c": {"d": {"val_loss": [1, 2]}}}}},
        {"train": {"auc": [0.5]}, "name": "x"},
        {"train": {}},
    ],
)
def test_other_documents(tmp_path, document):
    path = put(tmp_path / "other.json", document)
    assert not FORMAT.sniff(path, path.read_bytes())
    if isinstance(document, dict):
        assert "no row holds a number" in refusal(FORMAT, path)


@pytest.mark.parametrize("name", ["lightgbm.json", "xgboost.json", "catboost.json"])
def test_cut_off_anywhere(tmp_path, name):
    whole = (BOOSTED / name).read_text()
    sets = json.loads(whole)
    longest = 0
    for size in range(0, len(whole), 7):
        runs, problems = load_if_usable(FORMAT, put(tmp_path / name, whole[:size]))
        assert problems
        for run in runs:
            for metric in run.metrics:
                data, _, short = metric.partition("/")
                values = list(curve(run, metric).values())
                assert values == sets[data][short][: len(values)]
                longest = max(longest, len(values))
    assert longest == len(next(iter(next(iter(sets.values())).values())))


def test_a_history_beside_its_table_is_one_run(tmp_path):
    losses = [1.25, 0.75, 0.5, 0.625]
    put(tmp_path / "history.json", {"loss": [2, 1.5, 1.25, 1], "val_loss": losses})
    rows = "".join(f"{epoch},{2 - epoch / 4},{loss}\n" for epoch, loss in enumerate(losses))
    put(tmp_path / "log.csv", "epoch,loss,val_loss\n" + rows)
    found = read(tmp_path)
    assert len(found.runs) == len(found.duplicates) == 1


VALUES = {1: 0.5, 2: 0.25, 3: 0.375}
SHAPES = {
    "an object per epoch": {str(n): {"train_loss": 0.9, "val_loss": v} for n, v in VALUES.items()},
    "named epochs, unordered": {f"epoch_{n}": {"val": {"loss": v}} for n, v in reversed(VALUES.items())},
    "pandas, by column": {
        "epoch": {str(n - 1): n for n in VALUES},
        "val_loss": {str(n - 1): v for n, v in VALUES.items()},
    },
    "pandas, split": {
        "columns": ["epoch", "val_loss"],
        "index": [0, 1, 2],
        "data": [[n, v] for n, v in VALUES.items()],
    },
    "inside another object": {
        "args": {"lr": 0.1},
        "log": {f"epoch {n}": {"val_loss": v} for n, v in VALUES.items()},
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_tables_in_other_shapes(tmp_path, shape):
    run, problems = load(tmp_path, json.dumps(SHAPES[shape], indent=1))
    assert not problems
    (name,) = run.metrics
    assert curve(run, name) == VALUES
    assert run.info.step_unit == "epoch"


def test_pairs_of_step_and_value(tmp_path):
    document = {
        "val_loss": [[100 * n, v] for n, v in VALUES.items()],
        "train_loss": [[50 * n, 0.9] for n in range(1, 7)],
    }
    run, problems = load(tmp_path, document)
    assert not problems
    assert curve(run) == {100 * n: v for n, v in VALUES.items()}
    assert run.info.step_unit == "step"
    assert run.train["train_loss"].step.tolist() == [50, 100, 150, 200, 250, 300]


def test_a_list_of_trainings(tmp_path):
    folds = [{"train_loss": [0.9, 0.8], "val_loss": [0.5, 0.25 + k]} for k in range(3)]
    runs = read(put(tmp_path / "history.json", folds)).runs
    assert [curve(run) for run in runs] == [{1: 0.5, 2: 0.25 + k} for k in range(3)]


@pytest.mark.parametrize(
    "document",
    [
        {
            "0": {"precision": 0.5, "recall": 0.25, "support": 7},
            "1": {"precision": 0.5, "recall": 0.5, "support": 9},
        },
        {"1": {"name": "a"}, "2": {"name": "b"}},
        [[1, 2], [3, 4]],
        {"columns": ["a", "b"], "data": [[1, 2]]},
    ],
)
def test_other_tables_are_no_logs(tmp_path, document):
    assert sniff(put(tmp_path / "a.json", json.dumps(document, indent=1))) is None


LOSSES = [0.5, 0.25, 0.375]
SETS = {
    "lists": {"train": {"loss": [0.9, 0.8, 0.7]}, "val": {"loss": LOSSES}},
    "rows": {
        "train": [{"epoch": n, "loss": 0.9} for n in (1, 2, 3)],
        "val": [{"epoch": n, "loss": loss} for n, loss in enumerate(LOSSES, 1)],
    },
    "rows without epochs": {"train": [{"loss": 0.9}] * 3, "val": [{"loss": loss} for loss in LOSSES]},
    "epochs beside them": {"epochs": [1, 2, 3], "train": {"loss": [0.9] * 3}, "val": {"loss": LOSSES}},
    "below the metric": {
        "loss": {"train": [0.9] * 3, "val": LOSSES},
        "acc": {"train": [0.5] * 3, "val": [0.5] * 3},
    },
    "a noun": {
        "train_losses": [0.9] * 3,
        "val_metrics": [{"epoch": n, "loss": v} for n, v in enumerate(LOSSES, 1)],
    },
}


@pytest.mark.parametrize("shape", SETS)
def test_curves_that_are_kept_apart_by_set(tmp_path, shape):
    run, problems = load(tmp_path, SETS[shape])
    assert not problems
    assert curve(run, "val/loss") == dict(enumerate(LOSSES, 1))
    assert run.info.step_unit == "epoch"


def test_sets_with_steps_of_their_own(tmp_path):
    document = {
        "train": [{"step": 100 * n, "loss": 0.9} for n in range(1, 7)],
        "val": [{"step": 200 * n, "loss": loss} for n, loss in enumerate(LOSSES, 1)],
    }
    run, _ = load(tmp_path, document)
    assert curve(run, "val/loss") == {200 * n: loss for n, loss in enumerate(LOSSES, 1)}
    assert run.train["train/loss"].step.tolist() == [100, 200, 300, 400, 500, 600]


@pytest.mark.parametrize(
    "folds",
    [
        [[{"epoch": n, "val_loss": loss} for n, loss in enumerate(LOSSES, 1)]] * 2,
        [{"fold": k, "history": {"loss": [0.9] * 3, "val_loss": LOSSES}} for k in (1, 2)],
    ],
)
def test_folds_in_a_list(tmp_path, folds):
    runs = FORMAT.load([put(tmp_path / "history.json", folds)], "run").runs
    assert [curve(run) for run in runs] == [dict(enumerate(LOSSES, 1))] * 2


def test_rows_with_an_object_that_groups_their_values(tmp_path):
    rows = [{"epoch": n, "metrics": {"train_loss": 1 / n, "val_loss": 2 / n}} for n in (1, 2, 3)]
    run, _ = load(tmp_path, {"results": rows, "config": {"val_loss_weight": 0.5}})
    assert curve(run, "val_loss") == {1: 2.0, 2: 1.0, 3: 2 / 3}
    assert run.metrics == ("val_loss",)


@pytest.mark.parametrize(("metric", "spread", "first"), [("valid auc", "stdv", 1), ("test-auc", "std", 0)])
def test_rounds_of_a_cross_validation(tmp_path, metric, spread, first):
    lists = {f"{metric}-mean": [0.7, 0.8, 0.9], f"{metric}-{spread}": [0.1, 0.2, 0.1]}
    path = tmp_path / "cv.json"
    path.write_text(json.dumps(lists))
    (run,) = FORMAT.load([path], "cv").runs
    assert run.info.step_unit == "step"
    assert curve(run, f"{metric}-mean") == dict(enumerate([0.7, 0.8, 0.9], first))


@pytest.mark.parametrize(("epochs", "evals", "every"), [(10, 5, 2), (11, 5, 2), (10, 3, 3), (6, 1, 6)])
def test_a_history_of_keras_with_an_eval_every_few_epochs(tmp_path, epochs, evals, every):
    """validation_freq=2: no value says of which epoch it is."""
    values = [2.0 - 0.25 * number for number in range(evals)]
    lists = {"loss": [3 / epoch for epoch in range(1, epochs + 1)], "val_loss": values}
    run, problems = load(tmp_path, lists)
    assert curve(run) == {every * number: value for number, value in enumerate(values, 1)}
    assert len(run.train["loss"].value) == epochs
    assert any(f"one after every {every} epochs is assumed" in problem for problem in problems)


def test_a_history_whose_evals_fit_no_interval_is_not_spread(tmp_path):
    run, problems = load(tmp_path, {"loss": [3, 2, 1, 1, 1, 1, 1, 1, 1, 1], "val_loss": [2, 1, 1.5, 1.6]})
    assert run.steps.tolist() == [1, 2, 3, 4]
    assert any("do not have one value for each of the 4 evals" in problem for problem in problems)


@pytest.mark.parametrize(
    "fields",
    [
        lambda loss: {"val_loss": {"value": loss, "n": 128}},
        lambda loss: {"val_loss": [loss]},
        lambda loss: {"metrics": [{"name": "val_loss", "value": loss}]},
        lambda loss: {"metrics": {"val_loss": {"mean": loss, "std": 0.1}}},
    ],
)
def test_figures_in_the_rows_of_a_document(tmp_path, fields):
    rows = [{"epoch": epoch, **fields(1 / epoch)} for epoch in (1, 2, 4)]
    (tmp_path / "results.json").write_text(json.dumps({"config": {"lr": 0.1}, "history": rows}))
    (run,) = read(tmp_path).runs
    assert run.metrics == ("val_loss",)
    assert curve(run, "val_loss") == {1: 1.0, 2: 0.5, 4: 0.25}

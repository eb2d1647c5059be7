"""Tables of the evaluators of sentence-transformers, of several versions."""

import pytest

from replay.readers import read
from replay.readers.evaluator_table import evaluator_name, is_evaluator
from replay.report.sentences import sentences
from tests.readers.columns import curve

SPEARMAN = [0.71, 0.78, 0.8, 0.79, 0.77]


def put(folder, rows, header="epoch,steps,cosine_pearson,cosine_spearman", name="sts-b"):
    path = folder / "eval" / f"similarity_evaluation_{name}_results.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_version_2_evaluates_at_the_end_of_epochs(tmp_path):
    put(tmp_path, [f"{epoch},-1,0.5,{value}" for epoch, value in enumerate(SPEARMAN)])
    (run,) = read(tmp_path).runs
    assert set(run.metrics) == {"cosine_pearson", "cosine_spearman"}
    assert curve(run, "cosine_spearman") == dict(zip(range(1, 6), SPEARMAN, strict=True))
    assert run.info.step_unit == "epoch"


def test_version_2_counts_steps_anew_in_each_epoch(tmp_path):
    rows = []
    for epoch in range(3):
        rows += [f"{epoch},{step},0.5,{0.5 + epoch / 10 + step / 9000}" for step in (300, 600, 900)]
        rows.append(f"{epoch},-1,0.5,{0.65 + epoch / 10}")
    put(tmp_path, rows)
    (run,) = read(tmp_path).runs
    assert len(run) == 12
    assert run.steps[3::4].tolist() == [1, 2, 3]
    assert run.columns["cosine_spearman"].values[3::4].tolist() == [0.65, 0.75, 0.65 + 2 / 10]
    assert all(
        epoch < step < epoch + 1 for epoch in range(3) for step in run.steps[4 * epoch : 4 * epoch + 3]
    )


def test_version_3_counts_all_steps(tmp_path):
    rows = ["-1,-1,0.2,0.3"]
    rows += [
        f"{step / 40},{step},0.5,{value}" for step, value in zip(range(20, 120, 20), SPEARMAN, strict=True)
    ]
    put(tmp_path, [*rows, "-1,-1,0.9,0.9"])
    (run,) = read(tmp_path).runs
    values = {0: 0.3, **dict(zip(range(20, 120, 20), SPEARMAN, strict=True))}
    assert curve(run, "cosine_spearman") == values  # the evaluation after the training has no step
    assert run.columns["epoch"].values[1:].tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_several_evaluators_are_one_run(tmp_path):
    for name in ("sts-b", "sick"):
        put(tmp_path, [f"{epoch},-1,0.5,{value}" for epoch, value in enumerate(SPEARMAN)], name=name)
    (run,) = read(tmp_path).runs
    assert "sts-b/cosine_spearman" in run.metrics
    assert "sick/cosine_spearman" in run.metrics


def test_rows_without_the_thresholds_of_their_header(tmp_path):
    header = "epoch,steps,cosine_accuracy,cosine_accuracy_threshold,cosine_f1,cosine_f1_threshold,cosine_ap"
    put(tmp_path, [f"{epoch},-1,0.8{epoch},0.9{epoch},0.7" for epoch in range(4)], header)
    (run,) = read(tmp_path).runs
    assert curve(run, "cosine_f1") == {1: 0.9, 2: 0.91, 3: 0.92, 4: 0.93}
    assert not any("threshold" in name for name in run.metrics)


def test_a_second_training_in_the_same_file(tmp_path):
    values = [*SPEARMAN, *(value / 2 for value in SPEARMAN)]
    put(tmp_path, [f"{row % 5},-1,0.5,{value}" for row, value in enumerate(values)])
    assert [len(run) for run in read(tmp_path).runs] == [5, 5]


def test_a_row_that_is_cut_off(tmp_path):
    path = put(tmp_path, [f"{epoch},-1,0.5,{value}" for epoch, value in enumerate(SPEARMAN)])
    path.write_text(path.read_text()[:-6])
    found = read(tmp_path)
    assert len(found.runs[0]) == 4
    assert sentences(found.findings)[0].endswith("its last row is cut off; it is left out")


@pytest.mark.parametrize(
    ("header", "is_one"),
    [
        ("epoch,steps,cossim_accuracy,cossim_f1,cossim_ap,dot_ap", True),
        ("epoch,steps,accuracy_cosinus,accuracy_manhattan,accuracy_euclidean", True),
        ("epoch,steps,cos_sim-Accuracy@1,cos_sim-MRR@10,dot_score-NDCG@10", True),
        ("epoch,steps,MSE", True),
        ("epoch,steps,train_loss,lr", False),
        ("epoch,step,accuracy", False),
        ("epoch,steps", False),
    ],
)
def test_headers(header, is_one):
    assert is_evaluator(header.split(",")) is is_one


def test_names(tmp_path):
    names = {
        "similarity_evaluation_sts-dev_results": "sts-dev",
        "Information-Retrieval_evaluation_quora_results": "quora",
        "mse_evaluation_TED_results": "TED",
        "binary_classification_evaluation_results": "binary_classification_evaluation_results",
    }
    for stem, name in names.items():
        assert evaluator_name(tmp_path / f"{stem}.csv") == name


def test_a_resumed_process_evaluates_a_step_once_more(tmp_path):
    rows = ["0.5,100,0.5,0.61", "1.0,200,0.5,0.64", "1.0,200,0.5,0.66", "1.5,300,0.5,0.63"]
    put(tmp_path, rows)
    (run,) = read(tmp_path).runs
    assert curve(run, "cosine_spearman") == {100: 0.61, 200: 0.66, 300: 0.63}


def test_the_last_step_evaluated_once_more_is_the_first_value(tmp_path):
    put(tmp_path, ["0.5,100,0.5,0.61", "1.0,200,0.5,0.64", "1.0,200,0.5,0.66"])
    (run,) = read(tmp_path).runs
    assert curve(run, "cosine_spearman") == {100: 0.61, 200: 0.64}

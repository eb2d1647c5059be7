"""Logs of one run that show it by epochs, or as a terminal did, beside its own files."""

import json

import pytest

from replay.data.finding import Kind
from replay.readers import read

LOSS = [1.51234, 1.20456, 1.10321, 1.15678, 1.09876, 1.02345, 1.14567, 1.19753]


def state(folder, values=LOSS, per_epoch=7):
    """What transformers stores: steps, and epochs in full."""
    rows = [
        {"step": 3 * place, "epoch": 3 * place / per_epoch, "eval_loss": value}
        for place, value in enumerate(values, 1)
    ]
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows, "global_step": 24}))


def printed(path, values=LOSS, per_epoch=7):
    """What transformers prints of it: four digits, and no step."""
    lines = [
        {"eval_loss": f"{value:.4g}", "epoch": f"{3 * place / per_epoch:.4g}"}
        for place, value in enumerate(values, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_text_with_epochs_shows_the_run_beside_it(tmp_path):
    state(tmp_path / "checkpoint-24")
    printed(tmp_path / "train.log")
    found = read(tmp_path)
    (run,) = found.runs
    assert run.info.format == "trainer-state"
    assert len(found.duplicates) == 1


@pytest.mark.parametrize("values", [[loss + 0.01 for loss in LOSS], LOSS[::-1]])
def test_a_text_with_other_values_is_another_run(tmp_path, values):
    state(tmp_path / "checkpoint-24")
    printed(tmp_path / "train.log", values)
    assert len(read(tmp_path).runs) == 2


def test_a_text_with_other_epochs_is_another_run(tmp_path):
    state(tmp_path / "checkpoint-24")
    printed(tmp_path / "train.log", per_epoch=8)
    assert len(read(tmp_path).runs) == 2


def test_a_text_that_goes_further_than_the_log_is_kept(tmp_path):
    state(tmp_path / "checkpoint-24", LOSS[:5])
    printed(tmp_path / "train.log")
    (run,) = read(tmp_path).runs
    assert run.info.format == "text"
    assert len(run) == len(LOSS)
    assert run.info.planned_steps is None


@pytest.mark.parametrize(("name", "expected"), [("cout.txt", 1), ("other.txt", 2)])
def test_what_a_tracker_kept_of_the_terminal_is_its_run_however_it_is_rounded(tmp_path, name, expected):
    metrics = {"val_loss": {"steps": list(range(1, 9)), "values": LOSS, "timestamps": []}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    lines = (f"Epoch {epoch}: val_loss: {loss:.1f}" for epoch, loss in enumerate(LOSS, 1))
    (tmp_path / name).write_text("\n".join([*lines, ""]))
    runs = read(tmp_path).runs
    assert len(runs) == expected
    assert {run.info.format for run in runs} == {"sacred", "text"} if expected == 2 else {"sacred"}


def test_what_a_tracker_kept_of_the_terminal_is_no_run_where_nothing_was_evaluated(tmp_path):
    metrics = {"loss": {"steps": list(range(1, 9)), "values": LOSS, "timestamps": []}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    lines = (f"step {step}, loss {loss:.2f}" for step, loss in enumerate(LOSS, 1))
    (tmp_path / "cout.txt").write_text("\n".join([*lines, ""]))
    (run,) = read(tmp_path).runs
    assert run.info.format == "sacred"


def by_epoch(path, epochs, values=LOSS):
    """A table of another tool on the same run, which knows epochs only."""
    path.parent.mkdir(parents=True)
    rows = [f"{epoch!r},{value!r}" for epoch, value in zip(epochs, values, strict=True)]
    path.write_text("\n".join(["epoch,val_loss", *rows, ""]))


@pytest.mark.parametrize(("per_epoch", "expected"), [(7, 1), (8, 2)])
def test_logs_in_steps_and_in_epochs_are_of_one_run_where_the_epochs_agree(tmp_path, per_epoch, expected):
    state(tmp_path / "out" / "checkpoint-24")
    by_epoch(tmp_path / "metrics" / "history.csv", [3 * place / per_epoch for place in range(1, 9)])
    runs = read(tmp_path).runs
    assert len(runs) == expected
    assert "trainer-state" in {run.info.format for run in runs}


def test_logs_in_epochs_with_other_values_are_other_runs(tmp_path):
    state(tmp_path / "out" / "checkpoint-24")
    epochs = [3 * place / 7 for place in range(1, 9)]
    by_epoch(tmp_path / "metrics" / "history.csv", epochs, [loss + 0.01 for loss in LOSS])
    assert len(read(tmp_path).runs) == 2


def test_a_model_card_after_a_resume_shows_the_run_beside_it(tmp_path):
    """The card has the evals of the last process only, and four decimals of small losses."""
    rows = [
        {"step": 3 * at, "epoch": at / 2, "eval_loss": value / 50, "eval_dev_cosine": value / 3}
        for at, value in enumerate(LOSS, 1)
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows, "global_step": 24}))
    card = "| Epoch | Step | Training Loss | Validation Loss | dev_cosine |\n|:-:|:-:|:-:|:-:|:-:|\n"
    for row in rows[3:]:
        card += f"| {row['epoch']:.4f} | {row['step']} | 0.5 | {row['eval_loss']:.4f} | "
        card += f"{row['eval_dev_cosine']:.4f} |\n"
    (tmp_path / "README.md").write_text(f"### Training Logs\n\n{card}")
    found = read(tmp_path)
    assert [run.info.format for run in found.runs] == ["trainer-state"]
    assert len(found.duplicates) == 1


def boosted(path, parts, begin=0):
    """What XGBoost prints: five decimals, and rounds from 0 again after ``xgb_model=``."""
    lines = [f"[{at}]\teval-logloss:{value:.5f}" for part in parts for at, value in enumerate(part, begin)]
    path.write_text("\n".join(lines) + "\n")


def history(path, values):
    """What XGBoost keeps of its last training, in full."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"eval": {"logloss": values}}))


FIRST = [0.69314718, 0.64173229, 0.61872999, 0.60832111, 0.59930444, 0.60970777]
SECOND = [0.67003012, 0.67259888, 0.66451432, 0.66098771, 0.66185002, 0.66364555]


def test_a_text_of_two_trainings_is_kept_whole_beside_the_history_of_the_second(tmp_path):
    boosted(tmp_path / "train.log", [FIRST, SECOND])
    history(tmp_path / "evals_result.json", SECOND)
    found = read(tmp_path)
    assert [run.info.format for run in found.runs] == ["text", "text"]
    assert [run.metrics for run in found.runs] == [("eval-logloss",)] * 2
    assert len(found.duplicates) == 1
    first, second = ([one for one in run.info.findings if one.kind is Kind.MORE_DIGITS] for run in found.runs)
    assert not first
    assert [one["file"] for one in second] == [str(tmp_path / "evals_result.json")]


def test_a_history_is_kept_where_the_rounding_of_the_text_hides_a_best_value(tmp_path):
    hidden = [*SECOND[:4], SECOND[3] - 1e-6, SECOND[5]]
    boosted(tmp_path / "train.log", [FIRST, hidden])
    history(tmp_path / "evals_result.json", hidden)
    assert sorted(run.info.format for run in read(tmp_path).runs) == ["json-history", "text"]


def test_histories_of_all_trainings_of_a_text_are_kept(tmp_path):
    boosted(tmp_path / "train.log", [FIRST, SECOND])
    history(tmp_path / "one" / "evals_result.json", FIRST)
    history(tmp_path / "two" / "evals_result.json", SECOND)
    found = read(tmp_path)
    assert [run.info.format for run in found.runs] == ["json-history", "json-history"]
    assert len(found.duplicates) == 2


def test_a_history_is_kept_beside_a_text_of_its_training_alone(tmp_path):
    boosted(tmp_path / "train.log", [SECOND])
    history(tmp_path / "evals_result.json", SECOND)
    (run,) = read(tmp_path).runs
    assert run.info.format == "json-history"

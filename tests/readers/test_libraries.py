"""Logs that libraries wrote give the evals that the library made; `libraries/README.md` names them."""

import math
from pathlib import Path

import pytest

from replay.readers import read
from tests.readers.columns import curve

LIBRARIES = Path(__file__).parent / "libraries"

#: The loss on the validation data after each epoch, as Lightning's callback_metrics has it.
LIGHTNING = [
    1.0916985273361206,
    1.0104084014892578,
    0.9893341064453125,
    0.9807106256484985,
    0.9732304215431213,
    0.9691487550735474,
]


def runs_of(name):
    return read(LIBRARIES / name).runs


def run_of(name):
    (run,) = runs_of(name)
    return run


@pytest.mark.parametrize(
    ("folder", "metric"), [("lightning-test", "val_loss"), ("dvclive-lightning", "val/loss")]
)
def test_a_test_after_the_training_is_no_eval(folder, metric):
    run = run_of(folder)
    assert run.steps.tolist() == [7, 15, 23, 31, 39, 47]
    assert list(curve(run, metric).values()) == pytest.approx(LIGHTNING, rel=1e-6)
    assert not [name for name in run.metrics if "test" in name]
    assert [(one.kind, one["step"]) for one in run.info.findings] == [("finished-model", 48)]
    assert run.info.resumes == ()


def test_two_evaluators_share_the_epoch():
    run = run_of("evaluators")
    assert run.steps.tolist() == [4, 8, 12, 16, 20, 24, 28, 30]
    assert sorted(run.metrics) == [
        "dev/cosine_pearson",
        "dev/cosine_spearman",
        "other/cosine_pearson",
        "other/cosine_spearman",
    ]
    assert run.columns["epoch"].values[-1] == 5


def test_fine_tune_of_fastai_is_two_trainings():
    first, second = runs_of("fastai-fine-tune")
    assert curve(first, "valid_loss") == {1: 1.7026}
    assert curve(second, "valid_loss") == {1: 1.604895, 2: 1.486916, 3: 1.453208}


def test_a_training_that_diverged_at_once_has_evals():
    run = run_of("fastai-nan")
    assert len(run) == 5
    assert all(map(math.isnan, curve(run, "valid_loss").values()))


def test_evals_of_mmengines_loop_over_iterations_follow_the_training():
    run = run_of("mmengine-iterations")
    assert run.steps.tolist() == [8, 20, 28, 40]
    assert list(curve(run, "mse").values()) == pytest.approx([0.97758, 0.97026, 0.96977, 0.97143], abs=5e-6)


def test_event_files_of_mmengine_are_of_the_run_beside_them():
    run = run_of("mmengine-tensorboard")
    assert run.steps.tolist() == [8, 16, 24, 32, 40]
    expected = [1.01317, 0.97744, 0.97243, 0.97159, 0.97143]
    assert list(curve(run, "mse").values()) == pytest.approx(expected, abs=5e-6)


def test_spacys_scores_are_those_of_evals():
    run = run_of("spacy")
    assert run.steps.tolist() == [0, 20, 40, 60, 80, 100, 120]
    assert list(curve(run, "score").values()) == [0.9, 1, 1, 1, 1, 1, 1]
    assert "losses/textcat" in run.train


def test_a_short_training_of_catboost_and_what_it_printed_are_one_run():
    run = run_of("catboost-short")
    assert list(curve(run, "test/Logloss").values()) == pytest.approx([0.6662187, 0.6433977], abs=5e-8)


def test_a_table_of_the_second_phase_is_in_the_group_of_the_text_that_shows_both(tmp_path):
    text = (LIBRARIES / "fastai-fine-tune" / "train.log").read_text()
    (tmp_path / "train.log").write_text(text)
    (tmp_path / "out").mkdir()
    rows = ["epoch,train_loss,valid_loss,acc,time"]
    rows += [",".join(line.split()) for line in text.splitlines()[-3:]]
    (tmp_path / "out" / "history.csv").write_text("".join(f"{row}\n" for row in rows))
    first, second = sorted(read(tmp_path).runs, key=len)
    assert (len(first), len(second), second.info.format) == (1, 3, "csv")
    assert first.info.group == second.info.group

"""Output that real libraries printed (see `printed/README.md`), with the values that they trained with."""

import json
from pathlib import Path

import pytest

from replay.readers import read, sniff
from replay.readers.formats.text_log import FORMAT
from tests.readers.columns import curve

PRINTED = Path(__file__).parent / "printed"


def runs_of(name):
    path = PRINTED / name
    assert sniff(path) is FORMAT
    found = read(path)
    assert not found.findings
    return found.runs


def test_two_trainings_of_transformers():
    """The steps are those that the Trainer logged, although no line of the text names one."""
    runs = runs_of("transformers.txt")
    truth = json.loads((PRINTED / "transformers.json").read_text(encoding="utf-8"))
    assert len(runs) == len(truth) == 2
    for run, logged in zip(runs, truth, strict=True):
        evals = {int(step): value for step, value in logged["eval_loss"].items()}
        assert curve(run, "eval_loss") == pytest.approx(evals, rel=5e-4)
        assert run.train["loss"].step.tolist() == [int(step) for step in logged["loss"]]
        assert run.info.planned_steps == run.trained_steps == 249
        assert run.info.train_runtime > 0
        assert run.info.group
        assert curve(run, "epoch")[249] == 3


@pytest.mark.parametrize("name", ["keras-bar.txt", "keras-lines.txt"])
def test_two_folds_of_keras(name):
    first, second = runs_of(name)
    assert curve(first) == pytest.approx({1: 0.549057, 2: 0.536628, 3: 0.524854, 4: 0.5142}, abs=5e-5)
    assert curve(second) == pytest.approx({1: 0.670965, 2: 0.656526, 3: 0.642105, 4: 0.628292}, abs=5e-5)
    assert first.train["loss"].value == pytest.approx([0.50803, 0.497191, 0.486393, 0.475812], abs=5e-5)
    assert first.info.step_unit == "epoch"
    assert first.info.planned_epochs == 4


def test_lightning():
    (run,) = runs_of("lightning.txt")
    expected = {1: 4.033501, 2: 1.966796, 3: 0.964981, 4: 0.476661, 5: 0.237187}
    assert curve(run) == pytest.approx(expected, rel=5e-3)  # it prints three digits
    assert run.info.step_unit == "epoch"


def test_lightning_that_validates_every_second_epoch():
    """The bar goes on showing the values of the last validation."""
    (run,) = runs_of("lightning-every-2.txt")
    assert curve(run) == pytest.approx({2: 1.966796, 4: 0.476661}, rel=5e-3)
    assert run.trained_steps == 5


def test_lightning_that_validates_within_epochs():
    """Its CSVLogger wrote these values at steps 4, 9, 14, …"""
    (run,) = runs_of("lightning-within.txt")
    values = [4.83, 3.43, 2.98, 2.25, 1.97, 1.58]
    assert curve(run) == {(at + 1) / 2: value for at, value in enumerate(values)}


@pytest.mark.parametrize("name", ["lightning-rich.txt", "lightning-rich-pipe.txt"])
def test_lightning_with_rich(name):
    """On a terminal, the values of a validation may be shown in the next epoch only."""
    (run,) = runs_of(name)
    assert curve(run) == pytest.approx({1: 1.81829, 2: 0.792017, 3: 0.348855, 4: 0.155321}, abs=5e-4)
    trained = [5.746883, 2.419345, 1.026079, 0.438632]
    assert run.train["train_loss"].value == pytest.approx(trained, abs=5e-4)
    assert run.info.planned_epochs == 4


def test_lightgbm():
    """Three trainings that were stopped early, then a cross-validation."""
    runs = runs_of("lightgbm.txt")
    assert [len(run) for run in runs] == [8, 4, 5, 10]
    assert [run.info.stopped_by for run in runs] == ["early stopping (6 rounds)"] * 3 + [None]
    assert curve(runs[0], "holdout_a/auc")[2] == 0.900165
    assert runs[3].metrics == ("valid/auc",)


def test_xgboost():
    """The second training goes on from the model of the first, and counts from 0."""
    first, second = runs_of("xgboost.txt")
    assert first.steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert curve(second, "holdout-logloss") == {0: 0.51687, 3: 0.52020, 6: 0.52917, 9: 0.53128, 11: 0.52729}


def test_catboost():
    first, second, third = runs_of("catboost.txt")
    assert first.steps.tolist() == list(range(30))
    assert first.info.modes == second.info.modes == {"test": "max"}
    assert second.info.stopped_by == "early stopping (8 rounds)"
    assert curve(third, "test1") == {0: 0.4091512, 5: 0.2876213, 10: 0.2427960, 11: 0.2292894}


def test_spacy():
    (run,) = runs_of("spacy.txt")
    assert curve(run, "dev_SCORE") == {0: 0.9, 10: 0.83, 20: 0.87, 30: 0.87, 40: 0.9, 50: 0.97, 60: 0.97}
    assert curve(run, "epoch")[60] == 12
    assert run.train["train_LOSS_TEXTCAT"].value.tolist() == [0.25, 2.36, 2.08, 1.86, 1.66, 1.48, 1.35]

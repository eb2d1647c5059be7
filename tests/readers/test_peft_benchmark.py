"""Results of PEFT's method comparison."""

import json

import pytest

from replay.readers import sniff
from replay.readers.formats.peft_benchmark import FORMAT
from tests.readers.columns import curve
from tests.readers.golden import ACCURACY, STEPS, golden
from tests.readers.reading import refusal


def result(tmp_path, **changes):
    document = json.loads(golden("peft-benchmark").read_text())
    document["train_info"] |= changes
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document))
    return path


def test_the_evals_and_what_the_file_says_of_the_run():
    (run,), findings = FORMAT.load([golden("peft-benchmark")], "run")
    assert not findings
    assert set(run.metrics) == {"valid accuracy", "valid loss"}  # the test metric is of the finished model
    assert curve(run, "valid accuracy") == dict(zip(STEPS, ACCURACY, strict=True))
    assert run.info.planned_steps == 200
    assert run.info.complete is True
    assert run.info.model == "team/small-model"
    assert run.info.hyperparameters["r"] == 8
    assert run.info.extra["test accuracy"] == 0.71
    assert run.columns["eval_seconds"].values.tolist() == [1.5] * 6


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_run_that_did_not_end(tmp_path, status):
    (run,), _ = FORMAT.load([result(tmp_path, status=status)], "run")
    assert run.info.complete is False


def test_nothing_to_use(tmp_path):
    empty = result(tmp_path, metrics=[])
    assert sniff(empty) is FORMAT
    assert "no row holds a number" in refusal(FORMAT, empty)
    assert "no row holds a number" in refusal(FORMAT, result(tmp_path, metrics=[{"valid accuracy": 0.5}, 3]))
    assert "no row holds a number" in refusal(FORMAT, result(tmp_path, metrics=None))
    other = tmp_path / "other.json"
    other.write_text('{"run_info": {"name": "x"}, "train_info": {"metrics": []}}')
    assert sniff(other) is None

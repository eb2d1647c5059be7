"""Offline experiments of Comet."""

import json
import math
import shutil
import zipfile

import pytest

from replay.data.finding import Kind
from replay.readers import read, sniff
from replay.readers.formats.comet import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import load_if_usable, refusal
from tests.readers.tracked import TRACKERS, accuracies, cuts, losses

RESUMED, KILLED = TRACKERS / "comet" / "resumed", TRACKERS / "comet" / "killed"
TOLD = {"local_timestamp": 1, "message_id": 1}


def metric(name, value, step=None, epoch=None, **more):
    stated = {"epoch": epoch, "metricName": name, "metricValue": value, "step": step}
    return {"payload": {**TOLD, "metric": stated, **more}, "type": "metric_msg"}


def put(path, *messages):
    path.write_text("".join(json.dumps(message) + "\n" for message in messages))
    return path


def archive(path, messages, **stated):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("file-0", "an asset")
        file.writestr("experiment.json", json.dumps(stated))
        file.writestr("messages.json", "".join(json.dumps(message) + "\n" for message in messages))
    return path


def load(path):
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    return run, sentences(findings)


def test_archives_of_one_experiment_are_one_run():
    found = read(RESUMED)
    (run,) = found.runs
    assert not found.findings
    later = {step: loss for step, loss in losses(2, 0.01).items() if step > 100}
    expected = losses(2) | later
    got = curve(run, "validate/loss")
    assert math.isnan(got.pop(200.0))
    assert got == {step: loss for step, loss in expected.items() if step < 200}
    assert curve(run, "validate/accuracy") == accuracies(2)
    assert run.info.resumes == (125.0,)
    assert set(run.train) == {"train/loss"}
    assert dict(run.info.hyperparameters) == {"lr": 5e-4}
    assert run.columns["epoch"].values.tolist() == [0, 1, 1, 2, 2, 3, 3, 4]
    assert run.info.complete is None


def test_the_order_is_that_of_the_processes_not_of_the_names(tmp_path):
    first, second = (
        [metric("val_loss", 10 - step + part / 10, step) for step in steps]
        for part, steps in ((0, range(1, 6)), (1, range(4, 9)))
    )
    archive(tmp_path / "z.zip", first, offline_id="k", start_time=1, stop_time=2)
    archive(tmp_path / "a.zip", second, offline_id="k", start_time=3)
    shutil.copy(tmp_path / "a.zip", tmp_path / "copy.zip")
    (run,) = read(tmp_path).runs
    assert curve(run) == {1: 9, 2: 8, 3: 7, 4: 6.1, 5: 5.1, 6: 4.1, 7: 3.1, 8: 2.1}
    assert run.info.complete is False  # the last process has no end


def test_metrics_without_any_step_are_placed_by_the_train_loss(tmp_path):
    messages = []
    for epoch in range(3):
        messages += [metric("loss", 1 / (4 * epoch + part + 1)) for part in range(4)]
        messages.append(metric("val_loss", 2.0 - epoch))
    run, _ = load(archive(tmp_path / "a.zip", messages, offline_id="k", start_time=1, stop_time=2))
    assert curve(run) == {4: 2.0, 8: 1.0, 12: 0.0}
    assert Kind.STEPS_NOT_LOGGED in {finding.kind for finding in run.info.findings}


def test_what_a_kill_leaves():
    found = read(KILLED)
    (run,) = found.runs
    assert curve(run, "validate/loss") == {step: loss for step, loss in losses(2).items() if step < 150}
    assert run.info.complete is False
    (problem,) = sentences(found.findings)
    assert "the archive is empty" in problem
    assert "messages.json" in problem


def test_places_without_a_step(tmp_path):
    by_epoch = [metric("val_loss", 1 / epoch, None, epoch) for epoch in (1, 2, 3)]
    run, _ = load(put(tmp_path / "messages.json", *by_epoch))
    assert curve(run) == {1: 1, 2: 1 / 2, 3: 1 / 3}
    assert run.info.step_unit == "epoch"
    rows = [
        metric("loss", 1.0, 10),
        metric("val_loss", 0.5),
        metric("loss", 0.9, 20),
        metric("val_loss", 0.4),
    ]
    run, _ = load(put(tmp_path / "messages.json", *rows))
    assert curve(run) == {10: 0.5, 20: 0.4}
    none = put(tmp_path / "messages.json", metric("val_loss", 0.5), metric("val_loss", 0.4))
    run, _ = load(none)
    assert curve(run) == {1: 0.5, 2: 0.4}
    nothing = put(tmp_path / "messages.json", metric("val_loss", "a text", 1))
    assert "no row holds a number beside its step" in refusal(FORMAT, nothing)


def test_values_and_names(tmp_path):
    rows = [
        metric("loss", "NaN", 1, context="validate"),
        metric("loss", "Infinity", 2, context="validate"),
        metric("loss", "text", 3, context="validate"),
        metric("sys.gpu.0.val", 3, 1),
        metric("process duration", 3, 1),
        {"payload": {**TOLD, "metric": None}, "type": "metric_msg"},
        {"payload": None, "type": "metric_msg"},
        {"payload": {**TOLD, "param": {"paramName": 3}}, "type": "parameter_msg"},
    ]
    run, problems = load(put(tmp_path / "messages.json", *rows))
    assert run.metrics == ("validate/loss",)
    values = run.columns["validate/loss"].values
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert len(values) == 2
    assert not problems


@pytest.mark.parametrize("path", [*RESUMED.glob("*.zip"), *KILLED.glob("tmp*/messages.json")], ids=str)
def test_cut_off_anywhere(tmp_path, path):
    (whole,), _ = FORMAT.load([path], "run")
    longest = 0
    for _, (runs, _) in cuts(path, tmp_path, lambda cut: load_if_usable(FORMAT, cut)):
        for run in runs:
            for name in run.metrics:
                assert repr(curve(run, name))[:-1] in repr(curve(whole, name))
            longest = max(longest, len(run))
    assert longest == len(whole)


def test_other_files_are_not_its_own(tmp_path):
    assert sniff(put(tmp_path / "messages.json", {"payload": {}, "type": "text"})) is None
    assert sniff(put(tmp_path / "chat.json", {"role": "user", "content": "x"})) is None
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    assert sniff(empty) is None

"""Offline sessions of ClearML."""

import json
import zipfile

import pytest

from replay.readers import read, sniff
from replay.readers.formats.clearml import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import load_if_usable, refusal
from tests.readers.tracked import TRACKERS, accuracies, cuts, losses

PLAIN, DIVERGED = TRACKERS / "clearml" / "plain", TRACKERS / "clearml" / "diverged"


def event(iteration, value, metric="loss", variant="val", **more):
    kind = {"type": "training_stats_scalar", "iter": iteration, "metric": metric, "variant": variant}
    return {"timestamp": 1, **kind, "value": value, **more}


def put(path, *batches):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(batch) + "\n" for batch in batches))
    return path


def load(path):
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    return run, sentences(findings)


@pytest.mark.parametrize("pattern", ["offline-*/metrics.jsonl", "offline-*.zip"])
def test_what_the_library_wrote(pattern):
    (path,) = PLAIN.glob(pattern)
    run, problems = load(path)
    assert not problems
    assert curve(run, "loss/validation") == losses(1)
    assert curve(run, "accuracy/validation") == accuracies(1)
    assert set(run.train) == {"loss/train"}  # the single value "final" is no curve
    assert dict(run.info.hyperparameters) == {"lr": 5e-4, "rank": 8}
    assert run.info.extra["name"] == "plain"


def test_a_folder_and_its_archive_are_one_run():
    found = read(PLAIN)
    assert len(found.runs) == len(found.duplicates) == 1
    assert not found.findings


def test_zeros_in_place_of_nan_are_reported():
    (path,) = DIVERGED.glob("offline-*/metrics.jsonl")
    run, (problem,) = load(path)
    expected = losses(1) | {175.0: 0.0, 200.0: 0.0}
    assert curve(run, "loss/validation") == expected  # what the file holds
    assert "loss/validation is exactly 0 at step 175, 200" in problem


def test_zeros_that_are_no_trace_of_nan(tmp_path):
    events = [event(step, 0.0, "accuracy") for step in (1, 2)] + [event(3, 0.5, "accuracy")]
    events += [event(step, 0.0, "error") for step in (1, 2, 3)]  # nothing but zeros
    _, problems = load(put(tmp_path / "metrics.jsonl", events))
    assert not problems


def test_names_of_series(tmp_path):
    rows = [
        event(1, 0.5, "val_loss", "val_loss"),  # as its hook of TensorBoard names a tag without a slash
        event(1, 0.5, "eval", "accuracy"),
        event(1, 0.5, ":monitor:gpu", "gpu_0_utilization"),
        event(1, 0.5, "test", "", type="plot"),
        event(-(2**31), 0.5, "Summary", "eval best"),
        event(None, 0.5),
        event(1, None),
        {"type": "training_stats_scalar"},
        3,
    ]
    run, problems = load(put(tmp_path / "metrics.jsonl", rows))
    assert not problems
    assert set(run.metrics) == {"eval/accuracy", "val_loss"}
    assert not run.train


def test_cut_off_inside_a_batch(tmp_path):
    (path,) = PLAIN.glob("offline-*/metrics.jsonl")
    for _, (runs, findings) in cuts(path, tmp_path, lambda cut: load_if_usable(FORMAT, cut)):
        assert findings or not runs or len(runs[0]) == 8
        for run in runs:
            for name, expected in (("loss/validation", losses(1)), ("accuracy/validation", accuracies(1))):
                if name in run.metrics:
                    assert curve(run, name).items() <= expected.items()


def test_an_archive_cut_off(tmp_path):
    (path,) = PLAIN.glob("offline-*.zip")
    best = 0
    for _, (runs, _) in cuts(path, tmp_path, lambda cut: load_if_usable(FORMAT, cut)):
        for run in runs:
            for name, expected in (("loss/validation", losses(1)), ("accuracy/validation", accuracies(1))):
                if name in run.metrics:
                    assert curve(run, name).items() <= expected.items()
            best = max(best, len(run))
    assert best == 8


def test_nothing_to_use(tmp_path):
    path = put(tmp_path / "metrics.jsonl", [event(1, 0.5, type="plot")])
    assert "no row holds a number" in refusal(FORMAT, path)
    archive = tmp_path / "offline-1.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("task.json", "{")
    assert "cut off" in refusal(FORMAT, archive)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("metrics.jsonl", json.dumps([event(1, 0.5)]) + "\n")
    run, problems = load(archive)
    assert len(run) == 1
    assert not problems


def test_other_archives_and_lists_are_not_its_own(tmp_path):
    archive = tmp_path / "weights.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("metrics.jsonl", "")
    assert sniff(archive) is None
    assert sniff(put(tmp_path / "rows.jsonl", [{"step": 1, "val_loss": 0.5}])) is not FORMAT

"""What the Neptune client 1.x keeps on disk."""

import json

from replay.readers import read, sniff
from replay.readers.formats.neptune import FORMAT
from tests.readers.columns import curve
from tests.readers.reading import load_if_usable, refusal
from tests.readers.tracked import TRACKERS, accuracies, cuts, losses

STEPS, COUNTS = TRACKERS / "neptune" / "steps", TRACKERS / "neptune" / "counts"


def line(kind, path, **more):
    return {"obj": {"type": kind, "path": path.split("/"), **more}, "version": 1, "at": 1.0}


def log(path, *values):
    """One operation that appends (step, value)."""
    return line(
        "LogFloats", path, values=[{"value": value, "step": step, "ts": 1.0} for step, value in values]
    )


def put(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def load(*paths):
    assert all(sniff(path) is FORMAT for path in paths)
    (run,), findings = FORMAT.load(paths, "run")
    assert not findings
    return run


def test_what_the_library_wrote_is_found_in_its_hidden_folder():
    found = read(STEPS)
    (run,) = found.runs
    assert not found.findings
    assert curve(run, "val/loss") == losses(3)
    assert curve(run, "val/accuracy") == accuracies(3)
    assert set(run.train) == {"train/loss"}
    assert dict(run.info.hyperparameters)["lr"] == 5e-4


def test_series_without_steps_are_placed_by_the_longest():
    (run,) = read(COUNTS).runs
    # five train losses before each eval
    expected = {5.0 * number: loss for number, loss in enumerate(losses(3).values(), 1)}
    assert curve(run, "val/loss") == expected
    assert run.trained_steps == 40


def test_a_series_with_steps_beside_one_without(tmp_path):
    rows = [log("val/loss", (10, 0.5)), log("train/loss", (None, 3.0)), log("val/loss", (20, 0.4))]
    run = load(put(tmp_path / "data-1.log", *rows))
    assert curve(run, "val/loss") == {10: 0.5, 20: 0.4}


def test_several_parts_in_numerical_order(tmp_path):
    for part, steps in ((1, (1, 2)), (2, (3,)), (10, (4, 5))):
        put(tmp_path / "r" / f"data-{part}.log", *(log("val/loss", (step, 1 / step)) for step in steps))
    (run,) = read(tmp_path).runs
    assert curve(run, "val/loss") == {step: 1 / step for step in range(1, 6)}


def test_operations_that_are_no_part_of_a_curve(tmp_path):
    rows = [
        log("val/loss", (1, 9.0)),
        line("ClearFloatLog", "val/loss"),
        log("val/loss", (1, 0.5), (2, 0.4)),
        log("monitoring/gpu/test", (1, 3.0)),
        line("AssignFloat", "test/accuracy", value=0.9),
        line("ConfigFloatSeries", "val/loss", min=None),
        line("LogFloats", "val/loss", values=[{"value": None, "step": 3}, 4]),
        line("LogFloats", "val/loss", values=None),
        {"obj": None},
        {"obj": {"type": ["LogFloats"], "path": [["val"], 3]}},
        [],
    ]
    run = load(put(tmp_path / "data-1.log", *rows))
    assert curve(run, "val/loss") == {1: 0.5, 2: 0.4}
    assert not run.train


def test_cut_off_anywhere(tmp_path):
    (path,) = STEPS.glob(".neptune/offline/*/data-1.log")
    longest = 0
    for _, (runs, _) in cuts(path, tmp_path, lambda cut: load_if_usable(FORMAT, cut)):
        for run in (run for run in runs if "val/loss" in run.metrics):
            assert curve(run, "val/loss").items() <= losses(3).items()
            longest = max(longest, len(run))
    assert longest == 8


def test_nothing_to_use(tmp_path):
    path = put(tmp_path / "data-1.log", line("AssignFloat", "lr", value=0.1))
    assert sniff(path) is FORMAT
    assert "no row holds a number" in refusal(FORMAT, path)
    assert sniff(put(tmp_path / "other.log", {"obj": 3, "version": 1})) is None

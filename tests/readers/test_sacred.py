"""Sacred's runs: metrics.json, the files beside it, and what is left of a damaged one."""

import json

import pytest

from replay.readers import NothingFound, read, sniff
from replay.readers.formats.sacred import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal


def metric(values, steps=None, seconds=None):
    steps = list(range(len(values))) if steps is None else steps
    times = [f"2026-01-02T03:{s // 60:02}:{s % 60:02}" for s in seconds or range(len(values))]
    return {"steps": steps, "timestamps": times, "values": values}


def put(folder, metrics, **others):
    folder.mkdir(parents=True, exist_ok=True)
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True))
    for name, content in others.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "metrics.json"


def described(status):
    return {
        "experiment": {"name": "small"},
        "heartbeat": "x",
        "host": {},
        "start_time": None,
        "status": status,
    }


@pytest.mark.parametrize(
    ("status", "complete"),
    [("COMPLETED", True), ("FAILED", False), ("RUNNING", False), ("INTERRUPTED", False), ("QUEUED", False)],
)
def test_a_run_with_its_description(tmp_path, status, complete):
    put(
        tmp_path / "7",
        {"val.loss": metric([0.5, 0.25], [10, 20])},
        run=described(status),
        config={"max_steps": 40},
    )
    (run,) = read(tmp_path).runs
    assert run.id == "7"
    assert curve(run, "val.loss") == {10: 0.5, 20: 0.25}
    info = run.info
    assert (info.complete, info.group, info.planned_steps) == (complete, "small", 40)
    assert len(info.sources) == 2


def test_nan_and_what_is_no_number(tmp_path):
    path = put(tmp_path, {"val_loss": metric([0.5, float("nan"), "text", None], [1, 2, 3, 4])})
    (run,) = read(path).runs
    assert list(curve(run)) == [1, 2]


def test_metrics_that_were_counted_each_by_itself_go_by_their_times(tmp_path):
    train = metric([1.0 / (n + 1) for n in range(6)], seconds=[0, 10, 20, 30, 40, 50])
    path = put(tmp_path, {"loss": train, "val_loss": metric([0.5, 0.25], seconds=[25, 55])})
    (run,) = read(path).runs
    assert curve(run) == {3: 0.5, 6: 0.25}
    assert run.train["loss"].step.tolist() == [1, 2, 3, 4, 5, 6]


def test_metrics_of_one_length_keep_their_numbers(tmp_path):
    path = put(tmp_path, {"loss": metric([3.0, 2.0, 1.0]), "val_loss": metric([0.5, 0.25, 0.125])})
    assert curve(read(path).runs[0]) == {1: 0.5, 2: 0.25, 3: 0.125}


def test_an_empty_file_and_a_run_that_was_killed_before_its_first_heartbeat(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("{}")
    assert sniff(path) is FORMAT
    assert refusal(FORMAT, path) == f"{path}: the run has logged no metric"
    path.unlink()
    put(tmp_path, None, run=described("RUNNING"))
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert sentences(caught.value.findings) == [f"{tmp_path / 'run.json'}: the run has logged no metric"]


def test_files_of_others_are_passed_over(tmp_path):
    for name, content in {
        "metrics.json": {"accuracy": 0.5, "steps": [1, 2]},
        "run.json": {"status": "done"},
        "a.json": {"loss": {"values": 3}},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
        assert sniff(tmp_path / name) is None


def test_a_file_that_breaks_in_the_middle(tmp_path):
    path = put(
        tmp_path, {"a_val_loss": metric([0.5, 0.25], [1, 2]), "b_val_loss": metric([1.0, 2.0], [1, 2])}
    )
    text = path.read_text()
    at = text.index('"b_val_loss"')
    path.write_text(text[:at] + "junk" + text[at:])
    found = read(path)
    assert curve(found.runs[0], "a_val_loss") == {1: 0.5, 2: 0.25}
    assert found.runs[0].metrics == ("a_val_loss",)
    assert sentences(found.findings) == [
        f"{path}: the file is not valid JSON at character {at}; the 2 entries before are kept"
    ]


def test_a_number_that_is_cut_off_does_not_count(tmp_path):
    path = put(tmp_path, {"val_loss": metric([0.5, 0.25, 0.125], [1, 2, 3])})
    text = path.read_text()
    for end in range(text.index("0.125"), text.index("0.125") + 6):
        path.write_text(text[:end])
        found = read(path)
        assert curve(found.runs[0]) == {1: 0.5, 2: 0.25}
        assert "the file is cut off" in sentences(found.findings)[0]


def test_columns_of_other_kinds(tmp_path):
    others = {"x": {"steps": 5, "values": {}}, "y": [1], "z": {}}
    path = put(tmp_path, {"val_loss": {"steps": [1], "values": [0.5]}, **others})
    assert curve(read(path).runs[0]) == {1: 0.5}

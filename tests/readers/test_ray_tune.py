"""Ray Tune's trials: three copies of one run, and trials that were restored."""

import json

import pytest

from replay.readers import NothingFound, read
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.test_guild import put as put_events


def report(iteration, values, since=None, **own):
    return {
        **values,
        "training_iteration": iteration,
        "iterations_since_restore": iteration if since is None else since,
        "timestamp": 1_700_000_000 + iteration,
        "time_total_s": 1.0,
        "pid": 5,
        "config": {"val_share": 0.1},
        "done": False,
        **own,
    }


def put(folder, reports, *, table=True):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text("".join(json.dumps(row) + "\n" for row in reports))
    (folder / "params.json").write_text(json.dumps({"lr": 0.1}))
    if table:
        names = [name for name, value in reports[0].items() if not isinstance(value, dict)]
        rows = [names, *([str(row.get(name, "")) for name in names] for row in reports)]
        (folder / "progress.csv").write_text("".join(",".join(row) + "\r\n" for row in rows))
    return folder


def events(folder, reports):
    rows = [
        (row["training_iteration"], f"ray/tune/{name}", value)
        for row in reports
        for name, value in row.items()
        if isinstance(value, float | int) and not isinstance(value, bool)
    ]
    put_events(folder, rows)


VALUES = [{"loss": 1.0 / n, "val_loss": 2.0 / n} for n in (1, 2, 4)]
REPORTS = [report(number, values) for number, values in enumerate(VALUES, 1)]
CURVE = {1: 2.0, 2: 1.0, 3: 0.5}


def test_three_copies_are_one_run(tmp_path):
    trial = put(tmp_path / "small" / "trial_1", REPORTS)
    events(trial, REPORTS)
    found = read(tmp_path)
    assert (len(found.runs), found.duplicates, found.findings) == (1, [], [])
    (run,) = found.runs
    assert (run.id, run.info.group, run.info.format) == ("small/trial_1", "small", "ray-tune")
    assert curve(run) == CURVE
    assert list(run.train) == ["loss"]
    assert dict(run.info.hyperparameters) == {"lr": 0.1}


@pytest.mark.parametrize("left", ["progress.csv", "events"])
def test_what_is_left_without_the_results(tmp_path, left):
    trial = put(tmp_path / "trial_1", REPORTS, table=left == "progress.csv")
    events(trial, REPORTS)
    (trial / "result.json").write_text("")
    (run,) = read(tmp_path).runs
    assert run.info.format == "ray-tune"
    assert curve(run) == CURVE
    assert run.metrics == ("val_loss",)


def test_the_step_of_the_training_where_every_report_has_one(tmp_path):
    rows = [report(n, {**values, "step": 50 * n}) for n, values in enumerate(VALUES, 1)]
    put(tmp_path / "trial_1", rows)
    assert list(curve(read(tmp_path).runs[0])) == [50, 100, 150]
    rows[1].pop("step")
    put(tmp_path / "trial_1", rows)
    assert list(curve(read(tmp_path).runs[0])) == [1, 2, 3]


def test_a_restored_trial_has_its_later_values(tmp_path):
    again = [
        report(3, {"val_loss": 9.0}),
        report(3, {"val_loss": 0.4}, since=1),
        report(4, {"val_loss": 0.3}, since=2),
    ]
    put(tmp_path / "trial_1", [*REPORTS[:2], *again])
    (run,) = read(tmp_path).runs
    assert curve(run) == {1: 2.0, 2: 1.0, 3: 0.4, 4: 0.3}


def test_how_a_trial_ended(tmp_path):
    trial = put(tmp_path / "trial_1", REPORTS)
    assert read(tmp_path).runs[0].info.complete is None
    (trial / "error.txt").write_text("failed")
    assert read(tmp_path).runs[0].info.complete is False
    put(trial, [*REPORTS[:2], {**REPORTS[2], "done": True}])
    assert read(tmp_path).runs[0].info.complete is True


def test_nested_values_and_nan(tmp_path):
    rows = [report(n, {"val": {"loss": 1.0 / n}, "val_f1": float("nan")}) for n in (1, 2)]
    put(tmp_path / "trial_1", rows, table=False)
    (run,) = read(tmp_path).runs
    assert curve(run, "val/loss") == {1: 1.0, 2: 0.5}
    assert set(run.metrics) == {"val/loss", "val_f1"}


def test_lines_that_are_cut_off_or_damaged(tmp_path):
    trial = put(tmp_path / "trial_1", REPORTS)
    with (trial / "result.json").open("a") as file:
        file.write('[1]\njunk\n{"val_loss": 0.')
    found = read(tmp_path)
    assert curve(found.runs[0]) == CURVE
    cut, bad = sentences(found.findings)
    assert cut == f"{trial / 'result.json'}: its last line (6) is cut off; it is left out"
    assert bad.startswith(f"{trial / 'result.json'}: 2 of 6 lines are no")


def test_a_trial_without_a_report(tmp_path):
    trial = put(tmp_path / "trial_1", REPORTS[:1])
    (trial / "result.json").write_text('{"training_iteration": 1}\n')
    (trial / "progress.csv").write_text("")
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert "the run has logged no metric" in " ".join(sentences(caught.value.findings))


def test_results_of_others_are_not_claimed(tmp_path):
    (tmp_path / "result.json").write_text('{"accuracy": 0.5}\n')
    (tmp_path / "params.json").write_text("{}")
    (tmp_path / "log.csv").write_text("step,val_loss\n1,9.0\n2,8.0\n3,7.0\n")
    assert [run.info.format for run in read(tmp_path).runs] == ["csv"]

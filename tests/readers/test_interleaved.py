"""Two sets in turn under one name are two metrics; evals of one set are not."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.errors import InputError
from replay.readers import read
from replay.readers.interleaved import name_sets
from replay.readers.points import PointsBuilder
from replay.report.sentences import sentences
from tests.readers.events import scalar, write


def points(rows):
    builder = PointsBuilder()
    for step, values in rows:
        builder.add(float(step), values)
    return builder.points()


def names(rows, held_out=("val_f1",)):
    return list(name_sets(points(rows), held_out)[0])


def test_two_sets_in_turn_are_reported_and_asked_about(tmp_path):
    rows = []
    for epoch in range(1, 8):
        rows += [
            {"epoch": epoch, "eval_f1": 0.5 + 0.05 * epoch},
            {"epoch": epoch, "eval_f1": 0.5 + 0.03 * epoch},
        ]
    path = tmp_path / "run" / "log.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(tmp_path)
    (run,) = found.runs
    assert run.metrics == ("eval_f1 (1st of 2)", "eval_f1 (2nd of 2)")
    assert run.columns["eval_f1 (2nd of 2)"].values.tolist() == [0.5 + 0.03 * epoch for epoch in range(1, 8)]
    (text,) = sentences(found.findings)
    assert text.startswith(f"{path}: eval_f1 holds the values of 2 sets in turn, 2 at every step")
    with pytest.raises(InputError, match=r"Give --monitor; the logs have eval_f1 \(1st of 2\)"):
        replay.simulate(found.runs, ["patience=2"])
    outcomes = replay.simulate(found.runs, ["patience=2"], monitor="eval_f1 (2nd of 2)")
    assert outcomes.iloc[0].evals == 7


def test_three_sets():
    rows = [
        (step, {"val_f1": value}) for step in range(9) for value in (0.9 + step / 99, 0.5, 0.7 + step / 99)
    ]
    assert names(rows) == ["val_f1 (1st of 3)", "val_f1 (2nd of 3)", "val_f1 (3rd of 3)"]


@pytest.mark.parametrize(
    "pairs",
    [
        [(1.0, 0.9), (0.8, 0.7), (0.6, 0.5), (0.4, 0.3)],  # two evals an epoch
        [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.8, 0.8)],  # each row is written twice
        [(0.5, 0.6), (0.7, 0.4), (0.5, 0.6), (0.7, 0.4)],
        [(0.5, 0.6), (0.4, 0.5)],
    ],
)
def test_one_set_stays_one(pairs):
    rows = [(step, {"val_f1": value}) for step, pair in enumerate(pairs) for value in pair]
    assert names(rows) == ["val_f1"]


def test_sets_without_a_name_that_says_held_out():
    rows = [(step, {"f1": value}) for step in range(9) for value in (0.9 + step / 99, 0.5 + step / 99)]
    assert names(rows, ()) == ["f1 (1st of 2)", "f1 (2nd of 2)"]


def test_two_processes_repeat_the_training_too():
    rows = [
        (step, {"loss": 1 / (step + 1), "val_f1": value})
        for step in range(6)
        for value in (0.5 + step / 50, 0.6 + step / 50)
    ]
    assert names(rows) == ["loss", "val_f1"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.floats(0.05, 0.5))
def test_no_value_is_lost(base, distance):
    curve = np.cumsum(base)
    rows = [(step, {"val_f1": value}) for step, low in enumerate(curve) for value in (low, low - distance)]
    parted, _ = name_sets(points(rows), ("val_f1",))
    assert sorted(np.concatenate([series.value for series in parted.values()])) == sorted(
        value for _, row in rows for value in row.values()
    )


def test_two_sets_under_one_tag_of_an_event_file(tmp_path):
    events = [
        scalar("eval/accuracy", step, 0.5 + 0.02 * step + more) for step in range(1, 9) for more in (0.2, 0.0)
    ]
    write(tmp_path / "events.out.tfevents.1.host.1.0", events)
    (run,) = read(tmp_path).runs
    assert run.metrics == ("eval/accuracy (1st of 2)", "eval/accuracy (2nd of 2)")
    assert run.columns[run.metrics[1]].values.tolist() == pytest.approx(
        [0.5 + 0.02 * step for step in range(1, 9)]
    )

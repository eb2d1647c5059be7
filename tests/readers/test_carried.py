"""Evals that each row repeats until the next one count once; equal evals stay evals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay.readers.carried import drop_carried
from replay.readers.points import PointsBuilder

LOSSES = [0.9, 0.7, 0.6, 0.65, 0.5]


def points(columns):
    builder = PointsBuilder()
    for row, cells in enumerate(zip(*columns.values(), strict=True), 1):
        builder.add(float(row), dict(zip(columns, cells, strict=True)))
    return builder.points()


def kept(held_out=("val_loss",), **columns):
    left, findings = drop_carried(points(columns), held_out)
    return left["val_loss"].step.tolist(), left["val_loss"].value.tolist(), findings


def falling(count):
    return [1 / row for row in range(1, count + 1)]


@pytest.mark.parametrize("every", [2, 3, 7])
def test_each_eval_counts_at_its_first_row(every):
    carried = [loss for loss in LOSSES for _ in range(every)]
    steps, values, findings = kept(val_loss=carried, loss=falling(len(carried)))
    assert values == LOSSES
    assert steps == [1 + every * number for number in range(5)]
    assert findings[0]["count"] == len(carried) - 5


def test_an_eval_that_equals_the_one_before_is_kept():
    values = [0.9, 0.7, 0.7, 0.6, 0.65, 0.5]
    carried = [loss for loss in values for _ in range(4)]
    assert kept(val_loss=carried, loss=falling(24))[1] == values


@pytest.mark.parametrize(
    "columns",
    [
        {"val_loss": [loss for loss in LOSSES for _ in range(3)]},  # nothing of the training beside it
        {
            "val_loss": [loss for loss in LOSSES for _ in range(3)],
            "loss": [x for x in LOSSES for _ in range(3)],
        },
        {"val_loss": [0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9], "loss": falling(9)},  # two values
        {"val_loss": [0.9, 0.9, 0.7, 0.7, 0.7, 0.6, 0.5, 0.5, 0.5, 0.4], "loss": falling(10)},  # no rhythm
        {"val_loss": [0.9] * 12, "loss": falling(12)},
    ],
)
def test_what_may_be_evals_stays(columns):
    assert kept(**columns)[1] == columns["val_loss"]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_values_that_come_and_go_by_chance_are_never_thinned_below_their_changes(numbers):
    values = [number / 8 for number in numbers]
    _, left, _ = kept(val_loss=values, loss=falling(len(values)))
    changes = 1 + int(np.count_nonzero(np.diff(values)))
    assert changes <= len(left) <= len(values)


def test_a_patience_counts_evals(tmp_path):
    rows = [f"{10 * row + 10},{1 / (row + 1)},{LOSSES[row // 5]}\n" for row in range(25)]
    (tmp_path / "log.csv").write_text("step,loss,val_loss\n" + "".join(rows))
    (run,) = replay.load(str(tmp_path))
    assert run.evals["val_loss"].tolist() == LOSSES

"""Counters and clocks among the series of a table."""

import math

import numpy as np
import pytest

from replay.readers.clocks import clocks_of, measures_of
from replay.readers.points import Points


def clock(values, steps=None):
    steps = range(len(values)) if steps is None else steps
    return Points(np.arange(len(values)), np.array(steps, dtype=float), np.array(values, dtype=float))


SINCE_1970, SINCE_BEGIN, NO_CLOCK = "wall_time", "wall_seconds", None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([10, 20, 30, 40, 50], SINCE_BEGIN),
        ([0, 0, 0, 0, 1], SINCE_BEGIN),  # it may stand still, if not all the time
        ([10, 10, 10, 10, 10], NO_CLOCK),
        ([10, 9, 11, 12, 13], NO_CLOCK),
        ([10], NO_CLOCK),
        ([1.7e9], NO_CLOCK),
        ([10, 16], SINCE_BEGIN),  # of few values it must grow by more than half
        ([10, 15], NO_CLOCK),
        ([10, 11, 12, 15], NO_CLOCK),
        ([10, 10, 10, 10, 11], SINCE_BEGIN),
        ([-1, 5, 10, 15, 20], NO_CLOCK),
        ([10, math.nan, 30, 40, 50], NO_CLOCK),
        ([10, 20, 30, 40, math.inf], NO_CLOCK),
        ([1.7e9, 1.7e9 + 1], SINCE_1970),
        ([1e9, 1e9 + 1], NO_CLOCK),  # neither after 2001 nor grown by half
        ([1e9 + 1, 1e9 + 2], SINCE_1970),
    ],
)
def test_clocks_always_go_forward(values, kind):
    assert clocks_of({"time": clock(values)}) == ({} if kind is NO_CLOCK else {"time": kind})


def test_a_clock_may_go_back_where_the_step_does():
    resumed = [10, 20, 30, 5, 40]
    assert clocks_of({"time": clock(resumed)}) == {}
    assert clocks_of({"time": clock(resumed, [1, 2, 3, 2, 3])}) == {"time": SINCE_BEGIN}
    assert clocks_of({"time": clock(resumed, [1, 2, 3, 3, 4])}) == {}
    assert clocks_of({"time": clock([5, 4], [2, 1])}) == {}


def test_a_clock_is_known_by_its_name_and_the_first_of_each_kind_counts():
    since_begin, since_1970 = clock([10, 20, 30, 40, 50]), clock([1.7e9, 1.7e9 + 1])
    assert clocks_of({"loss": since_begin, "step_time": since_begin}) == {}
    assert clocks_of({"Elapsed Time": since_begin, "time/total_s": since_begin}) == {
        "Elapsed Time": SINCE_BEGIN
    }
    assert clocks_of({"time_total_s": since_begin, "timestamp": since_1970, "wall_time": since_1970}) == {
        "time_total_s": SINCE_BEGIN,
        "timestamp": SINCE_1970,
    }


def test_counters_and_companions_of_a_table():
    grows = clock([10, 20, 30, 40, 50])
    points = {
        "time": grows,
        "timestamp": clock([1.7e9, 1.7e9 + 1, 1.7e9 + 2]),
        "total_tokens": grows,
        "num_tokens": clock([10, 20, 15, 30, 40]),  # of the batch, it seems
        "lr": grows,
        "val_loss": grows,
        "eval_num_tokens": grows,
    }
    assert measures_of(points, {"val_loss"}) == (
        {"time": "wall_seconds", "total_tokens": "tokens"},
        {"timestamp": "wall_time", "lr": "learning_rate"},
    )
    assert measures_of({"time": grows, "lr": grows}, {"time", "lr"}) == ({}, {})

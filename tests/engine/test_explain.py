"""What is said of each eval of a run under a policy."""

import math

import pytest

from replay.engine.explain import COLUMNS, explain, pick_run
from replay.engine.question import Question
from replay.errors import InputError
from replay.policies.spec import parse_policy

from .runs import run


def explained(spec, made, **question):
    return explain(made, parse_policy(spec), Question(**question))


def column(found, name):
    return [row[name] for row in found.rows]


def test_each_eval_by_hand():
    found = explained("patience=2", run(eval_loss=[1.0, 0.8, 0.9, 0.85, 0.6]))
    assert all(tuple(row) == COLUMNS for row in found.rows)
    assert column(found, "eval") == [1, 2, 3, 4, 5]
    assert column(found, "step") == [100, 200, 300, 400, 500]
    assert column(found, "value") == column(found, "seen") == [1.0, 0.8, 0.9, 0.85, 0.6]
    assert column(found, "reference") == [None, 1.0, 0.8, 0.8, 0.8]
    assert column(found, "counter") == [0, 0, 1, 2, 0]
    assert column(found, "limit") == [2] * 5
    assert column(found, "decision") == ["continue", "continue", "continue", "stop", "after the stop"]
    assert [row["reason"] for row in found.rows][1:4] == [
        "better by 0.2",
        "no gain (1 of 2)",
        "no gain over 0.8 for 2 evals",
    ]
    assert found.outcome["stopped_eval"] == 4
    assert found.outcome["lost"] == pytest.approx(0.5)


def test_a_policy_that_never_stops_has_neither_a_counter_nor_a_threshold():
    found = explained("never", run(eval_loss=[1.0, 0.8, 0.9]))
    assert column(found, "decision") == ["continue"] * 3
    assert column(found, "reference") == column(found, "counter") == column(found, "limit") == [None] * 3


def test_what_a_policy_does_not_look_at_it_has_not_seen():
    found = explained("patience=1,every=2,smooth=mean:2", run(eval_loss=[1.0, 0.8, 0.5, 0.6, 0.7, 0.9]))
    assert column(found, "value") == [1.0, 0.8, 0.5, 0.6, 0.7, 0.9]
    assert column(found, "seen") == [None, 0.8, None, pytest.approx(0.7), None, 0.75]
    assert column(found, "decision")[-2:] == ["continue", "stop"]


def test_values_that_are_not_finite_are_shown_as_they_are():
    found = explained("nonfinite", run(eval_loss=[1.0, math.nan, 0.9]))
    assert math.isnan(column(found, "seen")[1])
    assert column(found, "decision") == ["continue", "stop", "after the stop"]


def test_the_run_of_an_id_or_of_a_part_that_no_other_has():
    empty, first, second = run("lr-1", eval_loss=[]), run("lr-10", eval_loss=[1.0]), run("b", eval_loss=[1.0])
    runs = [empty, first, second]
    assert pick_run(runs, None) is first, "the first that has evals"
    assert pick_run([empty], None) is empty
    assert pick_run(runs, "lr-1") is empty, "an id as a whole comes before a part of another"
    assert pick_run(runs, "10") is first
    with pytest.raises(InputError, match=r"^'lr' fits 2 runs: lr-1, lr-10\. Give more of the id, for"):
        pick_run(runs, "lr")
    with pytest.raises(InputError, match=r"^no run 'x'; there are lr-1, lr-10, b$"):
        pick_run(runs, "x")

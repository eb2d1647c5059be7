"""From points to runs: order, duplicates, resumes and restarts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.data.info import RunInfo
from replay.readers.assemble import assemble
from replay.readers.points import Points, PointsBuilder
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve


def build(rows):
    """Points of rows (step, {name: value})."""
    builder = PointsBuilder()
    for step, values in rows:
        builder.add(step, values)
    return builder.points()


def runs_of(rows, **options):
    return assemble("run", build(rows), held_out={"val_loss", "val_acc"}, info=RunInfo(), **options)


# ---------------------------------------------------------------- kills and resumes


def rows_of(first, last, every, junk_above, swap):
    """What one process logs of steps first to last: a train loss at each, an eval at some; junk above a
    step."""
    rows = []
    for step in range(first, last + 1):
        wrong = 7.0 if step > junk_above else 0.0
        own = [(step, {"loss": 1000.0 + step + wrong})]
        if step % every == 0:
            own.append((step, {"val_loss": 1.0 / step + wrong}))
        rows += reversed(own) if swap else own
    return rows


@st.composite
def interrupted(draw, least):
    """(steps, eval interval, rows, places where a process begins) of a training with kills, each resumed from
    a checkpoint.

    A process goes at least ``least`` steps beyond the checkpoint that the next one takes up. What it logged
    there is junk."""
    steps, every, swap = draw(st.integers(3 * least + 3, 40)), draw(st.integers(1, 6)), draw(st.booleans())
    spans = [(0, steps)]
    for _ in range(draw(st.integers(0, 3))):
        begin = spans[-1][0]
        if max(begin, 1) + least > steps:
            break
        checkpoint = draw(st.integers(max(begin, 1), steps - least))
        spans[-1] = (begin, draw(st.integers(checkpoint + least, steps)))
        spans.append((checkpoint, steps))
    rows, starts = [], []
    for place, (begin, end) in enumerate(spans):
        if place:
            starts.append(len(rows) + 1)
        junk_above = min((later for later, _ in spans[place + 1 :]), default=steps)
        rows += rows_of(begin + 1, end, every, junk_above, swap)
    return steps, every, rows, starts


@settings(max_examples=300, deadline=None)
@given(interrupted(2))
def test_kills_and_resumes_give_back_the_uninterrupted_curve(made):
    steps, every, rows, _ = made
    (run,) = runs_of(rows)
    (whole,) = runs_of(rows_of(1, steps, every, steps, False))
    assert ("val_loss" in whole.columns) == ("val_loss" in run.columns)
    assert not len(whole) or curve(run) == curve(whole)
    assert run.train["loss"].value.tolist() == whole.train["loss"].value.tolist()
    assert run.trained_steps == whole.trained_steps


@settings(max_examples=300, deadline=None)
@given(interrupted(1))
def test_where_processes_are_known_to_begin_one_step_of_overlap_is_enough(made):
    steps, every, rows, starts = made
    (run,) = runs_of(rows, starts=starts)
    (whole,) = runs_of(rows_of(1, steps, every, steps, False))
    # a process whose only step is one that was logged before has evaluated once more, as far as anyone can
    # tell
    alone = {step for step, _ in rows if sum(other == step for other, _ in rows) > 1 and step == steps}
    right = dict(zip(whole.train["loss"].step.tolist(), whole.train["loss"].value.tolist(), strict=True))
    for step, value in zip(*run.train["loss"], strict=True):
        assert step in alone or value == right[step]
    assert run.trained_steps == steps


def test_a_resume_is_told_and_its_segment_numbered():
    rows = [(step, {"val_loss": 1.0 / step}) for step in (1, 2, 3, 4, 5)] + [
        (step, {"val_loss": 2.0 / step}) for step in (3, 4, 5, 6)
    ]
    (run,) = runs_of(rows)
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 2 / 3, 4: 0.5, 5: 0.4, 6: 1 / 3}
    assert run.columns["segment"].values.tolist() == [0, 0, 1, 1, 1, 1]
    assert sentences(run.info.findings) == [
        "resumed at step 3; 3 older values of the interrupted process dropped"
    ]


def test_stated_segments_are_used_instead():
    rows = [(step, {"val_loss": step / 10}) for step in (10, 20, 30)] + [
        (30, {"val_loss": 9.0}),
        (40, {"val_loss": 8.0}),
    ]
    (run,) = runs_of(rows, resumes=[(4, 20.0)])
    assert curve(run) == {10: 1.0, 20: 2.0, 30: 9.0, 40: 8.0}


def test_restarts_become_runs_of_their_own_in_one_group():
    rows = [(step, {"val_loss": 10 * attempt + step}) for attempt in range(3) for step in (1, 2, 3)]
    runs = runs_of(rows)
    assert [run.id for run in runs] == ["run#1", "run#2", "run#3"]
    assert [curve(run)[1] for run in runs] == [1, 11, 21]
    assert {run.info.group for run in runs} == {"run"}


def test_a_restart_after_one_step_is_seen_where_the_process_is_known_to_begin():
    rows = [(1, {"val_loss": 9.0})] + [(step, {"val_loss": 1.0 / step}) for step in (1, 2, 3)]
    assert len(runs_of(rows)) == 1
    second = runs_of(rows, starts=[2])[1]
    assert curve(second) == {1: 1.0, 2: 0.5, 3: 1 / 3}


def test_the_first_value_of_a_step_is_kept_and_the_others_counted():
    rows = [(1, {"val_loss": 0.5}), (2, {"val_loss": 0.4}), (2, {"val_loss": 0.6}), (2, {"val_loss": 0.7})]
    (run,) = runs_of(rows)
    assert curve(run) == {1: 0.5, 2: 0.4}
    assert "2 values logged again" in sentence(run.info.findings[0])


def test_a_process_that_evaluates_first_at_the_first_eval_is_a_resume():
    before = [(step, {"loss": 3.0 - step / 100}) for step in (8, 16, 24, 32)] + [(32, {"val_loss": 1.25})]
    after = [(32, {"val_loss": 1.2501})]
    for step in range(40, 129, 8):
        after.append((step, {"loss": 3.0 - step / 100}))
        if step % 32 == 0:
            after.append((step, {"val_loss": 40 / step}))
    (run,) = runs_of(before + after, starts=[len(before) + 1])
    assert curve(run) == {32: 1.2501, 64: 0.625, 96: 40 / 96, 128: 0.3125}
    assert run.train["loss"].step.tolist() == list(range(8, 129, 8))
    assert run.info.resumes == (32.0,)


def test_a_process_that_goes_on_where_the_log_ended_is_a_resume():
    rows = [(step, {"loss": 1.0, "val_loss": 1.0 / step}) for step in range(3, 31, 3)]
    (run,) = runs_of(rows, starts=[7])
    assert run.info.resumes == (21.0,)
    assert run.columns["segment"].values.tolist() == [0] * 6 + [1] * 4
    assert runs_of(rows)[0].info.resumes == ()


def test_a_restart_that_evaluates_less_often_is_no_resume():
    first = [
        (step, {"loss": 1.0, **({"val_loss": 2.0} if step % 20 == 0 else {})}) for step in range(5, 85, 5)
    ]
    again = [
        (step, {"loss": 1.0, **({"val_loss": 2.0} if step % 40 == 0 else {})}) for step in range(5, 85, 5)
    ]
    runs = runs_of(first + again, starts=[len(first) + 1])
    assert [run.steps.tolist() for run in runs] == [[20, 40, 60, 80], [40, 80]]


def test_evaluating_once_more_in_a_new_process_is_no_restart():
    rows = [(step, {"val_loss": 1.0 / step}) for step in (1, 2, 3)] + [(3, {"val_loss": 9.0})]
    (run,) = runs_of(rows, starts=[4])
    assert curve(run)[3] == 1 / 3


@pytest.mark.parametrize("late", [1, 2])
def test_two_writers_whose_rows_interleave_are_one_training(late):
    rows, behind = [], []
    for step in range(10, 310, 10):
        rows.append((step, {"loss": step / 7, "val_loss": step / 10}))
        behind.append((step, {"loss": step / 7 + 0.001, "val_loss": step / 10 + 0.001}))
        if len(behind) > late:
            rows.append(behind.pop(0))
    (run,) = runs_of(rows + behind)
    assert run.steps.tolist() == list(range(10, 310, 10))
    assert set(curve(run).values()) <= {step / 10 for step in range(10, 310, 10)}


def test_two_points_out_of_order_are_put_in_order():
    (run,) = runs_of([(step, {"val_loss": float(step)}) for step in (1, 2, 4, 3, 5, 6)])
    assert curve(run) == {step: float(step) for step in range(1, 7)}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from(["val_loss", "loss", "val_acc"]), st.floats(allow_nan=True)
        ),
        max_size=30,
    )
)
def test_any_rows_give_runs_that_keep_their_own_rules(rows):
    made = assemble(
        "run",
        build((step, {name: value}) for step, name, value in rows),
        held_out={"val_loss", "val_acc"},
        info=RunInfo(),
    )
    for run in made:
        assert (np.diff(run.steps) > 0).all()
        for name in run.metrics:
            assert run.columns[name].present.any()
    assert bool(made) == bool(rows)


def test_values_keep_nan_and_infinity_and_absence_apart():
    (run,) = runs_of(
        [
            (1, {"val_loss": math.nan}),
            (2, {"val_acc": math.inf}),
            (3, {"val_loss": -math.inf, "val_acc": 0.5}),
        ]
    )
    values, present = run.columns["val_loss"]
    assert present.tolist() == [True, False, True]
    assert math.isnan(values[0])
    assert values[2] == -math.inf


def test_steps_that_are_no_numbers_are_left_out():
    points = {
        "val_loss": Points(np.arange(3), np.array([1.0, math.nan, math.inf]), np.array([1.0, 2.0, 3.0]))
    }
    (run,) = assemble("run", points, held_out={"val_loss"}, info=RunInfo())
    assert run.steps.tolist() == [1.0]


def test_nothing_gives_no_run():
    assert assemble("run", {}, held_out=set(), info=RunInfo()) == []


def test_a_log_that_begins_in_the_middle_says_so():
    (run,) = runs_of([(step, {"val_loss": 1.0 / step}) for step in range(350, 400, 10)])
    assert sentences(run.info.findings) == ["begins at step 350; what was logged before is not there"]
    rows = [(step, {"loss": 1.0}) for step in range(10, 400, 10)] + [
        (step, {"val_loss": 1.0}) for step in (300, 310, 320)
    ]
    (run,) = runs_of(rows)  # evals that begin late are no missing head
    assert not run.info.findings
    steps = [*range(120, 961, 120), *range(970, 1100, 10)]  # evaluated more often towards the end
    (run,) = runs_of([(step, {"val_loss": 1.0 / step}) for step in steps])
    assert not run.info.findings


def test_companions_and_counters_stand_beside_the_evals():
    rows = []
    for step in (10, 20, 30):
        rows += [
            (step - 5, {"loss": step + 1.0}),
            (step, {"loss": step + 3.0, "lr": 1 / step, "seen": 100.0 * step}),
            (step, {"val_loss": 0.5}),
        ]
    (run,) = runs_of(
        rows, counters={"seen": "tokens"}, companions={"loss": "train_loss", "lr": "learning_rate"}
    )
    assert run.columns["train_loss"].values.tolist() == [12.0, 22.0, 32.0]
    assert run.columns["learning_rate"].values.tolist() == [0.1, 0.05, 1 / 30]
    assert run.columns["tokens"].values.tolist() == [1000.0, 2000.0, 3000.0]
    assert "seen" not in run.train


def test_zero_based_epochs_count_what_was_trained():
    (run,) = runs_of([(epoch, {"val_loss": 1.0, "loss": 2.0}) for epoch in range(4)], zero_based=True)
    assert run.steps.tolist() == [1, 2, 3, 4]
    assert run.trained_steps == 4

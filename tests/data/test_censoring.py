"""Whether a log shows the training as it was planned, and whether it was still improving at its end."""

import math

import numpy as np
import pytest

from replay import Run
from replay.data.censoring import Censoring, CensoringKind, censoring, find_endings, planned_steps
from replay.data.curve import Curve
from replay.data.finding import Finding, Kind, Severity
from replay.data.improvement import Improvement, still_improving
from replay.data.run import Series
from replay.report.sentences import sentences
from replay.report.sentences.metric import say_censoring

FALLS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
TURNS = [1.0, 0.6, 0.5, 0.6, 0.7, 0.8]


def run(steps, meta=None, *, id="r", train=None, **columns):
    """A run with evals at some steps; ``train`` are the steps of the entries of its train loss."""
    steps = list(steps)
    values = [1 / (1 + step) for step in steps]
    series = {} if train is None else {"loss": Series(np.array(train, float), np.ones(len(train)))}
    return Run(id, {"step": steps, "eval_loss": values, **columns}, meta, series)


def reason(made):
    found = censoring(made)
    return found and say_censoring(found)


@pytest.mark.parametrize("values", [TURNS, FALLS, [math.nan, math.nan], [1.0]])
@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({}, None),
        ({"planned_steps": "last"}, None),
        ({"planned_steps": 10}, "cut short at step {} of 10"),
        ({"planned_steps": 10, "trained_steps": 10}, None),
        ({"planned_steps": 10, "stopped_by": "Early (patience 3)"}, "stopped early by Early (patience 3)"),
        ({"stopped_by": "a rule"}, "stopped early by a rule"),
    ],
)
def test_what_is_censored_does_not_depend_on_the_values(values, meta, why):
    last = len(values)
    meta = {key: last if value == "last" else value for key, value in meta.items()}
    made = Run("r", {"step": range(1, last + 1), "eval_loss": values}, meta)
    assert reason(made) == (why and why.format(last))


@pytest.mark.parametrize(
    ("steps", "train", "planned", "is_cut"),
    [
        # a training of 1203 steps that logs every 10 has its last entry at step 1200
        (range(300, 1300, 300), range(10, 1210, 10), 1203, False),
        (range(300, 1200, 300), range(10, 1200, 10), 1203, True),
        # evals alone: the next one was not due, or it was
        (range(300, 1300, 300), None, 1499, False),
        (range(300, 1300, 300), None, 1500, True),
        # steps that are counted from 0
        (range(99, 1000, 100), None, 1000, False),
        (range(99, 900, 100), None, 1000, True),
        (range(8), None, 8, False),
        (range(7), None, 8, True),
        # counted from 1, with an entry at every step
        (range(1, 8), None, 8, True),
        # one entry: nothing tells when the next was due
        ([500], None, 1000, True),
        ([999], None, 1000, True),
        ([1000], None, 1000, False),
        # more than was planned, and plans that are none
        (range(100, 1100, 100), None, 900, False),
        (range(100, 1100, 100), None, math.inf, False),
        (range(100, 1100, 100), None, -1, False),
    ],
)
def test_a_log_is_cut_short_where_a_further_entry_was_due(steps, train, planned, is_cut):
    found = censoring(run(steps, {"planned_steps": planned}, train=train))
    reached = max([*steps, *(train or [])])
    assert found == (Censoring(CensoringKind.CUT_SHORT, None, reached, planned) if is_cut else None)


@pytest.mark.parametrize(
    ("trained", "complete", "is_cut"),
    [(900, None, False), (900, True, True), (900, False, True), (949, True, False), (950, False, False)],
)
def test_where_the_log_records_its_end_each_step_counts(trained, complete, is_cut):
    """But for one: of tools that count from 0, the last of 950 steps is 949."""
    meta = {"planned_steps": 950, "trained_steps": trained, "complete": complete}
    assert (censoring(run(range(100, 1000, 100), meta)) is not None) is is_cut


def test_a_log_without_the_record_of_its_end_is_cut_short_whatever_the_plan():
    made = run([100, 200], {"complete": False, "trained_steps": 250})
    assert reason(made) == "cut short at step 250"
    assert reason(run([100, 200], {"complete": True})) is None


@pytest.mark.parametrize(
    ("epochs", "planned", "why"),
    [
        ([1.0, 2.0, 3.0, 4.0], 4, None),
        ([1.0, 2.0, 3.0, 4.0], 6, "cut short at epoch 4 of 6"),
        ([0.0, 1.0, 2.0, 3.0], 4, None),  # numbers of epochs from 0, at the end of each
        ([0.0, 1.0, 2.0, 3.0], 5, "cut short at epoch 4 of 5"),
        ([0.5, 1.0, 1.5, 1.98], 2, None),
        ([0.5, 1.0, 1.5, 1.9], 2, None),  # the next entry comes after the end
        ([0.7, 1.4, 2.1, 2.962], 3, None),
        ([0.5, 1.0, 1.5, 2.0], 3.2, "cut short at epoch 2 of 3.2"),
        ([None, None, None, None], 6, None),  # how far it came is not known
    ],
)
def test_a_plan_in_epochs(epochs, planned, why):
    made = run([100, 200, 300, 400], {"planned_epochs": planned}, epoch=epochs)
    assert reason(made) == why
    assert (planned_steps(made) is None) == (epochs[0] is None)


def test_rounding_takes_a_part_of_an_epoch_off_a_plan_in_epochs():
    """5 batches of which 2 make a step are 2 steps an epoch: step 6 ends epoch 2.4 of 3 planned ones."""
    assert reason(run(range(1, 7), {"planned_epochs": 3}, epoch=[0.4 * step for step in range(1, 7)])) is None
    early = run(range(1, 6), {"planned_epochs": 3}, epoch=[0.4 * step for step in range(1, 6)])
    assert reason(early) == "cut short at epoch 2 of 3"
    exact = {"planned_epochs": 3, "complete": True}
    assert reason(run([100, 200, 290], exact, epoch=[1.0, 2.0, 2.9])) == "cut short at epoch 2.9 of 3"
    assert reason(run([1000, 2000, 2962], exact, epoch=[1.0, 2.0, 2.962])) is None


def test_steps_that_are_epochs_need_no_epochs():
    meta = {"planned_epochs": 5, "step_unit": "epoch"}
    assert reason(run([1, 2, 3, 4, 5], meta)) is None
    assert reason(run([1, 2, 3], meta)) == "cut short at epoch 3 of 5"


def test_steps_beyond_the_last_eval_count_for_a_plan_in_epochs():
    meta = {"planned_epochs": 4, "trained_steps": 400}
    assert reason(run([100, 200, 300], meta, epoch=[1.0, 2.0, 3.0])) is None
    series = Series(np.array([50.0, 250.0]), np.array([0.5, 2.5]))
    made = Run(
        "r", {"step": [100, 200], "eval_loss": [1.0, 0.5]}, meta | {"trained_steps": 250}, {"epoch": series}
    )
    assert reason(made) == "cut short at epoch 2.5 of 4"
    assert reason(made.replace(info=made.info.replace(planned_epochs=3))) is None, "the next eval comes later"


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_eval_is_the_last(mode):
    sign = 1 if mode == "min" else -1
    assert still_improving(Curve.of([sign * value for value in FALLS], mode)) is Improvement.BEST_IS_LAST
    assert still_improving(Curve.of([sign * value for value in TURNS], mode)) is None
    assert still_improving(Curve.of([sign * value for value in FALLS[:1]], mode)) is None
    assert still_improving(Curve.of([math.nan, math.nan], mode)) is None


def converging(last_gain, evals=24):
    """A loss that has all but converged: each of its latest evals gains a little, without noise."""
    falling = np.linspace(2, 1, evals // 2)
    return np.concatenate([falling, falling[-1] - last_gain * np.arange(1, evals // 2 + 1)])


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    ("gain", "how"), [(3e-6, None), (1e-4, None), (5e-3, Improvement.BEST_IS_LAST)], ids=str
)
def test_a_gain_too_small_to_matter_is_no_improvement(mode, gain, how):
    sign = 1 if mode == "min" else -1
    assert still_improving(Curve.of(sign * converging(gain), mode)) is how
    whole = converging(gain)[:2]
    assert still_improving(Curve.of(sign * whole, mode)) is Improvement.BEST_IS_LAST
    assert still_improving(Curve.of([sign * 1.0, sign * (1.0 - gain / 1000)], mode)) is None


def test_a_last_eval_that_is_the_best_by_chance_is_no_improvement():
    rng = np.random.default_rng(4)
    values = 1 + 0.02 * rng.standard_normal(40)
    values[-1] = values.min() - 0.001
    assert still_improving(Curve.of(values, "min")) is None
    values[-1] -= 0.2
    assert still_improving(Curve.of(values, "min")) is Improvement.BEST_IS_LAST


def test_still_improving_within_noise():
    rng = np.random.default_rng(1)
    values = np.linspace(2, 1, 40) + 0.02 * rng.standard_normal(40)
    values[-2] = values[-1] - 0.001  # the best is not the last, by less than the noise
    assert still_improving(Curve.of(values, "min")) is Improvement.WITHIN_NOISE
    values[-2] = values[-1] - 0.2  # by more
    assert still_improving(Curve.of(values, "min")) is None


def endings(runs):
    censored = {made.id: found for made in runs if (found := censoring(made))}
    improving = {made.id: how for made in runs if (how := still_improving(made.curve("eval_loss", "min")))}
    return find_endings(runs, censored, improving)


def test_what_is_reported_on_how_logs_end():
    stopped = [run([1, 2, 3], {"stopped_by": "x"}, id=f"s{number}") for number in range(2)]
    cut = run([1, 2, 3], {"planned_steps": 9}, id="cut")
    falls = run([1, 2, 3], {"planned_steps": 3}, id="falls")
    turns = Run("turns", {"step": [1, 2, 3], "eval_loss": [1.0, 0.5, 0.7]})
    found = endings([*stopped, cut, falls, turns])
    assert found == [
        Finding(
            Kind.CENSORED_RUNS,
            Severity.WARNING,
            ("s0", "s1", "cut"),
            facts={"total": 5, "stopped": 2, "cut": 1, "cut_off": 0},
        ),
        Finding(Kind.STILL_IMPROVING, Severity.NOTE, ("falls",), facts={"total": 5, "last": 1}),
        Finding(Kind.PLAN_UNKNOWN, Severity.NOTE, ("turns",), facts={"total": 5}),
    ]
    assert sentences(found) == [
        "3 of 5 runs are censored (2 stopped early, 1 cut short): their losses are lower bounds.",
        (
            "1 of 5 runs was still improving at the end (its best eval is its last): training longer might"
            " pay."
        ),
        ("1 of 5 runs does not state how long the training was planned to be; its log is taken as complete."),
    ]


def test_nothing_is_reported_on_runs_that_end_as_planned():
    made = Run("r", {"step": [1, 2, 3], "eval_loss": [1.0, 0.5, 0.7]}, {"planned_steps": 3})
    assert endings([made]) == []


def test_sentences_on_one_run_and_on_runs_that_are_alike():
    def said(*runs):
        return sentences(endings(runs))

    assert said(run([1, 2], {"stopped_by": "x"})) == [
        "The run is censored (stopped early): its loss is a lower bound."
    ]
    unplanned = "The log does not state how long the training was planned to be; it is taken as complete."
    improving = (
        "The run was still improving at the end (its last eval is its best): training longer might pay."
    )
    assert said(run([1, 2])) == [improving, unplanned]
    assert said(*(run([1, 2], id=name) for name in "ab")) == [
        (
            "2 of 2 runs were still improving at the end (their best eval is their last): training longer"
            " might pay."
        ),
        "The logs do not state how long the trainings were planned to be; each log is taken as complete.",
    ]

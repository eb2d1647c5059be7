"""Companions: where a log has each of them, and what is said where it does not."""

import math

import numpy as np
import pytest

import replay
from replay.errors import InputError
from replay.policies.companions import (
    BaseReference,
    ComputeUsed,
    LastKnown,
    LoggedMetric,
    PlannedEnd,
    Progress,
    SettledModules,
)

NAN = math.nan


def aligned(companion, columns, meta=None, price=None):
    """The companion at the evals that log the loss: the first, third and fourth."""
    run = replay.Run(
        "r", {"step": [1, 2, 3, 4], "eval_loss": [1.0, None, 0.8, 0.9], **columns}, meta=meta or {}
    )
    values = companion.align(run, run.curve("eval_loss", "min"), price)
    return None if values is None else [None if math.isnan(value) else value for value in values]


@pytest.mark.parametrize(
    ("companion", "columns", "values"),
    [
        (LoggedMetric("eval_bleu"), {"eval_bleu": [0.1, 0.2, None, 0.4]}, [0.1, None, 0.4]),
        (LoggedMetric("eval_bleu"), {"eval/bleu": [0.1, 0.2, 0.3, 0.4]}, [0.1, 0.3, 0.4]),
        (LoggedMetric("eval_bleu"), {"eval_bleu": [None, 0.2, None, None]}, None),
        (LoggedMetric("eval_bleu"), {}, None),
        (LastKnown("train_loss"), {"train_loss": [None, 0.5, None, 0.25]}, [None, 0.5, 0.25]),
        (LastKnown("train_loss"), {"train_loss": [None] * 4}, None),
        (Progress("tokens"), {"tokens": [10, 20, None, 40]}, [10, 20, 40]),
        (Progress("tokens"), {"tokens": [None, 20, 30, 40]}, None),
        (ComputeUsed("steps"), {}, [1, 3, 4]),
        (ComputeUsed("tokens"), {}, None),
    ],
)
def test_columns(companion, columns, values):
    assert aligned(companion, columns) == values


@pytest.mark.parametrize(
    ("companion", "meta", "values"),
    [
        (PlannedEnd(), {"planned_steps": 9}, [9, 9, 9]),
        (PlannedEnd(), {"planned_steps": 9, "planned_epochs": 5, "step_unit": "epoch"}, [5, 5, 5]),
        (PlannedEnd(), {}, None),
        (Progress("epoch"), {"step_unit": "epoch"}, [1, 3, 4]),
        (Progress("epoch"), {}, None),
        (BaseReference("eval_loss"), {"reference": {"eval_loss": 2.0}}, [2, 2, 2]),
        (BaseReference("eval_loss"), {"reference": {"eval_loss": 0.0}}, [0, 0, 0]),
        (BaseReference("eval_loss"), {"reference": {"eval_bleu": 2.0}}, None),
        (BaseReference("eval_loss"), {}, None),
    ],
)
def test_facts_about_the_run(companion, meta, values):
    assert aligned(companion, {}, meta) == values


def test_the_price_of_compute_is_handed_on():
    hours = {"train_seconds": [3600.0, 7200.0, 10800.0, 14400.0]}
    assert aligned(ComputeUsed("cost"), hours, price=2.0) == [2, 6, 8]
    assert aligned(ComputeUsed("cost"), hours) is None


def test_equal_companions_are_one_column():
    run = replay.Run("r", {"step": [1, 2], "eval_loss": [1.0, 2.0], "train_loss": [1.0, 2.0]})
    both = replay.parse_policy("gap:patience=1 | pq=0.5")
    assert both.companions == (LastKnown("train_loss"),)
    assert LastKnown("train_loss") != LoggedMetric("train_loss")
    assert len(replay.simulate([run], [both])) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gap:patience=1", "gap:patience=1 needs train_loss, which no run logs"),
        ("extrapolate", "extrapolate needs planned_steps, which no run logs; give horizon=STEPS"),
        (
            "budget=1,unit=tokens",
            f"budget=1,unit=tokens needs tokens, which no run logs; {ComputeUsed('tokens').hint}",
        ),
        (
            "drift=1,min_gain=1,base=model",
            "drift=1,min_gain=1,base=model needs the base model's eval_generic_loss, which no run logs",
        ),
        ("grades", "grades needs step_signals.bin beside its eval log, and planned steps, which no run logs"),
    ],
)
def test_a_log_that_lacks_one_is_refused_by_the_name_of_a_reader(spec, message):
    run = replay.Run("r", {"step": [1, 2], "eval_loss": [1.0, 2.0], "eval_generic_loss": [1.0, 1.0]})
    with pytest.raises(InputError) as error:
        replay.simulate([run], [spec], monitor="eval_loss")
    assert str(error.value) == message


def test_the_hint_of_a_unit_names_the_command_that_shows_the_others():
    assert ComputeUsed("tokens").hint == "runs can be counted in other units, see replay inspect"


def test_the_names_that_users_pass_columns_by():
    assert [
        companion.name
        for companion in (
            LoggedMetric("eval_bleu"),
            LastKnown("learning_rate"),
            Progress("epoch"),
            ComputeUsed("flops"),
            PlannedEnd(),
            BaseReference("eval_loss"),
            SettledModules("weight_change_l1", 1.0, 0.25),
        )
    ] == [
        "eval_bleu",
        "learning_rate",
        "epoch",
        "used:flops",
        "planned_steps",
        "reference:eval_loss",
        "step_signals:weight_change_l1:1:0.25",
    ]
    policy = replay.parse_policy("budget=5,unit=flops")
    assert policy.stop_eval([1.0, 1.0], columns={"used:flops": np.array([4.0, 5.0])}) == 2

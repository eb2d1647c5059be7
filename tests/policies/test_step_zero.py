"""Policies that stop every run at its first eval, which some trainers make at step 0, before any training."""

import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.policies.stops import find_stops

#: Each stops at the first eval, for a reason of its own.
AT_ONCE = {
    "budget=0": "0 of 0 steps used",
    "budget=0,unit=epochs": "0 of 0 epochs used",
    "target=2": "1.5 reaches the target 2",
    "transformers:patience=0": "first eval: nothing to compare",
    "xgboost:rounds=0": "first eval: nothing to compare, and a patience of 0 is used up at once",
    "divergence=1": "1.5 is worse than 1",
    "patience=9 | budget=0": "budget=0: 0 of 0 steps used",
    "target=2 & budget=0": "target=2: 1.5 reaches the target 2; budget=0: 0 of 0 steps used",
    "target=2 && budget=0": "target=2: 1.5 reaches the target 2; budget=0: 0 of 0 steps used",
    "budget=0 unless target=0": "budget=0: 0 of 0 steps used",
    "target=2,smooth=mean:2": "smoothed 1.5: 1.5 reaches the target 2",
}
RUNS = [
    replay.Run(
        f"run{number}",
        {
            "step": [0, 100, 200, 300],
            "epoch": [0.0, 1.0, 2.0, 3.0],
            "eval_loss": [1.5, 1.0, 0.5, 0.75],
        },
        meta={"planned_steps": 300},
    )
    for number in range(3)
]


def test_they_save_everything_and_keep_the_checkpoint_of_step_0():
    rows = replay.simulate(RUNS, list(AT_ONCE), monitor="eval_loss")
    assert len(rows) == len(RUNS) * len(AT_ONCE)
    assert dict(zip(rows.policy, rows.reason, strict=True)) == AT_ONCE
    for name, value in {
        "stopped_eval": 1,
        "stopped_step": 0,
        "used": 0.0,
        "used_full": 300.0,
        "saved": 1.0,
        "kept": 1.5,
        "kept_step": 0,
        "last": 1.5,
        "best": 0.5,
        "best_step": 200,
        "regret": 1.0,
        "lost": 1.0,
        "censored": False,
    }.items():
        assert set(rows[name]) == {value}, name


def test_a_stop_at_step_0_of_a_log_that_was_cut_short_is_a_bound():
    """The training as planned would have used more steps and might have got better."""
    run = replay.Run("r", {"step": [0, 100], "eval_loss": [1.5, 1.0]}, meta={"planned_steps": 300})
    rows = replay.simulate([run], ["budget=0", "never"]).set_index("policy")
    assert rows.censored.to_dict() == {"budget=0": True, "never": False}


def test_a_sweep_counts_them_as_stopped():
    summary = replay.sweep(RUNS, list(AT_ONCE), monitor="eval_loss").set_index("policy")
    for spec in AT_ONCE:
        row = summary.loc[spec]
        assert (row.runs, row.stopped, row.censored) == (3, 3, 0)
        assert (row.saved_mean, row.lost_mean, row.lost_worst, row.regret_worst) == (1.0, 1.0, 1.0, 1.0)


def test_no_policy_stops_before_it_has_seen_an_eval():
    batch = CurveBatch.of([Curve.of([], "min"), Curve.of([1.5], "min", [0])])
    for spec in AT_ONCE:
        policy = parse_policy(spec)
        if policy.companions:
            continue
        assert policy.stops(batch).tolist() == [-1, 0], spec
        ((_, stops),) = find_stops([policy], batch)
        assert stops.tolist() == [[-1, 0]], spec
        assert policy.decide([]) == (0, False, "no eval yet")
        assert (policy.stop_eval([]), policy.stop_eval([1.5, 1.0], steps=[0, 1])) == (None, 1)


def test_the_first_eval_that_a_modified_policy_sees_is_not_the_first_of_the_run():
    batch = CurveBatch.of([Curve.of([9.0, 1.5, 9.0, 1.0], "min", [0, 1, 2, 3])])
    for spec in ("target=2,every=2", "target=2,start=2", "transformers:patience=0,start=2"):
        ((_, stops),) = find_stops([parse_policy(spec)], batch)
        assert stops.tolist() == [[1]], spec


def test_many_thresholds_reached_at_the_first_eval():
    """Four thresholds or more take another path than fewer."""
    policies = [parse_policy(f"target={target}") for target in (2, 3, 1.5, 0.5, 0.25)]
    batch = CurveBatch.of([Curve.of([1.5, 1.0, 0.5], "min", [0, 1, 2])])
    ((indices, stops),) = find_stops(policies, batch)
    assert dict(zip(indices, stops[:, 0].tolist(), strict=True)) == {0: 0, 1: 0, 2: 0, 3: 2, 4: -1}


@pytest.mark.parametrize("spec", ["gl=5", "gl=5,smooth=mean:1", "gl=5 | nonfinite=9", "gl=5 & budget=1"])
@pytest.mark.parametrize("values", [[-1.0, 2.0], [1.0, -1.0]])
def test_a_run_that_is_undefined_before_it_is_stopped_is_refused(spec, values):
    policy, batch = parse_policy(spec), CurveBatch.of([Curve.of(values, "min", [1, 2])])
    assert list(policy.refusals(policy.trace(batch))) == [0]
    ((_, stops),) = find_stops([policy], batch)
    assert stops.tolist() == [[-2]]


def test_a_run_that_is_stopped_at_its_first_eval_is_not_refused_for_what_comes_later():
    policy = parse_policy("gl=5 | divergence=1")
    batch = CurveBatch.of([Curve.of([1.5, -1.0], "min", [0, 1])])
    assert policy.refusals(policy.trace(batch)) == {}
    ((_, stops),) = find_stops([policy], batch)
    assert stops.tolist() == [[0]]


def test_the_reference_after_a_stop_at_the_first_eval_is_its_value():
    batch = CurveBatch.of([Curve.of([1.5, 1.0, 0.5], "min", [0, 1, 2])])
    for spec in ("patience=1", "xgboost:rounds=0", "keras:patience=1"):
        assert parse_policy(spec).reference_after(batch, np.array([0])).tolist() == [1.5], spec
    assert math.isnan(parse_policy("budget=0").reference_after(batch, np.array([0]))[0])

"""The equal budget on trainings that were ended before their plan."""

import numpy as np
import pytest

import replay
from replay import Run
from replay.data.finding import Kind
from replay.engine.scoring import simulate_policies
from replay.report.sentences import sentence
from replay.report.simulate import find_limits
from replay.stats.budgets import FixedBudgets
from replay.stats.planned import find_adaptive, trained_shares

STOPPED = {"stopped_by": "EarlyStoppingCallback(8)"}


def log(name, evals, info=None, *, every=10, epoch=None):
    values = 1 / np.arange(1.0, evals + 1)
    values[-1] = values[-2] + 0.01  # the best is not the last
    columns = {"step": every * np.arange(1, evals + 1), "eval_loss": values}
    if epoch is not None:
        columns["epoch"] = epoch * np.arange(1, evals + 1)
    return Run(name, columns, info or {})


def study(*made, policies=("never",), **settings):
    return simulate_policies(made, list(policies), replay.Question(**settings) if settings else None).study


@pytest.mark.parametrize(
    ("run", "share"),
    [
        (log("a", 10), 1.0),
        (log("a", 10, STOPPED), 1.0),
        (log("a", 10, {**STOPPED, "planned_steps": 400}), 0.25),
        (log("a", 10, {"planned_steps": 400}), 0.25),
        (log("a", 10, {**STOPPED, "planned_steps": 400, "trained_steps": 120}), 0.3),
        (log("a", 10, {**STOPPED, "planned_steps": 50}), 1.0),
        (log("a", 10, {**STOPPED, "planned_epochs": 8}, epoch=0.5), 0.625),
        (log("a", 10, {**STOPPED, "planned_epochs": 8, "trained_steps": 120}, epoch=0.5), 0.75),
        (log("a", 10, {**STOPPED, "planned_epochs": 8}), 1.0),
        (log("a", 10, {**STOPPED, "planned_epochs": 40, "step_unit": "epoch"}, every=1), 0.25),
    ],
)
def test_the_share_of_its_plan_that_a_run_was_trained_for(run, share):
    assert trained_shares(study(run)).tolist() == [pytest.approx(share)]


def test_a_run_that_was_trained_as_planned_is_complete():
    rising = Run("rising", {"step": [1, 2, 3, 4], "eval_loss": [4.0, 3.0, 2.0, 1.0]}, {"planned_steps": 4})
    made = [rising, log("ended", 5, STOPPED), log("cut", 5, {"planned_steps": 60}), log("whole", 5)]
    assert study(*made).is_censored.tolist() == [False, True, True, False]


def test_a_budget_is_a_share_of_the_planned_compute():
    """A budget of 30 of 100 planned steps is the share 0.3, however long the logs are.

    A log that ends before is taken whole."""
    lengths = (10, 4, 2, 10, 6)
    made = [
        log(f"r{number}", evals, {**STOPPED, "planned_steps": 100} if evals < 10 else {"planned_steps": 100})
        for number, evals in enumerate(lengths)
    ]
    outcomes = simulate_policies(made, ["budget=30"])
    assert outcomes.position.tolist() == [2, 2, -1, 2, 2]
    budgets = FixedBudgets.of(outcomes.study, np.arange(5))
    assert budgets.difference(outcomes.saved, outcomes.lost).tolist() == [0.0] * 5
    assert budgets.beyond(float(outcomes.saved.mean())).tolist() == [False, False, True, False, False]
    # without the plan, it is a share of what a stop rule left
    bare = [log(f"r{number}", evals, STOPPED) for number, evals in enumerate(lengths)]
    outcomes = simulate_policies(bare, ["budget=30"])
    budgets = FixedBudgets.of(outcomes.study, np.arange(5))
    assert np.abs(budgets.difference(outcomes.saved, outcomes.lost)).max() > 0.01


def test_a_length_that_a_stop_rule_chose_is_reported():
    made = [
        log("a", 5, STOPPED),
        log("b", 5),
        log("c", 5, {**STOPPED, "planned_steps": 90}),
        log("d", 6, STOPPED),
        log("e", 6, {"planned_steps": 90}),
    ]
    (finding,) = find_adaptive(study(*made))
    assert (finding.kind, finding.runs, finding["total"]) == (Kind.ADAPTIVE_BUDGET, ("a", "d"), 5)
    text = sentence(finding)
    assert text.startswith(
        "The equal budget is a share of each log's length, which a stop rule chose in 2 of 5 runs, so it is"
        " adaptive too."
    )
    assert sentence(find_limits(study(*made), [])[-1]) == text
    assert find_adaptive(study(*made[1:3], made[4])) == []
    (alone,) = find_adaptive(study(made[0]))
    assert "which a stop rule chose in the run, so it is adaptive too" in sentence(alone)

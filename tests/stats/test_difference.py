"""How often the interval of the difference to the equal budget holds the truth.

The budget is matched anew in each sample, as it is in practice."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from replay.api import read
from replay.engine.scoring import simulate_policies
from replay.stats.budgets import FixedBudgets, difference_interval
from replay.stats.groups import groups_of
from replay.stats.intervals import intervals
from tests.stats.populations import group_sizes, population, true_differences

POLICIES = ("patience=1", "patience=2", "patience=3", "patience=5,min_delta=0.005")
#: Loses 3 points more than the equal budget.
HASTY = "patience=1,min_delta=0.1"
SAMPLE_LOGS = Path(__file__).parents[2] / "sample_logs"


@lru_cache(maxsize=1)
def truths():
    return true_differences([*POLICIES, HASTY])


@lru_cache(maxsize=1)
def sampled(count, grouped, repeats):
    """Differences and plain differences to the matched budget by policy (samples × runs), and the groups."""
    sizes = group_sizes(count, count) if grouped else np.ones(count, dtype=np.int64)
    members, runs = np.repeat(np.arange(count), sizes), int(sizes.sum())
    every = (members + count * np.arange(repeats)[:, None]).ravel()
    drawn = population(50_000 + count + grouped, repeats * runs, every)
    payoffs = drawn.payoffs()
    outcomes = {policy: np.array(drawn.outcomes(policy)).reshape(2, repeats, runs) for policy in truths()}
    budgets = [FixedBudgets(payoffs[start : start + runs]) for start in range(0, repeats * runs, runs)]
    accounted = {
        policy: np.array([one.difference(*pair) for one, *pair in zip(budgets, saved, lost, strict=True)])
        for policy, (saved, lost) in outcomes.items()
    }
    plain = {
        policy: np.array(
            [
                losses - one.matching(float(mean)).lost_by_run
                for one, mean, losses in zip(budgets, saved.mean(axis=1), lost, strict=True)
            ]
        )
        for policy, (saved, lost) in outcomes.items()
    }
    return accounted, plain, [f"g{member}" for member in members]


def held(count, grouped, repeats, policy):
    """The share of samples whose interval holds the truth, lies above zero and lies below it."""
    accounted, _, groups = sampled(count, grouped, repeats)
    low, high = np.array([difference_interval(row, groups, 0.95) for row in accounted[policy]]).T
    truth = truths()[policy]
    return np.mean((low <= truth) & (truth <= high)), np.mean(low > 0), np.mean(high < 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "grouped", "repeats", "most"),
    [
        (20, False, 2000, 0.99),
        (26, False, 2000, 0.985),
        (60, False, 1000, 0.98),
        (200, False, 400, 0.98),
        (5, True, 1500, 0.998),
        (8, True, 1500, 0.99),
        (12, True, 1000, 0.99),
        (20, True, 600, 0.99),
    ],
)
def test_the_interval_holds_the_truth(count, grouped, repeats, most):
    """Of few groups it is too wide; 1 % on either side is left to the chance of the simulation."""
    for policy in POLICIES:
        share, _, _ = held(count, grouped, repeats, policy)
        assert 0.91 <= share <= most, f"{policy}: {share:.1%}"


@pytest.mark.slow
def test_a_hasty_policy_is_found_worse():
    """In 26 runs, where the interval of the plain differences never finds it."""
    share, worse, better = held(26, False, 2000, HASTY)
    _, plain, groups = sampled(26, False, 2000)
    low, high = intervals(plain[HASTY], groups, within=(-1.0, 1.0))
    assert 0.03 < truths()[HASTY] < 0.04
    assert 0.92 <= share <= 0.98
    assert (worse > 0.5, better) == (True, 0)
    assert np.mean(low > 0) < 0.01
    assert np.mean((low <= truths()[HASTY]) & (truths()[HASTY] <= high)) > 0.99, "too wide"


def test_entries_have_the_standard_error_of_a_bootstrap_that_matches_the_budget_again():
    """On the sample logs whose losses have a scale; the plain differences have one that is larger."""
    specs = ["patience=1", "patience=2", "patience=4", "patience=6", "gl=5"]
    runs = read(SAMPLE_LOGS).runs
    every = simulate_policies(runs, ["patience=1"])
    scaled = {runs[run].id for run, lost in zip(every.run.tolist(), every.lost, strict=True) if lost == lost}
    outcomes = simulate_policies([run for run in runs if run.id in scaled], specs)
    count = len(outcomes.study.panel.runs)
    payoffs = [outcomes.study.payoffs.of_run(run) for run in range(count)]
    budgets = FixedBudgets(payoffs)
    rng = np.random.default_rng(7)
    picks = rng.integers(count, size=(300, count))
    again = [FixedBudgets([payoffs[run] for run in pick]) for pick in picks.tolist()]
    for policy in range(len(specs)):
        saved, lost = (getattr(outcomes, name)[outcomes.rows_of(policy)] for name in ("saved", "lost"))
        drawn = np.std(
            [
                lost[pick].mean() - one.matching(float(saved[pick].mean())).lost
                for pick, one in zip(picks, again, strict=True)
            ]
        )
        error = budgets.difference(saved, lost).std() / np.sqrt(count)
        plain = (lost - budgets.matching(float(saved.mean())).lost_by_run).std() / np.sqrt(count)
        assert error == pytest.approx(drawn, rel=0.2), specs[policy]
        assert plain > 1.1 * error


def test_on_the_sample_logs_two_policies_are_better_than_training_shorter():
    outcomes = simulate_policies(read(SAMPLE_LOGS).runs, ["patience=2", "patience=4", "one-epoch"])
    budgets = FixedBudgets.of(outcomes.study, np.arange(len(outcomes.study.panel.runs)))
    groups = groups_of(outcomes.study.panel.runs)
    highs = []
    for policy in range(3):
        saved, lost = (getattr(outcomes, name)[outcomes.rows_of(policy)] for name in ("saved", "lost"))
        highs.append(difference_interval(budgets.difference(saved, lost), groups, 0.95)[1])
    assert highs[0] < 0
    assert highs[1] < 0
    assert highs[2] > 0

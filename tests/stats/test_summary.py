import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay import Run
from replay.data.run import Column
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.stats.budgets import FixedBudgets
from replay.stats.intervals import interval
from replay.stats.summary import KEYS, Shortage, find_shortage, summarise


def runs(count=10, evals=20, seed=0, group=None):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        falls = np.exp(-np.arange(evals) / rng.uniform(2, 5)) + 0.02 * np.maximum(
            0, np.arange(evals) - rng.integers(5, 15)
        )
        values = falls + 0.01 * rng.standard_normal(evals)
        made.append(
            Run(
                f"r{number}",
                {"step": np.arange(1, evals + 1), "epoch": np.arange(1, evals + 1) / 4, "eval_loss": values},
                {"group": group and group(number)},
            )
        )
    return made


def test_summary_by_hand():
    two = [
        Run("a", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 0.5, 0.6, 0.7]}),
        Run("b", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 1.1, 0.5, 0.6]}),
    ]
    row = replay.sweep(two, ["patience=1"]).iloc[0]
    assert list(row.index) == list(KEYS)
    assert (row.runs, row.stopped, row.censored) == (2, 2, 0)
    assert row.saved_mean == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert row.lost_mean == pytest.approx((0 + 1) / 2)
    assert row.regret_worst == pytest.approx(0.5)
    assert row.lost_worst == 1
    assert row.verdict == "too few runs to rank"


def test_intervals_hold_the_mean_are_seeded_and_need_two_runs():
    values = np.random.default_rng(1).normal(3, 1, 30)
    names = [str(number) for number in range(30)]
    low, high = interval(values, names)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(30), rel=0.2)
    assert (low, high) == interval(values, names)
    assert interval(values, ["same"] * 30) == (low, high), "one group: runs are drawn"
    assert all(math.isnan(bound) for bound in interval(values[:1], ["0"]))


def test_copies_in_a_group_do_not_narrow_the_interval():
    values = np.random.default_rng(2).normal(0, 1, 12)
    low, high = interval(values, [str(number) for number in range(12)])
    again_low, again_high = interval(
        np.repeat(values, 5), [str(number) for number in np.repeat(np.arange(12), 5)]
    )
    naive_low, naive_high = interval(np.repeat(values, 5), [str(number) for number in range(60)])
    assert again_high - again_low == pytest.approx(high - low)
    assert naive_high - naive_low < 0.6 * (high - low)


def test_unknown_losses_are_left_out():
    assert interval(np.array([1.0, np.nan, 1.0]), ["a", "b", "c"]) == (1.0, 1.0)


@pytest.mark.parametrize("saved", [0.0, 0.1, 0.33, 0.5, 0.9])
def test_the_equal_budget_saves_as_much(saved):
    study = simulate_policies(runs(), ["never"]).study
    payoffs = [study.payoffs.of_run(row) for row in range(10)]
    shares = [1 - saved] * len(payoffs)
    # by hand: every run stops at its last eval within the share (1 eval = 1/20)
    budget = FixedBudgets(payoffs).matching(saved)
    by_hand = np.mean(
        [payoff.lost[max(round(share * 20) - 1, 0)] for payoff, share in zip(payoffs, shares, strict=True)]
    )
    if abs(saved * 20 - round(saved * 20)) < 1e-9:
        assert budget.lost == pytest.approx(by_hand)
    assert 0 <= budget.lost <= 1


@given(st.data())
def test_many_budgets_at_once_are_each_alone(data):
    """Also where what is judged by was not logged at every eval, nor at the first."""
    made = []
    for number in range(data.draw(st.integers(1, 5))):
        evals = data.draw(st.integers(2, 12))
        values = data.draw(st.lists(st.integers(0, 9).map(float), min_size=evals, max_size=evals))
        logged = data.draw(st.lists(st.booleans(), min_size=evals, max_size=evals).filter(any))
        there = np.where(logged, 0.1 * np.array(values), np.nan)
        made.append(
            Run(
                f"r{number}",
                {
                    "step": np.arange(1, evals + 1),
                    "eval_loss": values,
                    "eval_wer": Column(there, np.array(logged)),
                },
            )
        )
    question = Question(monitor="eval_loss", objective="eval_wer", objective_mode="min")
    study = simulate_policies(made, ["never"], question).study
    budgets = FixedBudgets.of(study, np.arange(len(made)))
    saved = np.linspace(-0.1, 1.1, 25)
    means = budgets.means(saved)
    for place, share in enumerate(saved.tolist()):
        alone = budgets.matching(share)
        np.testing.assert_allclose(
            [means["regret"][place], means["lost"][place]], [alone.regret, alone.lost], atol=1e-12
        )


def test_a_budget_is_no_better_than_itself():
    summary = summarise(simulate_policies(runs(), ["budget=10"]))
    assert summary["lost_mean"][0] == pytest.approx(summary["budget_lost"][0])
    assert summary["verdict"][0] == "no better than training shorter"


def test_verdicts():
    rng = np.random.default_rng(3)
    # turning points far apart: patience finds each within its noise, a fixed budget cannot
    turns = [3, 5, 8, 12, 18, 25, 33, 40, 4, 10]
    wide = []
    for number, turn in enumerate(turns * 2):
        evals = np.arange(50)
        values = np.abs(evals - turn) / turn + 0.05 * rng.standard_normal(50)
        values[45] = values.min() - 0.01  # a second dip, which no patience waits for
        wide.append(Run(f"r{number}", {"step": evals + 1, "eval_loss": values}))
    better = replay.sweep(wide, ["patience=4"]).iloc[0]
    assert better.verdict == "better than training shorter"
    assert 0 < better.lost_mean < better.budget_lost
    summary = replay.sweep(wide[:10], ["patience=1000", "target=-5", "never", "patience=40"]).set_index(
        "policy"
    )
    assert summary.verdict["patience=40"] == "within noise"
    assert summary.verdict["patience=1000"] == "never fires"
    assert summary.verdict["target=-5"] == "never fires"
    assert summary.verdict["never"] == "full log"
    few = replay.sweep(wide[:5], ["patience=2"]).iloc[0]
    assert few.verdict == "too few runs to rank"
    short = [Run(made.id, {"step": [1, 2, 3], "eval_loss": [1.0, 0.5, 0.6]}) for made in wide]
    assert replay.sweep(short, ["patience=1"]).iloc[0].verdict == "too few runs to rank"


def test_too_few_is_said_alike_of_an_even_number_of_runs():
    """The median of 4 and 5 evals is 4.5: a table that says too few stands over a sentence that says so
    too."""
    assert find_shortage([4] * 4 + [5] * 4) == Shortage(evals=4.5)
    assert find_shortage([5] * 7) == Shortage(runs=7)
    assert find_shortage([5] * 8) is None

"""The equal budget: every run stopped at the same share of its compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import Run
from replay.data.run import Column
from replay.engine.payoffs import RunPayoff
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.stats import budget_curve as module
from replay.stats.budgets import FixedBudgets, difference_interval
from replay.stats.intervals import interval
from tests.stats.test_summary import runs


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


def straight(count):
    """A run of evenly spaced evals that loses as much as it saves."""
    share = np.append(np.arange(1, count + 1), count) / count
    return RunPayoff(share, 1 - share, 10 * (1 - share), 1 - share, 1 - share)


@pytest.mark.parametrize(("evals", "looked_at"), [(255, 255), (256, 256), (257, 256), (5000, 256)])
def test_more_than_256_budgets_are_thinned_to_evenly_spaced_ones(monkeypatch, evals, looked_at):
    monkeypatch.setattr(module, "_MOST_POSITIONS", 0)
    budgets = FixedBudgets([straight(evals)])
    assert len(budgets._saved) == looked_at
    gaps = -np.diff(budgets._saved) * evals
    assert (budgets._saved[0], budgets._saved[-1]) == (pytest.approx(1 - 1 / evals), 0), "the ends stay"
    assert gaps.max() - gaps.min() <= 1 + 1e-6, "evenly spaced"
    for saved in (0.123, 0.5, 0.987):
        # between two budgets it is a mix of both, and here that loses as much as it saves
        budget = budgets.matching(saved)
        assert (budget.lost, budget.regret) == (pytest.approx(saved), pytest.approx(10 * saved))


def test_how_many_budgets_are_looked_at_depends_on_the_number_of_runs(monkeypatch):
    monkeypatch.setattr(module, "_MOST_POSITIONS", 3000)
    assert len(FixedBudgets([straight(2000)] * 6)._saved) == 500
    assert len(FixedBudgets([straight(2000)] * 100)._saved) == 256


def test_thinned_budgets_are_nearly_all_budgets(monkeypatch):
    rng = np.random.default_rng(2)
    payoffs = []
    for _ in range(5):
        evals = int(rng.integers(400, 600))
        share = np.append(np.sort(rng.random(evals)), 1.0)
        lost = np.append(np.sort(rng.random(evals))[::-1], 0.0)
        payoffs.append(RunPayoff(share, 1 - share, lost, lost, lost))
    every = FixedBudgets(payoffs)
    monkeypatch.setattr(module, "_MOST_POSITIONS", 0)
    few = FixedBudgets(payoffs)
    assert len(every._saved) > 2000 > 256 == len(few._saved)
    wanted = np.linspace(0.05, 0.95, 19)
    for name in ("lost", "regret"):
        assert few.means(wanted)[name] == pytest.approx(every.means(wanted)[name], abs=0.02)
    for saved in wanted.tolist():
        assert few.matching(saved).lost == pytest.approx(every.matching(saved).lost, abs=0.02)


def kinked(count, fall, lowest):
    """A run whose loss falls with the share used, at first by ``fall`` per eval, to ``lowest`` evals."""
    share = np.append(np.arange(1, count + 1), count) / count
    lost = np.clip(1 - fall * np.arange(count), 0, 1)
    lost[lowest:] = 0.0
    lost = np.append(lost, 0.0)
    return RunPayoff(share, 1 - share, lost, lost, lost)


def test_differences_to_the_matched_budget_by_hand():
    """One run of 10 evals loses 0.1 less from eval to eval, and nothing after 9; the other 0.2, and 5.

    The policy saves 0.4 and 0.8: the budget with the same mean, 0.6, stops both at eval 4. Its mean loss at
    savings of 0.57 and 0.63 is mixed from evals 4 and 5, and 3 and 4.
    """
    budgets = FixedBudgets([kinked(10, 0.1, 9), kinked(10, 0.2, 5)])
    at_3, at_4, at_5 = (0.8 + 0.6) / 2, (0.7 + 0.4) / 2, (0.6 + 0.2) / 2
    slope = ((0.7 * at_4 + 0.3 * at_3) - (0.7 * at_4 + 0.3 * at_5)) / 0.06
    saved, lost = np.array([0.4, 0.8]), np.array([0.25, 0.9])
    wanted = [0.25 - 0.7 - slope * (0.4 - 0.6), 0.9 - 0.4 - slope * (0.8 - 0.6)]
    assert budgets.difference(saved, lost) == pytest.approx(np.array(wanted))
    assert slope == pytest.approx(1.5)


def test_the_mean_difference_is_that_to_the_budget_with_the_same_mean_saving():
    rng = np.random.default_rng(4)
    budgets = FixedBudgets([kinked(12, *pair) for pair in ((0.1, 9), (0.2, 7), (0.05, 12))])
    for _ in range(50):
        saved = rng.uniform(0, 11 / 12, 3)
        lost = rng.uniform(0, 1, 3)
        matched = budgets.matching(float(saved.mean()))
        assert budgets.difference(saved, lost).mean() == pytest.approx(lost.mean() - matched.lost)


def test_the_slope_is_taken_inside_the_savings_that_there_are():
    budgets = FixedBudgets([straight(10)] * 2)
    for saved in (0.0, 0.01, 0.5, 0.89, 0.9, 0.97):
        assert budgets.slope(saved) == pytest.approx(1.0)
    alone = FixedBudgets([straight(1)])
    assert alone.difference(np.array([0.0]), np.array([0.3])).tolist() == [pytest.approx(0.3)]


def test_unknown_losses_stay_unknown():
    budgets = FixedBudgets([straight(10)] * 3)
    found = budgets.difference(np.array([0.5, 0.5, 0.5]), np.array([np.nan, 0.5, 0.9]))
    np.testing.assert_allclose(found, [np.nan, 0.0, 0.4])
    assert found[1] == 0


def test_shares_that_differ_by_rounding_are_one_budget():
    exact = straight(10)
    moved = exact._replace(share=exact.share * (1 + 1e-15))
    assert len(FixedBudgets([exact, moved, exact._replace(share=exact.share * (1 - 1e-15))])._saved) == 10


def test_an_interval_of_differences_is_that_of_entries_moved_apart():
    """By 1 + 2 / units: with the mean kept, the interval is as much wider."""
    difference = np.array([0.1, -0.2, 0.3, 0.0, np.nan, 0.15, 0.05, -0.1, 0.2, 0.4, 0.1])
    runs_alone = [f"r{run}" for run in range(11)]
    mean = np.nanmean(difference)
    moved = mean + 1.2 * (difference - mean)
    assert difference_interval(difference, runs_alone, 0.9) == pytest.approx(interval(moved, runs_alone, 0.9))
    groups = list("aabbccddeee")
    moved = mean + 1.4 * (difference - mean)
    assert difference_interval(difference, groups, 0.95) == pytest.approx(interval(moved, groups, 0.95))
    assert difference_interval(np.zeros(9), runs_alone[:9], 0.95) == (0.0, 0.0)
    assert np.isnan(difference_interval(np.array([0.1, np.nan]), ["a", "b"], 0.95)).all()

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
from replay.stats import budgets as module
from replay.stats.budgets import FixedBudgets
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

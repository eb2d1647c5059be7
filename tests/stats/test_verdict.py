"""The verdict on a policy, against the equal budget and with logs that were ended early."""

import math
from dataclasses import replace

import numpy as np
import pytest

import replay
from replay import Run
from replay.engine.payoffs import RunPayoff
from replay.engine.scoring import simulate_policies
from replay.report.sentences.summary import SHORT_VERDICTS, say_verdict
from replay.stats.budgets import FixedBudgets
from replay.stats.summary import summarise
from replay.stats.verdict import PolicyEffects, Verdict, find_verdict, within_noise
from tests.stats.populations import population
from tests.stats.test_summary import runs, slow_and_quick

COUNT = 20


def straight(share=1.0):
    """A log of 10 evals that loses as much as it saves, trained for a share of its plan."""
    used = np.append(np.arange(1, 11), 10) / 10
    return RunPayoff(used * share, 1 - used, 1 - used, 1 - used, 1 - used)


def effects(lost, saved=0.5, *, censored=0, stopped=None, noisy=False):
    """A policy on 20 runs of which the first ``censored`` were ended early, and ``stopped`` stopped."""
    mask = np.arange(COUNT) < censored
    return PolicyEffects(
        evals=np.full(COUNT, 10),
        censored=mask,
        stopped=np.full(COUNT, True) if stopped is None else np.asarray(stopped),
        saved=np.full(COUNT, saved),
        lost=lost,
        within_noise=np.full(COUNT, noisy),
    )


def verdict(given, budgets=None, policy="patience=1"):
    budgets = budgets or FixedBudgets([straight()] * COUNT)
    return find_verdict(policy, given, budgets, [str(run) for run in range(COUNT)])


def spread(mean, by=0.05):
    """Losses around a mean."""
    return mean + by * np.linspace(-1, 1, COUNT)


def test_the_verdicts_of_complete_logs():
    assert verdict(effects(spread(0.3))) is Verdict.BETTER
    assert verdict(effects(spread(0.7))) is Verdict.WORSE
    assert verdict(effects(spread(0.5))) is Verdict.NO_DIFFERENCE
    assert verdict(effects(np.full(COUNT, 0.5))) is Verdict.NO_DIFFERENCE, "a tie"
    assert verdict(effects(np.zeros(COUNT))) is Verdict.LOSES_NOTHING
    assert verdict(effects(np.full(COUNT, 1e-12))) is Verdict.LOSES_NOTHING, "rounding is no loss"
    assert verdict(effects(spread(0.5), noisy=True)) is Verdict.WITHIN_NOISE
    assert verdict(effects(spread(0.3), noisy=True)) is Verdict.BETTER
    assert verdict(effects(spread(0.7), noisy=True)) is Verdict.WORSE
    assert verdict(effects(np.full(COUNT, np.nan))) is Verdict.LOSS_UNKNOWN
    assert verdict(effects(spread(0.3), saved=1e-12)) is Verdict.SAVES_NOTHING
    assert verdict(effects(spread(0.3), stopped=[False] * COUNT)) is Verdict.NEVER_FIRES
    assert verdict(effects(spread(0.3)), policy="never") is Verdict.FULL_LOG
    assert verdict(effects(spread(0.0)), policy="oracle") is Verdict.UPPER_BOUND


@pytest.mark.parametrize(("mean", "clear"), [(0.3, Verdict.BETTER), (0.7, Verdict.WORSE)])
@pytest.mark.parametrize(("censored", "holds"), [(0, True), (3, True), (10, True), (19, False), (20, False)])
def test_a_censored_run_that_both_stop_early_enough_counts_as_a_tie_at_worst(mean, clear, censored, holds):
    found = verdict(effects(spread(mean), censored=censored))
    assert found is (clear if holds else Verdict.CANNOT_TELL)


@pytest.mark.parametrize(("mean", "clear"), [(0.3, Verdict.BETTER), (0.7, Verdict.WORSE)])
def test_a_censored_run_that_the_policy_did_not_stop_may_be_off_by_everything(mean, clear):
    stopped = np.arange(COUNT) >= 3
    assert verdict(effects(spread(mean), stopped=stopped)) is clear
    assert verdict(effects(spread(mean), stopped=stopped, censored=3)) is Verdict.CANNOT_TELL
    # the same number of censored runs leaves a verdict where the policy stopped them
    assert verdict(effects(spread(mean), stopped=stopped[::-1], censored=3)) is clear


@pytest.mark.parametrize(("mean", "clear"), [(0.3, Verdict.BETTER), (0.7, Verdict.WORSE)])
@pytest.mark.parametrize(("trained", "holds"), [(0.9, True), (0.2, False)])
def test_a_censored_run_whose_log_ends_before_the_budget_may_be_off_by_everything(
    mean, clear, trained, holds
):
    """Of half of their plan, the whole log of runs that were trained for a fifth of it is taken."""
    budgets = FixedBudgets([straight(trained)] * 3 + [straight()] * (COUNT - 3))
    given = effects(spread(mean), censored=3)
    assert budgets.beyond(0.5).tolist() == [not holds] * 3 + [False] * (COUNT - 3)
    assert verdict(given, budgets) is (clear if holds else Verdict.CANNOT_TELL)
    assert verdict(replace(given, censored=np.zeros(COUNT, dtype=bool)), budgets) is clear


def test_what_a_single_censored_run_leaves_open():
    for given in (
        effects(np.zeros(COUNT), 0.0005, censored=1),
        effects(spread(0.5), noisy=True, censored=1),
    ):
        assert verdict(given) is Verdict.CANNOT_TELL
    assert verdict(effects(np.zeros(COUNT), censored=1)) is Verdict.BETTER, "which also holds at worst"
    assert verdict(effects(spread(0.0)), policy="oracle") is Verdict.UPPER_BOUND
    assert verdict(effects(spread(0.0), censored=1), policy="oracle") is Verdict.CANNOT_TELL
    assert verdict(effects(spread(0.0), censored=1), policy="never") is Verdict.FULL_LOG


def test_no_difference_takes_enough_runs_that_were_trained_as_planned():
    assert verdict(effects(spread(0.5), censored=12)) is Verdict.NO_DIFFERENCE
    assert verdict(effects(spread(0.5), censored=13)) is Verdict.CANNOT_TELL


def test_a_censored_run_of_unknown_loss_leaves_nothing_open():
    lost = np.append([np.nan], np.zeros(COUNT - 1))
    assert verdict(effects(lost, censored=1)) is Verdict.LOSES_NOTHING


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (-0.2, -2e-9, Verdict.BETTER),
        (-0.2, -1e-9, Verdict.NO_DIFFERENCE),
        (-0.2, 0.0, Verdict.NO_DIFFERENCE),
        (-0.2, 0.2, Verdict.NO_DIFFERENCE),
        (0.0, 0.0, Verdict.NO_DIFFERENCE),
        (1e-9, 0.2, Verdict.NO_DIFFERENCE),
        (2e-9, 0.2, Verdict.WORSE),
        (math.nan, math.nan, Verdict.NO_DIFFERENCE),
    ],
)
def test_a_verdict_needs_an_interval_beyond_zero(monkeypatch, low, high, wanted):
    monkeypatch.setattr("replay.stats.verdict.difference_interval", lambda *given: (low, high))
    assert verdict(effects(spread(0.4))) is wanted
    assert replay.sweep(slow_and_quick(), ["patience=1"]).iloc[0].verdict == wanted.value


def test_rounding_is_no_loss_beyond_noise():
    regret, noise = np.array([1000.7 - 1000.6, 0.2, np.nan]), np.array([0.1, 0.1, 0.1])
    assert regret[0] > noise[0]
    assert within_noise(regret, noise, np.full(3, 1000.6)).tolist() == [True, False, False]


def test_no_plain_budget_is_better_or_worse_than_itself():
    """A budget of equal runs is the equal budget, which rounding must not hide."""
    judged = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        evals = int(rng.integers(6, 30))
        made = runs(int(rng.integers(8, 40)), evals, seed=1000 + seed)
        budgets = rng.choice(np.arange(1, evals), min(10, evals - 1), replace=False)
        specs = [f"budget={budget}" for budget in budgets]
        table = summarise(simulate_policies(made, specs), level=float(rng.choice([0.5, 0.8, 0.95])))
        assert not {Verdict.BETTER, Verdict.WORSE} & set(table["verdict"]), (seed, table["verdict"])
        judged += len(specs)
    assert judged > 400


def stopped_early(seed, count=30, patience=8, **info):
    """Trainings that a callback with patience ended."""
    drawn = population(seed, 4 * count, evals=60)
    stops = replay.parse_policy(f"patience={patience}").stops(drawn.batch)
    made = []
    for run, stop in zip(drawn.runs(), stops.tolist(), strict=True):
        if stop >= 0:
            columns = {"step": run.steps[: stop + 1], "eval_loss": run.evals.eval_loss.to_numpy()[: stop + 1]}
            made.append(Run(run.id, columns, info))
    assert len(made) >= count
    return made[:count]


@pytest.mark.parametrize("seed", range(5))
def test_logs_that_a_callback_ended_tell_nothing_of_a_shorter_patience(seed):
    """The trainings would have gone on, and how much better they would have become is not in the logs."""
    specs = ["patience=1", "patience=3", "never", "patience=30"]
    unknown = summarise(simulate_policies(stopped_early(seed), specs, baselines=True))
    ended = stopped_early(seed, stopped_by="EarlyStoppingCallback(8)")
    told = summarise(simulate_policies(ended, specs, baselines=True))
    by_policy = dict(zip(told["policy"], told["verdict"], strict=True))
    assert by_policy["patience=1"] == by_policy["patience=3"] == by_policy["oracle"] == Verdict.CANNOT_TELL
    assert (by_policy["never"], by_policy["patience=30"]) == (Verdict.FULL_LOG, Verdict.NEVER_FIRES)
    assert Verdict.CANNOT_TELL not in unknown["verdict"]


def test_every_verdict_has_words():
    for found in Verdict:
        one, several = say_verdict(found.value, ["patience=1"]), say_verdict(found.value, ["a", "b"])
        assert one.startswith("patience=1 ")
        assert several.startswith("a, b ")
        assert len(SHORT_VERDICTS.get(found.value, found.value)) <= 20
    assert say_verdict("no significant difference", ["a", "b"]) == (
        "a, b show no significant difference from training for the same shorter time"
    )
    assert say_verdict("cannot tell", ["a"]).startswith("a cannot be compared with a shorter training")

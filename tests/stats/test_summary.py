import math

import numpy as np
import pytest
from hypothesis import given, settings

import replay
from replay import Run
from replay.engine.outcomes import records
from replay.engine.scoring import simulate_policies
from replay.stats.intervals import interval
from replay.stats.summary import KEYS, Shortage, find_shortage, summarise
from tests.engine import loops
from tests.engine.test_scoring import some_can_be_tried, studies


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


@given(studies())
@settings(max_examples=80, deadline=None)
def test_a_summary_is_that_of_a_plain_loop_over_the_judged_runs(study):
    runs, policies, question = study
    tried = [policy for policy in policies if some_can_be_tried(runs, policy, question)]
    if not tried:
        return
    table = records(summarise(simulate_policies(runs, tried, question)))
    for row, policy in zip(table, tried, strict=True):
        assert row["spec"] == row["policy"] == policy.spec()
        for name, value in loops.summary(runs, policy, question).items():
            assert row[name] == (value if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)), (
                policy.spec(),
                name,
            )


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


def test_a_budget_is_no_better_than_itself():
    summary = summarise(simulate_policies(runs(), ["budget=10"]))
    assert summary["lost_mean"][0] == pytest.approx(summary["budget_lost"][0])
    assert summary["verdict"][0] == "no significant difference"


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


def slow_and_quick(count=10):
    """Runs that improve late, which a bump stops at once, and runs that improve at once and never turn."""
    slow = [1.0, 1.1, *np.linspace(0.9, 0.0, 18)]
    quick = [1.0, *np.linspace(0.01, 0.0, 19)]
    return [
        Run(f"{name}{number}", {"step": np.arange(1, 21), "eval_loss": values})
        for number in range(count)
        for name, values in (("slow", slow), ("quick", quick))
    ]


def test_a_policy_that_stops_the_wrong_runs_is_worse_than_an_equal_budget():
    row = replay.sweep(slow_and_quick(), ["patience=1"]).iloc[0]
    assert row.verdict == "worse than training shorter"
    assert (row.stopped, row.saved_mean, row.lost_mean) == (10, pytest.approx(0.45), pytest.approx(0.5))
    assert row.budget_lost < 0.3
    assert replay.sweep(slow_and_quick(3), ["patience=1"]).iloc[0].verdict == "too few runs to rank"
    # the same by accuracy, which is better when higher
    turned = [
        Run(made.id, {"step": made.steps, "eval_acc": 1 - made.evals.eval_loss}) for made in slow_and_quick()
    ]
    assert replay.sweep(turned, ["patience=1"]).iloc[0].verdict == "worse than training shorter"


def test_policies_that_stop_everything_at_step_0():
    """Nothing is used: all is saved, and there is no share of evals in it."""
    made = []
    for number in range(9):
        values = [1.0, 0.6, 0.5, 0.4 - number / 100, 0.7, 0.8]
        made.append(Run(f"r{number}", {"step": np.arange(6) * 10, "eval_loss": values}))
    specs = ["budget=0", "target=1", "patience=2"]
    summary = replay.sweep(made, specs, intervals=True).set_index("policy")
    for spec in specs[:2]:
        row = summary.loc[spec]
        assert (row.runs, row.stopped, row.censored) == (9, 9, 0)
        assert (row.saved_mean, row.saved_high, row.lost_mean, row.lost_worst) == (1, 1, 1, 1)
        assert (row.lost_low, row.saved_low) == (pytest.approx(0.025 ** (1 / 9)),) * 2
        assert np.isnan(row.eval_share)
        assert (row.budget_lost, row.budget_regret) == (1, pytest.approx(row.regret_mean))
        assert row.verdict == "no significant difference"
    lean = replay.sweep(made, specs, intervals=False).set_index("policy")
    for name in ("saved_mean", "lost_mean", "regret_mean", "budget_lost", "budget_regret"):
        assert lean[name].tolist() == pytest.approx(summary[name].tolist())
    outcomes = replay.simulate(made, ["budget=0"])
    assert outcomes.stopped_eval.tolist() == [1] * 9
    assert outcomes.stopped_step.tolist() == outcomes.used.tolist() == [0] * 9


def test_runs_that_used_nothing_at_all():
    """A log with its only eval at step 0 saves nothing, whatever stops it."""
    made = [Run(f"r{number}", {"step": [0], "eval_loss": [1.0]}) for number in range(9)]
    for spec in ("budget=0", "never"):
        row = replay.sweep(made, [spec]).iloc[0]
        assert (row.saved_mean, row.lost_mean, row.budget_lost) == (0, 0, 0)
        assert row.verdict == ("full log" if spec == "never" else "too few runs to rank")


def test_too_few_is_said_alike_of_an_even_number_of_runs():
    """The median of 4 and 5 evals is 4.5: a table that says too few stands over a sentence that says so
    too."""
    assert find_shortage([4] * 4 + [5] * 4) == Shortage(evals=4.5)
    assert find_shortage([5] * 7) == Shortage(runs=7)
    assert find_shortage([5] * 8) is None


@pytest.mark.filterwarnings("ignore:10 of 10 runs make more than half:replay.errors.ReplayWarning")
def test_no_interval_of_a_regret_reaches_below_zero():
    """One of ten runs has a regret: Student's interval of the mean would reach below."""
    fine = [
        Run(f"r{number}", {"step": range(1, 7), "eval_loss": [1.0, 0.5, 0.6, 0.7, 0.8, 0.9]})
        for number in range(9)
    ]
    late = Run("late", {"step": range(1, 7), "eval_loss": [1.0, 0.5, 0.6, 0.4, 0.2, 0.1]})
    row = replay.sweep([*fine, late], ["patience=1"]).iloc[0]
    assert row.regret_mean == pytest.approx(0.04)
    assert 0 <= row.regret_low < row.regret_mean < row.regret_high

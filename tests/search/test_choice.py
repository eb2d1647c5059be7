"""The choice with its lines and its result, on runs of which the answer is known."""

import numpy as np
import pytest

from replay import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.errors import InputError
from replay.search.choice import Obstacle, Status, select, select_policy
from replay.search.tolerance import parse_tolerance
from replay.stats.budgets import FixedBudgets
from replay.stats.optimism import corrected_regret
from tests.stats.populations import population

FIVE = parse_tolerance(max_lost="5%")
NONE = parse_tolerance(max_lost="0%")
ANY = parse_tolerance(max_lost="100%")
PATIENCES = [f"patience={wait}" for wait in (1, 2, 3, 5, 8)]


def run(id, *values, group=None, **columns):
    return Run(
        id,
        {"step": range(1, len(values) + 1), "eval_loss": values, **columns},
        {} if group is None else {"group": group},
    )


def falling_to(id, turn, evals=50, noise=0.0, seed=0, group=None):
    """A loss that falls in a straight line up to an eval, and rises as fast from there."""
    at = np.arange(evals)
    return run(
        id,
        *(np.abs(at - turn) / turn + noise * np.random.default_rng([seed, turn]).standard_normal(evals)),
        group=group,
    )


def held_out_rows(choice):
    """The outcome of each run under the policy that was chosen without it."""
    rows = choice.outcomes.rows()
    return [rows[index] for index in choice.held_out_rows.tolist()]


def equal_budget(choice, saved):
    """The equal budget of all runs that saves as much."""
    study = choice.outcomes.study
    return FixedBudgets.of(study, np.arange(len(study.panel.runs))).matching(float(saved.mean()))


TURNS = [3, 5, 8, 12, 18, 25, 33, 40, 4, 10]


def apart(count=20, noise=0.0):
    """Runs that turn at very different times, which patience finds and a fixed budget cannot."""
    return [falling_to(f"r{number}", TURNS[number % 10], noise=noise, seed=number) for number in range(count)]


def test_a_policy_that_finds_each_runs_turn_is_to_be_used():
    found = select(apart(), PATIENCES, FIVE)
    assert found.status is Status.GUARANTEED
    assert found.policy.spec() == found.guess.spec() == "patience=1"
    assert found.guarantee.rung.bound == pytest.approx(1 / 21)
    assert found.guaranteed.summary["lost_mean"] == 0
    assert found.stable == [(20, 20)]
    line = found.held_out[0]
    assert line.name == "held out by run"
    assert line.summary["lost_mean"] == found.in_sample.summary["lost_mean"] == 0
    assert line.summary["saved_mean"] == pytest.approx(1 - (np.mean(TURNS) + 2) / 50)
    assert (line.kept, line.judged) == (20, 20)
    assert line.summary["budget_lost"] > 0.01
    assert line.summary["verdict"] == "loses nothing here"


def test_of_runs_that_are_all_alike_a_policy_that_loses_nothing_is_a_best_guess_only():
    """12 runs guarantee a loss of 1 / 13 at the least."""
    found = select([falling_to(f"r{number}", 10) for number in range(12)], PATIENCES, FIVE)
    assert (found.status, found.obstacle) == (Status.BEST_GUESS, None)
    assert found.policy.spec() == "patience=1"
    assert found.guarantee.policy is None
    assert found.guarantee.needed_units == 19
    assert found.held_out[0].summary["budget_lost"] == 0
    eight = select(
        [falling_to(f"r{number}", 10) for number in range(12)], PATIENCES, parse_tolerance(max_lost="8%")
    )
    assert eight.status is Status.GUARANTEED


def test_a_guarantee_with_confidence_takes_more_runs_than_one_on_average():
    runs = [falling_to(f"r{number}", 10) for number in range(24)]
    assert select(runs, PATIENCES, FIVE).status is Status.GUARANTEED
    sure = select(runs, PATIENCES, FIVE, confidence=0.9)
    assert sure.status is Status.BEST_GUESS
    assert sure.guarantee.needed_units > 24


def test_a_guarantee_for_new_groups_counts_groups():
    runs = [falling_to(f"r{number}", 10, group=f"g{number % 4}") for number in range(40)]
    assert select(runs, PATIENCES, FIVE).status is Status.GUARANTEED
    by_group = select(runs, PATIENCES, FIVE, group="group")
    assert by_group.status is Status.BEST_GUESS
    assert (by_group.guarantee.units, by_group.guarantee.needed_units, by_group.unit) == (4, 19, "group")


def test_there_is_no_guarantee_of_a_regret():
    found = select(apart(), PATIENCES, parse_tolerance("0.1"))
    assert (found.guarantee, found.status) == (None, Status.BEST_GUESS)


def test_what_the_best_guess_loses_in_each_group_is_about_itself():
    """Two groups turn early, one late: patience=1 loses where a run falls again after a bump."""
    early = [falling_to(f"e{number}", 8, group="ab"[number % 2]) for number in range(20)]
    bumps = [
        run(f"b{number}", *np.linspace(1, 0.5, 10), 0.55, *np.linspace(0.5, 0.4, 20), group="c")
        for number in range(2)
    ]
    found = select(early + bumps, ["patience=1"], FIVE)
    (by_group,) = [{one.group: one for one in found.by_group}]
    assert {name: (one.runs, one.loss) for name, one in by_group.items()} == {
        "a": (10, 0),
        "b": (10, 0),
        "c": (2, pytest.approx(0.1 / 0.6)),
    }


def test_a_limit_that_is_kept_by_luck_breaks_on_the_runs_that_did_not_select():
    """The shortest budget that reaches every best: without the run that turns last it is one that cuts this
    run short."""
    runs = [falling_to(f"r{turn}", turn, evals=30) for turn in range(5, 15)]
    found = select(runs, [f"budget={steps}" for steps in range(2, 31)], NONE)
    assert found.guess.spec() == "budget=15"
    assert found.in_sample.summary["lost_mean"] == 0
    assert found.in_sample.kept == found.in_sample.judged == 10
    assert [row["policy"] for row in held_out_rows(found)] == ["budget=15"] * 9 + ["budget=14"]
    assert found.stable == [(9, 10)]
    line = found.held_out[0]
    assert line.summary["lost_mean"] == pytest.approx(1 / 14 / 10)
    assert (line.kept, line.judged) == (9, 10)
    assert (found.status, found.obstacle, found.policy) == (Status.CANNOT_TELL, Obstacle.BREAKS, None)


def test_a_held_out_loss_that_is_exactly_the_tolerance_keeps_it():
    runs = [run(f"r{number}", 1.0, 0.5, 0.75, 0.625, 0.375) for number in range(10)]
    choice = select(runs, ["patience=1"], parse_tolerance("0.125"))
    (line,) = choice.held_out
    assert line.summary["regret_mean"] == choice.tolerance.value == 0.125
    assert (choice.status, line.kept, line.judged) == (Status.BEST_GUESS, 10, 10)
    # of equal runs a budget loses the same
    assert line.summary["budget_regret"] == 0.125


def test_no_policy_keeps_the_limit():
    runs = [falling_to(f"r{number}", 25, evals=30) for number in range(10)]
    found = select(runs, ["budget=5", "budget=3"], FIVE)
    assert found.obstacle is Obstacle.NONE_KEEPS
    assert found.policy is found.guess is None
    assert found.cross_validated.least.spec() == "budget=5"
    assert found.cross_validated.loss_of(found.cross_validated.least)[0] == pytest.approx(21 / 25)
    # nothing to score but training to the end
    for line in (found.in_sample, *found.held_out):
        assert (line.summary["saved_mean"], line.summary["lost_mean"], line.kept, line.judged) == (
            0,
            0,
            10,
            10,
        )
    assert {row["policy"] for row in held_out_rows(found)} == {"never"}
    assert found.stable == [(10, 10)]
    saves_nothing = select(runs, ["never", "patience=20"], FIVE)
    assert (saves_nothing.obstacle, saves_nothing.cross_validated.least) == (Obstacle.NONE_KEEPS, None)


def test_three_runs_or_few_evals_are_too_few_for_a_best_guess():
    assert select(apart(3), PATIENCES, FIVE).obstacle is Obstacle.TOO_FEW
    assert select(apart(7), PATIENCES, FIVE).obstacle is Obstacle.TOO_FEW
    four = [run(f"r{number}", 1.0, 0.5, 0.6, 0.7) for number in range(12)]
    assert select(four, ["patience=1"], FIVE).obstacle is Obstacle.TOO_FEW
    five = [run(f"r{number}", 1.0, 0.5, 0.6, 0.7, 0.8) for number in range(12)]
    assert select(five, ["patience=1"], FIVE).obstacle is None
    few = select([falling_to("a", 5), falling_to("b", 9), falling_to("c", 20)], ["budget=2"], FIVE)
    assert few.obstacle is Obstacle.TOO_FEW


def test_few_evals_do_not_hinder_a_guarantee():
    """It holds whatever the runs look like, if the next ones are like them."""
    runs = [run(f"r{number}", 1.0, 0.5, 0.6, 0.7) for number in range(20)]
    found = select(runs, ["patience=1"], FIVE)
    assert (found.status, found.obstacle) == (Status.GUARANTEED, Obstacle.TOO_FEW)


def test_a_tolerance_that_is_kept_on_average_but_not_with_a_margin_is_no_best_guess():
    runs = [falling_to(f"r{number}", 10, evals=30) for number in range(9)]
    runs.append(run("late", *np.abs(np.arange(29) - 10) / 10, -0.3))
    found = select(runs, ["patience=1"], FIVE)
    assert found.policy is found.guess is None
    mean, bound = found.cross_validated.loss_of(found.cross_validated.least)
    assert mean == pytest.approx(0.3 / 1.3 / 10)
    assert mean < FIVE.value < bound
    assert (found.status, found.obstacle) == (Status.CANNOT_TELL, Obstacle.NO_MARGIN)


def test_the_total_compute_ranks_another_policy_first():
    """patience=1 saves 70 % of ten short runs, the budget half of a long one, most of the compute."""
    short = [run(f"r{number}", 1.0, 0.5, *np.linspace(0.6, 1.0, 8)) for number in range(10)]
    long = run("long", *np.linspace(1.0, 0.0, 1000))
    policies = ["patience=1", "budget=500"]
    by_run = select([*short, long], policies, ANY)
    assert (by_run.guess.spec(), by_run.policy.spec()) == ("patience=1", "patience=1")
    by_total = select([*short, long], policies, ANY, weight="compute")
    assert (by_total.guess.spec(), by_total.policy.spec()) == ("budget=500", "budget=500")
    assert by_total.in_sample.summary["saved_total"] == pytest.approx(500 / 1100)
    assert by_run.in_sample.summary["saved_mean"] == pytest.approx(0.7 * 10 / 11)


def test_censored_runs_count_with_the_worst_that_they_allow():
    """Of 20 runs that lose nothing one was cut short: whatever it would have lost is not known."""
    runs = apart()
    cut = Run("cut", {"step": range(1, 51), "eval_loss": np.abs(np.arange(50) - 10)}, {"planned_steps": 100})
    found = select([*runs[:19], cut], PATIENCES, parse_tolerance(max_lost="4%"))
    assert found.held_out[0].summary["lost_mean"] == 0
    assert found.held_out[0].worst_mean == pytest.approx(1 / 20)
    assert (found.status, found.obstacle) == (Status.CANNOT_TELL, Obstacle.CENSORED)
    assert found.guarantee.policy is None
    lenient = select([*runs[:19], cut], PATIENCES, parse_tolerance(max_lost="10%"))
    assert (lenient.status, lenient.guarantee.rung.bound) == (Status.GUARANTEED, pytest.approx(2 / 21))


def test_logs_that_a_rule_stopped_tell_nothing_about_a_greedier_rule():
    runs = [
        Run(made.id, made.evals.iloc[: 10 + TURNS[number % 10]], {"stopped_by": "EarlyStoppingCallback(8)"})
        for number, made in enumerate(apart(30))
    ]
    found = select(runs, ["patience=1"], FIVE)
    assert found.held_out[0].summary["lost_mean"] == 0
    assert (found.status, found.obstacle, found.policy) == (Status.CANNOT_TELL, Obstacle.CENSORED, None)
    assert found.guarantee.needed_units is None


@pytest.fixture(scope="module")
def noisy():
    """24 runs of six groups, of which a choice differs by fold."""
    members = np.repeat(np.arange(6), 4)
    runs = population(11, 24, members).runs()
    policies = [f"patience={wait},min_delta={delta}" for wait in (1, 2, 3, 5, 8) for delta in (0, 0.02)]
    return runs, policies, select(runs, policies, parse_tolerance(max_lost="2%"))


def test_held_out_rows_are_those_of_the_policy_that_was_chosen_without_the_run(noisy):
    runs, _, found = noisy
    assert len({row["policy"] for row in held_out_rows(found)}) > 1, "else there is nothing to mix up"
    assert (
        [row["run"] for row in held_out_rows(found)]
        == [made.id for made in runs]
        == [made.id for made in found.outcomes.study.panel.runs]
    )
    for place, (made, row) in enumerate(zip(runs, held_out_rows(found), strict=True)):
        policy = found.cross_validated.held_out[0].policy(place)
        assert row["policy"] == ("never" if policy is None else policy.spec())
        alone = simulate_policies([made], [row["policy"]]).rows()[0]
        assert row == alone


def test_lines_summarise_the_outcomes_that_they_are_of(noisy):
    runs, _, found = noisy
    assert [line.name for line in found.held_out] == ["held out by run", "held out by group"]
    assert found.in_sample.name == "in sample"
    picks = [
        [found.policy] * len(runs),
        *([one.policy(place) for place in range(len(runs))] for one in found.cross_validated.held_out),
    ]
    for line, chosen in zip([found.in_sample, *found.held_out], picks, strict=True):
        rows = [
            simulate_policies([made], [policy or "never"]).rows()[0]
            for made, policy in zip(runs, chosen, strict=True)
        ]
        lost, saved = np.array([row["lost"] for row in rows]), np.array([row["saved"] for row in rows])
        assert line.summary["runs"] == line.judged == len(runs)
        assert line.summary["saved_mean"] == pytest.approx(saved.mean())
        assert line.summary["lost_mean"] == pytest.approx(lost.mean())
        assert line.summary["lost_worst"] == pytest.approx(lost.max())
        assert line.summary["stopped"] == sum(row["stopped_eval"] is not None for row in rows)
        assert line.summary["censored"] == sum(row["censored"] for row in rows)
        assert line.summary["within_noise"] == sum(row["regret"] <= row["noise"] for row in rows)
        assert line.kept == (lost <= 0.02).sum()
        assert line.summary["lost_low"] <= lost.mean() <= line.summary["lost_high"]
        budget = equal_budget(found, saved)
        assert line.summary["budget_lost"] == pytest.approx(budget.lost)
    assert found.tolerance is found.cross_validated.tolerance
    assert 0 < found.held_out[0].kept < len(runs)


def test_groups_make_a_second_line_where_logs_state_them_and_the_only_one_where_they_are_asked_for(noisy):
    runs, policies, _ = noisy
    tolerance = parse_tolerance(max_lost="2%")
    asked = select(runs, policies, tolerance, group="group")
    assert [line.name for line in asked.held_out] == ["held out by group"]
    assert len(set(asked.groups)) == 6
    unstated = [Run(made.id, made.evals) for made in runs]
    assert [line.name for line in select(unstated, policies, tolerance).held_out] == ["held out by run"]
    two = [Run(made.id, made.evals, {"group": "ab"[number % 2]}) for number, made in enumerate(runs)]
    assert [line.name for line in select(two, policies, tolerance).held_out] == ["held out by run"]
    few = select(two, policies, tolerance, group="group")
    assert (few.obstacle, few.status, few.policy) == (Obstacle.TOO_FEW_GROUPS, Status.CANNOT_TELL, None)
    assert (few.guarantee.units, few.unit) == (2, "group")
    assert [line.name for line in few.held_out] == ["held out by run"]


def test_copies_of_a_run_do_not_make_a_choice_more_certain_where_they_are_grouped():
    one = apart(8, noise=0.03)
    copies = [Run(f"{made.id}-{copy}", made.evals, {"group": made.id}) for made in one for copy in range(4)]
    single = select(one, PATIENCES, FIVE)
    grouped = select(copies, PATIENCES, FIVE, group="group")
    loose = select(copies, PATIENCES, FIVE, group="run")
    assert grouped.policy == single.policy
    for key in ("saved_low", "saved_high", "lost_high"):
        assert grouped.in_sample.summary[key] == pytest.approx(single.in_sample.summary[key], abs=1e-9)
    assert (grouped.cross_validated.bound >= loose.cross_validated.bound).all()
    assert (grouped.cross_validated.bound > loose.cross_validated.bound + 1e-6).any()


def plateau(count=16, evals=24, sigma=0.05):
    rng = np.random.default_rng(8)
    return [
        run(f"r{number}", *(np.exp(-np.arange(evals)) + sigma * rng.standard_normal(evals)))
        for number in range(count)
    ]


def test_regret_without_the_luck_of_the_best_of_a_noisy_plateau():
    found = select(plateau(), PATIENCES, ANY)
    line = found.held_out[0]
    assert line.summary["regret_mean"] > 0.02
    assert line.corrected < 0.5 * line.summary["regret_mean"]
    assert found.in_sample.corrected is None
    # by hand: each run's, by the policy that stopped it
    expected = []
    for row, made in zip(held_out_rows(found), found.outcomes.study.panel.runs, strict=True):
        values, (policy,) = made.evals.eval_loss.to_numpy(), parse_policies([row["policy"]])
        stop = None if row["stopped_eval"] is None else row["stopped_eval"] - 1

        def stops(drawn, policy=policy):
            return np.array([(policy.stop_eval(one) or 0) - 1 for one in drawn])

        expected.append(corrected_regret(values, "min", row["kept_step"] - 1, stop, rule=stops))
    assert line.corrected == pytest.approx(np.mean(expected))


def test_corrected_regret_is_not_known_where_the_noise_is_not_and_the_regret_itself_where_there_is_none():
    short = [run(f"r{number}", 1.0, 0.5, 0.6, 0.4) for number in range(10)]
    assert select(short, ["patience=1"], ANY).held_out[0].corrected is None
    # the last eval is far below: a regret that no noise explains
    straight = [run(f"r{number}", *np.linspace(1, 0.5, 8), 0.6, 0.7, 0.2) for number in range(10)]
    line = select(straight, ["patience=1"], ANY).held_out[0]
    assert line.corrected == pytest.approx(line.summary["regret_mean"]) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "policy",
    [
        "patience=2,monitor=eval_error",
        "patience=4 | patience=2,monitor=eval_error",
        "patience=3,every=2",
        "pq=0.1,strip=2",
    ],
)
def test_policies_that_look_at_more_than_the_values_are_corrected_too(policy):
    rng = np.random.default_rng(3)
    runs = []
    for made in plateau():
        more = {"eval_error": rng.random(len(made)), "train_loss": np.linspace(1, 0.5, len(made))}
        runs.append(Run(made.id, {"step": made.steps, "eval_loss": 1 + made.evals.eval_loss, **more}))
    line = select(runs, [policy], ANY, monitor="eval_loss").held_out[0]
    assert line.corrected < line.summary["regret_mean"]


def with_error(runs, seed):
    """The runs with a second metric, which is noise."""
    rng = np.random.default_rng(seed)
    return [Run(made.id, {**made.evals, "eval_error": rng.random(len(made))}) for made in runs]


def corrected_by_hand(found, **how):
    """The mean of each run's corrected regret, of where it was stopped."""
    regrets = []
    for row, made in zip(held_out_rows(found), found.outcomes.study.panel.runs, strict=True):
        stop = None if row["stopped_eval"] is None else row["stopped_eval"] - 1
        regrets.append(
            corrected_regret(made.evals.eval_loss.to_numpy(), "min", row["kept_step"] - 1, stop, **how)
        )
    return np.mean(regrets)


def test_a_stop_by_another_metric_is_not_corrected_as_if_the_kept_value_was_the_best():
    """The checkpoint is the best by the policy's own metric: by the loss it is as likely too bad as too
    good."""
    found = select(
        with_error(plateau(), seed=4),
        ["patience=2,monitor=eval_error"],
        ANY,
        monitor="eval_loss",
    )
    assert found.held_out[0].corrected == pytest.approx(corrected_by_hand(found, rule="fixed", chosen=False))


def test_drawn_curves_do_not_stand_for_another_metric_that_a_part_of_a_policy_watches():
    found = select(
        with_error(plateau(), seed=5),
        ["patience=6 | patience=3,monitor=eval_error"],
        ANY,
        monitor="eval_loss",
    )
    assert found.held_out[0].corrected == pytest.approx(corrected_by_hand(found, rule="patience"))


def test_judged_by_another_metric_the_choice_goes_by_that():
    """The loss turns while accuracy still rises: what is free by the loss is dear by accuracy."""
    runs = []
    for number in range(10):
        loss = np.abs(np.arange(20) - 6) / 6
        accuracy = np.minimum(np.arange(20) / 15, 1.0) - 0.001 * np.arange(20)
        runs.append(Run(f"r{number}", {"step": range(1, 21), "eval_loss": loss, "eval_accuracy": accuracy}))
    policies = ["patience=1", "patience=10"]
    assert select(runs, policies, FIVE, monitor="eval_loss").policy.spec() == "patience=1"
    judged = select(runs, policies, FIVE, monitor="eval_loss", objective="eval_accuracy", keep="last")
    assert judged.policy.spec() == "patience=10"
    assert judged.held_out[0].summary["lost_mean"] < 0.05


def test_baselines_are_there_and_are_those_of_the_simulation(noisy):
    runs, _, found = noisy
    assert list(found.baselines) == ["never", "oracle"], "no log has epochs, so there is no one-epoch"
    assert found.baselines["never"]["saved_mean"] == found.baselines["never"]["lost_mean"] == 0
    assert found.baselines["oracle"]["lost_mean"] == 0
    assert found.baselines["oracle"]["saved_mean"] >= found.in_sample.summary["saved_mean"] - 0.05
    with_epochs = [Run(made.id, {**made.evals, "epoch": made.steps / 5}) for made in runs]
    again = select(with_epochs, ["patience=2"], ANY)
    assert list(again.baselines) == ["never", "one-epoch", "oracle"]
    assert again.baselines["one-epoch"]["saved_mean"] == pytest.approx(
        np.mean([1 - 5 / len(made) for made in runs])
    )


def test_a_baseline_can_be_chosen_like_any_policy():
    runs = [
        Run(made.id, {**made.evals, "epoch": made.steps / 12})
        for made in [falling_to(f"r{number}", 10) for number in range(10)]
    ]
    found = select(runs, ["one-epoch", "patience=30"], FIVE)
    assert found.policy.spec() == "one-epoch"
    assert {row["policy"] for row in held_out_rows(found)} == {"one-epoch"}
    assert found.in_sample.summary["saved_mean"] == found.baselines["one-epoch"]["saved_mean"]


def test_the_choice_is_the_same_every_time_and_for_runs_in_any_order(noisy):
    runs, policies, found = noisy
    again = select(runs, policies, parse_tolerance(max_lost="2%"))
    assert again.policy == found.policy
    assert held_out_rows(again) == held_out_rows(found)
    assert again.status == found.status
    for one, other in zip(
        [found.in_sample, *found.held_out], [again.in_sample, *again.held_out], strict=True
    ):
        np.testing.assert_equal(one.summary, other.summary)
        for name in ("kept", "judged", "worst_mean", "corrected"):
            assert getattr(one, name) == getattr(other, name)
    backwards = select(runs[::-1], policies, parse_tolerance(max_lost="2%"))
    assert backwards.policy == found.policy
    assert held_out_rows(backwards) == held_out_rows(found)[::-1]
    assert backwards.status == found.status


def test_progress_and_errors_reach_the_caller():
    told = []
    runs = apart(8)
    rules = parse_policies([*PATIENCES, "pq=1", "patience=1,monitor=val_nothing_loss"])
    study = Study(runs, rules, Question(monitor="eval_loss"))
    found = select_policy(study, rules, FIVE, optional=True, progress=told.append)
    assert found.cross_validated.partial == 2
    assert told[-1] == len(PATIENCES)
    assert [finding.policy for finding in found.outcomes.findings][:2] == [
        "pq=1",
        "patience=1,monitor=val_nothing_loss",
    ]
    with pytest.raises(InputError, match="pq=1 needs train_loss"):
        select(runs, ["pq=1"], FIVE)
    with pytest.raises(InputError, match="confidence"):
        select(runs, PATIENCES, FIVE, confidence=1)


def test_runs_of_which_the_loss_is_unknown_are_not_counted_as_keeping_the_limit():
    scores = [
        [0.1, 0.5, 0.6, 0.5, 0.5, 0.5] if number < 8 else [0.1, None, 0.6, 0.5, 0.5, 0.5]
        for number in range(10)
    ]
    runs = [
        Run(
            f"r{number}",
            {"step": range(1, 7), "eval_loss": [1.0, 0.5, 0.6, 0.7, 0.8, 0.9], "eval_acc": score},
        )
        for number, score in enumerate(scores)
    ]
    found = select(
        runs, ["patience=1"], parse_tolerance(max_lost="30%"), monitor="eval_loss", objective="eval_acc"
    )
    line = found.held_out[0]
    assert (line.summary["runs"], line.kept, line.judged) == (10, 8, 8)
    assert line.summary["lost_mean"] == pytest.approx(0.2)

"""The regret on a second held-out set, and whether a metric's movements show there as well."""

import json
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from replay import Run
from replay.data.names import held_out_name
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.report.render import render
from replay.report.simulate import build
from replay.stats.second_metric import (
    SecondRegret,
    find_second,
    mean_second_regret,
    movement_correlation,
    second_regret,
)
from replay.stats.summary import summarise

NAN = math.nan
#: Under patience=1 the loss stops at eval 4 and keeps eval 3; its best is eval 6.
LOSS = [1.0, 0.7, 0.5, 0.6, 0.8, 0.3]


def run(id="r", meta=None, step=None, **columns):
    length = len(next(iter(columns.values())))
    return Run(id, {"step": step or list(range(1, length + 1)), **columns}, meta)


def study(*runs, **question):
    return Study(runs, [], Question(**question))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("eval_loss", ("validation", ("loss",))),
        ("val/loss", ("validation", ("loss",))),
        ("dev_accuracy", ("validation", ("accuracy",))),
        ("validation/epoch_loss", ("validation", ("epoch", "loss"))),
        ("test_loss", ("test", ("loss",))),
        ("eval_test_loss", ("test", ("loss",))),
        ("held_out_loss", ("test", ("loss",))),
        ("loss_holdout", ("test", ("loss",))),
        ("eval_generic_loss", ("validation", ("generic", "loss"))),
        ("loss", None),
        ("train_loss", None),
        ("latest_loss", None),
    ],
)
def test_the_words_of_the_set_are_taken_off_a_name(name, parts):
    assert held_out_name(name) == parts


@pytest.mark.parametrize(
    ("columns", "question", "second"),
    [
        (("eval_loss", "test_loss"), {}, "test_loss"),
        (("eval/loss", "test/loss", "eval/accuracy"), {}, "test/loss"),
        (("val_loss", "heldout_loss"), {}, "heldout_loss"),
        (("eval_loss", "test_accuracy"), {}, None),
        (("eval_loss", "eval_generic_loss"), {}, None),
        (("eval_loss",), {}, None),
        (
            ("eval_loss", "eval_accuracy", "test_loss", "test_accuracy"),
            {"objective": "eval_accuracy"},
            "test_accuracy",
        ),
        (
            ("eval_accuracy", "eval_loss", "test_loss"),
            {"monitor": "eval_accuracy", "objective": "test_loss"},
            "eval_loss",
        ),
        # it chose the checkpoints
        (("eval_loss", "test_loss"), {"objective": "test_loss"}, None),
    ],
)
def test_which_metric_is_the_second(columns, question, second):
    values = {"monitor": columns[0], **question}
    assert find_second(study(run(**dict.fromkeys(columns, LOSS)), **values)) == second


def test_a_second_metric_has_the_mode_of_the_objective():
    stated = {"modes": {"eval_points": "max", "test_points": "min"}}
    made = run("a", stated, eval_points=LOSS, test_points=LOSS)
    assert find_second(study(made, monitor="eval_points")) is None
    made = run("a", {"modes": {"eval_points": "max"}}, eval_points=LOSS, test_points=LOSS)
    assert find_second(study(made, monitor="eval_points")) == "test_points"


def test_of_several_the_one_that_most_runs_log():
    runs = [
        run("a", eval_loss=LOSS, heldout_loss=LOSS, test_loss=LOSS),
        run("b", eval_loss=LOSS, test_loss=LOSS),
    ]
    assert find_second(study(*runs)) == "test_loss"


def second(made, policy="patience=1", **question):
    return second_regret(simulate_policies([made], [policy], Question(**question))).tolist()


def test_the_regret_on_a_second_metric_by_hand():
    test = [2.0, 1.9, 1.4, 1.3, 1.2, 1.1]
    assert second(run(eval_loss=LOSS, test_loss=test)) == pytest.approx([1.4 - 1.1])
    better = [2.0, 1.9, 1.0, 1.3, 1.2, 1.1]
    assert second(run(eval_loss=LOSS, test_loss=better)) == pytest.approx([1.0 - 1.1]), "it may be negative"
    assert second(run(eval_loss=LOSS, test_loss=test), "never") == [0]
    higher = second(run(eval_accuracy=LOSS, test_accuracy=test), "never", monitor="eval_accuracy")
    assert math.copysign(1, higher[0]) == 1, "not -0"


def test_larger_is_worse_for_a_metric_that_is_better_when_higher():
    accuracy, test = [1 - value for value in LOSS], [0.1, 0.2, 0.6, 0.3, 0.2, 0.9]
    made = run(eval_accuracy=accuracy, test_accuracy=test)
    assert second(made, monitor="eval_accuracy") == pytest.approx([0.9 - 0.6])


def test_the_checkpoint_kept_by_another_monitor_is_compared_with_the_best_by_the_objective():
    accuracy = [0.5, 0.6, 0.4, 0.9, 0.3, 0.2]
    made = run(eval_loss=LOSS, eval_accuracy=accuracy, test_accuracy=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    found = second(made, monitor="eval_loss", objective="eval_accuracy")
    assert found == pytest.approx([0.4 - 0.3]), "kept at eval 3 by the loss, best at eval 4"


@pytest.mark.parametrize(
    "test",
    [
        [2.0, 1.9, None, 1.3, 1.2, 1.1],
        [2.0, 1.9, 1.4, 1.3, 1.2, None],
        [2.0, 1.9, 1.4, 1.3, 1.2, NAN],
        [2.0, 1.9, math.inf, 1.3, 1.2, 1.1],
    ],
)
def test_it_is_not_known_where_one_of_the_two_values_is_not(test):
    assert np.isnan(second(run(eval_loss=LOSS, test_loss=test))).all()
    outcomes = simulate_policies([run(eval_loss=LOSS, test_loss=test)], ["patience=1"])
    assert mean_second_regret(outcomes) is None


def test_runs_spell_the_metric_in_their_own_way_or_do_not_have_it():
    test = [2.0, 1.9, 1.4, 1.3, 1.2, 1.1]
    runs = [
        run("a", eval_loss=LOSS, test_loss=test),
        run("b", **{"eval/loss": LOSS, "test/loss": test[::-1]}),
        run("c", eval_loss=LOSS),
    ]
    outcomes = simulate_policies(runs, ["never", "patience=1"])
    np.testing.assert_allclose(second_regret(outcomes), [0, 0, NAN, 0.3, 1.3 - 2.0, NAN], atol=1e-12)
    np.testing.assert_allclose(second_regret(outcomes, np.array([4, 3])), [1.3 - 2.0, 0.3])
    found = mean_second_regret(outcomes, np.arange(3, 6))
    assert (found.metric, found.runs) == ("test_loss", 2)
    assert found.mean == pytest.approx((0.3 - 0.7) / 2)
    assert found.low < -0.7
    assert found.high > 0.3


def test_groups_make_the_interval_of_the_mean_wider():
    rng = np.random.default_rng(3)
    shifts = np.repeat(rng.standard_normal(8), 5)
    runs = [
        run(f"r{number}", eval_loss=LOSS, test_loss=[0, 0, shift + 0.1 * rng.standard_normal(), 0, 0, 0])
        for number, shift in enumerate(shifts)
    ]
    outcomes = simulate_policies(runs, ["patience=1"])
    alone = mean_second_regret(outcomes)
    grouped = mean_second_regret(outcomes, groups=[f"g{number // 5}" for number in range(40)])
    assert alone.mean == grouped.mean == pytest.approx(second_regret(outcomes).mean())
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    half = mean_second_regret(outcomes, level=0.5)
    assert half.high - half.low < (alone.high - alone.low) / 2


def test_the_json_of_simulate_has_it():
    test = [2.0, 1.9, 1.4, 1.3, 1.2, 1.1]

    def data(*runs):
        outcomes = simulate_policies(runs, ["patience=1"], baselines=True)
        return json.loads(render(build(outcomes, summarise(outcomes)), "json"))

    found = data(*(run(name, eval_loss=LOSS, test_loss=test) for name in "ab"))
    assert found["second_metric"]["metric"] == "test_loss"
    assert found["second_metric"]["movement_correlation"] is None
    rows = {row["policy"]: row for row in found["second_metric"]["policies"]}
    assert set(rows) == {row["policy"] for row in found["summary"]}
    assert {row["runs"] for row in rows.values()} == {2}
    assert rows["never"]["second_regret_mean"] == 0
    assert rows["patience=1"]["second_regret_mean"] == pytest.approx(0.3)
    assert rows["patience=1"]["second_regret_low"] == pytest.approx(0.3)
    assert data(run("a", eval_loss=LOSS))["second_metric"] is None
    unknown = data(run("a", eval_loss=LOSS, test_loss=[None, *test[1:5], None]))["second_metric"]["policies"]
    assert [(row["runs"], row["second_regret_mean"], row["second_regret_low"]) for row in unknown] == [
        (0, None, None)
    ] * 3


# ---------------------------------------------------------------- movements


def curves(count, sigma, shared, evals=25):
    """Losses that fall and turn on two sets, with noise of which a share is the same on both."""
    rng = np.random.default_rng(0)
    at = np.arange(evals)
    runs = []
    for number in range(count):
        trend = np.exp(-at / (2 + number % 5)) + 0.02 * np.maximum(0, at - 8 - number % 6)
        both, own, other = sigma * rng.standard_normal((3, evals))
        columns = {
            "eval_loss": trend + shared * both + (1 - shared) * own,
            "test_loss": trend + shared * both + (1 - shared) * other,
        }
        runs.append(run(f"r{number}", **columns))
    return runs


def plain_correlations(runs, difference):
    return [
        float(difference(*(made.columns[name].values for name in ("eval_loss", "test_loss"))))
        for made in runs
    ]


def test_movements_are_those_of_scipys_rank_correlation():
    runs = curves(7, 0.02, 0.5)

    def bends(one, other):
        return spearmanr(np.diff(one, 2), np.diff(other, 2)).statistic

    found = movement_correlation(study(*runs))
    assert found == pytest.approx(np.median(plain_correlations(runs, bends)))


def test_ties_share_their_ranks():
    chance = np.random.default_rng(2)
    one, other = chance.integers(0, 4, 30).astype(float), chance.integers(0, 4, 30).astype(float)
    found = movement_correlation(study(run(eval_loss=one, test_loss=other)))
    assert found == pytest.approx(spearmanr(np.diff(one, 2), np.diff(other, 2)).statistic)


def test_noise_of_the_measurement_is_told_from_differences_between_checkpoints():
    """Though in both cases the curves fall together, so that their plain differences correlate."""
    independent, real = curves(60, 0.01, 0.0), curves(60, 0.01, 0.9)
    assert (
        np.median(plain_correlations(independent, lambda a, b: np.corrcoef(np.diff(a), np.diff(b))[0, 1]))
        > 0.9
    )
    assert movement_correlation(study(*independent)) < 0.4
    assert movement_correlation(study(*real)) > 0.95
    assert abs(movement_correlation(study(*curves(60, 0.05, 0.0)))) < 0.15


def test_the_sign_of_the_mode_does_not_matter():
    runs = curves(5, 0.02, 0.7)
    mirrored = [
        run(
            made.id,
            eval_score=-made.columns["eval_loss"].values,
            test_score=-made.columns["test_loss"].values,
        )
        for made in runs
    ]
    found = movement_correlation(study(*mirrored, monitor="eval_score"))
    assert found == pytest.approx(movement_correlation(study(*runs)))


def test_only_evals_that_have_both_count_and_few_of_them_tell_nothing():
    one, other = [0.9, 0.3, 0.5, 0.2, 0.6, 0.4, 0.8], [0.8, 0.3, 0.6, 0.1, 0.5, 0.4, 0.9]
    full = movement_correlation(study(run(eval_loss=one, test_loss=other)))
    assert full == pytest.approx(spearmanr(np.diff(one, 2), np.diff(other, 2)).statistic)
    more = run(eval_loss=[*one, 5.0, 6.0, NAN], test_loss=[*other, None, NAN, 1.0])
    assert movement_correlation(study(more)) == pytest.approx(full)
    assert movement_correlation(study(run(eval_loss=one[:6], test_loss=other[:6]))) is None
    assert movement_correlation(study(run(eval_loss=one, test_loss=[1.0] * 7))) is None
    assert movement_correlation(study(run(eval_loss=one))) is None


def test_on_the_sample_logs_the_movements_are_real_and_the_correction_takes_off_what_was_lost(sample_runs):
    outcomes = simulate_policies(sample_runs, ["patience=3,smooth=mean:3"])
    assert movement_correlation(outcomes.study) == pytest.approx(0.931, abs=0.001)
    assert outcomes.regret.mean() == pytest.approx(0.0020, abs=5e-5)
    found = mean_second_regret(outcomes)
    assert (found.metric, found.runs) == ("test_loss", 26)
    assert found.mean == pytest.approx(0.0031, abs=5e-5)
    assert isinstance(found, SecondRegret)


@pytest.fixture(scope="module")
def sample_runs():
    import replay
    from tests.readme import ROOT

    return replay.load(ROOT / "sample_logs")

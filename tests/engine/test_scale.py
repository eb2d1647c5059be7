"""The scale of ``lost``: what a run's improvement is measured from, and which runs have none."""

import math

import numpy as np
import pytest

import replay
from replay.data.finding import Kind
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies

from .runs import outcome_of, run

NAN, INF = math.nan, math.inf
#: Stopped at its third eval by patience=1: 0.2 above the best.
DIP = [1.0, 0.8, 0.9, 0.6, 0.7]


def kinds(outcomes):
    return {finding.kind: finding for finding in outcomes.findings}


@pytest.mark.parametrize(
    ("reference", "lost"),
    [
        ({}, 0.2 / 0.4),
        ({"eval_loss": 1.4}, 0.2 / 0.8),
        ({"eval/loss": 1.4}, 0.2 / 0.8),
        ({"eval/loss": 9.0, "eval_loss": 1.4}, 0.2 / 0.8),
        ({"test_loss": 1.4}, 0.2 / 0.4),
        ({"eval_loss": NAN}, 0.2 / 0.4),
        ({"eval_loss": "1.4"}, 0.2 / 0.4),
    ],
)
def test_the_improvement_is_measured_from_the_base_model_where_the_log_has_its_value(reference, lost):
    row = outcome_of(run(meta={"reference": reference}, eval_loss=DIP[:4]), "patience=1")
    assert (row.stopped_eval, row.regret) == (3, pytest.approx(0.2))
    assert row.lost == pytest.approx(lost)


def test_the_base_model_of_a_metric_that_is_better_when_higher():
    made = run(meta={"reference": {"eval_acc": 0.1}}, eval_acc=[0.3, 0.5, 0.4, 0.6])
    assert outcome_of(made, "patience=1").lost == pytest.approx(0.1 / 0.5)


def test_a_base_model_that_is_better_than_every_eval_leaves_no_scale():
    made = run(meta={"reference": {"eval_loss": 0.5}}, eval_loss=DIP[:4])
    outcomes = simulate_policies([made], ["patience=1", "never"])
    assert [row["lost"] for row in outcomes.rows()] == [None, None]
    finding = kinds(outcomes)[Kind.NO_SCALE]
    assert (finding.runs, finding["worse_than_base"]) == (("r",), 1)


def noisy(id, spread, improvement):
    """Nine evals that jump by ``spread`` around a fall, whose best is ``improvement`` below the first."""
    values = [1.0, *(1.0 - spread * (number % 2) for number in range(1, 8)), 1.0 - improvement]
    return run(id, eval_loss=values)


def test_a_run_that_improves_by_less_than_twice_its_noise_has_no_scale():
    flat, learning = noisy("flat", 0.01, 0.011), noisy("learning", 0.01, 0.2)
    outcomes = simulate_policies([flat, learning], ["patience=1", "budget=100"])
    noise = dict(zip(["flat", "learning"], outcomes.noise[:2], strict=True))
    assert 0.2 > 2 * noise["learning"] > 0
    assert 2 * noise["flat"] > 0.011
    lost = {(row["spec"], row["run"]): row["lost"] for row in outcomes.rows()}
    assert lost["budget=100", "flat"] is None
    assert lost["budget=100", "learning"] == 1
    assert kinds(outcomes)[Kind.NO_SCALE].runs == ("flat",)


def test_twice_the_noise_is_a_scale():
    made = run(eval_loss=[1.0, 0.9, 1.0, 0.9, 1.0, 0.9, 1.0])
    panel = simulate_policies([made], ["never"]).study.panel
    noise = float(panel.objective.noise[0])
    for noises, known in ((2.001, True), (1.999, False)):
        base = {"eval_loss": 0.9 + noises * noise}
        based = run(meta={"reference": base}, eval_loss=made.evals.eval_loss)
        scale = simulate_policies([based], ["never"]).study.panel.objective.scale
        assert bool(np.isfinite(scale.improvement[0])) is known


def test_without_any_improvement_only_a_regret_of_0_has_a_share():
    made = run(eval_loss=[0.5, 0.6, 0.7])
    best, last = outcome_of(made, "never"), outcome_of(made, "never", keep="last")
    assert (best.regret, best.lost) == (0, 0)
    assert last.regret == pytest.approx(0.2)
    assert last.isna().lost


def test_the_first_stretch_and_what_comes_after_it():
    values = [3.0, 1.0, 0.8, 0.9, 0.8, 0.7, 0.6, 0.7, 0.8]
    outcomes = simulate_policies([run(eval_loss=values)], ["patience=1"])
    scale = outcomes.study.panel.objective.scale
    assert scale.improvement[0] == pytest.approx(2.4)
    assert scale.later[0] == pytest.approx(0.4)
    assert scale.dominated[0]
    assert outcomes.lost[0] == pytest.approx(0.2 / 2.4)
    assert outcomes.lost_later[0] == pytest.approx(0.2 / 0.4)
    based = simulate_policies(
        [run(meta={"reference": {"eval_loss": 3.0}}, eval_loss=values[1:])], ["patience=1"]
    )
    assert based.lost[0] == outcomes.lost[0]
    assert based.lost_later[0] == outcomes.lost_later[0]
    half = simulate_policies([run(eval_loss=[1.0, 0.75, 0.8, 0.5])], ["patience=1"])
    assert not half.study.panel.objective.scale.dominated[0], "exactly half is not more than half"


def test_an_infinite_best_is_named():
    made = [run("fine", eval_loss=DIP[:4]), run("odd", eval_loss=[1.0, 0.5, 0.9, -INF])]
    outcomes = simulate_policies(made, ["patience=1"])
    assert kinds(outcomes)[Kind.INFINITE_BEST].runs == ("odd",)
    assert outcomes.regret.tolist() == [pytest.approx(0.2), INF]
    with pytest.warns(replay.ReplayWarning, match="1 of 2 runs has an infinite best value of eval_loss"):
        replay.simulate(made, ["patience=1"])


def test_the_oracle_keeps_the_best_of_what_was_logged_at_the_monitors_evals():
    """The best of all, at step 250, is at no eval of the monitor."""
    made = run(
        step=[100, 200, 250, 300],
        eval_loss=[1.0, 0.5, None, 0.6],
        eval_acc=[0.1, 0.4, 0.9, 0.6],
    )
    row = simulate_policies([made], [], Question("eval_loss", objective="eval_acc"), baselines=True).rows()[
        -1
    ]
    assert (row["policy"], row["stopped_step"], row["kept"]) == ("oracle", 300, 0.6)
    assert row["lost"] == pytest.approx(0.3 / 0.8)

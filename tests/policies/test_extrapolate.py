import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, PolicyError
from replay.policies.quantiles import t_quantile
from replay.policies.rules.extrapolate import EXPONENTS, Extrapolate
from replay.report.sentences import sentences

NAN, INF = math.nan, math.inf
HARMONIC = [1 + 1 / step for step in range(1, 10)]  # 2, 1.5, 1.333, 1.25, 1.2, ...


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        # exactly 1 + 1 / step: at step 10 it will be 1.1. Now it is 1.2 (eval 5), 1.1667, 1.1429, 1.125,
        # 1.111
        ("extrapolate:min_delta=0.11,horizon=10", "min", HARMONIC, 5),
        ("extrapolate:min_delta=0.05,horizon=10", "min", HARMONIC, 7),
        ("extrapolate:min_delta=0.01,horizon=10", "min", HARMONIC, None),
        ("extrapolate:min_delta=0.11,horizon=10,min_evals=7", "min", HARMONIC, 7),
        ("extrapolate:min_delta=0.16,horizon=10,min_evals=4", "min", HARMONIC, 4),
        (
            "extrapolate:min_delta=0.18,horizon=100",
            "min",
            HARMONIC,
            6,
        ),  # 1.01 will be reached: gains of 0.19 and 0.157
        ("extrapolate:min_delta=0.05,horizon=10", "max", [-value for value in HARMONIC], 7),
        ("extrapolate:min_delta=0.05,horizon=10", "min", [value - 9 for value in HARMONIC], 7),  # any sign
        ("extrapolate:horizon=10", "min", [0.5] * 9, 5),  # constant: no gain
        (
            "extrapolate:horizon=5",
            "min",
            [0.5] * 9,
            None,
        ),  # at the planned end or beyond there is nothing to stop
        ("extrapolate:horizon=6", "min", [0.5] * 9, 5),
        # b < 0 would promise a rise without end; the fit is the mean, 1.2, with s = sqrt(0.1 / 2), t(0.95, 2)
        # = 2.92: at best 1.2 - 2.92 * 0.2236 * sqrt(1.2) = 0.485, over the best of 1.0
        ("extrapolate:fit=values,horizon=100,min_delta=0.51", "min", [1.0, 1.1, 1.2, 1.3, 1.4], None),
        ("extrapolate:fit=values,horizon=100,min_delta=0.52", "min", [1.0, 1.1, 1.2, 1.3, 1.4], 5),
        # the best so far is 1.0 throughout
        ("extrapolate:horizon=100", "min", [1.0, 1.1, 1.2, 1.3, 1.4], 5),
        ("extrapolate:horizon=10,min_delta=9", "min", [1.0], None),
        ("extrapolate:horizon=10,min_delta=9", "min", [], None),
        ("extrapolate:horizon=10,min_delta=9", "min", [NAN] * 9, None),
        # values that are not finite do not count, nor as today's best
        (
            "extrapolate:horizon=10,min_delta=0.05",
            "min",
            [2, 1.5, NAN, 1.25, INF, 1 + 1 / 6, 1 + 1 / 7, 1 + 1 / 8],
            7,
        ),
        ("extrapolate:horizon=10,min_delta=9", "min", [-INF, 1.0, 1.0, 1.0, NAN, 1.0], None),
        ("extrapolate:horizon=10,min_delta=9", "min", [-INF, 1.0, 1.0, 1.0, NAN, 1.0, 1.0], 7),
    ],
)
def test_extrapolate(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


def test_an_eval_before_the_training_is_no_point_of_the_curve_but_may_be_the_best():
    values, steps = [1.3, 2, 1.5, 1 + 1 / 3, 1.25, 1.2], [0, 1, 2, 3, 4, 5]
    figures = (
        Extrapolate(0.1, horizon=10, fit="values")
        .trace(CurveBatch.of([Curve.of(values, "min", steps)]))
        .figures
    )
    assert np.isnan(figures["predicted"][0, 4])  # four points
    assert figures["predicted"][0, 5] == pytest.approx(1.1)
    assert (
        parse_policy("extrapolate:min_delta=0.05,horizon=10").stop_eval([1.1, *values[1:]], steps=steps) == 6
    )


@pytest.mark.parametrize("fit", ["best", "values"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_fit_is_that_of_plain_least_squares(mode, fit):
    generator = np.random.default_rng(1)
    steps = np.arange(20.0, 420.0, 20.0)
    values = 0.7 + 3 * steps**-0.6 + 0.02 * generator.normal(size=20)
    values = values if mode == "min" else -values
    oriented = values if mode == "min" else -values
    best = np.minimum.accumulate(oriented)
    assert (best != oriented).any()
    figures = Extrapolate(horizon=1000, fit=fit).trace(CurveBatch.of([Curve.of(values, mode, steps)])).figures
    t = t_quantile(0.95, 17)
    found = []
    for exponent in EXPONENTS:
        x = steps**-exponent
        design = np.stack([np.ones(20), x], axis=1)
        (a, b), (rest,), *_ = np.linalg.lstsq(design, best if fit == "best" else oriented)
        assert b > 0
        here = np.array([1, 1000.0**-exponent])
        found.append((rest, a + b * here[1], here @ np.linalg.inv(design.T @ design) @ here))
    least = min(rest for rest, *_ in found)
    hopes = [
        guess - t * math.sqrt(least / 17 * (1 + lever))
        for rest, guess, lever in found
        if rest <= least * (1 + t**2 / 17)
    ]
    assert 1 < len(hopes) < 16
    sign = 1 if mode == "min" else -1
    assert figures["predicted"][0, -1] == pytest.approx(sign * min(found)[1], rel=1e-9)
    assert figures["optimistic"][0, -1] == pytest.approx(sign * min(hopes), rel=1e-9)
    assert figures["exponent"][0, -1] == EXPONENTS[int(np.argmin([rest for rest, *_ in found]))]


def test_the_planned_end_comes_from_the_log_unless_given():
    steps = list(range(10, 100, 10))
    run = replay.Run("r", {"step": steps, "eval_loss": HARMONIC}, meta={"planned_steps": 100})
    outcome = simulate_policies([run], ["extrapolate:min_delta=0.05"]).rows()[0]
    assert outcome["stopped_eval"] == 7
    assert (
        outcome["reason"]
        == "at step 100 a power law with exponent 1 predicts 1.1, at best 1.1: no gain > 0.05 over 1.1429"
    )
    (epochs,) = simulate_policies(
        [
            replay.Run(
                "r",
                {"step": steps, "eval_loss": HARMONIC},
                meta={"planned_epochs": 100, "step_unit": "epoch"},
            )
        ],
        ["extrapolate:min_delta=0.05"],
    ).rows()
    assert epochs["stopped_eval"] == 7
    unplanned = replay.Run("u", {"step": steps, "eval_loss": HARMONIC})
    with pytest.raises(InputError, match="needs planned_steps, which no run logs; give horizon=STEPS"):
        simulate_policies([unplanned], ["extrapolate:min_delta=0.05"])
    assert (
        simulate_policies([unplanned], ["extrapolate:min_delta=0.05,horizon=100"]).rows()[0]["stopped_eval"]
        == 7
    )
    both = simulate_policies([run, unplanned], ["extrapolate:min_delta=0.05"])
    assert [row["run"] for row in both.rows()] == ["r"]
    assert "1 run lacks: u; give horizon=STEPS; the policy is skipped on it" in sentences(both.findings)[0]
    with pytest.raises(PolicyError, match="needs planned_steps"):
        parse_policy("extrapolate").stop_eval(HARMONIC)


@pytest.mark.parametrize("fit", ["best", "values"])
def test_a_noisy_curve_that_still_falls_is_not_stopped_and_one_that_has_settled_is(fit):
    generator = np.random.default_rng(2)
    steps = np.arange(10.0, 310.0, 10.0)
    noise = 0.002 * generator.normal(size=(200, 30))
    policy = Extrapolate(0.02, horizon=1000, fit=fit)
    falls = policy.stops(
        CurveBatch.of([Curve.of(row, "min", steps) for row in 0.5 + 3 * steps**-0.4 + noise])
    )
    settled = policy.stops(
        CurveBatch.of([Curve.of(row, "min", steps) for row in 0.5 + 30 * steps**-2.0 + noise])
    )
    assert (falls < 0).mean() > 0.95  # 3 * (300^-0.4 - 1000^-0.4) = 0.117 is to be gained
    assert (settled >= 0).mean() > 0.95


def test_reasons_tell_the_promise():
    decide = parse_policy("extrapolate:min_delta=0.05,horizon=10").decide
    assert decide(HARMONIC[:3]).reason == "no fit yet (it takes 5 finite values at steps > 0)"
    assert decide(HARMONIC[:5]) == (
        5,
        False,
        (
            "at step 10 a power law with exponent 1 predicts 1.1, at best 1.1: a gain over 1.2 of up to 0.1"
            " is possible"
        ),
    )
    assert decide([*HARMONIC, 1.1]).reason == "at or beyond the planned end, step 10"
    assert (
        parse_policy("extrapolate:horizon=10")
        .decide([0.5] * 5)
        .reason.endswith("predicts 0.5, at best 0.5: no gain over 0.5")
    )


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("extrapolate:confidence=1", "below 1"),
        ("extrapolate:min_evals=3", "at least 4"),
        ("extrapolate:horizon=-1", "at least 0"),
    ],
)
def test_parameters_that_cannot_be(spec, says):
    with pytest.raises(PolicyError, match=says):
        parse_policy(spec)


@pytest.mark.parametrize(
    ("exponent", "tried"), [(0.0625, 0.125), (0.125, 0.125), (1.5, 1.5), (2.0, 2.0), (2.25, 2.0), (3.0, 2.0)]
)
def test_exponents_from_an_eighth_to_2_are_tried_and_no_others(exponent, tried):
    steps = [1.0, 2.0, 4.0, 8.0, 16.0]
    curve = Curve.of([1 + step**-exponent for step in steps], "min", steps)
    figures = Extrapolate(horizon=256).trace(CurveBatch.of([curve])).figures
    assert figures["exponent"][0, 4] == tried
    if exponent == tried:
        assert figures["predicted"][0, 4] == pytest.approx(1 + 256**-exponent, rel=1e-9)

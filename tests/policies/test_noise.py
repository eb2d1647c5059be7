import math

import numpy as np
import pytest

from replay import parse_policy
from replay.data.curve import Curve, CurveBatch
from replay.data.noise import noise as noise_of
from replay.errors import PolicyError
from replay.policies.quantiles import normal_quantile, t_probability, t_quantile
from replay.policies.rules.noise import Noise, Slope

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        # second differences |1 - 1.2 + 0.5| = 0.3, |0.6 - 1 + 0.52| = 0.12: noise 1.4826 * 0.21 / sqrt 6 =
        # 0.127 at eval 4. The reference is 0.5 (eval 3); 0.49 is a gain of 0.01 only, so eval 6 is the third
        # without a gain
        ("noise:patience=3", "min", [1.0, 0.6, 0.5, 0.52, 0.49, 0.51], 6),
        ("noise:patience=3", "max", [-1.0, -0.6, -0.5, -0.52, -0.49, -0.51], 6),
        # without a factor it is patience, from the fourth finite value on
        ("noise=0,patience=3", "min", [1.0, 0.6, 0.5, 0.52, 0.49, 0.51], None),
        ("noise=0,patience=1", "min", [1.0, 1.1, 1.2, 1.3], 4),
        # a straight line has no noise: every gain counts
        ("noise=3,patience=1", "min", [5.0, 4.0, 3.0, 2.0, 1.0], None),
        # second differences of 0.25 four times, then 0 and 0: noise 1.4826 * 0.25 / sqrt 6 = 0.1513. Over the
        # 0.875 of eval 2, 0.75 is no gain, and 0.625 is one of 0.25: small gains add up
        ("noise=1,patience=6", "min", [1.0, 0.875, 1.0, 0.875, 1.0, 0.875, 0.75, 0.625], None),
        ("noise=2,patience=6", "min", [1.0, 0.875, 1.0, 0.875, 1.0, 0.875, 0.75, 0.625], 8),
        ("noise:patience=2", "min", [0.5] * 6, 4),  # constant: no noise and no gain, known from eval 4 on
        ("noise:patience=2,min_evals=6", "min", [0.5] * 6, 6),
        ("noise:patience=1", "min", [1.0], None),
        ("noise:patience=1", "min", [1.0, 2.0], None),
        ("noise:patience=1", "min", [], None),
        ("noise:patience=1", "min", [NAN, 1.0, INF, 1.0, 1.0, NAN, 1.0], 7),  # the fourth finite value
        ("noise:patience=1", "min", [NAN] * 9, None),  # a noise that is never known
        (
            "noise:patience=2",
            "min",
            [-1.0, -2.0, -3.0, -3.0, -3.0],
            5,
        ),  # negative values; differences 0, 1, 0: median 0
    ],
)
def test_noise(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


@pytest.mark.parametrize(
    ("spec", "along", "stop"),
    [
        # the reference is the 0.5 of eval 3; evals 4, 5 and 6 are 40, 41 and 70 steps after it
        ("noise:patience=3", {}, 6),
        ("noise:patience=40,unit=steps", {}, 4),
        ("noise:patience=41,unit=steps", {}, 5),
        ("noise:patience=70,unit=steps", {}, 6),
        ("noise:patience=71,unit=steps", {}, None),
        (
            "noise:patience=40,unit=steps,min_evals=5",
            {},
            5,
        ),  # the noise is known later, and the steps count on
        ("noise:patience=0.5,unit=epochs", {"epoch": [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]}, 5),
        ("noise:patience=1e6,unit=tokens", {"tokens": [1e6, 2e6, 3e6, 3.5e6, 3.9e6, 4e6]}, 6),
    ],
)
def test_noise_in_steps_epochs_and_tokens(spec, along, stop):
    policy = parse_policy(spec)
    assert (
        policy.stop_eval([1.0, 0.6, 0.5, 0.52, 0.49, 0.51], steps=[10, 20, 30, 70, 71, 100], columns=along)
        == stop
    )
    assert [companion.name for companion in policy.companions] == list(along)
    assert parse_policy(policy.spec()) == policy


@pytest.mark.parametrize("kind", ["noise", "gap"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("patience=0", "patience must be at least 1, not 0"),
        ("patience=0.5", "patience must be at least 1, not 0.5"),
        ("patience=2.5", "counts whole evals, not 2.5; for fractions give unit=epochs"),
        ("patience=0,unit=steps", "patience must be above 0, not 0"),
        ("patience=-1", "patience must be at least 1, not -1; write for instance patience=3"),
        ("patience=3,unit=hours", "one of evals, steps, epochs, tokens"),
    ],
)
def test_patience_that_cannot_be(kind, given, says):
    with pytest.raises(PolicyError, match=f"{kind}: .*{says}"):
        parse_policy(f"{kind}:{given}")


def test_the_noise_is_that_of_a_run_so_far():
    values = np.array([1.0, 0.7, 0.8, NAN, 0.6, 0.65, INF, 0.5, 0.55, 0.52])
    trace = Noise(3).trace(CurveBatch.of([Curve.of(values, "min")]))
    for end in range(1, len(values) + 1):
        expected = noise_of(values[:end])
        if expected is not None:  # it asks for five finite values
            assert trace.figures["noise"][0, end - 1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(trace.figures["noise"][0, :4]).all()
    assert trace.figures["noise"][0, 4] == pytest.approx(
        1.4826 * ((0.4 + 0.3) / 2) / math.sqrt(6)
    )  # |0.7 - 1.6 + 0.6|, |1 - 1.4 + 0.8|


def test_reasons_of_noise():
    decide = parse_policy("noise:patience=3").decide
    values = [1.0, 0.6, 0.5, 0.52, 0.49, 0.51]
    assert decide(values[:1]).reason == "the noise is not known yet (it takes 4 finite values)"
    assert decide(values) == (6, True, "no gain over 0.5 of more than 2 times the noise of 0.051448 (3 of 3)")
    assert decide([4.0, 3.0, 2.0, 1.0]).reason == "better by 1, more than 2 times the noise of 0"
    assert decide([1.0, 1.0, 1.0, 1.0, NAN]).reason == "NaN: no gain (4 of 3)"
    told = parse_policy("noise:patience=25,unit=steps").decide(values, steps=[10, 20, 30, 40, 50, 60])
    assert told == (6, True, "no gain over 0.5 of more than 2 times the noise of 0.051448 (30 of 25 steps)")


@pytest.mark.parametrize(
    ("spec", "mode", "values", "stop"),
    [
        # a straight line: every pair has slope -1, so both bounds are an improvement of 1 exactly
        ("slope=1.5,window=5", "min", [5.0, 4.0, 3.0, 2.0, 1.0], 5),
        ("slope=1,window=5", "min", [5.0, 4.0, 3.0, 2.0, 1.0], None),  # strictly below
        ("slope=0.5,window=5", "min", [5.0, 4.0, 3.0, 2.0, 1.0], None),
        ("slope=1.5,window=5,method=least-squares", "min", [5.0, 4.0, 3.0, 2.0, 1.0], 5),
        ("slope=1,window=5,method=least-squares", "min", [5.0, 4.0, 3.0, 2.0, 1.0], None),
        ("slope=0.5,window=5", "max", [5.0, 4.0, 3.0, 2.0, 1.0], 5),  # getting worse by 1
        ("slope=-1.5,window=5", "max", [5.0, 4.0, 3.0, 2.0, 1.0], None),
        ("slope=-0.5,window=5", "max", [5.0, 4.0, 3.0, 2.0, 1.0], 5),
        # 5 values, 10 pairs, V = 5*4*15/18 = 16.67, C = 1.645 * 4.08 = 6.7: the bounds are the lowest and
        # highest slopes. 0.5, 0.499, 0.498, 0.5, 0.499: steepest fall 0.001
        ("slope=0.01,window=5", "min", [1.0, 0.8, 0.6, 0.5, 0.499, 0.498, 0.5, 0.499], 8),
        # 4 values, 6 pairs, V = 4*3*13/18 = 8.67, C = 4.84: floor(0.58) = 0 is no rank, so 4 values never
        # tell at 95 %
        ("slope=9,window=4", "min", [4.0, 3.0, 2.0, 1.0, 0.0], None),
        (
            "slope=9,window=4,confidence=0.8",
            "min",
            [4.0, 3.0, 2.0, 1.0, 0.0],
            4,
        ),  # C = 0.842 * 2.94 = 2.48: rank 1
        # constant: all ties, V = 0, all slopes 0
        ("slope=0.001,window=5", "min", [0.5] * 5, 5),
        ("slope=0,window=5", "min", [0.5] * 5, None),
        ("slope=0.001,window=5,method=least-squares", "min", [0.1] * 5, 5),
        # 1, 0, 1, 0: improvement 0.2, standard error sqrt(0.8 / 2 / 5) = 0.2828, t(0.95, 2) = 2.92: from
        # -0.626 to 1.026
        ("slope=1.02,window=4,method=least-squares", "min", [1.0, 0.0, 1.0, 0.0], None),
        ("slope=1.03,window=4,method=least-squares", "min", [1.0, 0.0, 1.0, 0.0], 4),
        # values that are not finite leave a gap: 4, -, 2, 1, 0 lie on one line
        ("slope=1.5,window=5,method=least-squares", "min", [4.0, NAN, 2.0, 1.0, 0.0], 5),
        ("slope=1,window=5,method=least-squares", "min", [4.0, INF, 2.0, 1.0, 0.0], None),
        ("slope=1.5,window=5,method=least-squares", "min", [NAN, NAN, 2.0, 1.0, 0.0], None),  # three values
        ("slope=1.5,window=6", "min", [5.0, NAN, 3.0, 2.0, 1.0, 0.0], 6),
        ("slope=1.5", "min", [5.0], None),
        ("slope=1.5", "min", [], None),
        ("slope=1.5,window=4", "min", [NAN] * 5, None),
    ],
)
def test_slope(spec, mode, values, stop):
    assert parse_policy(spec).stop_eval(values, mode=mode) == stop


def test_bounds_of_theil_sen_by_hand():
    """Gilbert's ranks on six values without ties: 15 slopes, V = 6*5*17/18 = 28.33, C = 1.645 * 5.323 =
    8.755."""
    values = [6.0, 4.5, 4.4, 3.0, 3.1, 1.0]
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(6) for j in range(i + 1, 6))
    figures = Slope(0.5, window=6).trace(CurveBatch.of([Curve.of(values, "min")])).figures
    assert figures["improvement"][0, 5] == -slopes[7]
    assert figures["low"][0, 5] == -slopes[12]  # rank ceil(11.88) + 1 = 13
    assert figures["high"][0, 5] == -slopes[2]  # rank floor(3.12) = 3


def test_bounds_of_theil_sen_of_eleven_values_by_hand():
    """55 slopes, V = 11*10*27/18 = 165, C = 1.645 * 12.845 = 21.129."""
    values = [9.0, 7.73, 7.11, 5.2, 5.9, 4.4, 3.02, 3.6, 1.5, 1.97, 0.2]
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(11) for j in range(i + 1, 11))
    assert slopes[14] < slopes[15] < slopes[16]
    assert slopes[38] < slopes[39] < slopes[40]
    figures = Slope(0.5, window=11).trace(CurveBatch.of([Curve.of(values, "min")])).figures
    assert figures["improvement"][0, 10] == -slopes[27]
    assert figures["low"][0, 10] == -slopes[39]  # rank ceil(38.06) + 1 = 40
    assert figures["high"][0, 10] == -slopes[15]  # rank floor(16.94) = 16


def test_bounds_of_least_squares_by_hand():
    figures = (
        Slope(0.5, window=4, method="least-squares")
        .trace(CurveBatch.of([Curve.of([1.0, 0.0, 1.0, 0.0], "min")]))
        .figures
    )
    assert figures["improvement"][0, 3] == pytest.approx(0.2)
    assert figures["low"][0, 3] == pytest.approx(0.2 - 2.91999 * 0.282843, rel=1e-5)
    assert figures["high"][0, 3] == pytest.approx(0.2 + 2.91999 * 0.282843, rel=1e-5)


@pytest.mark.parametrize("method", ["theil-sen", "least-squares"])
def test_bounds_hold_about_as_often_as_they_say(method):
    generator = np.random.default_rng(5)
    values = 10 - 0.3 * np.arange(12) + generator.normal(size=(2000, 12))
    figures = (
        Slope(0.1, window=12, method=method)
        .trace(CurveBatch.of([Curve.of(row, "min") for row in values]))
        .figures
    )
    assert 0.935 <= float((figures["high"][:, 11] > 0.3).mean()) <= 0.985
    assert 0.935 <= float((figures["low"][:, 11] < 0.3).mean()) <= 0.985


def test_large_batches_are_cut_in_parts_without_a_trace():
    generator = np.random.default_rng(6)
    values = np.cumsum(generator.normal(size=(40, 120)), axis=1)
    policy = Slope(0.1, window=50)
    whole = policy.signal(
        CurveBatch.of([Curve.of(row, "min") for row in values])
    )  # more rows than one part holds
    alone = policy.signal(CurveBatch.of([Curve.of(values[37], "min")]))
    np.testing.assert_array_equal(whole[37], alone[0])


def test_reasons_of_slope():
    decide = parse_policy("slope=0.5,window=5").decide
    assert decide([5.0, 4.0]).reason == "cannot tell yet: 2 of 5 evals"
    assert decide([5.0, 4.0, 3.0, 2.0, 1.0]) == (
        5,
        False,
        "improving: improvement per eval 1 (1 to 1) is above 0.5",
    )
    assert decide([5.0] * 5) == (5, True, "converged: improvement per eval 0 (0 to 0) is below 0.5")
    told = decide([5.0, 3.0, 5.0, 3.0, 4.0])
    # slopes in order: -2, -2, -2/3, -0.5, -0.25, 0, 0, 1/3, 1, 2; V = (300 - 18 - 18) / 18, C = 6.3: ranks 1
    # and 10
    assert told == (
        5,
        False,
        "cannot tell yet: improvement per eval 0.125 (-2 to 2); 5 evals tell differences of 2 from 0.5",
    )
    assert "too few values" in decide([NAN, NAN, 1.0, 1.0, 1.0]).reason


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("slope=1,confidence=1", "below 1"),
        ("slope=1,confidence=0.4", "at least 0.5"),
        ("slope=1,window=3", "at least 4"),
        ("slope", "policy 'slope' has no value"),
        ("slope=1,method=ols", "one of theil-sen"),
    ],
)
def test_parameters_that_cannot_be(spec, says):
    with pytest.raises(PolicyError, match=says):
        parse_policy(spec)


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [
        (0.95, 1, 6.3138),
        (0.95, 2, 2.9200),
        (0.95, 3, 2.3534),
        (0.95, 4, 2.1318),
        (0.975, 5, 2.5706),
        (0.95, 10, 1.8125),
        (0.99, 29, 2.4620),
    ],
)
def test_quantiles_of_student(probability, freedom, value):
    """Against printed tables."""
    assert t_quantile(probability, freedom) == pytest.approx(value, abs=6e-5)
    assert t_probability(t_quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-14)
    assert t_probability(-1.0, freedom) == pytest.approx(1 - t_probability(1.0, freedom))


def test_quantiles_of_the_normal_distribution():
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert t_quantile(0.975, 100_000) == pytest.approx(normal_quantile(0.975), abs=1e-4)
    assert t_quantile(0.5, 3) == pytest.approx(0, abs=1e-12)

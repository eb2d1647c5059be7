"""The optimism of a best against known values, and corrected regret against curves whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from replay.data.curve import Curve, CurveBatch
from replay.data.noise import noise
from replay.policies.spec import parse_policy
from replay.stats.optimism import corrected_regret, smooth_curve

#: E[the largest of k standard normals]: Harter, Biometrika 48 (1961) 151.
LARGEST = {1: 0.0, 2: 0.5642, 5: 1.1630, 10: 1.5388, 100: 2.5076}


def decaying(evals, sigma, seed, rate=8.0):
    truth = np.exp(-rate * np.arange(evals) / evals)
    return truth + sigma * np.random.default_rng(seed).standard_normal(evals)


def largest(count):
    """E[the largest of ``count`` standard normals], by numerical integration."""

    def density(x):
        return x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1)

    return quad(density, -12, 12)[0]


@pytest.mark.parametrize(("count", "expected"), LARGEST.items())
def test_largest_of_normals(count, expected):
    assert largest(count) == pytest.approx(expected, abs=1e-4)


def test_draws_in_blocks(monkeypatch):
    values = decaying(40, 0.05, seed=2)
    whole = corrected_regret(values, "min", 12, 15, draws=4000)
    monkeypatch.setattr("replay.stats.optimism._BLOCK", 40 * 300)
    assert corrected_regret(values, "min", 12, 15, draws=4000) == pytest.approx(whole, abs=0.006)


def test_no_noise_no_correction():
    values = [1.0, 0.8, 0.6, 0.4, 0.2, 0.3, 0.4, 0.5]
    assert noise(np.array(values)) == pytest.approx(0, abs=1e-15)
    assert smooth_curve(np.array(values), 0.0).tolist() == values
    assert corrected_regret(values, "min", 3, 3, noise=0.0) == 0.2


def test_unknown_noise():
    values = [1.0, 0.5, 0.7, 0.4]
    assert math.isnan(corrected_regret(values, "min", 1, 2))
    assert corrected_regret(values, "min", 3) == 0.0  # the best itself needs no correction


def test_values_that_are_not_finite_are_never_best():
    values = decaying(30, 0.05, seed=3)
    holes = np.insert(values, [0, 10, 20, 30], [np.nan, -np.inf, np.inf, np.nan])
    known = np.where(np.isfinite(holes), holes, np.nan)
    assert np.isnan(smooth_curve(known, 0.05)[[0, 11, 22, 33]]).all()
    assert smooth_curve(known, 0.05)[1] == pytest.approx(smooth_curve(values, 0.05)[0])
    assert math.isnan(corrected_regret(holes, "min", 11, 20))
    plain = corrected_regret(values, "min", 11, 18, noise=0.05, draws=4000)
    assert corrected_regret(holes, "min", 13, 20, noise=0.05, draws=4000) == pytest.approx(plain, abs=0.006)


@pytest.mark.parametrize(("sigma", "close_error"), [(0.001, 1.8), (0.03, 0.75), (0.1, 0.65)])
def test_smooth_keeps_to_the_truth(sigma, close_error):
    """Errors in units of the noise; that of a single eval is 1. With little noise only a few evals around the
    kink are close."""
    evals = np.arange(80)
    truth = np.exp(-evals / 6) + 0.004 * np.maximum(evals - 30, 0)
    errors = np.array(
        [
            smooth_curve(truth + sigma * np.random.default_rng(seed).standard_normal(80), sigma) - truth
            for seed in range(30)
        ]
    )
    errors /= sigma
    close = truth <= truth.min() + 6 * sigma
    assert np.sqrt((errors[:, close] ** 2).mean()) < close_error
    assert abs(errors[:, truth.argmin()].mean()) < 0.45
    assert np.sqrt((errors**2).mean()) < 1.4


def test_smooth_ignores_a_diverged_eval():
    values = decaying(40, 0.02, seed=4)
    spiked = values.copy()
    spiked[25] = 1e30
    assert smooth_curve(spiked, 0.02)[20:] == pytest.approx(smooth_curve(values, 0.02)[20:], abs=0.05)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    evals=st.integers(8, 60),
    sigma=st.sampled_from([0.003, 0.03, 0.3]),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10),
)
def test_equivariance(seed, evals, sigma, scale, shift):
    values = decaying(evals, sigma, seed)
    stop = evals // 2
    kept = int(np.argmin(values[: stop + 1]))
    other = shift + scale * values
    tolerance = 1e-6 * scale
    smooth = smooth_curve(values, sigma)
    assert smooth_curve(other, scale * sigma) == pytest.approx(shift + scale * smooth, abs=tolerance)
    corrected = corrected_regret(values, "min", kept, stop)
    assert corrected_regret(other, "min", kept, stop) == pytest.approx(scale * corrected, abs=tolerance)
    assert corrected_regret(-values, "max", kept, stop) == corrected


def test_same_curve_same_figures():
    values = decaying(50, 0.1, seed=5)
    first = corrected_regret(values, "min", 12, 15)
    corrected_regret(decaying(70, 0.1, seed=6), "min", 12, 15)
    assert corrected_regret(values.tolist(), "min", 12, 15) == first


def test_regret_of_the_best_is_zero():
    values = decaying(50, 0.1, seed=7)
    best = int(np.argmin(values))
    assert corrected_regret(values, "min", best, best + 3) == 0.0


def test_regret_far_above_the_noise_is_hardly_changed():
    values = decaying(50, 0.001, seed=8)
    found = corrected_regret(values, "min", 10, 10, rule="fixed")
    assert found == pytest.approx(values[10] - values.min(), abs=0.003)
    assert found < values[10] - values.min()


def test_rules():
    values = np.array([1.0, 0.52, 0.47, 0.53, 0.51, 0.55, 0.46, 0.52, 0.54, 0.48, 0.51, 0.45, 0.53])
    waited = corrected_regret(values, "min", 2, 5)
    fixed = corrected_regret(values, "min", 2, 5, rule="fixed")
    policy = parse_policy("patience=3")
    own = corrected_regret(
        values,
        "min",
        2,
        5,
        rule=lambda drawn: policy.stops(CurveBatch.of([Curve.of(row, "min") for row in drawn])),
    )
    assert own == waited  # patience is what the rule of that name imitates
    never = corrected_regret(values, "min", 2, 5, rule=lambda drawn: np.full(len(drawn), -1))
    assert never == fixed  # no draw stops too early under that rule, so the stop is taken as it was
    assert fixed < waited < values[2] - values.min()
    assert corrected_regret(values, "min", 2, 2) == corrected_regret(values, "min", 2, 2, rule="fixed")
    high = corrected_regret(
        -values,
        "max",
        2,
        5,
        rule=lambda drawn: policy.stops(CurveBatch.of([Curve.of(row, "max") for row in drawn])),
    )
    assert high == own


def test_kept_for_another_reason_than_its_value():
    values = np.random.default_rng(9).standard_normal(60)
    found = corrected_regret(values, "min", 30, 30, chosen=False, noise=1.0, smooth=np.zeros(60), draws=4000)
    assert found == pytest.approx(values[30] - values.min() - largest(60), abs=0.05)


def test_a_rare_stop_is_taken_as_it_was():
    """Waiting in vain on a steep fall is so rare that the draws with such a stop say nothing of the usual
    one."""
    values = np.linspace(2, 0, 21)
    values[8:12] = [1.0, 1.35, 1.3, 1.25]
    found = corrected_regret(values, "min", 8, 11, noise=0.05, smooth=np.linspace(2, 0, 21))
    assert found == corrected_regret(
        values, "min", 8, 11, rule="fixed", noise=0.05, smooth=np.linspace(2, 0, 21)
    )


def population(seed, evals, sigma, count):
    """True curves and noisy ones: falls to a floor by an exponential and by a power, overfitting, and a
    plateau."""
    rng = np.random.default_rng(seed)
    time = np.arange(evals) / (evals - 1)
    for number in range(count):
        truth = [
            lambda: np.exp(-time * rng.uniform(3, 12)),
            lambda: (1 + time * evals * rng.uniform(0.2, 1)) ** -rng.uniform(0.4, 1.2),
            lambda: (
                np.exp(-time * rng.uniform(8, 25))
                + rng.uniform(0.1, 0.8) * np.maximum(time - rng.uniform(0.05, 0.5), 0)
            ),
            lambda: np.maximum(1 - time / rng.uniform(0.1, 0.4), 0),
        ][number % 4]()
        yield truth, truth + sigma * rng.standard_normal(evals)


def test_corrected_regret_is_nearly_unbiased():
    """Over curves whose truth is known, in units of the noise: the mean excess over the true regret, observed
    and corrected."""
    observed, corrected = [], []
    for seed, (evals, sigma) in enumerate(
        (evals, sigma) for evals in (20, 50, 100, 200) for sigma in (0.01, 0.05, 0.2)
    ):
        curves = list(population(seed, evals, sigma, 80))
        batch = CurveBatch.of([Curve.of(values, "min") for _, values in curves])
        for patience in (3, 5):
            for (truth, values), stop in zip(
                curves, parse_policy(f"patience={patience}").stops(batch), strict=True
            ):
                stop = evals - 1 if stop < 0 else int(stop)
                kept, best = int(np.argmin(values[: stop + 1])), int(np.argmin(values))
                true = (truth[kept] - truth[best]) / sigma
                observed.append((values[kept] - values[best]) / sigma - true)
                corrected.append(corrected_regret(values, "min", kept, stop) / sigma - true)
    assert np.mean(observed) > 0.35
    assert abs(np.mean(corrected)) < 0.1
    assert abs(np.mean(corrected)) < 0.3 * np.mean(observed)
    assert np.sqrt(np.mean(np.square(corrected))) < 0.85 * np.sqrt(np.mean(np.square(observed)))

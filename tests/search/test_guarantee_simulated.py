"""Guarantees on simulated units whose true losses are known: how often they hold, and what they save."""

import numpy as np
import pytest

from replay.search.guarantee import guarantee_from
from replay.stats.risk_control import LearnThenTest
from tests.search.evidence import evidence_of

RUNGS = 6
SAVED = np.linspace(0.1, 0.6, RUNGS)
SIZES = (8, 12, 26, 60, 200)
#: Runs of a unit of the clustered losses.
CLUSTER = 4


def common(rng, shape):
    """Every unit loses something on every rung."""
    means = 0.01 * 1.9 ** np.arange(RUNGS)
    return rng.beta(0.8, 0.8 * (1 / means - 1), (*shape, RUNGS))


def zeros(rng, shape):
    """Nine in ten lose nothing on any rung, the others much on the greedy ones."""
    severity = np.where(rng.random(shape) < 0.1, rng.random(shape), 0.0)
    return np.minimum(severity[..., None] * 0.1 * 2.0 ** np.arange(RUNGS), 1.0)


def noisy(rng, shape):
    """Losses that rise along the ladder on average only, and are all or nothing for some."""
    hit = rng.random((*shape, RUNGS)) < 0.01 * 2.0 ** np.arange(RUNGS)
    return np.where(hit, rng.choice([0.2, 0.5, 1.0], (*shape, RUNGS)), 0.0)


def clustered(rng, shape):
    """Units of four runs that lose alike: a unit's loss is nearly that of one run."""
    alike = zeros(rng, shape)[..., None, :]
    own = rng.random((*shape, CLUSTER, 1)) < 0.9
    return np.where(own, alike, 0.0)


KINDS = {kind.__name__: kind for kind in (common, zeros, noisy, clustered)}


def true_means(kind):
    drawn = KINDS[kind](np.random.default_rng(999), (200_000,))
    return drawn.reshape(-1, RUNGS).mean(axis=0)


def simulate(kind, units, alpha, confidence, samples, ladders=1):
    """The true mean loss and what was saved under the guarantee of each sample (NaN: there was none)."""
    truth = true_means(kind)
    rng = np.random.default_rng([units, round(1000 * alpha), ladders, sorted(KINDS).index(kind)])
    lost, saved = np.full(samples, np.nan), np.full(samples, np.nan)
    for sample in range(samples):
        losses = KINDS[kind](rng, (ladders, units))
        members = None
        if kind == "clustered":
            losses = losses.reshape(ladders, units * CLUSTER, RUNGS)
            members = np.repeat(np.arange(units), CLUSTER)
        made = guarantee_from(
            evidence_of(losses, np.tile(SAVED, (ladders, 1)), members), alpha, confidence=confidence
        )
        assert made.units == units
        if made.is_guaranteed:
            lost[sample], saved[sample] = truth[made.chosen], made.rung.saved
    return lost, saved


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("alpha", "ladders"), [(0.05, 1), (0.1, 1), (0.1, 3)])
def test_the_mean_true_loss_keeps_the_tolerance(kind, alpha, ladders):
    for units in SIZES:
        lost, saved = simulate(kind, units, alpha, None, 100, ladders)
        each = np.nan_to_num(lost)  # training to the end loses nothing
        assert each.mean() <= alpha + 3 * each.std() / np.sqrt(len(each))
    assert np.isfinite(lost).mean() > 0.9
    assert np.nanmean(saved) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("alpha", "ladders"), [(0.05, 1), (0.1, 1), (0.1, 3)])
def test_a_confident_guarantee_is_seldom_broken(kind, alpha, ladders, monkeypatch):
    # how many units it takes is not the question here, and takes long to find out
    monkeypatch.setattr(LearnThenTest, "needed_units", lambda self, losses, alpha: [None] * losses.shape[1])
    for units in SIZES:
        lost, saved = simulate(kind, units, alpha, 0.9, 50, ladders)
        broken = np.nan_to_num(lost) > alpha
        assert broken.mean() <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / len(broken))
    assert np.isfinite(lost).mean() > 0.9
    assert np.nanmean(saved) > 0.15

"""Summaries of what a budget finds: intervals for other runs, and means over groups."""

from itertools import combinations

import numpy as np
import pytest

from replay.engine.draws import Budget
from replay.stats.draws import DRAW_KEYS, mean_interval, summarise_draws
from tests.engine.test_draws import draw, random_curves


def draw_means(rng, runs, begun, draws):
    """Draws of some runs that give the mean of their values: its true variance is known."""
    values = rng.normal(0, 1, runs)
    masks = np.zeros((draws, runs), dtype=bool)
    for row in masks:
        row[rng.choice(runs, begun, replace=False)] = True
    return (masks * values).sum(axis=1) / begun, masks


def test_the_interval_of_a_mean_is_that_of_the_mean():
    """Averages of so many of n values are the mean of all n on average: the interval is the known one."""
    rng = np.random.default_rng(0)
    hits, widths = 0, []
    for _ in range(200):
        low, high = mean_interval([draw_means(rng, 20, 5, 400)])
        hits += low <= 0 <= high
        widths.append(high - low)
    assert 0.9 <= hits / 200 <= 0.99
    assert np.mean(widths) == pytest.approx(2 * 2.09 / np.sqrt(20), rel=0.15)


def test_it_is_exact_where_all_draws_are_made():
    """With all draws of 2 of 5 runs, the jackknife of the mean is the usual standard error."""
    values = np.array([0.3, 1.0, 2.5, -1.0, 0.7])
    pairs = list(combinations(range(5), 2))
    masks = np.array([[run in pair for run in range(5)] for pair in pairs] * 2000)
    means = (masks * values).sum(axis=1) / 2
    low, high = mean_interval([(means, masks)])
    error = values.std(ddof=1) / np.sqrt(5)
    assert (high - low) / 2 / 2.7764 == pytest.approx(error, rel=0.01)


def test_several_groups_are_surer_than_one():
    rng = np.random.default_rng(1)
    parts = [draw_means(rng, 20, 5, 500) for _ in range(4)]
    one, four = mean_interval(parts[:1]), mean_interval(parts)
    assert four[1] - four[0] < 0.7 * (one[1] - one[0])


def test_there_is_none_where_most_runs_are_begun():
    rng = np.random.default_rng(2)
    assert mean_interval([draw_means(rng, 20, 17, 100)]) == (None, None)
    values, begun = draw_means(rng, 20, 5, 100)
    values[3] = np.nan
    assert mean_interval([(values, begun)]) == (None, None)


def test_rows():
    budget = Budget(200.0, draws=200)
    groups = [draw(random_curves(seed, 20), budget) for seed in (1, 2)]
    never, patience, *_ = rows = summarise_draws(groups[:1], budget)
    assert all(set(row) == set(DRAW_KEYS) for row in rows)
    assert never["less_lost"] is None
    assert never["found_low"] <= never["found_mean"] <= never["found_high"]
    assert never["lost_low"] <= never["lost_mean"] <= never["lost_high"]
    assert patience["less_lost"] == pytest.approx(never["lost_mean"] - patience["lost_mean"])
    assert patience["less_lost_low"] < patience["less_lost"] < patience["less_lost_high"]
    assert patience["better_draws"] + patience["worse_draws"] <= 1
    both = summarise_draws(groups, budget)
    alone = [summarise_draws([group], budget) for group in groups]
    assert both[1]["lost_mean"] == pytest.approx(np.mean([rows[1]["lost_mean"] for rows in alone]))
    assert both[1]["found_mean"] is None
    assert both[1]["runs"] == 40

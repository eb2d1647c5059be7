import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.engine.scoring import simulate_policies
from replay.stats import intervals as module
from replay.stats.intervals import (
    RELIABLE_GROUPS,
    RELIABLE_OTHERS,
    RELIABLE_RUNS,
    interval,
    intervals,
    reliable,
)
from tests.stats.populations import group_sizes, population, true_means

POLICIES = ("patience=3", "patience=5,min_delta=0.005", "transformers:patience=3", "patience=1")


def names(count):
    return [f"r{number}" for number in range(count)]


def losses(seed, count, share=0.4):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < share, rng.beta(1, 4, count), 0.0)


def test_of_few_runs_it_is_students():
    scipy_stats = pytest.importorskip("scipy.stats")
    for count in (2, 3):
        values = np.random.default_rng(count).normal(3, 1, count)
        wanted = scipy_stats.t.interval(0.9, count - 1, values.mean(), scipy_stats.sem(values))
        assert interval(values, names(count), 0.9) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "values",
    [np.random.default_rng(1).normal(3, 1, 30), losses(1, 40), -losses(2, 25, 0.6)],
    ids=["even", "lost", "won"],
)
def test_of_more_it_reaches_as_far_as_bootstrap_t_and_students(values):
    scipy_stats = pytest.importorskip("scipy.stats")

    def studentised(sample, axis):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (sample.mean(axis=axis) - values.mean()) / scipy_stats.sem(sample, axis=axis)

    drawn = scipy_stats.bootstrap(
        (values,), studentised, n_resamples=20_000, method="percentile", vectorized=True, rng=1
    )
    mean, error = values.mean(), scipy_stats.sem(values)
    t = scipy_stats.t.ppf(0.975, len(values) - 1) * error
    wanted = np.array([-drawn.confidence_interval.high, -drawn.confidence_interval.low]) * error
    reach = np.array(interval(values, names(len(values)))) - mean
    assert reach == pytest.approx(np.array([min(wanted[0], -t), max(wanted[1], t)]), rel=0.08)


def test_with_very_many_groups_it_is_what_the_draws_tend_to(monkeypatch):
    values = losses(5, 900, 0.05)
    drawn = np.array(interval(values, names(900))) - values.mean()
    monkeypatch.setattr(module, "_MOST_DRAWN", 100)
    assert np.array(interval(values, names(900))) - values.mean() == pytest.approx(drawn, rel=0.06)


def test_with_very_many_groups_the_farther_bound_is_that_of_halls_transformation():
    """The bound is x standard errors away, with t = x + g x² / 3 + g² x³ / 27 + g / 6 (Hall 1992), where
    g is the skewness over the root of the number of runs."""
    values = losses(5, 1200, 0.05)
    off = values - values.mean()
    error = math.sqrt((off**2).sum() * 1200 / 1199) / 1200
    g = (off**3).sum() / (off**2).sum() ** 1.5
    t = NormalDist().inv_cdf(0.975)
    low, high = interval(values, names(1200))
    assert low == pytest.approx(values.mean() - t * error), "Student's reaches farther there"
    x = -(high - values.mean()) / error
    assert x < -t
    assert x + g * x**2 / 3 + g**2 * x**3 / 27 + g / 6 == pytest.approx(-t, abs=1e-7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.3, -1e-120])
def test_very_many_equal_values_leave_no_doubt(value):
    names = [str(number) for number in range(1500)]
    assert interval(np.full(1500, value), names) == (value, value)


def test_groups_are_drawn_whole():
    values = losses(3, 14, 0.7)
    once = interval(values, names(14))
    copies = interval(np.repeat(values, 5), np.repeat(names(14), 5).tolist())
    naive = interval(np.repeat(values, 5), names(70))
    assert copies == pytest.approx(once)
    assert naive[1] - naive[0] < 0.6 * (copies[1] - copies[0])


def test_groups_of_unequal_size_by_hand(monkeypatch):
    monkeypatch.setattr(module, "ENOUGH_GROUPS", 3)
    values = np.array([1.0, 2.0, 4.0, 8.0, 9.0, 3.0])
    groups = ["a", "a", "b", "c", "c", "c"]
    mean = 27 / 6
    off = np.array([3 - 2 * mean, 4 - mean, 20 - 3 * mean])
    reach = 4.302652729911275 * math.sqrt(1.5 * (off**2).sum()) / 6
    assert interval(values, groups) == pytest.approx((mean - reach, mean + reach))


def test_of_two_groups_runs_are_drawn():
    values = losses(4, 12, 0.8)
    assert interval(values, ["a", "b"] * 6) == interval(values, names(12))


def test_nothing_to_draw():
    assert all(math.isnan(bound) for bound in interval(np.array([1.0, np.nan]), names(2)))
    assert all(math.isnan(bound) for bound in interval(np.empty(0), []))
    low, high = intervals(np.empty((0, 4)), names(4))
    assert len(low) == len(high) == 0
    assert interval(np.full(9, 0.1), names(9)) == (0.1, 0.1)
    assert interval(np.full(9, 0.1), names(9), within=(0, 1)) == (0.1, 0.1)
    assert interval(np.zeros(9), names(9)) == interval(np.zeros(9), names(9), within=(0, math.inf)) == (0, 0)


def test_groups_with_the_same_mean_leave_no_doubt():
    low, high = interval(
        np.tile([0.1, 0.2, 0.3], 6), [group for group in names(6) for _ in range(3)], within=(0, 1)
    )
    assert (low, high) == pytest.approx((0.2, 0.2), abs=1e-9)


def test_what_was_not_seen_may_still_occur():
    # the exact bound of a share of which none was seen: (1 - share) ** 20 = 2.5 %
    low, high = interval(np.zeros(20), names(20), within=(0, 1))
    assert low == 0
    assert (1 - high) ** 20 == pytest.approx(0.025)
    low, high = interval(np.ones(20), names(20), within=(0, 1))
    assert high == 1
    assert low**20 == pytest.approx(0.025)
    # and with one loss the bound is as the range lets it be, not infinitely far
    one = np.append(np.zeros(19), 0.1)
    low, high = interval(one, names(20), within=(0, 1))
    assert 0 <= low < 0.005 < 0.1 < high < 0.2
    assert interval(one, names(20), within=(0, 2))[1] > high
    assert math.isfinite(interval(one, names(20), within=(0, math.inf))[1])


def test_unknown_values_are_left_out():
    values = losses(6, 15)
    some = np.insert(values, [3, 9], np.nan)
    assert interval(some, names(17), within=(0, 1)) == interval(values, names(15), within=(0, 1))


def test_names_of_groups_do_not_matter():
    values = losses(7, 30)
    groups = np.repeat(np.arange(10), 3)
    assert interval(values, [f"g{group}" for group in groups]) == interval(
        values, [f"g{97 * group % 101}" for group in groups]
    )


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("within", [(-math.inf, math.inf), (0.0, 1.0), (0.0, math.inf)])
def test_many_rows_are_as_each_alone_to_the_last_bit(grouped, within):
    rng = np.random.default_rng(8)
    for count in (2, 5, 26, 150):
        values = np.array([losses(seed, count, rng.random()) for seed in range(70)])
        values[::7, rng.integers(count)] = np.nan
        values[3] = np.nan
        values[4] = 0.25
        groups = (
            [f"g{number}" for number in rng.integers(0, max(count // 3, 2), count)]
            if grouped
            else names(count)
        )
        low, high = intervals(values, groups, within=within)
        alone = np.array([interval(row, groups, within=within) for row in values])
        again = np.array(intervals(values[::-1], groups, within=within))[:, ::-1]
        assert np.array_equal(np.array([low, high]).T, alone, equal_nan=True)
        assert np.array_equal(np.array([low, high]), again, equal_nan=True)


samples = st.lists(st.integers(-1000, 1000).map(lambda number: number / 100), min_size=2, max_size=25)


@settings(max_examples=150, deadline=None)
@given(
    values=samples,
    data=st.data(),
    by=st.integers(-500, 500),
    scale=st.sampled_from([-3.0, -0.1, 0.01, 0.5, 7.0, 1000.0]),
)
def test_it_moves_with_the_values(values, data, by, scale):
    values = np.array(values)
    groups = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=len(values), max_size=len(values)))
    low, high = interval(values, groups)
    slack = 1e-6 * (np.abs(values).max() + abs(by) + 1)
    assert low - slack <= values.mean() <= high + slack
    assert interval(values + by, groups) == pytest.approx((low + by, high + by), abs=slack)
    assert interval(values * scale, groups) == pytest.approx(
        sorted((low * scale, high * scale)), abs=slack * abs(scale)
    )


@pytest.mark.parametrize("scale", [1e-7, 1e-30, 1e12])
@pytest.mark.parametrize("most", [math.inf, 1.0])
@pytest.mark.parametrize("least", [-math.inf, 0.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_bounds_scale_with_the_values(scale, most, least, grouped):
    """Also where values are so small, as those of a loss of 1e-7, that a difference to 0 may get lost."""
    for seed, count in ((1, 9), (2, 40)):
        values = losses(seed, count)
        groups = [f"g{number // 2}" for number in range(count)] if grouped else names(count)
        low, high = interval(values, groups, within=(least, most))
        assert low < values.mean() < high
        scaled = interval(values * scale, groups, within=(least * scale, most * scale))
        assert scaled == pytest.approx((low * scale, high * scale), rel=1e-9, abs=0)


def test_bounds_of_equal_values_scale_too():
    for scale in (1e-7, 1e-30, 1e12):
        low, high = interval(np.full(9, 0.1 * scale), names(9), within=(0, scale))
        assert (low, high) == pytest.approx((0.1 * scale, 0.1 * scale), rel=1e-12, abs=0)
        low, high = interval(np.zeros(20), names(20), within=(0, scale))
        assert (low, high) == pytest.approx((0, scale * (1 - 0.025 ** (1 / 20))), rel=1e-12, abs=0)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.2, 0.5, 1.0]), min_size=2, max_size=30),
    level=st.sampled_from([0.5, 0.9, 0.99]),
)
def test_a_share_has_bounds_that_are_shares(values, level):
    values = np.array(values)
    low, high = interval(values, names(len(values)), level, within=(0, 1))
    assert 0 <= low <= values.mean() + 1e-12
    assert values.mean() - 1e-12 <= high <= 1


def test_what_is_reliable():
    few = np.append(np.zeros(26), [0.1, 0.2, 0.2, 0.3])
    assert not reliable(few, names(30)), "four that differ"
    assert reliable(np.append(few, 0.3), names(31))
    assert not reliable(np.append(few, np.nan), names(31))
    some = losses(9, RELIABLE_RUNS, 0.9)
    assert reliable(some, [f"g{number % RELIABLE_GROUPS}" for number in range(RELIABLE_RUNS)])
    assert reliable(some, [f"g{number % (RELIABLE_GROUPS - 1)}" for number in range(RELIABLE_RUNS)]), (
        "of these groups, by runs"
    )
    assert not reliable(some[1:], names(RELIABLE_RUNS - 1))


def test_of_three_runs_nothing_is_said():
    assert replay.sweep(population(1, 3).runs(), ["patience=3"]).verdict[0] == "too few runs to rank"


def test_the_populations_outcomes_are_the_simulations():
    drawn = population(11, 40, group_numbers := np.repeat(np.arange(10), 4))
    outcomes = simulate_policies(drawn.runs(), list(POLICIES))
    assert len(set(drawn.groups)) == len(set(group_numbers))
    for policy, name in zip(POLICIES, outcomes.policies, strict=True):
        rows = [row for row in outcomes.rows() if row["policy"] == name]
        saved, lost = drawn.outcomes(policy)
        assert [row["saved"] for row in rows] == pytest.approx(saved.tolist())
        assert [row["lost"] for row in rows] == pytest.approx(lost.tolist())


BUDGETS = {"patience=3": "budget=18", "patience=5,min_delta=0.005": "budget=18", "patience=1": "budget=12"}


@lru_cache(maxsize=1)
def truths():
    return true_means(sorted({*POLICIES, *BUDGETS.values()}))


def held(count, grouped, repeats=2000):
    """How often 95 % intervals hold the truth, and how many runs of a sample differ from the commonest, by
    policy and figure.

    A sample has ``count`` runs, or groups of 2 to 6 runs.
    """
    sizes = group_sizes(count, count) if grouped else np.ones(count, dtype=np.int64)
    runs = int(sizes.sum())
    members = (np.repeat(np.arange(count), sizes) + count * np.arange(repeats)[:, None]).ravel()
    drawn = population(1000 + count + grouped, repeats * runs, members)
    groups = [f"g{number}" for number in np.repeat(np.arange(count), sizes)]
    outcomes = {policy: np.array(drawn.outcomes(policy)).reshape(2, repeats, runs) for policy in truths()}
    found = {}

    def hold(name, values, truth, within):
        low, high = intervals(values, groups, within=within)
        found[name] = (
            float(np.mean((low <= truth) & (truth <= high))),
            float(np.mean((values != 0).sum(axis=1))),
            runs,
        )

    for policy in POLICIES:
        for figure, name in enumerate(("saved", "lost")):
            hold((policy, name), outcomes[policy][figure], truths()[policy][figure], (0, 1))
        hold((policy, "lost, unbounded"), outcomes[policy][1], truths()[policy][1], (0, math.inf))
        if policy in BUDGETS:
            budget = BUDGETS[policy]
            difference = outcomes[policy][1] - outcomes[budget][1]
            hold((policy, "difference"), difference, truths()[policy][1] - truths()[budget][1], (-1, 1))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "grouped"),
    [
        (8, False),
        (12, False),
        (20, False),
        (26, False),
        (50, False),
        (200, False),
        (5, True),
        (8, True),
        (12, True),
        (20, True),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(count, grouped):
    for (policy, figure), (share, others, runs) in held(count, grouped).items():
        enough = runs >= RELIABLE_RUNS and others >= RELIABLE_OTHERS
        if figure == "lost, unbounded":
            least, most = (0.9 if enough else 0.6), 0.98
        else:
            least, most = (0.92, 0.98) if enough else (0.88, 0.995)
        assert least <= share <= most, (
            f"{policy}, {figure}: {share:.2%} of samples of {runs} runs, of which {others:.1f} differ"
        )


def test_of_an_infinite_value_there_is_no_interval():
    values = losses(3, 9)
    for infinite in (np.full(9, math.inf), np.append(values[:8], -math.inf)):
        assert all(math.isnan(bound) for bound in interval(infinite, names(9)))
        low, high = intervals(np.stack([infinite, values]), names(9))
        assert math.isnan(low[0])
        assert math.isnan(high[0])
        assert (low[1], high[1]) == interval(values, names(9)), "the other rows stay as they are"


@pytest.mark.parametrize("grouped", [False, True])
def test_a_share_and_what_is_left_of_it_have_mirrored_intervals(grouped):
    """Of what is kept in place of what is lost: also where the range bounds what was not seen."""
    for seed, few in ((1, 0.1), (2, 0.5), (4, 0.9)):
        values = losses(seed, 24, few)
        groups = [f"g{number // 3}" for number in range(24)] if grouped else names(24)
        low, high = interval(values, groups, within=(0, 1))
        assert interval(1 - values, groups, within=(0, 1)) == pytest.approx((1 - high, 1 - low), abs=1e-9)

"""Risk control against MAPIE, plain loops, exact enumeration and simulated losses."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.stats.risk_control import TIE, ConformalRiskControl, LearnThenTest, resample

CONTROLS = [ConformalRiskControl(), LearnThenTest(0.9)]

shares = st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.05, 0.2, 0.5, 1.0])


@st.composite
def tables(draw, least=1, most=12, rungs=4):
    units, width = draw(st.integers(least, most)), draw(st.integers(1, rungs))
    rows = draw(st.lists(st.lists(shares, min_size=width, max_size=width), min_size=units, max_size=units))
    return np.array(rows).reshape(units, width)


def ladder(seed, units, rungs=6):
    """Losses that mostly rise along a ladder, and sometimes fall."""
    rng = np.random.default_rng(seed)
    hit = rng.random((units, rungs)) < np.linspace(0.0, 0.5, rungs)
    return np.where(hit, rng.random((units, rungs)) * 0.6, 0.0)


# --- conformal risk control ---


@given(tables(), st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.7]))
def test_conformal_bounds_are_those_of_exact_fractions(losses, alpha):
    raised = [[max(row[: rung + 1]) for rung in range(len(row))] for row in losses.tolist()]
    exact = [(sum(map(Fraction, column)) + 1) / (len(raised) + 1) for column in zip(*raised, strict=True)]
    assert ConformalRiskControl().bounds(losses) == pytest.approx(
        [float(bound) for bound in exact], rel=1e-12
    )
    keeps = [rung for rung, bound in enumerate(exact) if bound <= Fraction(alpha) + Fraction(TIE)]
    assert ConformalRiskControl().choose(losses, alpha) == (keeps[-1] if keeps else None)


@pytest.mark.parametrize(("units", "alpha"), [(19, 0.05), (9, 0.1), (99, 0.01), (32, 1 / 33), (6, 1 / 7)])
def test_a_bound_that_equals_the_tolerance_keeps_it(units, alpha):
    assert ConformalRiskControl().choose(np.zeros((units, 2)), alpha) == 1
    assert ConformalRiskControl().choose(np.zeros((units - 1, 2)), alpha) is None
    assert ConformalRiskControl().needed_units(np.zeros((3, 2)), alpha) == [units, units]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alpha", [0.071, 0.113, 0.26])
def test_the_chosen_rung_is_that_of_mapie(seed, alpha):
    mapie = pytest.importorskip("mapie.risk_control.methods", reason="MAPIE is not installed")
    losses = ladder(seed, 20 + 7 * seed)
    raised = np.maximum.accumulate(losses, axis=1)
    _, bounds = mapie.get_r_hat_plus(raised, np.arange(6), "crc", None, None, None)
    assert ConformalRiskControl().bounds(losses) == pytest.approx(bounds, rel=1e-12)
    chosen = ConformalRiskControl().choose(losses, alpha)
    if chosen is None:
        assert (bounds >= alpha).all()
    else:
        assert mapie.find_best_predict_param(np.arange(6), bounds, np.array([alpha])) == [chosen]


@settings(deadline=None)
@given(tables(least=2, most=9), st.sampled_from([0.06, 0.1, 0.2, 0.25, 0.4, 0.6]))
def test_the_mean_loss_of_a_unit_left_out_keeps_the_tolerance(losses, alpha):
    # of exchangeable units each is as likely to be the next one
    total = 0.0
    for unit in range(len(losses)):
        chosen = ConformalRiskControl().choose(np.delete(losses, unit, axis=0), alpha)
        total += 0.0 if chosen is None else losses[unit, chosen]
    assert total / len(losses) <= alpha + 1e-8


def test_the_bound_is_reached():
    # one of ten units loses all: left out, the others choose the rung; it cannot be allowed at 9 %
    losses = np.zeros((10, 1))
    losses[0] = 1.0
    chosen = [ConformalRiskControl().choose(np.delete(losses, unit, axis=0), 0.1) for unit in range(10)]
    assert chosen == [0] + [None] * 9
    assert ConformalRiskControl().choose(losses[1:], 0.09) is None


# --- Learn then Test ---


def plain_wealth(losses, alpha, delta):
    """The gambler's final wealth, one bet at a time, over the same orders of the sorted losses."""
    values, units = sorted(losses), len(losses)
    generator = np.random.Generator(np.random.PCG64(20250101))
    wealths = []
    for _ in range(32):
        wealth, seen = 1.0, []
        spread = 0.25
        for place in generator.permutation(units).tolist():
            variance = spread / (len(seen) + 1)
            bet = min(math.sqrt(2 * math.log(1 / delta) / (units * variance)), 0.95) / (1 - alpha)
            wealth *= 1 + bet * (alpha - values[place])
            seen.append(values[place])
            spread += (seen[-1] - (0.5 + math.fsum(seen)) / (len(seen) + 1)) ** 2
        wealths.append(wealth)
    return math.fsum(wealths) / len(wealths)


@pytest.mark.parametrize("units", [1, 2, 7, 26, 60, 200])
@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.3])
def test_p_values_are_those_of_a_plain_loop(units, alpha):
    losses = ladder(units, units, rungs=4)
    got = LearnThenTest(0.9).p_values(losses, alpha)
    expected = [min(1 / plain_wealth(column.tolist(), alpha, 0.1), 1.0) for column in losses.T]
    assert got == pytest.approx(expected, rel=1e-9)


def test_bets_are_those_of_confseq():
    strategies = pytest.importorskip(
        "confseq.betting_strategies", reason="confseq is not installed: its C++ part needs Boost to build"
    )
    losses = ladder(5, 40)[:, 4]
    generator = np.random.Generator(np.random.PCG64(20250101))
    wealths = []
    for _ in range(32):
        order = np.sort(losses)[generator.permutation(40)]
        bets = strategies.lambda_predmix_eb(order, truncation=0.95, alpha=0.1, fixed_n=40)
        wealths.append(np.prod(1 + bets / (1 - 0.05) * (0.05 - order)))
    assert LearnThenTest(0.9).p_values(losses[:, None], 0.05)[0] == pytest.approx(
        min(1 / np.mean(wealths), 1)
    )


def samples(values, units):
    """Every multiset of values, and in how many of the ordered samples it is."""
    for counts in itertools.product(range(units + 1), repeat=len(values)):
        if sum(counts) == units:
            ways = math.factorial(units) // math.prod(math.factorial(count) for count in counts)
            yield np.repeat(values, counts), counts, ways


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.8, 1.0]), min_size=2, max_size=3, unique=True),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.integers(1, 5),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.sampled_from([1.0, 0.8, 0.3]),
)
def test_a_p_value_is_low_no_more_often_than_it_says(values, weights, units, confidence, factor):
    chances = np.array(weights[: len(values)]) / sum(weights[: len(values)])
    mean = float(chances @ np.array(values))
    if mean >= 1:
        return
    control, alpha = LearnThenTest(confidence), mean * factor
    found = []
    for sample, counts, ways in samples(values, units):
        chance = ways * math.prod(float(part) ** count for part, count in zip(chances, counts, strict=True))
        found.append((float(control.p_values(sample[:, None], alpha)[0]), chance))
    assert math.fsum(chance for _, chance in found) == pytest.approx(1)
    for level, _ in found:
        assert math.fsum(chance for p, chance in found if p <= level) <= level + 1e-12


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.sampled_from([0.5, 0.9]), st.integers(1, 9))
def test_the_mean_wealth_at_the_true_mean_is_one(units, confidence, odds):
    # a fair game: anything lost or gained on the way would show
    values, chance = np.array([0.0, 0.6]), odds / 10
    alpha = 0.6 * chance
    total = 0.0
    for sample, counts, ways in samples(values, units):
        bets = next(LearnThenTest(confidence)._bets(sample[:, None]))
        total += ways * (1 - chance) ** counts[0] * chance ** counts[1] * math.exp(bets.log_wealth(alpha)[0])
    assert total == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_testing_stops_where_that_of_mapie_does(seed):
    fwer = pytest.importorskip("mapie.risk_control", reason="MAPIE is not installed")
    losses = ladder(seed, 60)[:, [0, 1, 3, 2, 4, 5]]
    for alpha in (0.05, 0.08, 0.12, 0.2):
        control = LearnThenTest(0.9)
        rejected = fwer.control_fwer(control.p_values(losses, alpha), 0.1, "fixed_sequence")
        assert control.choose(losses, alpha) == (int(rejected[-1]) if len(rejected) else None)
        assert list(rejected) == list(range(len(rejected)))


def test_a_rung_behind_one_that_fails_is_not_tested():
    losses = np.zeros((60, 3))
    losses[:20, 1] = 0.5
    assert LearnThenTest(0.9).choose(losses, 0.05) == 0
    bounds = LearnThenTest(0.9).bounds(losses)
    assert bounds[0] < 0.05 < bounds[1] == bounds[2]


# --- both ---


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_the_units_does_not_matter(control, losses, chance):
    order = list(range(len(losses)))
    chance.shuffle(order)
    assert (control.bounds(losses) == control.bounds(losses[order])).all()
    assert control.needed_units(losses, 0.3) == control.needed_units(losses[order], 0.3)
    if isinstance(control, LearnThenTest):
        assert (control.p_values(losses, 0.2) == control.p_values(losses[order], 0.2)).all()


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
@settings(deadline=None)
@given(tables())
def test_a_rung_keeps_a_tolerance_from_its_bound_on(control, losses):
    bounds = control.bounds(losses)
    assert (np.diff(bounds) >= 0).all()
    before = -1
    for alpha in (0.0, 0.05, 0.12, 0.25, 0.5, 0.8, 1.0, *bounds.tolist()):
        keeps = np.flatnonzero(bounds <= alpha + TIE)
        assert control.choose(losses, alpha) == (int(keeps[-1]) if len(keeps) else None)
    for alpha in np.linspace(0, 1, 23).tolist():
        chosen = control.choose(losses, alpha)
        here = -1 if chosen is None else chosen
        assert here >= before
        before = here
    if isinstance(control, LearnThenTest):
        levels = [control.p_values(losses, alpha) for alpha in np.linspace(0, 0.99, 17)]
        assert (np.diff(levels, axis=0) <= 1e-12).all()


@given(
    st.integers(1, 60), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 3), st.sampled_from([0.03, 0.1, 0.4])
)
def test_the_mean_needs_the_least_number_of_units_that_keeps_it(units, loss, losing, alpha):
    losses = np.zeros((units, 1))
    losses[:losing] = loss
    mean = Fraction(loss) * min(losing, units) / units
    needed = ConformalRiskControl().needed_units(losses, alpha)[0]
    limit = Fraction(alpha) + Fraction(TIE)
    if mean >= Fraction(alpha) - Fraction(TIE):
        assert needed is None
    else:
        assert (needed * mean + 1) / (needed + 1) <= limit
        assert ((needed - 1) * mean + 1) / needed > limit
        assert (needed <= units) == (ConformalRiskControl().choose(losses, alpha) == 0)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("alpha", [0.03, 0.1, 0.25])
def test_the_confidence_needs_a_number_of_units_that_is_enough_and_no_more(confidence, alpha):
    control = LearnThenTest(confidence)
    for units, losing, loss in [(10, 0, 0.0), (26, 1, 0.3), (26, 2, 0.4), (60, 1, 1.0), (60, 6, 0.1)]:
        losses = np.zeros((units, 1))
        losses[:losing] = loss
        needed = control.needed_units(losses, alpha)[0]
        if losing * loss / units >= alpha:
            assert needed is None
            continue
        assert control.choose(resample(losses, needed), alpha) == 0
        assert control.choose(resample(losses, needed - 1), alpha) is None
        assert (needed <= units) == (control.choose(losses, alpha) == 0)


def test_a_rung_needs_as_many_units_as_those_before_it():
    losses = np.zeros((30, 4))
    losses[:3, 1], losses[:20, 3] = 0.2, 0.9
    assert ConformalRiskControl().needed_units(losses, 0.05) == [19, 32, 32, None]
    alone = [LearnThenTest(0.9).needed_units(losses[:, [rung]], 0.05)[0] for rung in range(4)]
    assert alone[0] == alone[2] < alone[1]
    assert alone[3] is None
    assert LearnThenTest(0.9).needed_units(losses, 0.05) == [alone[0], alone[1], alone[1], None]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
def test_a_tolerance_of_nothing_is_never_kept_and_without_units_nothing_is(control):
    assert control.choose(np.zeros((1000, 1)), 0.0) is None
    assert control.needed_units(np.zeros((1000, 1)), 0.0) == [None]
    assert control.bounds(np.empty((0, 2))).tolist() == [1, 1]
    assert control.choose(np.empty((0, 2)), 0.5) is None
    assert control.needed_units(np.empty((0, 1)), 0.05) == control.needed_units(np.zeros((500, 1)), 0.05)
    assert control.choose(np.ones((50, 1)), 0.99) is None


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
@pytest.mark.parametrize("losses", [[[0.1, math.nan]], [[-0.01]], [[1.01]], [0.1, 0.2]])
def test_what_is_no_table_of_shares_is_refused(control, losses):
    with pytest.raises(ValueError, match="losses are"):
        control.bounds(np.array(losses))


@given(tables(), st.integers(1, 60))
def test_another_number_of_units_has_the_quantiles_rounded_up(losses, units):
    assert (resample(losses, len(losses)) == np.sort(losses, axis=0)).all()
    assert (resample(losses, 3 * len(losses)) == np.repeat(np.sort(losses, axis=0), 3, axis=0)).all()
    drawn = resample(losses, units)
    assert drawn.shape == (units, losses.shape[1])
    assert (drawn.mean(axis=0) >= losses.mean(axis=0) - 1e-12).all()
    assert (drawn[-1] == losses.max(axis=0)).all()


# --- power ---


def mixture_log_wealth(losses, alpha, first, second):
    """The wealth of a mixture over bets at 64 quantiles of a Beta distribution (samples × units)."""
    beta = pytest.importorskip("scipy.stats").beta
    bets = beta.ppf((np.arange(64) + 0.5) / 64, first, second)
    total = np.stack(
        [np.log(1 - bet + bet * (1 - losses) / (1 - alpha) + 1e-300).sum(axis=1) for bet in bets]
    )
    most = total.max(axis=0)
    return np.log(np.exp(total - most).mean(axis=0)) + most


def drawn_losses(kind, mean, shape, rng):
    if kind == "common":
        return rng.beta(0.7, 0.7 * (1 / mean - 1), shape)
    if kind == "zeros":
        return np.where(rng.random(shape) < 0.1, rng.beta(1, 0.1 / mean - 1, shape), 0.0)
    return (rng.random(shape) < mean).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "alpha", "kind", "documented"),
    [
        (12, 0.2, "zeros", (41, 0, 29, 0, 32)),
        (12, 0.3, "common", (100, 53, 100, 99, 41)),
        (26, 0.1, "zeros", (30, 0, 13, 0, 14)),
        (60, 0.05, "zeros", (51, 0, 28, 9, 8)),
        (60, 0.05, "common", (56, 0, 2, 0, 0)),
        (200, 0.02, "zeros", (99, 5, 98, 93, 21)),
        (200, 0.05, "ones", (70, 86, 70, 86, 95)),
    ],
)
def test_the_plug_in_bets_are_as_powerful_as_documented(units, alpha, kind, documented):
    mapie = pytest.importorskip("mapie.risk_control.methods", reason="MAPIE is not installed")
    losses = drawn_losses(kind, alpha / 5, (2000, units), np.random.default_rng(units))
    plug_in = np.concatenate([bets.log_wealth(alpha) for bets in LearnThenTest(0.9)._bets(losses.T)])
    uniform, best = (mixture_log_wealth(losses, alpha, 1, second) for second in (1, 0.25))
    average = np.log((np.exp(plug_in) + np.exp(uniform)) / 2)
    bentkus = -np.log(mapie.compute_hoeffding_bentkus_p_value(losses.mean(axis=1), units, alpha)[:, 0])
    measured = [100 * np.mean(one >= np.log(10)) for one in (plug_in, uniform, best, average, bentkus)]
    assert measured == pytest.approx(documented, abs=1)

"""The choice of a policy, and the choice made again without some runs, against a plain recomputation and
against the truth."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from replay import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.errors import InputError, Undecidable
from replay.policies.grid import parse_grids
from replay.policies.stops import find_stops
from replay.search.cross_validation import _best, _least, cross_validate
from replay.search.tolerance import parse_tolerance
from replay.stats.groups import groups_of
from tests.stats.populations import group_sizes, population

GRID = parse_policies(
    [f"patience={wait},min_delta={delta}" for wait in (1, 2, 3, 4, 6, 9) for delta in (0, 0.02, 0.1)]
)
EVAL_LOSS = Question(monitor="eval_loss")
FIVE = parse_tolerance(max_lost="5%")
TOLERANCES = [
    FIVE,
    parse_tolerance(max_lost="0%"),
    parse_tolerance(max_lost="30%"),
    parse_tolerance("2%"),
    parse_tolerance("0.02"),
]


def made(seed, count, groups=None, folder=None):
    runs = population(seed, count, groups).runs()
    if folder is not None:
        return [Run(f"{folder(place)}/{run.id}", run.evals, {}) for place, run in enumerate(runs)]
    return [Run(run.id, run.evals, run.info if groups is not None else {}) for run in runs]


def chosen_on(runs, policies=GRID, tolerance=FIVE, **how):
    return cross_validate(Study(runs, policies, EVAL_LOSS), policies, tolerance, **how)


def plain_figures(runs, policies):
    """The outcome of each policy and run by the simulation of one policy at a time; none where it cannot
    judge the run."""
    found = {}
    for policy in policies:
        rows = simulate_policies(runs, [policy], EVAL_LOSS).rows()
        found[policy.spec()] = {row["run"]: row for row in rows}
    return found


def plain_bound(losses, groups, confidence):
    """Mean and upper bound of its mean, by the standard error of a ratio of sums over clusters, in loops."""
    stats = pytest.importorskip("scipy.stats")
    names = list(dict.fromkeys(groups))
    known = [(value, group) for value, group in zip(losses, groups, strict=True) if value is not None]
    mean = math.fsum(value for value, _ in known) / len(known)
    square = 0.0
    for name in names:
        square += math.fsum(value - mean for value, group in known if group == name) ** 2
    error = math.sqrt(square * len(names) / (len(names) - 1)) / len(known)
    return mean, mean + stats.t.ppf(confidence, len(names) - 1) * error


def plain_choice(figures, runs, tolerance, confidence, groups):
    """The specification of the policy that saves most of those whose bound keeps the tolerance, or None."""
    best = None
    for spec, rows in figures.items():
        own = [rows[run.id] for run in runs if run.id in rows]
        if len(own) < len(runs):
            continue
        saved = math.fsum(row["saved"] for row in own) / len(own)
        _, bound = plain_bound([row[tolerance.kind] for row in own], groups, confidence)
        if bound <= tolerance.value + 1e-12 and saved > 0:
            key = (round(saved, 12), -round(bound, 9))
            if best is None or key > best[0]:
                best = key, spec
    return best and best[1]


@pytest.mark.parametrize("tolerance", TOLERANCES, ids=lambda tolerance: tolerance.describe())
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("by", [None, "group"])
def test_figures_and_choices_are_those_of_a_plain_recomputation(tolerance, confidence, by):
    runs = made(3, 9, [0, 0, 0, 1, 1, 2, 3, 3, 4])
    found = chosen_on(runs, tolerance=tolerance, confidence=confidence, group=by)
    groups = groups_of(runs, by or "run")
    figures = plain_figures(runs, GRID)
    for place, policy in enumerate(GRID):
        rows = [figures[policy.spec()][run.id] for run in runs]
        mean, bound = plain_bound([row[tolerance.kind] for row in rows], groups, confidence)
        assert found.saved[place] == pytest.approx(
            np.mean([row["saved"] for row in rows]), rel=1e-12, abs=1e-15
        )
        assert found.loss[place] == pytest.approx(mean, rel=1e-12, abs=1e-15)
        assert found.bound[place] == pytest.approx(bound, rel=1e-9, abs=1e-9)
        assert found.loss_of(policy) == (found.loss[place], found.bound[place])
    assert (found.chosen and found.chosen.spec()) == plain_choice(
        figures, runs, tolerance, confidence, groups
    )
    assert found.partial == 0
    for one in found.held_out:
        units = groups_of(runs, None if one.by == "group" else "run")
        for place in range(len(runs)):
            rest = [other for other, unit in zip(runs, units, strict=True) if unit != units[place]]
            again = one.policy(place)
            rest_units = [unit for unit in units if unit != units[place]]
            assert (again and again.spec()) == plain_choice(figures, rest, tolerance, confidence, rest_units)


def tiny(id, *values):
    return Run(id, {"step": range(1, len(values) + 1), "eval_loss": values})


def test_bounds_and_choice_by_hand():
    """patience=1 saves 1/4, 1/2 and 1/4 and loses 0, 0.2 and 0; patience=2 saves 0, 1/4 and 0 and loses 0,
    0.2 and 0."""
    runs = [tiny("a", 1.0, 0.5, 0.6, 0.7), tiny("b", 0.6, 0.7, 0.7, 0.5), tiny("c", 1.0, 0.5, 0.6, 0.7)]
    policies = parse_policies(["never", "patience=2", "patience=1"])
    found = chosen_on(runs, policies, parse_tolerance("0.05"), confidence=0.5)
    assert found.saved.tolist() == pytest.approx([0, 1 / 12, 1 / 3])
    assert found.loss.tolist() == pytest.approx([0, 0.1 / 3, 0.1 / 3])
    assert found.bound.tolist() == pytest.approx([0, 0.1 / 3, 0.1 / 3])
    assert found.chosen.spec() == "patience=1"
    # Student's t with 2 degrees of freedom at 0.8 is 1.0607; the standard error of 0, 0.1, 0 is 0.1 / 3
    bounded = chosen_on(runs, policies, parse_tolerance("0.05"), confidence=0.8)
    assert bounded.bound.tolist() == pytest.approx([0, *[0.1 / 3 + 1.0606602 * 0.1 / 3] * 2])
    assert bounded.chosen is None
    assert chosen_on(runs, policies, parse_tolerance("0.07"), confidence=0.8).chosen.spec() == "patience=1"
    # without b nothing is lost; without a or c the mean loss is 0.05
    assert [policy and policy.spec() for policy in found.held_out[0].chosen] == [
        "patience=1",
        "patience=1",
        "patience=1",
    ]
    assert [
        policy and policy.spec()
        for policy in chosen_on(runs, policies, parse_tolerance("0.04"), confidence=0.5).held_out[0].chosen
    ] == [
        None,
        "patience=1",
        None,
    ]
    assert [policy.spec() for policy in found.tried()] == ["patience=1"]
    assert found.least.spec() == "patience=1", "of equal losses the one that saves more"


def test_of_equal_savings_the_lower_bound_then_the_first():
    runs = [tiny(str(place), 1.0, 0.5, 0.6, 0.7) for place in range(4)]
    same = parse_policies(["up=1,strip=1", "patience=1", "budget=3"])
    found = chosen_on(runs, same)
    assert len(set(found.saved.tolist())) == 1
    assert found.chosen == same[0]
    assert chosen_on(runs, same[::-1]).chosen.spec() == "budget=3"
    # both stop at half: the last keeps 0.7, the first 0.5
    late = [tiny(str(place), 1.0, 0.5 + 0.2 * (place % 2), 0.4, 0.9) for place in range(4)]
    uneven = parse_policies(["budget=2", "budget=3", "budget=3,every=3"])
    found = chosen_on(late, uneven, parse_tolerance(max_lost="100%"), confidence=0.5)
    assert found.chosen.spec() == "budget=2"


@pytest.mark.parametrize(("tolerance", "keeps"), [("0.125", True), ("0.12499999", False)])
def test_a_loss_that_is_exactly_the_tolerance_keeps_it(tolerance, keeps):
    runs = [tiny(str(place), 1.0, 0.5, 0.75, 0.375) for place in range(5)]
    made = chosen_on(runs, parse_policies(["patience=1"]), parse_tolerance(tolerance), confidence=0.95)
    assert (made.loss[0], made.bound[0]) == (0.125, 0.125)
    assert (made.chosen is not None) == keeps
    assert [policy is not None for policy in made.held_out[0].chosen] == [keeps] * 5


def test_a_policy_that_saves_nothing_is_never_chosen():
    runs = [tiny(str(place), 1.0, 0.9, 0.8, 0.7) for place in range(5)]
    found = chosen_on(runs, parse_policies(["never", "patience=2"]), parse_tolerance(max_lost="100%"))
    assert found.chosen is None
    assert found.least is None
    assert found.tried() == []
    assert found.held_out[0].chosen == [None] * 5


@pytest.mark.parametrize("count", [3, 5, 12, 20])
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_each_fold_chooses_as_on_the_other_runs_alone(count, confidence):
    runs = made(count, count)
    found = chosen_on(runs, confidence=confidence)
    assert [one.by for one in found.held_out] == ["run"]
    assert sorted(found.held_out[0].fold.tolist()) == list(range(count))
    for place in range(count):
        alone = chosen_on(runs[:place] + runs[place + 1 :], confidence=confidence).chosen
        assert found.held_out[0].policy(place) == alone


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_each_fold_of_groups_chooses_as_on_the_other_groups_alone(confidence):
    sizes = group_sizes(1, 7)
    members = np.repeat(np.arange(7), sizes)
    runs = made(4, len(members), members)
    asked = chosen_on(runs, confidence=confidence, group="group")
    assert [one.by for one in asked.held_out] == ["group"]
    unasked = chosen_on(runs, confidence=confidence)
    assert [one.by for one in unasked.held_out] == ["run", "group"]
    # unasked, the choice on all runs goes by runs; that without a group by groups
    assert unasked.held_out[1].chosen == asked.held_out[0].chosen
    assert (unasked.held_out[1].fold == asked.held_out[0].fold).all()
    assert unasked.chosen == chosen_on([Run(run.id, run.evals) for run in runs], confidence=confidence).chosen
    for number in range(7):
        rest = [run for run, member in zip(runs, members, strict=True) if member != number]
        alone = chosen_on(rest, confidence=confidence, group="group").chosen
        for place in np.flatnonzero(members == number):
            assert asked.held_out[0].policy(place) == alone


CURVES = st.lists(
    st.one_of(st.floats(-3, 3), st.sampled_from([math.nan, math.inf, -math.inf, 0.0])),
    min_size=1,
    max_size=40,
)


@given(
    seed=st.integers(0, 5),
    place=st.integers(0, 8),
    values=CURVES,
    confidence=st.sampled_from([0.5, 0.8, 0.95]),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("grouped", [False, True])
def test_what_a_held_out_run_is_like_never_moves_the_choice_of_its_fold(
    grouped, seed, place, values, confidence, data
):
    assume(any(math.isfinite(value) for value in values))  # a run that cannot be judged is in no fold
    tolerance = data.draw(st.sampled_from(TOLERANCES))
    runs = made(seed, 9, [0, 0, 0, 1, 1, 2, 2, 3, 4])
    changed = list(runs)
    members = [place]
    if grouped:
        members = [other for other in range(9) if runs[other].info.group == runs[place].info.group]
    for number in members:
        own = values if number == place else [*values[1:], 0.5]
        changed[number] = Run(
            runs[number].id, {"step": range(1, len(own) + 1), "eval_loss": own}, runs[number].info
        )
    how = {"confidence": confidence, "group": "group" if grouped else None, "tolerance": tolerance}
    before, after = chosen_on(runs, **how).held_out[0], chosen_on(changed, **how).held_out[0]
    assert after.policy(place) == before.policy(place)
    assert after.fold.tolist() == before.fold.tolist()


def test_of_a_fold_of_several_runs_none_moves_its_choice():
    runs = made(6, 47)
    before = chosen_on(runs, confidence=0.8).held_out[0]
    for fold in range(20):
        changed = [
            tiny(run.id, 1.0, 0.9, 0.1, 5.0, 0.01) if before.fold[place] == fold else run
            for place, run in enumerate(runs)
        ]
        assert chosen_on(changed, confidence=0.8).held_out[0].chosen[fold] == before.chosen[fold]
        kept = [run for place, run in enumerate(runs) if before.fold[place] != fold]
        assert chosen_on(kept, confidence=0.8).chosen == before.chosen[fold]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(19, {1: 19}), (20, {1: 20}), (21, {1: 19, 2: 1}), (50, {2: 10, 3: 10}), (200, {10: 20})],
)
def test_folds_are_single_runs_up_to_20_and_then_20_of_nearly_equal_size(count, sizes):
    runs = made(7, count)
    found = chosen_on(runs, parse_policies(["patience=1"])).held_out[0]
    held = Counter(found.fold.tolist())
    assert sorted(held) == list(range(min(count, 20)))
    assert Counter(held.values()) == sizes
    assert len(found.chosen) == min(count, 20)
    again = chosen_on(runs, parse_policies(["patience=1"])).held_out[0]
    assert again.fold.tolist() == found.fold.tolist()
    # the same lots whatever the order in which runs are read
    order = np.random.default_rng(0).permutation(count)
    shuffled = chosen_on([runs[place] for place in order], parse_policies(["patience=1"])).held_out[0]
    assert shuffled.fold.tolist() == found.fold[order].tolist()


def test_lots_of_more_than_20_groups_hold_whole_groups():
    members = np.repeat(np.arange(30), 2)
    runs = made(8, 60, members)
    by_run, by_group = chosen_on(runs, parse_policies(["patience=1"])).held_out
    assert [by_run.by, by_group.by] == ["run", "group"]
    assert all(len(set(by_group.fold[members == number].tolist())) == 1 for number in range(30))
    assert Counter(Counter(by_group.fold.tolist()).values()) == {2: 10, 4: 10}
    assert any(len(set(by_run.fold[members == number].tolist())) == 2 for number in range(30))


def test_a_policy_that_some_run_cannot_be_judged_by_is_no_candidate_but_those_beside_it_are():
    """Of rules that share a signal, those of a low threshold stop before the value that refuses those of a
    high one."""
    runs = [tiny(str(place), 1.0, 0.5, 0.6, 0.7, 0.8) for place in range(4)] + [
        tiny("below", 1.0, 1.2, 1.3, -0.1, -0.2)
    ]
    found = chosen_on(
        runs,
        parse_policies(["gl=10", "gl=15", "gl=50", "gl=90"]),
        parse_tolerance(max_lost="50%"),
        confidence=0.5,
    )
    assert np.isnan(found.saved).tolist() == [False, False, True, True]
    assert found.partial == 2
    assert found.chosen.spec() == "gl=10"
    assert found.saved[0] == pytest.approx((4 * 2 / 5 + 3 / 5) / 5)


def test_policies_that_lack_a_companion_on_some_run_are_no_candidates():
    runs = [Run(run.id, {**run.evals, "train_loss": np.linspace(1, 0.5, len(run))}, {}) for run in made(9, 5)]
    runs[3] = Run("lacks", runs[3].evals.drop(columns="train_loss"))
    policies = parse_policies(["pq=0.1", "patience=2"])
    study = Study(runs, policies, EVAL_LOSS)
    found = cross_validate(study, policies, parse_tolerance(max_lost="100%"), confidence=0.5)
    assert found.partial == 1
    assert np.isnan(found.bound).tolist() == [True, False]
    with pytest.raises(InputError, match="no policy can be tried on every run"):
        cross_validate(Study(runs, policies[:1], EVAL_LOSS), policies[:1], FIVE)


def test_losses_that_are_unknown_are_left_out_of_the_mean_and_its_bound():
    scores = [[0.1, 0.5, 0.6, 0.9], [0.1, 0.5, None, 0.9], [0.1, None, 0.6, 0.9], [0.1, 0.8, 0.6, 0.9]]
    runs = [
        Run(str(place), {"step": range(1, 5), "eval_loss": [1.0, 0.5, 0.6, 0.7], "eval_acc": score})
        for place, score in enumerate(scores)
    ]
    policies = parse_policies(["patience=1"])
    study = Study(runs, policies, Question(monitor="eval_loss", objective="eval_acc"))
    found = cross_validate(study, policies, FIVE, confidence=0.9)
    mean, _ = plain_bound([0.5, 0.5, None, 0.125], ["a", "b", "c", "d"], 0.9)
    assert found.loss[0] == pytest.approx(mean)
    # the standard error is that of four units of which one has no run
    t = pytest.importorskip("scipy.stats").t.ppf(0.9, 3)
    error = math.sqrt(sum((value - mean) ** 2 for value in (0.5, 0.5, 0.125)) * 4 / 3) / 3
    assert found.bound[0] == pytest.approx(mean + t * error)
    unknown = [
        Run(
            str(place),
            {"step": range(1, 5), "eval_loss": [1.0, 0.5, 0.6, 0.7], "eval_acc": [0.1, None, 0.6, 0.9]},
        )
        for place in range(4)
    ]
    found = cross_validate(
        Study(unknown, policies, Question(monitor="eval_loss", objective="eval_acc")),
        policies,
        parse_tolerance(max_lost="100%"),
    )
    assert found.chosen is None, "a loss that is not known keeps no tolerance"
    assert found.least is None


@pytest.mark.parametrize("confidence", [0.49, 1, 1.5, -1, math.nan])
def test_a_confidence_out_of_range(confidence):
    with pytest.raises(InputError, match=r"confidence is from 0\.5 to below 1, not "):
        chosen_on(made(1, 4), confidence=confidence)


def test_fewer_than_three_groups_cannot_be_held_out():
    runs = made(1, 6, folder=lambda place: "ab"[place % 2])
    with pytest.raises(Undecidable, match="2 groups by folder: too few to hold any out") as raised:
        chosen_on(runs, group="folder")
    assert raised.value.exit_code == 3
    with pytest.raises(Undecidable, match="1 group by folder"):
        chosen_on(runs[::2], group="folder")
    # unasked, they are simply not held out
    stated = [Run(run.id, run.evals, {"group": "ab"[place % 2]}) for place, run in enumerate(runs)]
    assert [one.by for one in chosen_on(stated).held_out] == ["run"]
    with pytest.raises(InputError, match="no run says its 'dataset'"):
        chosen_on(runs, group="dataset")


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_runs_choose_nothing_without_one(count):
    found = chosen_on(
        [tiny(str(place), 1.0, 0.5, 0.6, 0.7) for place in range(count)], parse_policies(["patience=1"])
    )
    assert found.held_out[0].chosen == [None] * count
    assert (found.chosen is None) == (count == 1), "one run says nothing of the mean"


def test_it_is_told_how_many_policies_are_done():
    told = []
    chosen_on(made(2, 6), progress=told.append)
    assert told[-1] == len(GRID)
    assert told == sorted(told)


def test_copies_in_a_group_bound_a_loss_as_wide_as_one_of_them_does():
    one = made(5, 8)
    copies = [Run(f"{run.id}-{copy}", run.evals, {"group": run.id}) for run in one for copy in range(4)]
    single, by_run, by_group = (
        chosen_on(one),
        chosen_on(copies, group="run"),
        chosen_on(copies, group="group"),
    )
    np.testing.assert_allclose(by_group.bound, single.bound, rtol=1e-9, atol=1e-9)
    assert by_group.chosen == single.chosen
    width = by_group.bound - by_group.loss
    narrow = by_run.bound - by_run.loss
    lossy = by_run.loss > 1e-6
    assert lossy.sum() >= 10
    # the square root of (4 * 8 - 1) / (8 - 1), and t of 31 instead of 7 degrees of freedom
    np.testing.assert_allclose(
        width[lossy] / narrow[lossy], math.sqrt(31 / 7) * 1.894579 / 1.695519, rtol=1e-6
    )


def test_runs_held_out_alone_are_chosen_for_by_others_of_their_group():
    """What grouping is for: a group whose late gain every policy misses moves the choice for its own runs as
    long as some are left in."""
    usual = [tiny(f"u{place}", 1.0, 0.5, 0.6, 0.7, 0.8, 0.9) for place in range(8)]
    odd = [
        Run(f"o{place}", tiny("x", 1.0, 0.9, 0.95, 0.96, 0.97, 0.1).evals, {"group": "odd"})
        for place in range(4)
    ]
    found = chosen_on(
        usual + odd,
        parse_policies(["patience=1", "patience=2"]),
        parse_tolerance(max_lost="24%"),
        confidence=0.5,
    )
    by_run, by_group = found.held_out
    # each odd run loses 8/9: three of 11 are too many, none of 8 is not
    assert by_run.policy(8) is None
    assert by_group.policy(8).spec() == "patience=1"


GRID_144 = [
    policy
    for policy, _ in parse_grids(
        ["patience=1..12", "min_delta=0,0.005,0.01,0.02", "smooth=none,ema:0.3,mean:3"]
    )[0].points
]


def outcomes(drawn):
    """What each policy of the grid saves and loses on each run of a population: two arrays, policies ×
    runs."""
    stops = np.empty((len(GRID_144), len(drawn.lengths)), dtype=np.int64)
    for places, found in find_stops(GRID_144, drawn.batch):
        stops[places] = found
    return drawn.given(stops)


@pytest.fixture(scope="module")
def truth():
    """What each policy of the grid saves and loses in the mean over the population (policies × 2), and a row
    of zeros for none."""
    batches = 20
    total = np.zeros((len(GRID_144), 2))
    for batch in range(batches):
        total += np.stack(
            [figure.mean(axis=1) for figure in outcomes(population(987_654_321 + batch, 10_000).scaled())],
            axis=1,
        )
    return np.append(total / batches, np.zeros((1, 2)), axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.5, 0.95])
@pytest.mark.parametrize("count", [12, 24])
def test_the_held_out_figure_is_true_of_what_is_chosen_and_that_of_the_runs_that_chose_it_is_not(
    truth, count, confidence
):
    """On seeded populations, with a tolerance of 2 % and 144 policies, as measured on 800 samples each.

    ====  ==========  ================  ====================  ===================  ============
    runs  confidence  lost in sample;   lost held out; truth  saved in sample;     tolerance
                      truth             of the folds          truth                kept in truth
    ====  ==========  ================  ====================  ===================  ============
      12         0.5  1.55 %; 3.07 %    3.21 %; 3.16 %        25.9 %; 27.5 %       24 %
      12        0.95  0.54 %; 1.89 %    2.03 %; 1.95 %        19.8 %; 21.5 %       56 %
      24         0.5  1.66 %; 2.66 %    2.79 %; 2.70 %        25.6 %; 26.4 %       27 %
      24        0.95  0.76 %; 1.66 %    1.73 %; 1.68 %        19.9 %; 20.9 %       63 %
    ====  ==========  ================  ====================  ===================  ============

    So a confidence of 0.95 is not how often the tolerance holds: the bound is that of a policy which is not
    chosen by it, and losses are rare and large."""
    samples = 800
    tolerance = parse_tolerance(max_lost="2%")
    place = {policy: number for number, policy in enumerate(GRID_144)} | {None: -1}
    runs = np.arange(count)
    found = np.empty((samples, 9))
    for sample in range(samples):
        drawn = population(1_000_000 * count + sample, count + 10).scaled(count)
        made = chosen_on(
            [Run(run.id, run.evals) for run in drawn.runs()], GRID_144, tolerance, confidence=confidence
        )
        saved, lost = (np.append(figure, np.zeros((1, count)), axis=0) for figure in outcomes(drawn))
        chosen = place[made.chosen]
        folds = np.array([place[made.held_out[0].policy(run)] for run in runs])
        if made.chosen is not None:
            assert made.loss[chosen] == pytest.approx(lost[chosen].mean(), abs=1e-12)
        found[sample] = [
            *(lost[chosen].mean(), truth[chosen, 1], lost[folds, runs].mean(), truth[folds, 1].mean()),
            *(saved[chosen].mean(), truth[chosen, 0], saved[folds, runs].mean(), truth[folds, 0].mean()),
            made.chosen is None,
        ]
    means = found.mean(axis=0)

    def beyond(one, other):
        """Mean difference, in standard errors."""
        off = found[:, one] - found[:, other]
        return off.mean() / (off.std(ddof=1) / math.sqrt(samples))

    some = found[:, 8] == 0
    keeps = float((found[some, 1] <= tolerance.value).mean())
    print(
        f"\n{count} runs, confidence {confidence:g}, {samples} samples, none chosen in {1 - some.mean():.1%}:"
        f"\n  lost: in sample {means[0]:.2%}, truth {means[1]:.2%} ({beyond(0, 1):+.1f} s.e.);"
        f" held out {means[2]:.2%}, truth of the folds' choices {means[3]:.2%} ({beyond(2, 3):+.1f} s.e.)"
        f"\n  saved: in sample {means[4]:.1%}, truth {means[5]:.1%} ({beyond(4, 5):+.1f} s.e.);"
        f" held out {means[6]:.1%}, truth of the folds' choices {means[7]:.1%} ({beyond(6, 7):+.1f} s.e.)"
        f"\n  the tolerance holds in truth in {keeps:.1%} of the samples where one is chosen"
    )
    assert beyond(0, 1) < -10
    assert means[0] < 0.75 * means[1]
    assert abs(beyond(2, 3)) < 3.5
    assert abs(beyond(6, 7)) < 3.5
    if confidence == 0.95:
        assert keeps > 0.45


@pytest.mark.parametrize("count", [6, 7, 12])
def test_losses_that_are_all_the_same_are_their_own_bound(count):
    """Whatever rounding makes of their spread: 0.3 and 0.7 have no end in binary digits."""
    for kept, lost in ((0.7, 0.3), (0.3, 0.7)):
        runs = [tiny(str(place), 1.0, 1.0 - kept, 1.0, 0.0) for place in range(count)]
        found = chosen_on(runs, parse_policies(["budget=2"]), parse_tolerance(max_lost="100%"))
        assert found.loss[0] == pytest.approx(lost)
        assert found.bound[0] == pytest.approx(lost, abs=1e-6)
        assert found.chosen is not None


def test_rounding_chooses_no_policy():
    """Of equal savings, rounding apart, the policy with the lower bound is chosen, then the first."""
    up = 1e-15
    saved = np.array([0.3, 0.3 + up, 0.3, 0.2, 0.4])
    bound = np.array([0.05 + up, 0.04, 0.04 - up, 0.0, 0.0501])
    assert _best(saved, bound, FIVE) == 1
    assert _best(saved[:1], bound[:1], FIVE) == 0, "at the tolerance"
    assert _best(np.array([up]), np.array([0.0]), FIVE) is None, "saves nothing"
    loss = np.array([0.04, 0.03 + up, 0.03, 0.03, np.nan])
    assert _least(saved, loss, FIVE) == 1
    assert _least(np.array([up, 0.1]), np.array([0.0, 0.9]), FIVE) == 1
    assert _least(np.array([up]), np.array([0.0]), FIVE) is None


def test_losses_that_are_all_alike_have_no_margin():
    """All runs lose a tenth: the standard error is zero, of which rounding must not leave 1e-9."""
    runs = [tiny(f"r{number}", 1.0, 0.4 - 0.01 * number, 0.5, 0.3 - 0.01 * number) for number in range(13)]
    policies = parse_policies(["patience=1"])
    found = chosen_on(runs, policies, parse_tolerance("0.1"))
    assert found.loss.tolist() == [pytest.approx(0.1)]
    assert found.bound[0] == pytest.approx(found.loss[0], rel=1e-12)
    assert found.chosen == policies[0]
    assert {one.policy(0) for one in found.held_out} == {policies[0]}

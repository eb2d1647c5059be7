"""Guarantees against plain recomputations from the outcomes of a simulation, and known true losses."""

import math

import numpy as np
import pytest

from replay import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.errors import InputError
from replay.search.guarantee import guarantee, guarantee_from
from replay.stats.groups import groups_of
from replay.stats.risk_control import LearnThenTest
from tests.search.evidence import evidence_of
from tests.stats.populations import population

EVAL_LOSS = Question(monitor="eval_loss")
WAITS = (9, 6, 4, 3, 2, 1)
LADDER = parse_policies([f"patience={wait}" for wait in (2, 9, 1, 4, 6, 3)])


def finished(seed, count, groups=None):
    """Runs that end well above their best, as a training that went on too long."""
    made = []
    for run in population(seed, count, groups).runs():
        evals = run.evals
        values = [*evals["eval_loss"], evals["eval_loss"].max() + 1]
        made.append(
            Run(run.id, {"step": range(1, len(values) + 1), "eval_loss": values}, {"group": run.info.group})
        )
    return made


def stopped_early(run):
    return Run(run.id, run.evals, {"stopped_by": "patience=2", "group": run.info.group})


def study_of(runs, policies=LADDER, question=EVAL_LOSS):
    return Study(runs, policies, question)


def outcomes_of(runs, policy, question=EVAL_LOSS):
    return {row["run"]: row for row in simulate_policies(runs, [policy], question).rows()}


def plain_ladder(runs, unit_of, *, censored=(), question=EVAL_LOSS):
    """For each rung, the safest first: mean saved, share of compute saved, and the loss of each unit."""
    rungs = []
    for wait in WAITS:
        rows = outcomes_of(runs, f"patience={wait}", question)
        kept = [run.id for run in runs if rows[run.id]["lost"] is not None]
        losses = {id: 1.0 if id in censored else rows[id]["lost"] for id in kept}
        units = sorted({unit_of[id] for id in kept})
        each = [np.mean([losses[id] for id in kept if unit_of[id] == unit]) for unit in units]
        used = math.fsum(rows[id]["used"] for id in kept) / math.fsum(rows[id]["used_full"] for id in kept)
        rungs.append((np.mean([rows[id]["saved"] for id in kept]), 1 - used, np.array(each)))
    return rungs


def plain_choice(rungs, alpha, by=0):
    """The rung that saves most of those that conformal risk control lets through, and its bound."""
    worst, best, bound_of_best = np.zeros(len(rungs[0][2])), None, None
    for rung, entry in enumerate(rungs):
        worst = np.maximum(worst, entry[2])
        bound = (worst.sum() + 1) / (len(worst) + 1)
        if bound > alpha + 1e-9:
            break
        if entry[by] > 1e-9 and (best is None or entry[by] > rungs[best][by] + 1e-9):
            best, bound_of_best = rung, bound
    return best, bound_of_best


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1, 0.35])
@pytest.mark.parametrize("by", ["run", "group"])
@pytest.mark.parametrize("weight", ["runs", "compute"])
def test_the_mean_guarantee_is_that_of_a_plain_recomputation(seed, alpha, by, weight):
    runs = finished(seed, 40, np.arange(40) // 2)
    censored = [runs[3].id] if seed == 3 else []
    runs = [stopped_early(run) if run.id in censored else run for run in runs]
    groups = groups_of(runs, by if by == "run" else None)
    unit_of = dict(zip((run.id for run in runs), groups, strict=True))
    rungs = plain_ladder(runs, unit_of, censored=censored)
    best, bound = plain_choice(rungs, alpha, by=weight == "compute")
    got = guarantee(study_of(runs), alpha, LADDER, groups=groups, weight=weight)
    assert (got.method, got.ladders, got.units, got.runs) == ("all", 1, 40 if by == "run" else 20, 40)
    assert (got.kind, got.confidence, got.censored) == ("mean", None, tuple(censored))
    assert [rung.policy.patience for rung in got.rungs] == list(WAITS)
    assert got.is_guaranteed == (best is not None)
    assert got.chosen == best
    for rung, (saved, total, losses) in zip(got.rungs, rungs, strict=True):
        assert rung.saved == pytest.approx(saved)
        assert rung.saved_total == pytest.approx(total)
        assert rung.worst == pytest.approx(losses.mean())
        assert (rung.lost == pytest.approx(rung.worst)) == (not censored)
    if best is not None:
        assert got.policy.spec() == f"patience={WAITS[best]}"
        assert got.rung.bound == pytest.approx(bound)
        assert got.rung.needed_units <= got.units
        assert got.needed_units <= got.units


def test_some_case_of_each_outcome_is_among_those_recomputed():
    chosen = {
        guarantee(study_of(finished(seed, 40)), alpha, LADDER).chosen
        for seed in (1, 2, 3)
        for alpha in (0.02, 0.05, 0.1, 0.35)
    }
    assert len(chosen) >= 4


@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_confident_guarantee_is_learn_then_test_along_the_ladder(seed, confidence):
    runs = finished(seed, 60)
    rungs = plain_ladder(runs, {run.id: run.id for run in runs})
    losses = np.array([entry[2] for entry in rungs]).T
    for alpha in (0.03, 0.1, 0.2):
        p_values = LearnThenTest(confidence).p_values(losses, alpha)
        passed = list(np.cumprod(p_values <= 1 - confidence)).count(1)
        got = guarantee(study_of(runs), alpha, LADDER, confidence=confidence)
        assert (got.kind, got.method) == ("confidence", "all")
        assert got.chosen == (passed - 1 if passed else None)
        if passed:
            assert p_values[passed - 1] <= 1 - confidence
            assert got.rung.lost < got.rung.bound <= alpha + 1e-9


def test_runs_of_another_order_give_the_same():
    runs = finished(6, 30, np.arange(30) // 3)
    for how in ({}, {"confidence": 0.8}):
        for policies in (LADDER, [*LADDER, *parse_policies(["gl=5", "gl=20"])]):
            for alpha in (0.1, 0.3):
                one = guarantee(study_of(runs, policies), alpha, policies, groups=groups_of(runs), **how)
                mixed = runs[::-1]
                other = guarantee(study_of(mixed, policies), alpha, policies, groups=groups_of(mixed), **how)
                assert one.rungs == other.rungs
                assert (one.chosen, one.method, one.used_units) == (
                    other.chosen,
                    other.method,
                    other.used_units,
                )


def test_runs_that_cannot_be_judged_change_nothing():
    """They are named by a finding of the study, and take part in nothing."""
    runs = finished(7, 24)
    scored = [
        Run(
            run.id,
            {
                **{name: list(run.evals[name]) for name in ("step", "eval_loss")},
                "eval_f1": list(-run.evals["eval_loss"]),
            },
            {},
        )
        for run in runs
    ]
    mute = [Run(f"mute{number}", runs[number].evals, {}) for number in range(3)]
    question = Question(monitor="eval_loss", objective="eval_f1", objective_mode="max")
    got = guarantee(study_of([*mute[:2], *scored, mute[2]], question=question), 0.2, LADDER)
    alone = guarantee(study_of(scored, question=question), 0.2, LADDER)
    assert {run for finding in got.findings for run in finding.runs} == {"mute0", "mute1", "mute2"}
    assert got.left_out == ()
    assert (got.runs, got.used_runs, got.units) == (24, 24, 24)
    assert got.rungs == alone.rungs
    assert alone.left_out == ()
    assert got.chosen == alone.chosen is not None


def test_runs_without_a_scale_count_for_what_is_saved_but_not_for_what_is_lost():
    """Two runs go up and down by more than they improve: of their improvement no share can be lost."""
    runs = finished(7, 24)
    flat = [
        Run(f"flat{number}", {"step": range(1, 25), "eval_loss": [1.05, *[1.0, 1.1] * 11, 1.1 + number]}, {})
        for number in range(2)
    ]
    got, alone = guarantee(study_of([*runs, *flat]), 0.2, LADDER), guarantee(study_of(runs), 0.2, LADDER)
    assert got.left_out == ("flat0", "flat1")
    assert (got.runs, got.used_runs, got.units) == (26, 24, 24)
    assert [rung.lost for rung in got.rungs] == [rung.lost for rung in alone.rungs]
    assert [rung.bound for rung in got.rungs] == [rung.bound for rung in alone.rungs]
    outcomes = simulate_policies([*runs, *flat], [rung.policy for rung in got.rungs])
    for policy, rung in enumerate(got.rungs):
        assert rung.saved == pytest.approx(outcomes.saved[outcomes.rows_of(policy)].mean())


def test_a_loss_that_one_stop_leaves_unknown_counts_as_one():
    values = [1.0, 0.5, 0.6, 0.4, 0.7, 0.8, 0.9, 1.0]
    scores = [0.1, None, 0.3, 0.9, 0.2, 0.2, 0.2, 0.2]
    runs = [
        Run(f"r{number}", {"step": range(1, 9), "eval_loss": values, "eval_f1": scores}, {})
        for number in range(4)
    ]
    question = Question(monitor="eval_loss", objective="eval_f1", objective_mode="max")
    policies = parse_policies(["patience=1", "patience=3"])
    got = guarantee(study_of(runs, policies, question), 0.2, policies)
    # patience=1 keeps the second eval, which has no score
    assert [(rung.policy.patience, rung.lost, rung.worst) for rung in got.rungs] == [
        (3, 0.0, 0.0),
        (1, 1.0, 1.0),
    ]
    assert got.policy.spec() == "patience=3"


def test_no_run_with_a_known_loss_is_no_guarantee_and_says_what_it_takes():
    scored = Run("b", {"step": [9], "eval_loss": [math.nan], "eval_f1": [0.2]}, {})
    question = Question(monitor="eval_loss", objective="eval_f1", objective_mode="max")
    mute = finished(1, 3)
    got = guarantee(study_of([*mute, scored], question=question), 0.05, LADDER)
    assert got.left_out[:3] == tuple(run.id for run in mute)
    assert not got.is_guaranteed
    empty = evidence_of(np.empty((1, 0, 2)), [[0.1, 0.2]], left_out=["a"])
    with_confidence = LearnThenTest(0.9).needed_units(np.zeros((9, 1)), 0.05)[0]
    for confidence, needed in ((None, 19), (0.9, with_confidence)):
        got = guarantee_from(empty, 0.05, confidence=confidence)
        assert (got.policy, got.units, got.used_runs, got.runs, got.needed_units) == (None, 0, 0, 1, needed)


def test_policies_that_cannot_be_tried_on_every_run_are_no_candidates():
    runs = finished(8, 20)
    rich = [
        Run(
            run.id,
            {
                **{name: list(run.evals[name]) for name in ("step", "eval_loss")},
                "eval_error": list(run.evals["eval_loss"]),
            },
            {},
        )
        for run in runs[:19]
    ]
    policies = [*LADDER, *parse_policies(["patience=1,monitor=eval_error", "patience=2,monitor=eval_error"])]
    study = study_of([*rich, runs[19]], policies)
    got = guarantee(study, 0.2, policies, optional=True)
    assert (got.partial, got.ladders, got.method) == (2, 1, "all")
    with pytest.raises(InputError, match="no policy can be tried on every run"):
        guarantee(study, 0.2, policies[-2:], optional=True)


def test_what_never_stops_is_no_ladder_and_no_answer():
    runs = finished(9, 30)
    policies = [*parse_policies(["never", "ultralytics:patience=0"]), *LADDER]
    got = guarantee(study_of(runs, policies), 0.1, policies)
    assert (got.ladders, got.method, got.chosen) == (1, "all", guarantee(study_of(runs), 0.1, LADDER).chosen)
    alone = guarantee(study_of(runs, policies), 0.1, policies[:2])
    assert (alone.policy, alone.ladder, alone.rungs, alone.needed_units) == (None, None, (), None)
    late = parse_policies(["patience=500", "patience=400"])
    none = guarantee(study_of(runs, late), 0.1, late)
    assert (none.policy, none.needed_units) == (None, None)
    assert none.rungs[0].bound == pytest.approx(1 / 31)


def test_of_equal_savings_the_safer_is_taken():
    losses = np.zeros((1, 40, 4))
    losses[0, 0, 2], losses[0, :, 3] = 0.1, 0.9
    for confidence in (None, 0.5):
        got = guarantee_from(evidence_of(losses, [[0.1, 0.3, 0.3 + 5e-10, 0.9]]), 0.05, confidence=confidence)
        assert got.chosen == 1
        got = guarantee_from(evidence_of(losses, [[0.1, 0.3, 0.3 + 5e-9, 0.9]]), 0.05, confidence=confidence)
        assert got.chosen == 2


def test_a_rung_that_saves_less_than_a_safer_one_is_not_taken():
    got = guarantee_from(evidence_of(np.zeros((1, 40, 3)), [[0.1, 0.4, 0.3]]), 0.05)
    assert (got.chosen, got.rung.saved) == (1, 0.4)


def test_censored_runs_count_with_a_loss_of_one():
    losses = np.zeros((1, 40, 2))
    free = guarantee_from(evidence_of(losses, [[0.1, 0.2]]), 0.05)
    one = guarantee_from(evidence_of(losses, [[0.1, 0.2]], censored=[7]), 0.05)
    two = guarantee_from(evidence_of(losses, [[0.1, 0.2]], censored=[7, 8]), 0.05)
    assert [got.rungs[0].bound for got in (free, one, two)] == pytest.approx([1 / 41, 2 / 41, 3 / 41])
    assert [got.is_guaranteed for got in (free, one, two)] == [True, True, False]
    assert (one.censored, one.rungs[0].lost, one.rungs[0].worst) == (("r7",), 0.0, 1 / 40)
    assert two.needed_units is None  # one in twenty is lost, whatever the number


def test_groups_are_units_by_the_mean_of_their_runs():
    losses = np.zeros((1, 60, 1))
    losses[0, :3, 0] = 0.3
    runs = guarantee_from(evidence_of(losses, [[0.2]]), 0.06)
    threes = guarantee_from(evidence_of(losses, [[0.2]], units=np.arange(60) // 3), 0.06)
    assert (runs.units, runs.rungs[0].bound) == (60, pytest.approx(1.9 / 61))
    assert (threes.units, threes.used_runs, threes.rungs[0].bound) == (20, 60, pytest.approx(1.3 / 21))
    assert runs.is_guaranteed
    assert not threes.is_guaranteed
    assert threes.needed_units == 21


# --- several ladders ---


def several(seed, ladders, units, rungs=3):
    rng = np.random.default_rng(seed)
    hit = rng.random((ladders, units, rungs)) < np.linspace(0.0, 0.3, rungs)
    return np.where(hit, rng.random((ladders, units, rungs)) * 0.3, 0.0), rng.random((ladders, rungs)).cumsum(
        axis=1
    ) / 4


@pytest.mark.parametrize("seed", range(5))
def test_of_several_ladders_one_is_picked_on_one_half_and_held_against_the_other(seed):
    losses, saved = several(seed, 4, 61)
    evidence = evidence_of(losses, saved)
    got = guarantee_from(evidence, 0.1)
    assert (got.method, got.ladders, got.units, got.used_units, got.used_runs) == ("halves", 4, 61, 31, 31)
    first = np.random.Generator(np.random.PCG64(20250101)).permutation(61)[:30]
    second = np.setdiff1d(np.arange(61), first)
    ladder = int(got.ladder.policies[0].min_delta)
    # the losses of the half that it was picked on have no say in the bound
    raised = np.maximum.accumulate(losses[ladder][second], axis=1)
    assert [rung.bound for rung in got.rungs] == pytest.approx((raised.sum(axis=0) + 1) / 32)
    # those of the other half have none in the pick
    changed = losses.copy()
    changed[:, second] = 1.0
    again = guarantee_from(evidence_of(changed, saved), 0.1)
    assert again.ladder == got.ladder
    assert again.policy is None


def test_the_ladder_picked_is_the_one_that_promises_to_save_most():
    losses = np.zeros((3, 60, 2))
    losses[1, :, 1] = 0.5
    got = guarantee_from(evidence_of(losses, [[0.1, 0.2], [0.25, 0.9], [0.1, 0.22]]), 0.05)
    assert (got.ladder.policies[0].min_delta, got.chosen, got.rung.saved) == (1.0, 0, 0.25)
    assert got.needed_units == 37  # so that a half has 19


@pytest.mark.parametrize(
    ("units", "ladders", "alpha", "method"),
    [
        (60, 1, 0.05, "all"),
        (60, 4, 0.05, "split"),
        (60, 5, 0.05, "halves"),
        (26, 5, 0.1, "halves"),
        (31, 5, 0.1, "split"),
    ],
)
def test_how_several_ladders_share_the_confidence_depends_on_numbers_alone(units, ladders, alpha, method):
    for seed in range(2):
        losses, saved = several(seed, ladders, units)
        got = guarantee_from(evidence_of(losses, saved), alpha, confidence=0.9)
        assert (got.method, got.used_units) == (method, (units + 1) // 2 if method == "halves" else units)
    assert (method == "split") == (1 < ladders <= (1 - alpha) ** (-units / 2))


@pytest.mark.parametrize("seed", range(6))
def test_with_a_confidence_that_is_split_the_rung_that_saves_most_is_taken(seed):
    losses, saved = several(seed, 3, 150)
    got = guarantee_from(evidence_of(losses, saved), 0.06, confidence=0.9)
    assert got.method == "split"
    control = LearnThenTest(1 - 0.1 / 3)
    last = [control.choose(table, 0.06) for table in losses]
    options = [
        (saved[ladder, rung], ladder, rung)
        for ladder in range(3)
        for rung in range((last[ladder] if last[ladder] is not None else -1) + 1)
    ]
    best = max(options, default=None)
    assert got.is_guaranteed == (best is not None)
    if best is not None:
        assert (got.ladder.policies[0].min_delta, got.chosen) == best[1:]
        assert got.rung.bound == pytest.approx(control.bounds(losses[best[1]])[best[2]])


@pytest.mark.parametrize("confidence", [None, 0.8, 0.9])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("ladders", [1, 2, 7, 40])
def test_with_the_units_needed_and_no_losses_there_is_a_guarantee_and_with_fewer_none(
    confidence, alpha, ladders
):
    saved = np.tile([0.1, 0.2], (ladders, 1))

    def made(units):
        return guarantee_from(evidence_of(np.zeros((ladders, units, 2)), saved), alpha, confidence=confidence)

    needed = made(5).needed_units
    assert made(needed).is_guaranteed
    assert not made(needed - 1).is_guaranteed
    assert made(needed).needed_units == needed


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"alpha": 1.1}, "share from 0 to 1, not 1.1"),
        ({"alpha": -0.1}, "share from 0 to 1"),
        ({"alpha": math.nan}, "share from 0 to 1"),
        ({"confidence": 1.0}, "below 1, not 1"),
        ({"confidence": 0.0}, "above 0"),
        ({"weight": "evals"}, "weight is 'runs' or 'compute', not 'evals'"),
    ],
)
def test_what_is_out_of_range_is_refused(how, says):
    runs = finished(1, 3)
    with pytest.raises(InputError, match=says):
        guarantee(study_of(runs), **{"alpha": 0.05, "policies": LADDER, **how})


def test_the_default_policies_are_one_ladder_of_patience():
    runs = finished(2, 30)
    got = guarantee(study_of(runs, []), 0.1)
    assert (got.method, got.ladders, len(got.rungs)) == ("all", 1, 12)


def test_progress_counts_the_policies():
    runs, seen = finished(2, 10), []
    guarantee(study_of(runs), 0.1, LADDER, progress=seen.append)
    assert seen[-1] == len(LADDER)

"""What a total compute finds, in random draws of runs."""

from itertools import permutations
from math import comb

import numpy as np
import pytest

from replay.engine.draws import Budget, draw_runs
from replay.engine.question import Question
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies.spec import parse_policy
from tests.engine.test_across import make_runs

SPECS = ("never", "patience=2", "asha:reduction=3", "median:min_runs=2", "asha | patience=2")


def draw(curves, budget, specs=SPECS, mode="min"):
    study = Study(make_runs(curves), [], Question("eval_loss", mode))
    return draw_runs(study, [parse_policy(spec, across=True) for spec in specs], specs, budget)


def random_curves(seed, runs=12, evals=8):
    rng = np.random.default_rng(seed)
    final = rng.normal(1, 0.3, runs)
    return final[:, None] + 1 / np.arange(1, evals + 1) + rng.normal(0, 0.05, (runs, evals))


def test_runs_to_the_end_find_the_best_of_so_many():
    """Of n runs, k drawn ones hold the j-th best as their best in C(n-j, k-1) of C(n, k) cases."""
    bests = [0.1, 0.4, 0.5, 0.7, 1.1, 1.2]
    curves = [[best + 0.5, best] for best in bests]
    for count in range(1, 7):
        (never,) = draw(curves, Budget(20.0 * count, draws=4000), ["never"])
        exact = sum(best * comb(5 - rank, count - 1) for rank, best in enumerate(bests)) / comb(6, count)
        error = never.found.std() / np.sqrt(4000)
        assert never.found.mean() == pytest.approx(exact, abs=4 * error + 1e-12)
        assert (never.tried == count).all()
        assert never.used == pytest.approx(20 * count)


def test_all_runs_hold_the_best():
    for mode in ("min", "max"):
        curves = random_curves(1)
        (never,) = draw(curves, Budget(8 * 10.0 * 12, draws=30), ["never"], mode)
        assert (never.found == (curves.min() if mode == "min" else curves.max())).all()
        assert (never.regret == 0).all()
        assert mode == "max" or (never.lost == 0).all()  # a loss that should rise has no scale
        assert not never.ran_out(Budget(960.0)).any()
        assert never.begun.all()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_more_compute_is_never_worse(seed, workers):
    curves = random_curves(seed)
    before = None
    for compute in (80.0, 155.0, 333.0, 500.0, 960.0, 2000.0):
        found = draw(curves, Budget(compute, workers, draws=25))
        for one in found:
            assert (one.used <= compute).all()
        if before is not None:
            for more, less in zip(found, before, strict=True):
                assert (more.found <= less.found).all()
                assert (more.tried >= less.tried).all()
        before = found


def test_a_run_that_is_cut_off_counts_with_its_best_so_far():
    curves = [[3.0, 1.0, 2.0, 0.5], [9.0, 9.0, 9.0, 9.0]]
    (never,) = draw(curves, Budget(65.0, draws=60), ["never"])
    # the first run to the end, then 25 of 40 steps of the other: two of its evals
    assert set(never.found.tolist()) == {0.5, 1.0}
    assert never.used == pytest.approx(65)


def test_a_policy_is_replayed_by_hand():
    """patience=1 stops r0 at its third eval (30 steps) and r1 at its second (20): 90 steps try all three."""
    curves = [[1.0, 0.8, 0.9, 0.1], [1.0, 1.1, 0.2, 0.2], [2.0, 1.9, 1.8, 1.7]]
    (one,) = draw(curves, Budget(90.0, draws=20), ["patience=1"])
    assert one.found.tolist() == [0.8] * 20
    assert one.regret == pytest.approx([0.7] * 20)
    (one,) = draw(curves, Budget(50.0, draws=200), ["patience=1"])
    by_order = []
    for order in permutations(range(3)):
        left, found = 50, np.inf
        for run in order:
            evals = min((3, 2, 4)[run], left // 10)
            found = min([found, *curves[run][:evals]])
            left -= 10 * evals
        by_order.append(found)
    assert set(one.found.tolist()) == set(by_order)
    assert one.found.mean() == pytest.approx(np.mean(by_order), abs=4 * one.found.std() / np.sqrt(200))


def test_the_same_seed_gives_the_same_draws():
    curves = random_curves(3)
    one, other = (draw(curves, Budget(300.0, draws=30, seed=7)) for _ in range(2))
    for left, right in zip(one, other, strict=True):
        assert (left.found == right.found).all()
    third = draw(curves, Budget(300.0, draws=30, seed=8))
    assert any((left.found != right.found).any() for left, right in zip(one, third, strict=True))


def test_leftover_compute_is_known():
    budget = Budget(2000.0, draws=20)
    found = draw(random_curves(2), budget)
    assert all(one.ran_out(budget).all() for one in found)


@pytest.mark.parametrize(
    ("budget", "specs", "message"),
    [
        (Budget(79.0), ["never"], r"79 steps is not enough for one run: run r\d+ used 80 steps"),
        (Budget(80.0, workers=9), ["never"], "--workers 8 or fewer"),
        (Budget(800.0), ["top-k:k=2,unit=evals"], "lets all runs wait for each other"),
    ],
)
def test_what_cannot_be_answered_is_refused(budget, specs, message):
    with pytest.raises(InputError, match=message):
        draw(random_curves(0), budget, specs)

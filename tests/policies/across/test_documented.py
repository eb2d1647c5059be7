"""The documented differences between the tools, on small cases whose results were found by running them."""

import numpy as np
import pytest

from replay.data.curve import Curve, CurveBatch
from replay.errors import PolicyError
from replay.policies.clock import Timing, play
from replay.policies.spec import parse_policy
from tests.policies.across.populations import all_evals


def stops(spec, curves):
    """The stops of runs that come one after the other on one worker."""
    batch = CurveBatch.of([Curve.of(values, "min") for values in curves])
    policy = parse_policy(spec, across=True)
    evals = all_evals(batch)
    timing = Timing(evals, [[eval + 1.0 for eval in row] for row in evals], batch.lengths.tolist())
    prepared = policy.prepare(batch)
    return play(range(len(curves)), 1, timing, prepared.begin(np.random.default_rng(0))).stops


@pytest.mark.parametrize(
    ("spec", "decisions"),
    [
        ("ray-asha:reduction=4,max_t=2", "CSCSCCC"),
        ("syne-asha:reduction=4,max_t=2", "CSCSCCC"),
        ("optuna-halving:reduction=4,grace=1", "CSCSSSC"),
        ("ray-asha:reduction=2,max_t=2", "CSCSCCC"),
        ("optuna-halving:reduction=2,grace=1", "CSCSCCC"),
        ("syne-asha:reduction=2,max_t=2", "CCCCCCC"),
    ],
)
def test_one_rung(spec, decisions):
    arrivals = [0.5, 0.6, 0.4, 0.55, 0.45, 0.41, 0.39]
    found = stops(spec, [[value] for value in arrivals])
    assert "".join("S" if stop == 0 else "C" for stop in found) == decisions


COMPLETED = [
    [1, 0.8, 0.6, 0.5],
    [1.1, 0.9, 0.7, 0.6],
    [0.9, 0.7, 0.65, 0.55],
    [1.2, 1, 0.8, 0.7],
    [1, 0.85, 0.7, 0.6],
]


@pytest.mark.parametrize(
    ("run", "optuna", "ray"),
    [
        ([1.05, 0.7, 0.9, 0.9], 1, 1),
        ([1, 0.95, 0.72, 0.4], 2, 2),
        ([1, 0.85, 0.69, 0.66], 4, None),
    ],
)
def test_median_rules(run, optuna, ray):
    """The other runs are complete. Ray's rule would stop some of them, so these are made to go on."""
    found = stops("optuna-median:n_startup_trials=5", [*COMPLETED, run])
    assert found == [-1] * 5 + [-1 if optuna is None else optuna - 1]
    batch = CurveBatch.of([Curve.of(values, "min") for values in [*COMPLETED, run]])
    scheduler = parse_policy("ray-median", across=True).prepare(batch).begin(np.random.default_rng(0))
    for other in range(5):
        for eval in range(4):
            scheduler.report(other, eval)
        scheduler.end(other, False)
    decisions = [scheduler.report(5, eval) for eval in range(4)]
    assert (decisions.index(1) + 1 if 1 in decisions else None) == ray


def test_a_policy_that_compares_runs_is_refused_where_one_run_is_looked_at():
    with pytest.raises(PolicyError, match=r"compares runs with each other.*replay simulate"):
        parse_policy("asha & patience=3")
    with pytest.raises(PolicyError, match="asha takes no smooth="):
        parse_policy("asha:smooth=ema:0.3", across=True)
    with pytest.raises(PolicyError, match="reduction must be above 1, not 1"):
        parse_policy("asha:reduction=1", across=True)
    with pytest.raises(PolicyError, match="orders must be at most 10000, not 20000"):
        parse_policy("asha:orders=20000", across=True)

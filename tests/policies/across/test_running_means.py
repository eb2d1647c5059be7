"""Medians of running means: looked up in the table, or kept in order, with the same decisions."""

import numpy as np
import pytest

from replay.policies import running_means
from replay.policies.running_means import RunningMeans
from tests.policies.across.parity import draw_case, our_stops


@pytest.mark.parametrize("name", ["median", "ray-median"])
def test_many_moments_change_no_stop(name, monkeypatch):
    """With evals at steps of their own, runs have many moments, and means are looked up."""
    stopped = 0
    for seed in range(150):
        case = _case(name, seed)
        monkeypatch.setattr(running_means, "_MOST_MOMENTS", -1)
        looked_up = our_stops(case, seed)
        monkeypatch.setattr(running_means, "_MOST_MOMENTS", 10**6)
        kept = our_stops(case, seed)
        monkeypatch.undo()
        assert looked_up == kept == our_stops(case, seed), seed
        stopped += sum(stop >= 0 for stop in kept)
    assert stopped > 100


def _case(name, seed):
    policy, *rest = draw_case("ray-median", seed)
    if name == "median":
        from replay.policies.rules.median import Median

        policy = Median(policy.grace_period, 1 + seed % 3, unit=policy.unit)
    return policy, *rest


def test_which_way_is_taken():
    """Two runs of three evals that share no step have six moments; nine that share none have more than eight
    times the evals of a run.
    """
    for runs, sparse in ((2, False), (9, True)):
        progress = [[run + 10.0 * eval for eval in range(1, 4)] for run in range(runs)]
        means = RunningMeans([[1.0, 2.0, 3.0]] * runs, progress, 0)
        assert means.sparse == sparse
        assert len(means.moments) == 3 * runs
        assert means.table[0, means.at[0][1]] == 1.5
        assert np.isnan(means.table[0, -1]) == (runs > 1)

"""Random populations of runs, and arrival orders, for policies that compare runs."""

import numpy as np

from replay.data.curve import Curve, CurveBatch


def draw_batch(rng, mode="min", *, shared=None, nan=0.08, most=9):
    """A batch of short noisy curves with ties, NaN and, sometimes, evals at steps of their own."""
    runs = int(rng.integers(1, 14))
    shared = bool(rng.random() < 0.6) if shared is None else shared
    every = int(rng.integers(1, 4))
    curves = []
    for _ in range(runs):
        evals = int(rng.integers(1, most + 1))
        values = np.round(rng.normal(0, 1) + 1 / np.arange(1, evals + 1) + rng.normal(0, 0.3, evals), 1)
        values[rng.random(evals) < nan] = np.nan
        if rng.random() < 0.05:
            values[int(rng.integers(evals))] = rng.choice([np.inf, -np.inf])
        steps = np.arange(1, evals + 1) * every if shared else np.cumsum(rng.integers(1, 5, evals))
        curves.append(Curve.of(values, mode, steps))
    return CurveBatch.of(curves, mode=mode)


def draw_order(rng, batch, asked=None):
    """An arrival order: which run begins when, on how many workers, and when each reports."""
    from replay.policies.clock import Timing

    lengths = batch.lengths.tolist()
    asked = [list(range(length)) for length in lengths] if asked is None else asked
    times, ends = [], []
    for run, length in enumerate(lengths):
        speed = rng.choice([1.0, float(rng.uniform(0.5, 2))])
        used = batch.steps[run, :length] * speed
        times.append([float(used[eval]) for eval in asked[run]])
        ends.append(float(used[-1] + rng.choice([0.0, 1.5])))
    return rng.permutation(len(lengths)).tolist(), int(rng.integers(1, 6)), Timing(asked, times, ends)


def all_evals(timing_batch):
    return [list(range(length)) for length in timing_batch.lengths.tolist()]

"""Random policies of each tool, and both sides of a comparison with the tool itself."""

from unittest import mock

import numpy as np

from replay.policies import ACROSS
from replay.policies.across import progress_rows
from replay.policies.clock import play
from tests.policies.across.populations import all_evals, draw_batch, draw_order

TOOLS = ("optuna", "ray", "syne")


def draw_policy(rng, name):
    """A policy of a name with random parameters."""
    unit = str(rng.choice(["evals", "steps"]))
    kind = ACROSS[name]
    pick = lambda *values: values[int(rng.integers(len(values)))]  # noqa: E731
    if name == "optuna-halving":
        least = pick(0, 1, 1, 2, 3)
        return kind(least, pick(2, 3, 4), pick(0, 0, 1), pick(0, 0, 2) if least else 0, unit=unit)
    if name == "optuna-hyperband":
        most = pick(0, 0, 9, 30)
        return kind(pick(1, 2), most, pick(2, 3), pick(0, 2) if most else 0, unit=unit)
    if name in ("optuna-median", "optuna-percentile"):
        share = 50.0 if name == "optuna-median" else pick(0.0, 10.0, 25.0, 70.0, 100.0)
        return kind(share, pick(0, 1, 3), pick(0, 0, 2), pick(1, 1, 2, 3), pick(1, 2), unit=unit)
    if name == "ray-asha":
        return kind(
            pick(2.0, 3.0, 4.0, 2.5),
            pick(1.0, 2.0),
            pick(5.0, 9.0, 100.0),
            pick(1, 1, 3),
            pick(True, False),
            unit=unit,
        )
    if name == "ray-median":
        return kind(pick(0.0, 1.0, 3.0), pick(1, 2, 3), unit=unit)
    if name == "syne-asha":
        return kind(pick(2.0, 3.0, 4.0), pick(1.0, 2.0), pick(5.0, 9.0, 100.0), pick(1, 1, 3), unit=unit)
    return kind(pick(1.0, 2.0), pick(0, 2, 5), pick(0.5, 0.25), pick(True, True, False), unit=unit)


class _Choice:
    """Draws for both sides the same brackets, which the tools take from numpy's global generator."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def choice(self, count, p):
        return int(self.rng.choice(count, p=p))


def real_scheduler(policy, batch, progress):
    """The tool's own scheduler for a policy of ours."""
    tool = policy.name.split("-")[0]
    if tool == "optuna":
        from tests.policies.across.optuna_trials import OptunaScheduler, make_pruner

        return OptunaScheduler(make_pruner(policy), batch, progress)
    if tool == "ray":
        from tests.policies.across.ray_trials import RayScheduler, make_scheduler

        return RayScheduler(make_scheduler(policy, batch.mode), batch, progress)
    from tests.policies.across.syne_trials import SyneScheduler, make_scheduler

    return SyneScheduler(make_scheduler(policy, batch.mode), batch, progress)


def draw_case(name, seed):
    """A policy, a batch of runs, and an order, workers and times in which they arrive."""
    rng = np.random.default_rng([seed, sum(name.encode())])
    mode = "min" if rng.random() < 0.5 else "max"
    policy, batch = draw_policy(rng, name), draw_batch(rng, mode)
    return policy, batch, *draw_order(rng, batch)


def our_stops(case, seed):
    """Where ours stops the runs of a case."""
    policy, batch, order, workers, timing = case
    prepared = policy.prepare(batch)
    times = [[timing.times[run][eval] for eval in evals] for run, evals in enumerate(prepared.asked)]
    timing = timing._replace(evals=prepared.asked, times=times)
    return play(order, workers, timing, prepared.begin(_Choice(seed))).stops


def real_stops(case, seed):
    """Where the real tool stops them."""
    policy, batch, order, workers, timing = case
    real = real_scheduler(policy, batch, progress_rows(batch, policy.unit))
    drawn = _Choice(seed)

    def choose(count, p):
        # one bracket is no choice: the tools draw all the same, and get the only one
        return drawn.choice(count, p) if count > 1 else 0

    with mock.patch.object(np.random, "choice", choose):
        return play(order, workers, timing._replace(evals=all_evals(batch)), real).stops


def describe_case(case):
    """All that a case consists of, for messages."""
    policy, batch, *rest = case
    return (policy.spec(), batch.values.tolist(), batch.steps.tolist(), *rest)

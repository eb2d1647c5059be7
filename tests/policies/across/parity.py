"""Random policies of each tool, and both sides of a comparison with the tool itself."""

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


def compare(name, seed, monkeypatch):
    """The stops of ours, those of the real tool, and what they are about."""
    rng = np.random.default_rng([seed, sum(name.encode())])
    mode = "min" if rng.random() < 0.5 else "max"
    policy, batch = draw_policy(rng, name), draw_batch(rng, mode)
    order, workers, timing = draw_order(rng, batch)
    prepared = policy.prepare(batch)
    times = [[timing.times[run][eval] for eval in evals] for run, evals in enumerate(prepared.asked)]
    ours = play(
        order, workers, timing._replace(evals=prepared.asked, times=times), prepared.begin(_Choice(seed))
    )
    real = real_scheduler(policy, batch, progress_rows(batch, policy.unit))
    drawn = _Choice(seed)
    # one bracket is no choice: the tools draw all the same, and get the only one
    monkeypatch.setattr(np.random, "choice", lambda count, p: drawn.choice(count, p) if count > 1 else 0)
    theirs = play(order, workers, timing._replace(evals=all_evals(batch)), real)
    monkeypatch.undo()
    return ours.stops, theirs.stops, (policy, batch.values, batch.steps, order, workers, timing)

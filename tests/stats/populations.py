"""Populations of training curves that are known in full, to hold intervals against: what is true of them is
computed.

A run's loss falls to a floor, exponentially or as a power of time. It may rise again from some eval on
(overfitting), and may fall a second time late. Evals are noisy, more in some runs than in others, and runs
are of unequal length. Runs of one group share how fast they fall, how noisy they are, and part of when they
turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.noise import noise_of_rows
from replay.data.run import Run
from replay.data.types import Floats, Ints
from replay.engine.payoffs import RunPayoff
from replay.policies import Policy
from replay.policies.spec import parse_policy

__all__ = ["EVALS", "Population", "group_sizes", "population", "true_differences", "true_means"]

#: Most evals of a run; the shortest runs have half as many.
EVALS = 30


@dataclass(frozen=True, eq=False)
class Population:
    """Curves as arrays: ``values`` is runs × evals with NaN beyond a run's ``lengths``; ``members`` is each
    run's group."""

    values: Floats
    lengths: Ints
    members: Ints

    @property
    def batch(self) -> CurveBatch:
        """The curves as policies read them."""
        steps = np.where(np.isnan(self.values), np.nan, np.arange(1.0, self.values.shape[1] + 1))
        return CurveBatch(self.values, steps, self.lengths, "min")

    @property
    def groups(self) -> list[str]:
        """Name of each run's group."""
        return [f"g{member}" for member in self.members]

    def scaled(self, count: int | None = None) -> Population:
        """The first ``count`` runs (default: all) that improve by at least twice their noise, as ``lost``
        needs it."""
        rows = np.arange(len(self.lengths))
        best = np.nanargmin(self.values, axis=1)
        noise = noise_of_rows(self.values, np.minimum(np.maximum(best + 3, 7), self.lengths))
        keep = np.flatnonzero(self.values[:, 0] - self.values[rows, best] >= 2 * noise)[:count]
        assert count is None or len(keep) == count, "draw more runs"
        return Population(self.values[keep], self.lengths[keep], self.members[keep])

    def runs(self) -> list[Run]:
        """The curves as runs, each with its group."""
        made = []
        for number, (values, length, group) in enumerate(
            zip(self.values, self.lengths, self.groups, strict=True)
        ):
            columns = {"step": np.arange(1, length + 1), "eval_loss": values[:length]}
            made.append(Run(f"r{number}", columns, {"group": group}))
        return made

    def outcomes(self, policy: Policy | str) -> tuple[Floats, Floats]:
        """What a policy saves and loses on each run, as fractions, with the best checkpoint kept and compute
        counted in steps."""
        rule = parse_policy(policy) if isinstance(policy, str) else policy
        return self.given(rule.stops(self.batch))

    def given(self, stops: Ints) -> tuple[Floats, Floats]:
        """The same of stops (… × runs; negative: never)."""
        rows = np.arange(len(self.lengths))
        stops = np.where(stops < 0, self.lengths - 1, stops)
        best = np.fmin.accumulate(self.values, axis=1)
        full = best[rows, self.lengths - 1]
        gained = self.values[:, 0] - full
        with np.errstate(invalid="ignore", divide="ignore"):
            lost = np.where(gained > 0, np.minimum((best[rows, stops] - full) / gained, 1), 0.0)
        return 1 - (stops + 1) / self.lengths, lost

    def payoffs(self) -> list[RunPayoff]:
        """What a stop at each eval of each run gives, and, as the last entry, what never stopping gives."""
        made = []
        for values, length in zip(self.values, self.lengths.tolist(), strict=True):
            best = np.fmin.accumulate(values[:length])
            gained = best[0] - best[-1]
            lost = np.minimum((best - best[-1]) / gained, 1) if gained > 0 else np.zeros(length)
            share, lost = np.append(np.arange(1, length + 1), length) / length, np.append(lost, 0.0)
            made.append(RunPayoff(share, 1 - share, lost, lost, lost))
        return made


def group_sizes(seed: int, groups: int, least: int = 2, most: int = 6) -> Ints:
    """Unequal sizes of groups, each from ``least`` to ``most`` runs."""
    return np.random.default_rng([seed, 1]).integers(least, most + 1, groups)


def population(
    seed: int,
    runs: int,
    groups: Sequence[int] | Ints | None = None,
    evals: int = EVALS,
    *,
    noise: float = 0.02,
    late: float = 0.15,
    depth: float = 0.4,
) -> Population:
    """Draw the curves of some runs; ``groups`` has the number of each run's group (default: each run is its
    own).

    ``noise`` is the typical standard deviation of an eval, ``late`` the share of runs that fall a second
    time, ``depth`` the most that they fall then (about 1 is the first fall).

    One run of a group is distributed as one run without groups: what is true of the mean does not depend on
    the groups."""
    rng = np.random.default_rng(seed)
    members = np.arange(runs) if groups is None else np.asarray(groups, dtype=np.int64)
    names, place = np.unique(members, return_inverse=True)
    speed, noisy, early = (rng.standard_normal(len(names))[place] for _ in range(3))

    def own() -> Floats:
        return rng.standard_normal(runs)

    time = np.arange(evals, dtype=np.float64)[None, :]
    tau = (evals / 8 * np.exp(0.5 * speed + 0.4 * own()))[:, None]
    exponential = np.exp(-time / tau)
    power = (1 + time / tau) ** -rng.uniform(0.7, 1.6, runs)[:, None]
    values = np.where(rng.random(runs)[:, None] < 0.6, exponential, power)
    turn = (evals * np.clip(0.4 + 0.15 * early + 0.2 * own(), 0.1, 1.5))[:, None]
    slope = np.where(rng.random(runs) < 0.75, 0.5 * np.exp(0.7 * own()), 0.0)[:, None]
    values += slope * np.maximum(time - turn, 0) / evals
    again = (evals * rng.uniform(0.4, 0.9, runs))[:, None]
    fall = np.where(rng.random(runs) < late, rng.uniform(0.05, depth, runs), 0.0)[:, None]
    values -= fall * -np.expm1(-np.maximum(time - again, 0) / (tau / 2))
    sigma = (noise * np.exp(0.6 * noisy + 0.5 * own()))[:, None]
    values += sigma * rng.standard_normal((runs, evals))
    values = rng.uniform(0.5, 2.0, runs)[:, None] + values * np.exp(0.3 * own())[:, None]
    lengths = rng.integers((evals + 1) // 2, evals + 1, runs)
    values[time >= lengths[:, None]] = np.nan
    return Population(values, lengths, members)


def true_means(
    policies: Sequence[str], *, runs: int = 200_000, seed: int = 987_654_321, evals: int = EVALS
) -> dict[str, Floats]:
    """What each policy saves and loses in the mean over the population, from very many curves drawn in
    batches."""
    batch = 20_000
    totals = {policy: np.zeros(2) for policy in policies}
    for part in range(-(-runs // batch)):
        drawn = population(seed + part, batch, evals=evals)
        for policy in policies:
            totals[policy] += [figure.mean() for figure in drawn.outcomes(policy)]
    return {policy: total / -(-runs // batch) for policy, total in totals.items()}


def true_differences(
    policies: Sequence[str], *, runs: int = 200_000, seed: int = 987_654_321, evals: int = EVALS
) -> dict[str, float]:
    """What each policy loses more than the equal budget in the mean over the population.

    The budget stops each run at the same share of its length, and saves as much in the mean over the
    population as the policy does.
    """
    batch = 20_000
    lengths = range((evals + 1) // 2, evals + 1)
    shares = np.unique(np.concatenate([np.arange(1, length + 1) / length for length in lengths]))
    baseline = np.zeros((2, len(shares)))
    for part in range(-(-runs // batch)):
        drawn = population(seed + part, batch, evals=evals)
        for number, share in enumerate(shares.tolist()):
            stops = np.maximum(np.floor(share * drawn.lengths + 1e-9).astype(np.int64) - 1, 0)
            baseline[:, number] += [figure.mean() for figure in drawn.given(stops)]
    saved, lost = baseline[:, ::-1] / -(-runs // batch)
    means = true_means(policies, runs=runs, seed=seed, evals=evals)
    return {policy: float(mean[1] - np.interp(mean[0], saved, lost)) for policy, mean in means.items()}

"""Draws: what a given total compute finds, in many random draws of runs from the logs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.across import prepare_set
from replay.engine.outcomes import Outcomes
from replay.engine.payoffs import Payoffs
from replay.engine.scoring import simulate_study
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import AcrossRuns, Policy
from replay.policies.across import STOP, Scheduler
from replay.policies.clock import Played, Timing, play
from replay.policies.joint import compares_runs, parts_of
from replay.policies.stops import NEVER

__all__ = ["Budget", "Drawn", "draw_runs"]

#: By how much, as a share, sums of compute may be off by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Budget:
    """A total compute in the unit of the question, and how it is spent.

    ``draws`` is how many random orders of the runs are tried, each with ``workers`` runs at the same time.
    """

    compute: float
    workers: int = 1
    draws: int = 500
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one policy finds with a budget, with one entry per draw.

    ``found`` is the objective of the best checkpoint, in the metric's own sign (NaN: none). ``regret`` is by
    how much it is worse than the best of all runs of the logs, and ``lost`` the same as a share of the
    improvement of the run with that best. ``used`` is the compute used, and ``begun`` (draws × runs) says
    which runs were begun.
    """

    policy: str
    spec: str
    found: Floats
    regret: Floats
    lost: Floats
    used: Floats
    begun: Bools

    @property
    def tried(self) -> Ints:
        """The number of runs begun in each draw."""
        tried: Ints = self.begun.sum(axis=1)
        return tried

    def ran_out(self, budget: Budget) -> Bools:
        """Whether each draw ended because the logs have no more runs, with compute left over."""
        ran_out: Bools = self.begun.all(axis=1) & (self.used < budget.compute * (1 - _ROUNDING))
        return ran_out


class _Arm(NamedTuple):
    """A policy made ready for the clock.

    ``used`` has, for each run, what it has used by each eval. ``kept`` has the objective, with lower as
    better, of the checkpoint kept after a stop at each eval, and, as the last entry, at the end of the log;
    it is infinite where there is none.
    """

    timing: Timing
    begin: Callable[[np.random.Generator], Scheduler]
    used: list[list[float]]
    kept: list[list[float]]


def draw_runs(
    study: Study,
    policies: Sequence[Policy],
    typed: Sequence[str],
    budget: Budget,
) -> list[Drawn]:
    """What each policy finds with a budget.

    A draw takes the runs of the study in random order, without replacement, and begins one after the other,
    as soon as a worker is free, until the budget is used up. All policies see the same orders. ``typed`` says
    how the user wrote each policy. Raises InputError for a budget below one run, and for a policy that cannot
    be replayed in this way.
    """
    _check(study, policies, budget)
    within = [policy for policy in policies if not compares_runs(policy)]
    outcomes = simulate_study(study, within)
    out = []
    for policy, text in zip(policies, typed, strict=True):
        if compares_runs(policy):
            arm = _arm_across(study, policy)
        else:
            arm = _arm_within(outcomes, outcomes.policies.index(policy.spec()))
        out.append(_draw(study, arm, policy.spec(), text, budget))
    return out


def _check(study: Study, policies: Sequence[Policy], budget: Budget) -> None:
    unit, full = study.question.unit, study.payoffs.full
    if len(full) < 2:
        raise InputError(
            f"a budget is spent on several runs, and there is only {study.panel.runs[0].id}; give the logs of"
            " more runs"
        )
    longest = int(np.argmax(full))
    if budget.compute < full[longest] * (1 - _ROUNDING):
        raise InputError(
            f"a budget of {budget.compute:.6g} {unit} is not enough for one run: run"
            f" {study.panel.runs[longest].id} used {full[longest]:.6g} {unit}. Give --compute at least that,"
            " or leave out long runs"
        )
    first = max(float(one.used()[0]) for one in study.panel.compute if len(one.train))
    if budget.workers * first > budget.compute * (1 + _ROUNDING):
        most = max(int(budget.compute * (1 + _ROUNDING) / first), 1)
        raise InputError(
            f"--workers {budget.workers}: so many runs use up {budget.compute:.6g} {unit} before the first"
            f" eval of each, which comes after up to {first:.6g} {unit}. Give --workers {most} or fewer, or"
            " more --compute"
        )
    for policy in policies:
        for part in parts_of(policy):
            if isinstance(part, AcrossRuns) and part.waits:
                raise InputError(
                    f"{part.spec()} lets all runs wait for each other, so it needs to know their number"
                    " before it begins, and a budget does not say for how many runs it is enough; leave it"
                    " out, or give asha"
                )


def _arm_across(study: Study, policy: Policy) -> _Arm:
    prepared, timing = prepare_set(study, policy)
    every = np.arange(len(study.panel.runs))
    used, kept = _figures(study.payoffs, every, study)
    return _Arm(timing, prepared.begin, used, kept)


def _arm_within(outcomes: Outcomes, policy: int) -> _Arm:
    """A policy within runs, which stops each run at the same eval in any draw; a run that it cannot judge
    goes on.
    """
    study, source = outcomes.study, outcomes.sources[policy]
    used, kept = _figures(study.payoffs, np.arange(len(study.panel.runs)), study)
    ends = [float(one) for one in study.payoffs.full]
    asked: list[list[int]] = [[] for _ in used]
    own_used, own_kept = _figures(source.payoffs, source.rows, study)
    never = source.payoffs.used[source.payoffs.begin[source.rows] + NEVER].tolist()
    positions = outcomes.position[outcomes.rows_of(policy)].tolist()
    for index, run in enumerate(outcomes.runs_of(policy).tolist()):
        if positions[index] < NEVER:
            continue
        used[run], kept[run], ends[run] = own_used[index], own_kept[index], never[index]
        asked[run] = [positions[index]] if positions[index] >= 0 else []
    times = [[row[eval] for eval in evals] for row, evals in zip(used, asked, strict=True)]
    scheduler = _StopAlways()
    return _Arm(Timing(asked, times, ends), lambda rng: scheduler, used, kept)


class _StopAlways(Scheduler):
    """Stops a run at its first report."""

    def report(self, run: int, eval: int) -> int:
        return STOP


def _figures(payoffs: Payoffs, rows: Ints, study: Study) -> tuple[list[list[float]], list[list[float]]]:
    """What some runs have used by each eval, and the objective of the checkpoint kept (see `_Arm`)."""
    sign = 1.0 if study.objective.mode == "min" else -1.0
    objective = payoffs.panel.objective.values
    used, kept = [], []
    for row in rows.tolist():
        begin, length = int(payoffs.begin[row]), int(payoffs.lengths[row])
        used.append(payoffs.used[begin : begin + length].tolist())
        positions = np.append(payoffs.kept[begin : begin + length], payoffs.kept[begin + NEVER])
        values = objective[payoffs.rows[row]] if objective.shape[1] else np.full(1, np.nan)
        here = np.where(positions >= 0, sign * values[np.maximum(positions, 0)], np.inf)
        kept.append(np.where(np.isnan(here), np.inf, here).tolist())
    return used, kept


def _draw(study: Study, arm: _Arm, spec: str, typed: str, budget: Budget) -> Drawn:
    runs = len(study.panel.runs)
    lowest, used = np.empty(budget.draws), np.empty(budget.draws)
    begun = np.zeros((budget.draws, runs), dtype=bool)
    most = budget.compute * (1 + _ROUNDING)
    for number in range(budget.draws):
        rng = np.random.default_rng([budget.seed, number])
        order = rng.permutation(runs).tolist()
        played = play(order, budget.workers, arm.timing, arm.begin(rng), most)
        lowest[number] = min(_kept(arm, played, run) for run, there in enumerate(played.begun) if there)
        spent = np.array(played.used)
        # a run that would begin when the budget is just used up was not tried
        used[number], begun[number] = min(spent.sum(), budget.compute), spent > 2 * _ROUNDING * budget.compute
    sign = 1.0 if study.objective.mode == "min" else -1.0
    objective = study.panel.objective
    bests = np.where(np.isnan(objective.best), np.inf, sign * objective.best)
    best = int(np.argmin(bests))
    scale = float(objective.scale.improvement[best])
    none = np.isinf(lowest) & (lowest > 0)
    with np.errstate(all="ignore"):
        regret = np.where(none, np.nan, np.where(lowest == bests[best], 0.0, lowest - bests[best]))
        lost = np.clip(regret / scale, 0.0, 1.0) if scale > 0 else np.full(len(regret), np.nan)
    lost = np.where(none & (scale > 0), 1.0, lost)
    return Drawn(typed, spec, np.where(none, np.nan, sign * lowest), regret, lost, used, begun)


def _kept(arm: _Arm, played: Played, run: int) -> float:
    """The objective of the checkpoint that a run has when it ended, or when the budget was used up."""
    stop, used = played.stops[run], played.used[run]
    if stop >= 0:
        return arm.kept[run][stop]
    if used >= arm.timing.ends[run]:
        return arm.kept[run][-1]
    eval = bisect_right(arm.used[run], used * (1 + _ROUNDING)) - 1
    return arm.kept[run][eval] if eval >= 0 else np.inf

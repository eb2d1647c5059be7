"""Across: what policies save and lose for a set of runs as a whole, in each of many arrival orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.outcomes import ORACLE, Outcomes
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.across import Prepared
from replay.policies.clock import Timing, play
from replay.policies.joint import Orders, compares_runs, orders_of, prepare
from replay.policies.stops import NEVER

__all__ = ["SetOutcome", "find_orders", "join_sets", "prepare_set", "set_of_outcomes", "simulate_set"]


@dataclass(frozen=True, eq=False)
class SetOutcome:
    """What one policy saves and loses for a set of runs, with one entry per arrival order.

    ``orders`` is None for a policy within runs, which stops each run where it does in any order: it has one
    entry. ``stops`` (orders × runs) are 0-based evals or NEVER. ``saved`` is the share of the compute of all
    runs. ``regret`` is by how much the best checkpoint of all runs is worse than the best of the full logs,
    in the objective's unit, and ``lost`` the same as a share of the improvement of the run with that best
    (NaN: unknown). ``best_stopped`` says whether that run was stopped, ``best_missed`` whether it was stopped
    before its best eval; for several groups of runs, in which share of them.
    """

    policy: str
    spec: str
    orders: Orders | None
    stops: Ints
    saved: Floats
    regret: Floats
    lost: Floats
    best_stopped: Bools | Floats
    best_missed: Bools | Floats


def prepare_set(study: Study, policy: Policy) -> tuple[Prepared, Timing]:
    """Make a policy ready for the runs of a study's panel, and say when each reports.

    Runs report when they have used what the log says, in the unit of the question. Raises InputError where a
    run lacks what the policy counts in.
    """
    panel = study.panel
    gathered = panel.gather(policy.companions)
    for companion, without in gathered.lacking.items():
        others = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
        raise InputError(
            f"{policy.spec()} compares all runs and needs {companion.label} of each, but run"
            f" {without[0]}{others} does not log it; give unit=evals or unit=steps"
        )
    prepared = prepare(policy, gathered.batch)
    used = [compute.used().tolist() for compute in panel.compute]
    timing = Timing(
        prepared.asked,
        [[row[eval] for eval in evals] for row, evals in zip(used, prepared.asked, strict=True)],
        [float(compute.full) for compute in panel.compute],
    )
    return prepared, timing


def find_orders(study: Study, policy: Policy) -> Ints:
    """Where a policy that compares runs stops the runs of a study's panel, in each order (orders × runs).

    Raises InputError where a run lacks what the policy counts in.
    """
    panel = study.panel
    prepared, timing = prepare_set(study, policy)
    orders = orders_of(policy)
    stops = np.empty((orders.orders, len(panel.runs)), dtype=np.int64)
    for number, row in enumerate(stops):
        rng = np.random.default_rng([orders.seed, number])
        order = rng.permutation(len(panel.runs)).tolist()
        row[:] = play(order, orders.workers, timing, prepared.begin(rng)).stops
    return stops


def simulate_set(study: Study, policies: Sequence[Policy], typed: Sequence[str]) -> list[SetOutcome]:
    """What policies that compare runs give; ``typed`` says how the user wrote each."""
    payoffs = study.payoffs
    out = []
    for policy, text in zip(policies, typed, strict=True):
        if not compares_runs(policy):
            raise InputError(f"{policy.spec()} does not compare runs")
        stops = find_orders(study, policy)
        entries = payoffs.begin + stops
        out.append(
            _score(
                study,
                text,
                policy.spec(),
                orders_of(policy),
                stops,
                payoffs.used[entries],
                payoffs.kept[entries].astype(np.int64),
            )
        )
    return out


def join_sets(groups: Sequence[Sequence[SetOutcome]], weights: Sequence[float]) -> list[SetOutcome]:
    """The outcomes of several groups of runs as those of one set, in which runs are compared within groups.

    Each group has the outcomes of the same policies, and ``weights`` are the compute of all its runs. The
    compute saved is that of all groups; the other figures are means over the groups, in each arrival order.
    A best run counts as stopped in as large a share as that of groups in which it was.
    """
    shares = np.array(weights) / sum(weights)
    joined = []
    for parts in zip(*groups, strict=True):
        saved = sum(share * part.saved for share, part in zip(shares.tolist(), parts, strict=True))
        means = {
            name: np.mean([getattr(part, name) for part in parts], axis=0)
            for name in ("regret", "lost", "best_stopped", "best_missed")
        }
        stops = np.concatenate([part.stops for part in parts], axis=1)
        joined.append(replace(parts[0], stops=stops, saved=saved, **means))
    return joined


def set_of_outcomes(outcomes: Outcomes) -> list[SetOutcome]:
    """The same figures for policies within runs, but the oracle; a run that a policy cannot judge goes on."""
    study, full = outcomes.study, outcomes.study.payoffs
    kept, never = outcomes.kept_position, full.begin + NEVER
    out = []
    for index, spec in enumerate(outcomes.policies):
        if spec == ORACLE:
            continue
        here, runs = outcomes.rows_of(index), outcomes.runs_of(index)
        stops = np.full((1, len(study.panel.runs)), NEVER)
        used, at = full.used[never][None, :].copy(), full.kept[never][None, :].astype(np.int64)
        stops[0, runs], used[0, runs], at[0, runs] = outcomes.position[here], outcomes.used[here], kept[here]
        out.append(_score(study, outcomes.typed[index], spec, None, stops, used, at))
    return out


def _score(
    study: Study, typed: str, spec: str, orders: Orders | None, stops: Ints, used: Floats, kept: Ints
) -> SetOutcome:
    panel, objective, full = study.panel, study.panel.objective, study.payoffs.full
    sign = 1.0 if study.objective.mode == "min" else -1.0
    rows = np.arange(len(panel.runs))
    values = objective.values if objective.values.shape[1] else np.full((len(rows), 1), np.nan)
    found = np.where(kept >= 0, sign * values[rows, np.maximum(kept, 0)], np.nan)
    best_of_runs = np.where(np.isnan(objective.best), np.inf, sign * objective.best)
    best = int(np.argmin(best_of_runs))
    with np.errstate(all="ignore"):
        lowest = np.fmin.reduce(found, axis=1)
        regret = np.where(lowest == best_of_runs[best], 0.0, lowest - best_of_runs[best])
        scale = float(objective.scale.improvement[best])
        lost = np.minimum(regret / scale, 1.0) if scale > 0 else np.full(len(regret), np.nan)
        total = float(full.sum())
        saved = 1 - used.sum(axis=1) / total if total > 0 else np.zeros(len(used))
    there = panel.objective.values[best]
    at_best = np.flatnonzero(there == objective.best[best])
    first = int(at_best[0]) if len(at_best) else len(there)
    stopped = stops[:, best] >= 0
    return SetOutcome(
        typed, spec, orders, stops, saved, regret, lost, stopped, stopped & (stops[:, best] < first)
    )

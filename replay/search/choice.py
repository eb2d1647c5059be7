"""The policy to use, with the figures that it has on the runs that chose it and on those that did not, and a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from replay.data.curve import Curve, CurveBatch
from replay.data.run import Run
from replay.data.types import Floats, Ints
from replay.engine.simulation import BASELINES, ORACLE, Setup, Simulation, parsed, records, replay_in
from replay.policies import Policy
from replay.policies.rules.never import Never
from replay.search.cross_validation import Choosing, HeldOut, choosing
from replay.search.tolerance import Limit
from replay.stats.budgets import FixedBudgets
from replay.stats.groups import groups_of
from replay.stats.intervals import interval
from replay.stats.optimism import Rule, corrected_regret
from replay.stats.summary import summarise, too_few

__all__ = ["BREAKS", "NONE_KEEPS", "NO_BETTER", "TOO_FEW", "USE", "Choice", "Line", "choose", "choose_in"]

USE = "use it"
NO_BETTER = "no better than a shorter run"
BREAKS = "does not keep the limit on runs it was not chosen on"
NONE_KEEPS = "no policy keeps the limit"
TOO_FEW = "too few runs to tell"


@dataclass(frozen=True, eq=False)
class Line:
    """One way of scoring the choice: its summary, a dict of the keys of the summary, and what belongs to the
    limit.

    ``name`` says which: in sample, held out by something, with or without censored runs. ``kept`` counts the
    ``judged`` runs whose own loss keeps the limit. ``beyond_shorter`` is the mean of what a run loses more
    than under a fixed budget of the same mean compute (shares of its improvement), and the upper bound of
    that mean, one-sided at the confidence asked for; NaN where not known. ``corrected`` is the mean regret
    with the optimism of the best of a noisy curve taken off (None: not known), and ``within_noise`` in the
    summary counts runs that lose no more than their own eval noise.
    """

    name: str
    summary: dict[str, Any]
    kept: int
    judged: int
    beyond_shorter: tuple[float, float]
    corrected: float | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """The policy to use (None: none), the lines that judge it, in sample first, then held out, and the
    verdict on it.

    ``rows`` are the held-out outcomes, one a run in the order of ``simulation.runs``, each under the policy
    chosen without it. ``baselines`` are the summaries of never, one-epoch and the oracle. ``stable`` says of
    each held-out line how many of the folds chose this same policy, and how many there are. ``simulation``
    holds the outcomes of all policies that were chosen for anything.
    """

    choosing: Choosing
    policy: Policy | None
    verdict: str
    in_sample: Line
    held_out: list[Line]
    rows: list[dict[str, Any]]
    uncensored: Line | None
    baselines: dict[str, dict[str, Any]]
    stable: list[tuple[int, int]]
    groups: list[str]
    simulation: Simulation

    @property
    def limit(self) -> Limit:
        """What is tolerated."""
        return self.choosing.limit


def choose_in(
    setup: Setup,
    policies: Sequence[Policy],
    limit: Limit,
    *,
    confidence: float = 0.95,
    group: str | None = None,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Choice:
    """Choose a policy on runs that are set up, and judge it; arguments and errors as for `choosing`.

    Intervals hold with probability ``confidence``; they draw whole groups, of ``group`` or, without it, those
    that the logs state.

    The verdict is USE where the held-out mean loss keeps the limit and, run by run, is below that of a fixed
    budget of the same mean compute with confidence; NO_BETTER where it keeps the limit but is not below on
    average either; BREAKS where it does not keep it; NONE_KEEPS where no policy of those tried keeps the
    limit even on the runs at hand; TOO_FEW else: with fewer than 8 runs or a median of fewer than 5 evals,
    where policies keep the limit on these runs but none with a margin for chance, and where it is below the
    fixed budget's loss on average, but not with confidence.
    """
    made = choosing(
        setup, policies, limit, confidence=confidence, group=group, optional=optional, progress=progress
    )
    simulation = replay_in(setup, made.tried(), baselines=True)
    groups = groups_of(simulation.runs, group)
    found = _Found(simulation, groups, limit, confidence)
    in_sample = found.line("in sample", [made.chosen] * len(simulation.runs))
    lines = [
        found.line(f"held out by {one.by}", _picks(one, len(simulation.runs)), corrected=True)
        for one in made.held_out
    ]
    whole = [run.id not in simulation.censored for run in simulation.runs]
    uncensored = None
    if any(whole) and not all(whole):
        uncensored = found.line(
            "without censored runs", _picks(made.held_out[0], len(simulation.runs)), whole
        )
    return Choice(
        choosing=made,
        policy=made.chosen,
        verdict=_verdict(made, lines[0], simulation),
        in_sample=in_sample,
        held_out=lines,
        rows=found.rows(_picks(made.held_out[0], len(simulation.runs))),
        uncensored=uncensored,
        baselines=found.baselines(),
        stable=[
            (sum(_same(policy, made.chosen) for policy in one.chosen), len(one.chosen))
            for one in made.held_out
        ],
        groups=groups,
        simulation=simulation,
    )


def _picks(held_out: HeldOut, runs: int) -> list[Policy | None]:
    return [held_out.policy(run) for run in range(runs)]


def _same(one: Policy | None, other: Policy | None) -> bool:
    return (one and one.spec()) == (other and other.spec())


class _Found:
    """The outcomes of a simulation by policy and run, to be put together into lines."""

    def __init__(
        self, simulation: Simulation, groups: Sequence[str], limit: Limit, confidence: float
    ) -> None:
        self._simulation, self._groups, self._limit, self._confidence = (
            simulation,
            list(groups),
            limit,
            confidence,
        )
        self._row = {(row["policy"], row["run"]): row for row in simulation.rows()}

    def rows(self, picks: Sequence[Policy | None]) -> list[dict[str, Any]]:
        """The outcome of each run under the policy picked for it."""
        return [
            self._row[(pick or Never()).spec(), run.id]
            for pick, run in zip(picks, self._simulation.runs, strict=True)
        ]

    def line(
        self,
        name: str,
        picks: Sequence[Policy | None],
        keep: Sequence[bool] | None = None,
        *,
        corrected: bool = False,
    ) -> Line:
        """The runs (those to ``keep``), each under the policy picked for it."""
        places = [place for place in range(len(picks)) if keep is None or keep[place]]
        runs = [self._simulation.runs[place] for place in places]
        every = self.rows(picks)
        rows = [every[place] for place in places]
        losses = np.array(
            [np.nan if row[self._limit.kind] is None else row[self._limit.kind] for row in rows],
            dtype=np.float64,
        )
        known = losses[~np.isnan(losses)]
        summary = self._summary(name, runs, rows, [self._groups[place] for place in places])
        fixed = self._corrected(rows, [picks[place] for place in places]) if corrected else None
        kept = int((known <= self._limit.value).sum())
        return Line(name, summary, kept, len(known), self._beyond_shorter(rows, places), fixed)

    def _beyond_shorter(self, rows: Sequence[dict[str, Any]], places: Sequence[int]) -> tuple[float, float]:
        budgets = FixedBudgets([self._simulation.profiles[row["run"]] for row in rows])
        shorter = budgets.matching(float(np.mean([row["saved"] for row in rows]))).lost_by_run
        beyond = (
            np.array([np.nan if row["lost"] is None else row["lost"] for row in rows], dtype=np.float64)
            - shorter
        )
        if np.isnan(beyond).all():
            return np.nan, np.nan
        level = max(2 * self._confidence - 1, 1e-9)
        _, high = interval(beyond, [self._groups[place] for place in places], level, within=(-1.0, 1.0))
        return float(np.nanmean(beyond)), high

    def baselines(self) -> dict[str, dict[str, Any]]:
        """The summaries of the baselines that there are."""
        found = {}
        for name in (*BASELINES, ORACLE):
            rows = [self._row[name, run.id] for run in self._simulation.runs if (name, run.id) in self._row]
            if rows:
                found[name] = self._summary(name, self._simulation.runs, rows, self._groups)
        return found

    def _summary(
        self, name: str, runs: list[Run], rows: Sequence[dict[str, Any]], groups: Sequence[str]
    ) -> dict[str, Any]:
        """The summary of some outcomes as those of one policy; ``groups`` has one entry a run."""
        outcomes = {
            column: [name if column == "policy" else row[column] for row in rows]
            for column in self._simulation.outcomes
        }
        alone = replace(self._simulation, runs=runs, policies=[name], outcomes=outcomes)
        return records(summarise(alone, groups, self._confidence))[0]

    def _corrected(self, rows: Sequence[dict[str, Any]], picks: Sequence[Policy | None]) -> float | None:
        """Mean over the runs of the regret without the optimism of a noisy curve's best; None where that is
        not known of any.
        """
        found = []
        watch = self._simulation.objective
        by_id = {run.id: run for run in self._simulation.runs}
        for row, policy in zip(rows, picks, strict=True):
            run = by_id[row["run"]]
            curve = run.curve(watch.names[run.id], watch.mode) if run.id in watch.names else None
            if curve is None or row["kept_step"] is None or curve.noise is None:
                continue
            at = np.flatnonzero(curve.steps == row["kept_step"])
            if not len(at):
                continue
            stop = (
                None
                if row["stopped_step"] is None
                else int(np.searchsorted(curve.steps, row["stopped_step"], side="right")) - 1
            )
            # the kept eval was chosen by the metric that the policy watches, which may be its own
            same = (row["monitor"], row["mode"]) == (
                row["objective"],
                curve.mode,
            ) and self._simulation.keep != "last"
            rule = "fixed" if policy is None or not same else _rule(policy, curve)
            found.append(corrected_regret(curve.values, curve.mode, int(at[0]), stop, rule=rule, chosen=same))
        known = [value for value in found if np.isfinite(value)]
        return float(np.mean(known)) if known else None


def _rule(policy: Policy, curve: Curve) -> Rule:
    """How a stop by the policy comes about on curves like this one; as by waiting for a gain where it looks
    at more than the values.
    """
    if policy.companions or set(policy.monitors()) != {None}:
        return "patience"

    def stops(drawn: Floats) -> Ints:
        lengths = np.full(len(drawn), len(curve), dtype=np.int64)
        return policy.stops(CurveBatch(drawn, np.broadcast_to(curve.steps, drawn.shape), lengths, curve.mode))

    return stops


def _verdict(made: Choosing, held_out: Line, simulation: Simulation) -> str:
    if too_few([len(curve) for curve in simulation.curves.values()]):
        return TOO_FEW
    if made.chosen is None or not held_out.summary["saved_mean"] > 0:
        return (
            TOO_FEW
            if made.least is not None and made.loss_of(made.least)[0] <= made.limit.value
            else NONE_KEEPS
        )
    loss = held_out.summary[made.limit.key]
    if loss is None or loss > made.limit.value:
        return BREAKS
    mean, high = held_out.beyond_shorter
    if high < 0:
        return USE
    return TOO_FEW if mean < 0 else NO_BETTER


def choose(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    limit: Limit,
    *,
    confidence: float = 0.95,
    group: str | None = None,
    **watching: Any,
) -> Choice:
    """Choose a policy on runs; see `choose_in`. Further arguments (monitor, mode, objective, …) as for
    `replay.simulate`.
    """
    rules = parsed(policies)
    return choose_in(Setup(runs, rules, **watching), rules, limit, confidence=confidence, group=group)

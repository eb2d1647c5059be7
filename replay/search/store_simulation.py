"""A few policies over the runs of a store, file by file, with all that a summary says of them.

What each policy gives on each run is kept, and nothing else of the runs. So a summary is that of all runs at
once to the bit, but for the last digits of the equal budget. The equal budgets take more readings: which of
them belongs to a policy is known only when its mean saving is. They are looked up at 1,025 even shares of the
compute, or at the shares at which runs have evals, where these are few and lie closer together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Bools, Floats, Ints
from replay.engine.metrics import Metric
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes
from replay.engine.question import Question
from replay.engine.scoring import score
from replay.engine.stops import Stops
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.spec import parse_policy
from replay.search.store_sweep import (
    Common,
    JoinedFindings,
    Resolved,
    ShardTask,
    Totals,
    make_tasks,
    nothing_found,
    order_of,
    read_task,
    refuse_untried,
    usable_runs,
    with_availability,
)
from replay.stats.budget_curve import (
    EVEN_SHARES,
    BudgetCurve,
    BudgetSums,
    are_seen_at_even_shares,
    merge_shares,
    most_shares,
)
from replay.stats.budgets import Budget, FixedBudgets, known_mean
from replay.stats.groups import groups_of
from replay.stats.planned import find_adaptive
from replay.stats.summary import Part, judged_part, parts_of, summarise_parts
from replay.stats.ties import snap
from replay.stats.validity import find_validity
from replay.store import Store

__all__ = [
    "MOST_OUTCOMES",
    "RunAll",
    "StoreOutcomes",
    "StoreSimulation",
    "compared_evals",
    "count_outcomes",
    "gather_outcomes",
    "simulate_store",
    "simulate_usable",
]

#: Outcomes (policies times runs) of which all is kept: about 1 GiB.
MOST_OUTCOMES = 4_000_000

_NOTHING = BudgetSums.zeros(len(EVEN_SHARES))

#: Runs of which the equal budgets are added up at a time.
_AT_A_TIME = 512

#: Calls a function with each task, in whatever processes, with the results in the order of the tasks.
RunAll = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class Place(NamedTuple):
    """An equal budget: the shares before and after it, by their indices, and the weight of the latter."""

    before: int
    after: int
    weight: float


@dataclass(frozen=True)
class SumsTask:
    """One file of a store, and sets of its runs whose equal budgets are added up, each at some shares."""

    shard: ShardTask
    sets: tuple[tuple[Ints, Floats], ...]


@dataclass(frozen=True)
class BudgetTask:
    """One file of a store and the equal budgets that are asked for of its runs, each among some shares."""

    shard: ShardTask
    places: tuple[tuple[Floats, Place], ...]


@dataclass(frozen=True, eq=False)
class ShardOutcomes:
    """What policies give on the runs of one file.

    ``ids`` and ``groups`` are those of the runs that log the monitor, of which ``judged`` and the ``parts``
    have indices. ``budgets`` has sums over the judged runs of each part, or over all of its runs where none
    is judged, and ``shares`` the shares of the compute at which these have evals (None: too many).
    ``limits`` are findings that bound the meaning of the figures.
    """

    totals: Totals
    resolved: Resolved | None
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    judged: tuple[int, ...]
    parts: tuple[Part, ...]
    budgets: tuple[BudgetSums, ...]
    shares: tuple[Floats | None, ...]
    limits: tuple[Finding, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class StoreSimulation:
    """Policies over the runs of a store: a summary as `replay.stats.summary.summarise` gives it, and how the
    runs were monitored and judged.

    ``groups`` has the group of each judged run, ``compared_evals`` the number of evals of each run that
    policies are compared on. ``limits`` are findings that bound the meaning of the figures.
    """

    summary: dict[str, list[Any]]
    question: Question
    monitor: Metric
    objective: Metric
    runs: int
    monitored: int
    groups: list[str]
    compared_evals: Ints
    limits: tuple[Finding, ...]
    findings: tuple[Finding, ...]


def count_outcomes(store: Store, policies: Sequence[Policy]) -> int:
    """How many outcomes the policies and the baselines have at most on the runs of a store."""
    return (len(policies) + len(BASELINES) + 1) * store.manifest.runs


def simulate_store(
    store: Store,
    policies: Sequence[Policy],
    question: Question,
    *,
    run_all: RunAll = map,
    version: str = "",
    typed: Mapping[str, str] | None = None,
) -> StoreSimulation:
    """What policies and the baselines give over the runs of a store.

    Arguments are those of `replay.search.store_sweep.sweep_store`; ``typed`` says how the user wrote
    policies, by their canonical specification. Raises InputError for a policy that no run has what it takes
    for.
    """
    made = gather_outcomes(store, policies, question, run_all=run_all, version=version, typed=typed)
    parts = list(made.parts.values())
    return StoreSimulation(
        made.summarise(parts, [part.policy for part in parts]),
        question,
        made.monitor,
        made.objective,
        made.runs,
        len(made.ids),
        [made.groups[run] for run in made.judged],
        compared_evals(parts),
        made.limits,
        made.findings,
    )


def gather_outcomes(
    store: Store,
    policies: Sequence[Policy],
    question: Question,
    *,
    run_all: RunAll = map,
    version: str = "",
    typed: Mapping[str, str] | None = None,
    baselines: bool = True,
) -> StoreOutcomes:
    """The outcomes of policies and of the baselines on the runs of a store; see `simulate_store`."""
    tasks = [replace(task, baselines=baselines) for task in make_tasks(store, policies, question, version)]
    joined = _Joined()
    for result in run_all(simulate_shard, tasks):
        joined.add(result)
    findings = joined.common.joined()
    resolved = joined.common.resolved
    if resolved is None:
        raise nothing_found(store, joined.common.totals.runs, findings)
    joined.sort()
    names = [*BASELINES, *dict.fromkeys(policy.spec() for policy in policies), ORACLE]
    parts = {
        name: part for name in dict.fromkeys(names) if len((part := joined.part(name, typed or {})).runs)
    }
    about = {policy.spec(): policy.spec() in parts for policy in policies}
    findings = tuple(with_availability(one, about, len(joined.ids)) for one in findings)
    refuse_untried(policies, np.array([float(about[policy.spec()]) for policy in policies]), findings)
    return StoreOutcomes(
        tasks,
        run_all,
        joined,
        {name: judged_part(part) for name, part in parts.items()},
        {name: joined.budgets_of(part) for name, part in parts.items()},
        replace(resolved.monitor, runs=joined.common.totals.runs),
        replace(resolved.objective, runs=len(joined.ids)),
        joined.limited(),
        findings,
    )


def compared_evals(parts: Sequence[Part]) -> Ints:
    """The number of evals of each run that policies are compared on; see `Study.compared_evals`."""
    every = max(parts, key=lambda part: len(part.runs))
    known = ~np.isnan(every.lost)
    return every.evals[known] if known.any() else every.evals


def _by_file(sets: Sequence[Ints], counts: Sequence[int]) -> list[list[Ints]]:
    """Sets of runs, by when they were read, as sets of the runs of each file, of which there are so many."""
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return [
        [some[np.searchsorted(some, first) : np.searchsorted(some, last)] - first for some in sets]
        for first, last in itertools.pairwise(ends.tolist())
    ]


def simulate_shard(task: ShardTask) -> ShardOutcomes:
    """What the policies and the baselines give on the runs of one file."""
    runs, findings = read_task(task)
    result = simulate_runs(runs, task.policies, task.question, baselines=task.baselines)
    return replace(result, findings=(*findings, *result.findings))


def simulate_usable(study: Study, policies: Sequence[Policy], *, baselines: bool) -> Outcomes:
    """The outcomes of policies, and of the baselines, on those of the runs of a study that have what they
    take, of which there may be none.
    """
    fixed = [parse_policy(spec) for spec in BASELINES] if baselines else []
    distinct = {rule.spec(): rule for rule in (*fixed, *policies)}
    stops = Stops.find(study, list(distinct.values()), optional=True, undecided=True)
    return score(study, stops, oracle=baselines)


def simulate_runs(
    runs: Sequence[Run], policies: Sequence[Policy], question: Question, *, baselines: bool = True
) -> ShardOutcomes:
    """What the policies and the baselines give on some runs."""
    usable, lacking = usable_runs(runs, policies, question)
    if not usable:
        return ShardOutcomes(Totals.of(len(runs)), None, (), (), (), (), (), (), (), lacking)
    study = Study(runs, policies, question)
    outcomes = simulate_usable(study, policies, baselines=baselines)
    parts = parts_of(outcomes)
    known: dict[bytes, tuple[BudgetSums, Floats | None]] = {}
    budgets = []
    for part in parts:
        here = part.runs[part.judged] if part.judged.any() else part.runs
        key = here.tobytes()
        if key not in known:
            known[key] = _sums_and_shares(study, here)
        budgets.append(known[key])
    panel = study.panel.runs
    return ShardOutcomes(
        Totals.of(len(runs), study),
        Resolved.of(study),
        tuple(run.id for run in panel),
        tuple(groups_of(panel)),
        tuple(np.flatnonzero(study.panel.judged).tolist()),
        tuple(parts),
        tuple(sums for sums, _ in budgets),
        tuple(shares for _, shares in budgets),
        _find_limits(study, policies),
        outcomes.findings,
    )


def _sums_and_shares(study: Study, runs: Ints) -> tuple[BudgetSums, Floats | None]:
    """The equal budgets of some runs, and the shares at which they have evals; None where these are many."""
    if not len(runs):
        return _NOTHING, np.empty(0)
    sums, shares = _NOTHING, list[Floats]()
    for some in _few_at_a_time(runs):
        budgets = FixedBudgets.of(study, some, EVEN_SHARES)
        sums = sums + budgets.sums()
        shares.append(budgets.distinct_shares())
    merged = merge_shares(shares)
    return sums, merged if len(merged) <= most_shares(len(runs)) else None


def _few_at_a_time(runs: Ints) -> Iterator[Ints]:
    """Some of the runs at a time, since each has a figure at every share."""
    return (runs[begin : begin + _AT_A_TIME] for begin in range(0, len(runs), _AT_A_TIME))


def sum_budgets(task: SumsTask) -> list[BudgetSums]:
    """The equal budgets of sets of runs of one file, added up."""
    none = [BudgetSums.zeros(len(shares)) for _, shares in task.sets]
    if not any(len(runs) for runs, _ in task.sets):
        return none
    runs, _ = read_task(task.shard)
    study = Study(runs, task.shard.policies, task.shard.question)
    made = []
    for (every, shares), nothing in zip(task.sets, none, strict=True):
        pieces = (FixedBudgets.of(study, some, shares).sums() for some in _few_at_a_time(every))
        made.append(sum(pieces, nothing))
    return made


def _find_limits(study: Study, policies: Sequence[Policy]) -> tuple[Finding, ...]:
    """What bounds the meaning of the outcomes on the runs of a file."""
    curves = dict(zip((run.id for run in study.panel.runs), study.panel.curves, strict=True))
    validity = find_validity(study.judged_runs, curves, policies)
    return (*study.endings, *validity, *find_adaptive(study))


def budget_shard(task: BudgetTask) -> tuple[int, list[Floats]]:
    """What equal budgets lose and save on the runs of one file: the number of runs, and for each budget its
    share lost, regret and saving, and whether it trains the run to its end.
    """
    runs, _ = read_task(task.shard)
    usable, _ = usable_runs(runs, task.shard.policies, task.shard.question)
    if not usable:
        return 0, [np.empty((4, 0)) for _ in task.places]
    study = Study(runs, task.shard.policies, task.shard.question)
    every = np.arange(len(study.panel.runs))
    budgets: dict[bytes, FixedBudgets] = {}
    made: dict[tuple[bytes, Place], Floats] = {}
    figures = []
    for shares, place in task.places:
        key = shares.tobytes()
        if key not in budgets:
            budgets[key] = FixedBudgets.of(study, every, shares)
        if (key, place) not in made:
            mixed = budgets[key].of_runs(("lost", "regret", "saved"), *place)
            made[key, place] = np.stack([*mixed, budgets[key].reached(*place).astype(np.float64)])
        figures.append(made[key, place])
    return len(every), figures


@dataclass
class _Budgets:
    """The equal budgets of the runs of one part: sums at even shares, and the shares at which there are
    evals, file by file (None: too many).
    """

    sums: BudgetSums = _NOTHING
    shares: list[Floats] | None = field(default_factory=list)

    def add(self, sums: BudgetSums, shares: Floats | None) -> None:
        """Add those of one file."""
        self.sums = self.sums + sums
        self.shares = None if self.shares is None or shares is None else [*self.shares, shares]

    def shares_to_look_at(self, runs: int) -> Floats:
        """The shares at which the budgets of so many runs are looked up."""
        if self.shares is None:
            return EVEN_SHARES
        merged = merge_shares(self.shares)
        self.shares = [merged]
        enough = are_seen_at_even_shares(merged) or len(merged) > most_shares(runs)
        return EVEN_SHARES if enough else merged


class _Joined:
    """The outcomes of all files.

    ``ids`` and ``groups`` are those of the runs that log the monitor: as they were read, and after `sort` in
    the order in which runs are read at once. ``order`` then says when each of them was read.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[Part]] = {}
        self._budgets: dict[tuple[str, bool], _Budgets] = {}
        self.counts: list[int] = []
        self.ids: list[str] = []
        self.groups: list[str] = []
        self.order = self._place = np.empty(0, dtype=np.int64)
        self.judged: list[int] = []
        self.common, self._limits = Common(), JoinedFindings()

    def add(self, result: ShardOutcomes) -> None:
        """Add what one file gave."""
        self.counts.append(len(result.ids))
        self.common.add(result.resolved, result.findings, result.totals)
        if result.resolved is None:
            return
        self._limits.add(result.limits)
        begin = len(self.ids)
        self.judged += [begin + run for run in result.judged]
        self.ids += result.ids
        self.groups += result.groups
        for part, sums, shares in zip(result.parts, result.budgets, result.shares, strict=True):
            self._parts.setdefault(part.policy, []).append(part._replace(runs=part.runs + begin))
            budgets = self._budgets.setdefault((part.policy, bool(part.judged.any())), _Budgets())
            budgets.add(sums, shares)

    def sort(self) -> None:
        """Put the runs into the order of their ids."""
        self.order = order_of(self.ids)
        order = self.order.tolist()
        self._place = np.empty(len(order), dtype=np.int64)
        self._place[self.order] = np.arange(len(order))
        self.judged = sorted(self._place[self.judged].tolist()) or list(range(len(order)))
        self.ids, self.groups = [self.ids[at] for at in order], [self.groups[at] for at in order]

    def part(self, policy: str, typed: Mapping[str, str]) -> Part:
        """The outcomes of a policy, which are given up here."""
        pieces = self._parts.pop(policy, [])
        arrays: list[Any] = [
            np.concatenate([piece[at] for piece in pieces]) if pieces else np.empty(0)
            for at in range(2, len(Part._fields))
        ]
        part = Part(policy, typed.get(policy, policy), *arrays)
        if not pieces:
            return part
        part = part._replace(runs=self._place[part.runs])
        return part.take(np.argsort(part.runs))

    def limited(self) -> tuple[Finding, ...]:
        """The findings that bound the meaning of the figures, of all judged runs."""
        total = len(self.judged)
        return tuple(
            replace(one, facts={**one.facts, "total": total}) if "total" in one.facts else one
            for one in self._limits.joined()
        )

    def budgets_of(self, part: Part) -> _Budgets:
        """The equal budgets of the runs that a part is about."""
        return self._budgets[part.policy, bool(part.judged.any())]


@dataclass(eq=False)
class StoreOutcomes:
    """Outcomes on the runs of a store, by policy, of which summaries can be made.

    ``parts`` are those of the judged runs, or of all runs with unknown losses where none is judged.
    ``monitor`` and ``objective`` are the metrics, ``limits`` and ``findings`` as in `StoreSimulation`.
    """

    tasks: Sequence[ShardTask]
    run_all: RunAll
    joined: _Joined
    parts: dict[str, Part]
    budgets: dict[str, _Budgets]
    monitor: Metric
    objective: Metric
    limits: tuple[Finding, ...]
    findings: tuple[Finding, ...]

    @property
    def runs(self) -> int:
        """The number of all runs."""
        return self.joined.common.totals.runs

    @property
    def ids(self) -> list[str]:
        """The ids of the runs that log the monitor, of which the parts have indices."""
        return self.joined.ids

    @property
    def groups(self) -> list[str]:
        """The groups of these runs."""
        return self.joined.groups

    @property
    def judged(self) -> list[int]:
        """Which of these runs the summaries are about."""
        return self.joined.judged

    def summarise(
        self,
        parts: Sequence[Part],
        like: Sequence[str],
        *,
        groups: Sequence[str] | None = None,
        level: float = 0.95,
    ) -> dict[str, list[Any]]:
        """The summary of some parts. ``like`` names for each of them a policy whose part is about the same
        runs; ``groups`` are other groups of the runs, and ``level`` is that of the intervals.
        """
        joined, tasks = self.joined, self.tasks
        about = [self.budgets[name] for name in like]
        shares = [one.shares_to_look_at(len(part.runs)) for one, part in zip(about, parts, strict=True)]
        #: when each run of a part was read
        read = [joined.order[part.runs] for part in parts]
        sums = [one.sums for one in about]
        again = [number for number, some in enumerate(shares) if some is not EVEN_SHARES]
        if again:
            for number in again:
                sums[number] = BudgetSums.zeros(len(shares[number]))
            sets = _by_file([np.sort(read[number]) for number in again], joined.counts)
            sums_tasks = [
                SumsTask(
                    task, tuple((runs, shares[number]) for number, runs in zip(again, some, strict=True))
                )
                for task, some in zip(tasks, sets, strict=True)
            ]
            for results in self.run_all(sum_budgets, sums_tasks):
                for number, more in zip(again, results, strict=True):
                    sums[number] = sums[number] + more
        curves = [one.curve() for one in sums]
        places = tuple(
            (some, Place(*curve.place(float(part.saved.mean()))))
            for some, part, curve in zip(shares, parts, curves, strict=True)
        )
        budgets = [_StoredBudgets(curve, len(part.runs)) for part, curve in zip(parts, curves, strict=True)]
        in_order = [np.argsort(when) for when in read]
        first = 0
        for count, figures in self.run_all(budget_shard, [BudgetTask(task, places) for task in tasks]):
            for when, order, budget, of_runs in zip(read, in_order, budgets, figures, strict=True):
                begin, end = np.searchsorted(when[order], [first, first + count])
                here = order[begin:end]
                budget.take(here, of_runs[:, when[here] - first])
            first += count
        labels = joined.groups if groups is None else groups
        return summarise_parts(parts, labels, budgets.__getitem__, level)


class _StoredBudgets:
    """The equal budget of one policy, whose figures of each run come in file by file."""

    def __init__(self, curve: BudgetCurve, runs: int) -> None:
        self._curve = curve
        self._figures = np.full((4, runs), np.nan)

    def take(self, here: Any, figures: Floats) -> None:
        """Keep the figures of some runs."""
        self._figures[:, here] = figures

    def matching(self, saved: float) -> Budget:
        """The budget that was asked for, which has this mean saving."""
        lost, regret = self._figures[0], self._figures[1]
        return Budget(known_mean(regret), known_mean(lost), lost, regret)

    def difference(self, saved: Floats, lost: Floats) -> Floats:
        """What each run loses more than under the budget; see `FixedBudgets.difference`."""
        slope = self._curve.slope(float(np.mean(saved)))
        return snap(lost - self._figures[0] - slope * (saved - self._figures[2]))

    def beyond(self, saved: float) -> Bools:
        """Whether the budget trains each run to the end of its log."""
        reached: Bools = self._figures[3] == 1
        return reached

"""What the policies of a file do to the runs of logs, as far as a check and its lock need it.

The runs of a store with many are simulated file by file, and their curves are given up again. Beside what
each policy does to each run, which is what a lock holds, the memory is that of one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from replay.check.config import Config
from replay.check.error_places import about, about_simulation
from replay.check.log_paths import portable, sources_of
from replay.check.scores import Scores, score_policies
from replay.data.digest import digest_of_run
from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Floats
from replay.engine.metrics import Metric
from replay.engine.outcomes import Outcomes, records
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.companions import SettledModules
from replay.search.store_simulation import RunAll, gather_outcomes, simulate_usable
from replay.search.store_sweep import order_of, read_task, usable_runs
from replay.stats.cautions import (
    Stretch,
    find_near_one_of,
    find_stretch_of,
    judged_bests,
    stretch_of,
)
from replay.stats.groups import groups_of
from replay.stats.summary import summarise
from replay.store import Store, is_store
from replay.store.reading import findings_of
from replay.urls import Url

__all__ = [
    "MOST_AT_ONCE",
    "LargeStore",
    "LogPaths",
    "Simulated",
    "asks_for_companions",
    "large_store",
    "simulate_runs",
    "simulate_store",
]

#: Runs of a store that are simulated at once, as many as one of its files has.
MOST_AT_ONCE = 4096


@dataclass(frozen=True)
class LargeStore:
    """A store whose runs are simulated file by file, and what was found when they were imported.

    ``run_all`` calls a function with each task.
    """

    store: Store
    findings: Sequence[Finding]
    run_all: RunAll = map
    duplicates: Sequence[tuple[str, str]] = ()


def large_store(paths: Sequence[Path], where: str | None = None, run_all: RunAll = map) -> LargeStore | None:
    """The one store that is at the paths, with a filter; None where it is small, or where there is more."""
    if len(paths) != 1 or isinstance(paths[0], Url) or not is_store(paths[0]):
        return None
    store = Store.open(paths[0], where)
    return LargeStore(store, findings_of(store), run_all) if store.manifest.runs > MOST_AT_ONCE else None


@dataclass
class LogPaths:
    """The logs of runs as a lock names them.

    ``of`` has the paths of each run, relative to the lock's folder, and ``stored`` the digests of those that
    are runs of stores. ``shorten`` gives a path as it is shown.
    """

    folder: Path
    shorten: Callable[[str], str]
    of: dict[str, list[str]] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)

    def add(
        self, runs: Sequence[Run], companions: bool, store_of: Callable[[str], Path | None], taken: set[str]
    ) -> list[Run]:
        """Take the paths of some runs, and give the runs with ids that are the same on every machine.

        ``store_of`` gives the store that a run comes from, by its id.
        """
        paths = {
            run.id: sources_of(run, self.folder, companions, store_of(run.id), self.stored) for run in runs
        }
        named, by_id = portable(runs, paths, taken)
        self.of.update(by_id)
        return named

    def shown(self, runs: Iterable[str]) -> dict[str, str]:
        """The first path of some runs, as it is shown."""
        return {run: self.shorten(self.of[run][0]) for run in runs}


@dataclass(frozen=True, eq=False)
class Simulated:
    """What policies do to runs.

    ``groups``, ``evals`` and ``contents`` have an entry for each run that logs the monitor, by its id and in
    order: its group, its number of evals, and the digest of its content. ``summary`` and ``scores`` are by
    the specification of a policy.
    """

    monitor: Metric
    objective: Metric
    question: Question
    groups: dict[str, str]
    evals: dict[str, int]
    contents: dict[str, bytes]
    summary: dict[str, dict[str, Any]]
    scores: dict[str, Scores]
    findings: tuple[Finding, ...]


def asks_for_companions(config: Config) -> bool:
    """Whether a policy of the file reads what lies beside a log."""
    companions = (companion for entry in config.policies for companion in entry.policy.companions)
    return any(isinstance(companion, SettledModules) for companion in companions)


def simulate_runs(config: Config, runs: Sequence[Run], paths: LogPaths) -> Simulated:
    """What the policies of a file do to runs that are all at hand."""

    def simulate(policies: list[Policy]) -> Outcomes:
        return simulate_policies(runs, policies, config.question)

    with about_simulation(config, simulate):
        outcomes = simulate([entry.policy for entry in config.policies])
    study = outcomes.study
    with about(("group",)):
        labels = groups_of(study.panel.runs, config.group)
    table = summarise(outcomes, labels, config.confidence)
    groups = dict(zip((run.id for run in study.panel.runs), labels, strict=True))
    return Simulated(
        study.monitor,
        study.objective,
        study.question,
        groups,
        _evals(outcomes),
        {run.id: digest_of_run(run) for run in study.panel.runs},
        {row["spec"]: row for row in records(table)},
        score_policies(outcomes, groups, paths.shown(groups)),
        (
            *outcomes.findings,
            *_cautions(config, table, stretch_of(study), judged_bests(study), study.objective),
        ),
    )


def simulate_store(config: Config, large: LargeStore, paths: LogPaths) -> Simulated:
    """What the policies of a file do to the runs of a store, file by file.

    All is that of all runs at once, but for the equal budget: see `replay.search.store_simulation`.
    """
    store = large.store
    policies = [entry.policy for entry in config.policies]

    def simulate(some: list[Policy]) -> Any:
        return gather_outcomes(store, some, config.question, run_all=large.run_all, baselines=False)

    with about_simulation(config, simulate):
        made = simulate(policies)
    files = _Files(config, store, paths)
    for task in made.tasks:
        files.add(read_task(task)[0])  # what was found in the file is known already
    ids = files.order()
    place = {run: number for number, run in enumerate(ids)}
    groups = files.groups_in(ids)
    distinct = list(dict.fromkeys(policy.spec() for policy in policies))
    table = made.summarise(
        [made.parts[spec] for spec in distinct],
        distinct,
        groups=list(groups.values()),
        level=config.confidence,
    )
    stretch = files.stretch(place)
    cautions = _cautions(config, table, stretch, np.concatenate(files.bests), made.objective)
    return Simulated(
        made.monitor,
        made.objective,
        config.question,
        groups,
        {run: files.evals[run] for run in ids},
        {run: files.contents[run] for run in ids},
        {row["spec"]: row for row in records(table)},
        {spec: Scores.joined(pieces, place) for spec, pieces in files.scores.items()},
        (*files.renamed(made.findings), *cautions),
    )


class _Files:
    """What the files of a store give, one after the other."""

    def __init__(self, config: Config, store: Store, paths: LogPaths) -> None:
        self._config, self._paths, self._folder = config, paths, store.folder
        self._companions = asks_for_companions(config)
        tables = store.tables(["run"], [])
        self._taken = {name for table in tables for name in table["run"].to_pylist()}
        self._original: dict[str, str] = {}
        self._refused: list[InputError | None] = []
        self._groups: dict[str, str] = {}
        self._stretches: list[Stretch] = []
        self._judged: list[bool] = []
        self.evals: dict[str, int] = {}
        self.contents: dict[str, bytes] = {}
        self.scores: dict[str, list[Scores]] = {entry.spec: [] for entry in config.policies}
        self._bests: list[Floats] = []

    def add(self, runs: Sequence[Run]) -> None:
        """Simulate the runs of one file."""
        config = self._config
        policies = [entry.policy for entry in config.policies]
        named = self._paths.add(runs, self._companions, lambda run: self._folder, self._taken)
        self._original.update((new.id, old.id) for new, old in zip(named, runs, strict=True))
        usable, _ = usable_runs(named, policies, config.question)
        if not usable:
            return
        study = Study(usable, policies, config.question)
        outcomes = simulate_usable(study, policies, baselines=False)
        labels, error = _labels(study.panel.runs, config.group)
        self._refused.append(error)
        here = dict(zip((run.id for run in study.panel.runs), labels, strict=True))
        self._groups.update(here)
        self.evals.update(_evals(outcomes))
        self.contents.update((run.id, digest_of_run(run)) for run in study.panel.runs)
        for spec, scores in score_policies(outcomes, here, self._paths.shown(here)).items():
            self.scores[spec].append(scores)
        self._stretches.append(stretch_of(study))
        self._judged.append(bool(study.panel.judged.any()))
        self._bests.append(judged_bests(study))

    def order(self) -> list[str]:
        """The ids of the runs in the order of all runs at once."""
        ids = list(self._groups)
        return [ids[at] for at in order_of([self._original[run] for run in ids]).tolist()]

    def groups_in(self, ids: Sequence[str]) -> dict[str, str]:
        """The groups of the runs. Raises InputError where no run says what they are grouped by."""
        if self._refused and all(error is not None for error in self._refused):
            with about(("group",)):
                raise self._refused[0] or AssertionError
        return {run: self._groups[run] for run in ids}

    @property
    def bests(self) -> list[Floats]:
        """The best values of the judged runs; those of all runs where none can be judged."""
        judged = any(self._judged)
        return [best for best, some in zip(self._bests, self._judged, strict=True) if some or not judged]

    def stretch(self, place: Mapping[str, int]) -> Stretch:
        """The first stretch of all runs."""
        runs = sorted((run for some in self._stretches for run in some.runs), key=place.__getitem__)
        counts = [sum(column) for column in zip(*(some[1:] for some in self._stretches), strict=True)]
        return Stretch(tuple(runs), *counts)

    def renamed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings with the ids that are the same on every machine."""
        new = {old: run for run, old in self._original.items() if old != run}
        return [replace(one, runs=tuple(new.get(run, run) for run in one.runs)) for one in findings]


def _labels(runs: Sequence[Run], by: str | None) -> tuple[list[str], InputError | None]:
    """The groups of some runs; each is its own, and the error says why, where none of them says its group."""
    try:
        return groups_of(runs, by), None
    except InputError as error:
        return [run.id for run in runs], error


def _evals(outcomes: Outcomes) -> dict[str, int]:
    panel = outcomes.study.panel
    return {run.id: len(curve) for run, curve in zip(panel.runs, panel.curves, strict=True)}


def _cautions(
    config: Config, table: Mapping[str, Sequence[Any]], stretch: Stretch, best: Floats, objective: Metric
) -> list[Finding]:
    """Findings on figures that are easy to misread."""
    limits = [
        limit
        for entry in config.policies
        for some in (entry.limits, *entry.groups.values())
        for limit in some
    ]
    shares = [limit.value for limit in limits if limit.figure == "relative_regret"]
    return [
        *find_stretch_of(stretch, objective, table),
        *find_near_one_of(best, objective, shares),
    ]

"""Policies over the runs of a store, file by file: only sums over runs are kept.

The memory that it takes is that of one file, whatever the number of runs. The sums are exact, so the result
is the same to the bit in whatever order the files are done, and by whatever process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.names import canonical
from replay.data.run import Run
from replay.data.types import Floats, Ints
from replay.engine.metrics import Metric
from replay.engine.question import Question
from replay.engine.stops import StopsFinder
from replay.engine.study import Study, common_monitor
from replay.errors import InputError, printable
from replay.policies import Policy
from replay.readers.find import natural
from replay.search.policy_sums import PolicySums
from replay.store import Shard, Store, is_store

__all__ = [
    "Common",
    "JoinedFindings",
    "Resolved",
    "ShardSums",
    "ShardTask",
    "StoreSweep",
    "Totals",
    "make_tasks",
    "none_judged",
    "nothing_found",
    "order_of",
    "read_task",
    "refuse_untried",
    "sum_runs",
    "sum_shard",
    "sweep_store",
    "usable_runs",
    "with_availability",
]

_Map = Callable[[Callable[["ShardTask"], "ShardSums"], Sequence["ShardTask"]], Iterable["ShardSums"]]


@dataclass(frozen=True)
class ShardTask:
    """One file of a store and what is asked about its runs; a process gets no more than this.

    ``version`` is the version of replay that asks; ``baselines`` says whether a simulation has them.
    """

    folder: Path
    shard: Shard
    policies: tuple[Policy, ...]
    question: Question
    where: str | None = None
    version: str = ""
    baselines: bool = True


@dataclass(frozen=True)
class Resolved:
    """How the runs of a file are monitored and judged, which must be the same in all files."""

    monitor: Metric
    objective: Metric
    others: dict[str, str]

    @classmethod
    def of(cls, study: Study) -> Resolved:
        """That of a study, without the names of its runs."""
        monitor, objective = (
            replace(metric, names={}, runs=0) for metric in (study.monitor, study.objective)
        )
        return cls(monitor, objective, dict(study.modes_of_others))


class Totals(NamedTuple):
    """How many runs there are, how many log the monitor, and how many of these can be judged."""

    runs: int = 0
    monitored: int = 0
    judged: int = 0

    @classmethod
    def of(cls, runs: int, study: Study | None = None) -> Totals:
        """Those of so many runs; the study is that of the runs that log the monitor, if there are any."""
        if study is None:
            return cls(runs)
        return cls(runs, len(study.runs), int(study.panel.judged.sum()))

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(*(one + more for one, more in zip(self, other, strict=True)))


@dataclass(frozen=True)
class ShardSums:
    """What the policies give on the runs of one file, or of several.

    ``resolved`` is None where no run of the file logs the monitor.
    """

    totals: Totals
    resolved: Resolved | None
    sums: PolicySums
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class StoreSweep:
    """Policies and what they give over the runs of a store.

    ``figures`` maps each of `replay.search.policy_sums.STREAMED` to one number per policy (NaN: not known).
    """

    policies: tuple[Policy, ...]
    question: Question
    monitor: Metric
    objective: Metric
    runs: int
    monitored: int
    figures: dict[str, Floats]
    findings: tuple[Finding, ...]


def sweep_store(
    store: Store,
    policies: Sequence[Policy],
    question: Question,
    *,
    optional: bool = False,
    run_all: _Map = map,
    version: str = "",
) -> StoreSweep:
    """What policies give over the runs of a store.

    ``run_all`` calls a function with each task, in any order and in whatever processes, and gives the results
    in the order of the tasks. With ``optional``, policies that no run has what it takes for are left with 0
    runs; otherwise they are an InputError.
    """
    distinct = tuple({policy.spec(): policy for policy in policies}.values())
    tasks = make_tasks(store, distinct, question, version)
    merged = _merge(run_all(sum_shard, tasks), len(distinct))
    findings = merged.findings
    if merged.resolved is None:
        raise nothing_found(store, merged.totals.runs, findings)
    figures = merged.sums.figures()
    tried = {
        policy.spec(): bool(runs) for policy, runs in zip(distinct, figures["runs"].tolist(), strict=True)
    }
    findings = tuple(with_availability(finding, tried, merged.totals.monitored) for finding in findings)
    if not optional:
        refuse_untried(distinct, figures["runs"], findings)
    resolved = merged.resolved
    return StoreSweep(
        distinct,
        question,
        replace(resolved.monitor, runs=merged.totals.runs),
        replace(resolved.objective, runs=merged.totals.monitored),
        merged.totals.runs,
        merged.totals.monitored,
        figures,
        findings,
    )


def nothing_found(store: Store, runs: int, findings: Sequence[Finding]) -> InputError:
    """The error that no run of a store can be simulated, of so many that the filter keeps."""
    name = printable(store.folder)
    if not runs and store.filter is not None and not findings:
        return InputError(f"{name} has no run of which --where {printable(repr(store.filter.text))} is true")
    return InputError(f"no run of {name} can be simulated", because=findings[0] if findings else None)


def make_tasks(
    store: Store, policies: Sequence[Policy], question: Question, version: str = ""
) -> list[ShardTask]:
    """One task for each file of a store."""
    folder, where = store.folder.absolute(), None if store.filter is None else store.filter.text
    return [ShardTask(folder, shard, tuple(policies), question, where, version) for shard in store.shards]


def read_task(task: ShardTask) -> tuple[list[Run], list[Finding]]:
    """The runs of a task. Raises InputError where this process cannot do it for the one that asks."""
    from replay import __version__

    if task.version and task.version != __version__:
        raise InputError(
            f"a worker has stop-replay {__version__}, and this is {task.version}; results of different"
            " versions are not added up. Install the same version on the workers"
        )
    if not is_store(task.folder):
        raise InputError(
            f"a worker finds no store at {printable(task.folder)}. The store must be in a folder that all"
            " workers see under the same path"
        )
    findings: list[Finding] = []
    return Store.open(task.folder, task.where).read_shard(task.shard, findings), findings


def sum_shard(task: ShardTask) -> ShardSums:
    """What the policies give on the runs of one file. It depends on nothing but the task and the file."""
    runs, findings = read_task(task)
    sums = sum_runs(runs, task.policies, task.question)
    return replace(sums, findings=(*findings, *sums.findings))


def usable_runs(
    runs: Sequence[Run], policies: Sequence[Policy], question: Question
) -> tuple[list[Run], tuple[Finding, ...]]:
    """The runs that have what is monitored; where none has, a finding that says so."""
    name = common_monitor(policies, question)[0]
    usable = [run for run in runs if (_has_metric(run) if name is None else run.find_metric(name))]
    if usable or not runs:
        return usable, ()
    ids = tuple(run.id for run in runs)
    kind = Kind.NO_EVALS if name is None else Kind.NO_METRIC
    return [], (Finding(kind, runs=ids, facts={"metric": name, "total": len(runs)}),)


def sum_runs(runs: Sequence[Run], policies: Sequence[Policy], question: Question) -> ShardSums:
    """What the policies give on some runs."""
    total = PolicySums.zeros(len(policies))
    usable, lacking = usable_runs(runs, policies, question)
    if not usable:
        return ShardSums(Totals.of(len(runs)), None, total, lacking)
    study = Study(runs, policies, question)
    finder = StopsFinder(study, policies, optional=True)
    for block in finder.blocks():
        total = total + PolicySums.of_block(block, study, policies)
    findings = (*study.findings, *(finding for _, finding in finder.findings))
    return ShardSums(Totals.of(len(runs), study), Resolved.of(study), total, tuple(dict.fromkeys(findings)))


def _has_metric(run: Run) -> bool:
    return bool(len(run) and run.metrics)


def _merge(results: Iterable[ShardSums], policies: int) -> ShardSums:
    """The sums over all files. Raises InputError where two files are monitored differently."""
    sums = PolicySums.zeros(policies)
    common = Common()
    for result in results:
        sums = sums + result.sums
        common.add(result.resolved, result.findings, result.totals)
    return ShardSums(common.totals, common.resolved, sums, common.joined())


def _agree(one: Resolved, other: Resolved) -> Resolved:
    """What two files agree on. Raises InputError where they are monitored or judged differently."""
    pairs = (("monitor", one.monitor, other.monitor), ("objective", one.objective, other.objective))
    for option, first, second in pairs:
        if canonical(first.name) != canonical(second.name):
            raise InputError(
                f"some files of the store would take {printable(first.name)} as the {option}, and others"
                f" {printable(second.name)}. Give --{option}"
            )
        if first.mode != second.mode:
            raise InputError(
                f"the files of the store disagree on {printable(first.name)}: by some of them lower is"
                " better, by others higher. Give --mode"
            )
    for name, mode in other.others.items():
        if one.others.get(name, mode) != mode:
            metric = printable(name.rpartition(" ")[0])
            raise InputError(
                f"the files of the store disagree on whether {metric} is better when lower or when higher."
                f" Give mode=min or mode=max in the policies that monitor {metric}"
            )
    return replace(one, others={**other.others, **one.others})


#: Facts that say what a finding is about. The others, such as an example, are those of the first file.
_ABOUT = ("metric", "label", "text")
#: Facts that are counts, which are added up.
_COUNTED = ("total", "count", "named", "again", "worse_than_base")
#: Kinds whose total counts all runs, those that log the monitor, and those that can be judged.
_OF_ALL = {Kind.NO_EVALS, Kind.NO_METRIC}
_OF_MONITORED = {
    Kind.METRIC_CONSTANT,
    Kind.MONITOR_NOT_FINITE,
    Kind.OBJECTIVE_NOT_LOGGED,
    Kind.OBJECTIVE_APART,
}
_OF_JUDGED = {Kind.INFINITE_BEST, Kind.NO_SCALE}


class JoinedFindings:
    """Findings of several files, those that say the same of other runs as one."""

    def __init__(self) -> None:
        self._first: dict[Any, Finding] = {}
        self._runs: dict[Any, list[str]] = {}
        self._counts: dict[Any, dict[str, int]] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Add the findings of one file."""
        for finding in findings:
            counts = {name: finding.facts[name] for name in _COUNTED if _is_count(finding.facts.get(name))}
            about = tuple(str(finding.facts.get(name)) for name in _ABOUT)
            key = (finding.kind, finding.severity, finding.policy, finding.log, about)
            self._first.setdefault(key, finding)
            self._runs.setdefault(key, []).extend(finding.runs)
            sums = self._counts.setdefault(key, dict.fromkeys(counts, 0))
            for name, count in counts.items():
                sums[name] += count

    def joined(self) -> tuple[Finding, ...]:
        """The findings, in the order in which they first came."""
        return tuple(
            replace(one, runs=tuple(self._runs[key]), facts={**one.facts, **self._counts[key]})
            for key, one in self._first.items()
        )


class Common:
    """What the results of several files say together: how their runs are monitored, and what was found."""

    def __init__(self) -> None:
        self.resolved: Resolved | None = None
        self.totals = Totals()
        self._findings = JoinedFindings()

    def add(self, resolved: Resolved | None, findings: Iterable[Finding], totals: Totals) -> None:
        """Add those of one file. Raises InputError where it is monitored or judged differently."""
        self.totals = self.totals.plus(totals)
        if resolved is not None:
            self.resolved = resolved if self.resolved is None else _agree(self.resolved, resolved)
        self._findings.add(findings)

    def joined(self) -> tuple[Finding, ...]:
        """What was found, with totals that count the runs of all files: also of those without the finding."""
        return tuple(map(self._of_all_files, self._findings.joined()))

    def _of_all_files(self, finding: Finding) -> Finding:
        kind, totals = finding.kind, self.totals
        if "total" not in finding.facts or kind not in _OF_ALL | _OF_MONITORED | _OF_JUDGED:
            return finding
        total = totals.runs if kind in _OF_ALL else totals.monitored
        if kind in _OF_JUDGED or (finding.policy is not None and kind in _OF_MONITORED):
            total = totals.judged
        facts = {**finding.facts, "total": total}
        if "none_left" in facts:
            facts["none_left"] = len(finding.runs) == total
        return replace(finding, facts=facts)


def none_judged(store: Store, findings: Sequence[Finding]) -> InputError:
    """The error that no run of a store can be judged."""
    because = findings[0] if findings else None
    return InputError(f"no run of {printable(store.folder)} can be judged", because=because)


def order_of(ids: Sequence[str]) -> Ints:
    """The indices of runs in the order in which runs are read at once."""
    return np.array(sorted(range(len(ids)), key=lambda at: (natural(ids[at]), ids[at])), dtype=np.int64)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def with_availability(finding: Finding, tried: Mapping[str, bool], monitored: int) -> Finding:
    """A finding on a companion, with whether any run of the store has it; others as they are."""
    if finding.kind is not Kind.COMPANION_MISSING:
        return finding
    known = tried.get(finding.policy or "")
    available = len(finding.runs) < monitored if known is None else known
    return replace(finding, facts={**finding.facts, "available": available})


def refuse_untried(policies: Sequence[Policy], runs: Floats, findings: Sequence[Finding]) -> None:
    """Raise InputError for the first policy that was tried on no run."""
    for policy, count in zip(policies, runs.tolist(), strict=True):
        if not count:
            spec = policy.spec()
            because = next((finding for finding in findings if finding.policy == spec), None)
            raise InputError(f"{spec} can be tried on no run of the store", because=because)

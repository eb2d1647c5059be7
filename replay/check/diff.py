"""Two sides of a replay, run by run: two policies on the same logs, or the same policies on two sets of logs
or in two locks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from replay.check.config import read_config
from replay.check.lock import LockedPolicy, read_lock
from replay.check.lock_text import is_lock_text
from replay.check.model import Stop
from replay.data.finding import Finding, Kind
from replay.data.names import canonical
from replay.data.run import Run
from replay.engine.outcomes import Outcomes
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.errors import InputError, PolicyError
from replay.files import closest_path
from replay.policies import Policy
from replay.policies.spec import parse_policy
from replay.readers import ReadResult
from replay.stats.groups import groups_of
from replay.stats.intervals import interval
from replay.stats.summary import ENOUGH_RUNS
from replay.stats.ties import above, below, tied
from replay.urls import as_path, is_url

__all__ = ["Both", "Comparison", "Diff", "Difference", "Pair", "Side", "compare", "diff", "kind_of", "paired"]

#: What can be compared: policies by their specification, files of policies, locks, and sets of logs.
Comparison = Literal["policy", "policies", "lock", "logs"]

#: Reads logs, telling its progress.
Read = Callable[[Sequence[Path]], ReadResult]

_A = {"policy": "a policy", "policies": "a file of policies", "lock": "a lock", "logs": "logs"}
_SEVERAL = {"policy": "policies", "policies": "files of policies", "lock": "locks"}


@dataclass(frozen=True)
class Side:
    """One policy on one set of runs: its specification, its stops by run id, and the group of each run that
    states one.
    """

    spec: str
    stops: Mapping[str, Stop]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Both:
    """One run that both sides have."""

    before: Stop
    after: Stop

    @property
    def run(self) -> str:
        """Its id."""
        return self.before.run

    @property
    def moved(self) -> bool:
        """Whether it stops at another eval, or at another step."""
        return (self.before.stopped_eval, self.before.stopped_step) != (
            self.after.stopped_eval,
            self.after.stopped_step,
        )

    @property
    def differs(self) -> bool:
        """Whether the stop gives other figures, as on a log that is not the same."""
        return (self.before.saved, self.before.lost, self.before.regret) != (
            self.after.saved,
            self.after.lost,
            self.after.regret,
        )


@dataclass(frozen=True)
class Difference:
    """Means of one figure over the runs of which both sides know it, and of what the second has more, with
    its interval.
    """

    runs: int
    before: float | None
    after: float | None
    mean: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """More, less, same, or unclear where the interval holds zero; too few where there are too few runs to
        say.
        """
        if self.mean is None:
            return "unknown"
        if self.mean == self.low == self.high == 0:
            return "same"
        if self.runs < ENOUGH_RUNS or self.low is None or self.high is None:
            return "too few"
        return "more" if above(self.low, 0.0) else "less" if below(self.high, 0.0) else "unclear"


@dataclass(frozen=True)
class Pair:
    """Two sides, run by run. ``name`` is what they are paired by: a policy's name, or its specification; None
    for two policies.
    """

    name: str | None
    before: str
    after: str
    runs: tuple[Both, ...]
    only_before: tuple[Stop, ...]
    only_after: tuple[Stop, ...]
    saved: Difference
    lost: Difference
    level: float = 0.95

    @property
    def moved(self) -> list[Both]:
        """The runs that stop elsewhere."""
        return [both for both in self.runs if both.moved]

    @property
    def changed(self) -> list[Both]:
        """The runs that stop where they did, with other figures."""
        return [both for both in self.runs if both.differs and not both.moved]


@dataclass(frozen=True)
class Diff:
    """All pairs of a comparison.

    ``only_before`` and ``only_after`` are names of policies. ``study`` says how the runs were monitored and
    judged (None for locks).
    """

    kind: Comparison
    before: str
    after: str
    pairs: tuple[Pair, ...]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    study: Study | None = None
    findings: tuple[Finding, ...] = ()


def kind_of(text: str) -> Comparison:
    """What a word of the command line names: a lock, a file of policies, logs, or else a policy.

    Raises InputError where it is neither a file nor a policy.
    """
    if is_url(text):
        return "logs"
    path = Path(text)
    with suppress(OSError):  # a policy may be too long for the name of a file
        if path.is_file() and _is_lock(path):
            return "lock"
        if path.is_file() and path.suffix == ".toml":
            return "policies"
        if path.exists():
            return "logs"
    try:
        parse_policy(text)
    except PolicyError as error:
        if "=" in text:
            raise
        close = closest_path(path)
        hint = f" Did you mean {close}?" if close is not None else f" As a policy: {error}"
        raise InputError(f"{text!r} is neither a file or folder that exists nor a policy.{hint}") from None
    return "policy"


def diff(
    before: str,
    after: str,
    paths: Sequence[Path],
    policies: Sequence[str],
    read: Read,
    *,
    defaults: Sequence[str],
    given: Mapping[str, Any] | None = None,
    logs_of_sides: tuple[Sequence[Path], Sequence[Path]] | None = None,
) -> Diff:
    """Compare what two words of the command line name.

    ``paths`` are the logs for policies, or ``logs_of_sides`` those for each of two files of policies.
    ``policies`` are the specifications for logs (else ``defaults``), ``read`` reads logs, and ``given`` holds
    the settings of the `Question` that the user gave, which win over those of files. Raises InputError where
    the two do not go together, and where nothing is in both.
    """
    kind, other = kind_of(before), kind_of(after)
    if kind != other:
        raise InputError(f"{before} is {_A[kind]} and {after} {_A[other]}; give two of a kind")
    if kind in ("lock", "logs") and paths:
        of = "two locks" if kind == "lock" else "two sets of logs"
        raise InputError(f"{of} need no more logs; leave out {paths[0]}")
    if kind != "logs" and policies:
        raise InputError(
            f"--policy is for two sets of logs; {before} and {after} are {_SEVERAL[kind]} on their own"
        )
    if kind == "policies":
        result = _of_files(before, after, paths, read, given or {}, logs_of_sides)
    else:
        compare_sides = {"policy": _of_policies, "lock": _of_locks, "logs": _of_logs}[kind]
        result = compare_sides(before, after, paths, policies or defaults, read, given or {})
    if not result.pairs:
        names = {
            side: ", ".join(names) or "none"
            for side, names in (("A", result.only_before), ("B", result.only_after))
        }
        raise InputError(f"no policy is in both: {before} has {names['A']}, {after} has {names['B']}")
    if not any(pair.runs for pair in result.pairs):
        pair = result.pairs[0]
        one, two = ((stops[0].run if stops else "none") for stops in (pair.only_before, pair.only_after))
        raise InputError(
            f"no run is in both {before} and {after}, so there is nothing to pair: the first are {one} and"
            f" {two}"
        )
    return result


def _is_lock(path: Path) -> bool:
    if path.suffix == ".lock":
        return True
    try:
        with path.open("rb") as file:
            return is_lock_text(file.read(100))
    except OSError:
        return False


def _of_policies(
    before: str, after: str, paths: Sequence[Path], _: Any, read: Read, given: Mapping[str, Any]
) -> Diff:
    if not paths:
        raise InputError(f"on which logs? Write replay diff '{before}' '{after}' LOGS")
    policies = parse_policies([before, after])
    logs_read = read(paths)
    outcomes = simulate_policies(logs_read.runs, policies, Question(**given))
    sides = _sides(outcomes, policies)
    one, two = (policy.spec() for policy in policies)
    pair = compare(None, sides[one], sides[two])
    findings = _both(logs_read.findings, outcomes.findings)
    return Diff("policy", one, two, (pair,), study=outcomes.study, findings=findings)


def _both(*parts: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings about both sides, each once."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(parts)))


def _of_files(
    before: str,
    after: str,
    paths: Sequence[Path],
    read: Read,
    given: Mapping[str, Any],
    logs_of_sides: tuple[Sequence[Path], Sequence[Path]] | None,
) -> Diff:
    configs = [read_config(Path(name)) for name in (before, after)]
    logs = list(paths) or next((list(config.logs) for config in reversed(configs) if config.logs), [])
    if not logs and logs_of_sides is None:
        raise InputError(f"on which logs? Neither file names any; write replay diff {before} {after} LOGS")
    one, two = logs_of_sides or (logs, logs)
    first = read(one)
    reads = [first, first if two == one else read(two)]
    entries = [{entry.name: entry for entry in config.policies} for config in configs]
    both, only_before, only_after = paired(*entries)
    simulated, stops = [], []
    for config, of_config, logs_read in zip(configs, entries, reads, strict=True):
        policies = [entry.policy for entry in of_config.values()]
        outcomes = simulate_policies(logs_read.runs, policies, replace(config.question, **given))
        simulated.append(outcomes)
        stops.append(_sides(outcomes, policies, config.group))
    studies = [outcomes.study for outcomes in simulated]
    for role, values in (
        ("objective", [study.objective.name for study in studies]),
        ("unit", [study.question.unit for study in studies]),
    ):
        if values[0] != values[1]:
            raise InputError(
                f"the figures cannot be compared: the {role} of {before} is {values[0]}, of {after}"
                f" {values[1]}; give --{role}"
            )
    pairs = tuple(
        compare(
            one if one == two else f"{one}, {two}",
            stops[0][entries[0][one].spec],
            stops[1][entries[1][two].spec],
            configs[1].confidence,
        )
        for one, two in both
    )
    return Diff(
        "policies",
        before,
        after,
        pairs,
        tuple(only_before),
        tuple(only_after),
        studies[1],
        _both(*(one.findings for one in reads), *(one.findings for one in simulated)),
    )


def _of_locks(before: str, after: str, *_: Any) -> Diff:
    locks = []
    for name in (before, after):
        lock = read_lock(Path(name))
        assert lock is not None  # it was there when its kind was found out
        locks.append(lock)
    one, two = locks
    findings = [
        Finding(
            Kind.LOCKS_DIFFER,
            facts={
                "setting": name,
                "locks": (before, after),
                "values": (one.settings.get(name), two.settings.get(name)),
            },
        )
        for name in sorted({*one.settings, *two.settings})
        if one.settings.get(name) != two.settings.get(name)
    ]
    if one.tool != two.tool:
        facts = {"setting": None, "locks": (before, after), "values": (one.tool, two.tool)}
        findings.append(Finding(Kind.LOCKS_DIFFER, facts=facts))
    both, only_before, only_after = paired(one.policies, two.policies)
    pairs = tuple(
        compare(
            name if name == other else f"{name}, {other}",
            _side(one.policies[name]),
            _side(two.policies[other]),
        )
        for name, other in both
    )
    if any(pair.moved or pair.changed for pair in pairs):
        findings.append(Finding(Kind.NO_GROUPS))
    return Diff(
        "lock",
        before,
        after,
        pairs,
        tuple(only_before),
        tuple(only_after),
        findings=_both(findings),
    )


def _side(policy: LockedPolicy) -> Side:
    return Side(policy.spec, policy.stops, {})  # a lock does not hold the groups


def _of_logs(
    before: str, after: str, _: Any, policies: Sequence[str], read: Read, given: Mapping[str, Any]
) -> Diff:
    rules = parse_policies(policies)
    sides, findings, studies = [], list[Finding](), []
    for name in (before, after):
        logs_read = read([as_path(name)])
        outcomes = simulate_policies(logs_read.runs, rules, Question(**given))
        sides.append(_sides(outcomes, rules))
        findings += [
            Finding(Kind.OF_LOGS, finding.severity, log=name, facts={"finding": finding})
            for finding in (*logs_read.findings, *outcomes.findings)
        ]
        studies.append(outcomes.study)
    one, two = (study.monitor for study in studies)
    if (canonical(one.name), one.mode) != (canonical(two.name), two.mode):
        raise InputError(
            f"{before} would be watched by {one.name} ({one.mode}), {after} by {two.name} ({two.mode});"
            " give --monitor and --mode"
        )
    pairs = tuple(compare(spec, sides[0][spec], sides[1][spec]) for spec in sides[0])
    return Diff("logs", before, after, pairs, study=studies[0], findings=tuple(findings))


def _sides(outcomes: Outcomes, policies: Sequence[Policy], group: str | None = None) -> dict[str, Side]:
    """What each policy does to the runs, by specification."""
    study = outcomes.study
    rows = outcomes.rows()
    runs = {run.id: run for run in study.runs}
    groups = dict(zip(runs, groups_of(study.runs, group), strict=True))
    index = {spec: number for number, spec in enumerate(outcomes.policies)}
    return {
        spec: Side(
            spec,
            {row["run"]: _stop(row, runs[row["run"]]) for row in rows[outcomes.rows_of(index[spec])]},
            groups,
        )
        for spec in dict.fromkeys(policy.spec() for policy in policies)
    }


def _stop(row: Mapping[str, Any], run: Run) -> Stop:
    names = ("stopped_eval", "stopped_step", "reason", "saved", "regret", "relative_regret", "lost")
    return Stop(row["run"], next(iter(run.info.sources), ""), **{name: row[name] for name in names})


def compare(name: str | None, before: Side, after: Side, level: float = 0.95) -> Pair:
    """Pair two sides by run. Intervals hold with probability ``level``, drawing whole groups (those of the
    second, else of the first).
    """
    runs = tuple(Both(stop, after.stops[run]) for run, stop in before.stops.items() if run in after.stops)
    # as a check has them: draws go by the order of runs
    ordered = sorted(runs, key=lambda both: (both.after.log, both.run))
    # what is saved is compared on the runs of which a loss is known, as in a summary; on all where none is
    ordered = [both for both in ordered if None not in (both.before.regret, both.after.regret)] or ordered
    groups = [after.groups.get(both.run, before.groups.get(both.run, both.run)) for both in ordered]
    return Pair(
        name,
        before.spec,
        after.spec,
        runs,
        tuple(stop for run, stop in before.stops.items() if run not in after.stops),
        tuple(stop for run, stop in after.stops.items() if run not in before.stops),
        _difference([(both.before.saved, both.after.saved) for both in ordered], groups, level),
        _difference([(both.before.lost, both.after.lost) for both in ordered], groups, level),
        level,
    )


def _difference(
    pairs: Sequence[tuple[float | None, float | None]], groups: Sequence[str], level: float
) -> Difference:
    known = [
        (one, two, group)
        for (one, two), group in zip(pairs, groups, strict=True)
        if one is not None and two is not None
    ]
    if not known:
        return Difference(0, None, None, None, None, None)
    before, after = (np.array([row[side] for row in known], dtype=np.float64) for side in (0, 1))
    more = np.where(tied(before, after), 0.0, after - before)
    low, high = interval(more, [row[2] for row in known], level)
    bounds = (None, None) if math.isnan(low) else (low, high)
    return Difference(len(known), float(before.mean()), float(after.mean()), float(more.mean()), *bounds)


def paired(before: Iterable[str], after: Iterable[str]) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Names that go together, then those that only the first and only the second has.

    Equal names; and where each has one, these two, whatever they are called.
    """
    one, other = list(before), list(after)
    if len(one) == len(other) == 1:
        return [(one[0], other[0])], [], []
    both = [(name, name) for name in one if name in other]
    return both, [name for name in one if name not in other], [name for name in other if name not in one]

"""A check against the lock: which logs are the same, and what the policies do to them now that they did not
do before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from replay.check.changed import compare_figures
from replay.check.config import Entry
from replay.check.lock import VERSION, Lock, LockedPolicy, is_companion
from replay.check.loosening import compare_gates, compare_limits
from replay.check.model import Stop
from replay.data.finding import Finding, Kind, Severity

__all__ = ["Matched", "Whereabouts", "accepted", "compare", "match"]

#: Where a log of the lock is that no run was read from: deleted, outside the paths that were read, part of
#: another log's run (changed: because it says something else now), or there without a run that could be read.
Whereabouts = Literal["deleted", "elsewhere", "changed", "duplicate", "unreadable"]

_MONITORING = ("monitor", "mode")
_CLOSE = 1e-9


@dataclass(frozen=True)
class Matched:
    """The logs of a lock among those of now: ``runs`` maps each old run whose logs are the same to its id
    now.
    """

    runs: Mapping[str, str]
    renamed: Mapping[str, str]
    changed: Sequence[str]
    missing: Sequence[str]
    new: Sequence[str]
    regrouped: Sequence[str] = field(default=())


def match(lock: Lock, now: Lock, companions: bool) -> Matched:
    """Match the logs by path and content: a log is known again under another path, and a run by its logs,
    whatever its id. Other line ends, or other text that says the same, are no change.

    ``companions`` says whether a policy asks for the files that lie beside logs; if not, they may come and
    go.
    """
    gone = [path for path in sorted(lock.logs) if path not in now.logs]
    came = [path for path in sorted(now.logs) if path not in lock.logs]
    alike = _alike(now, came)
    renamed: dict[str, str] = {}
    for path in gone:
        log, name = lock.logs[path], path.rpartition("/")[2]
        keys = (log.sha256, *([] if log.content is None else [log.content]))
        candidates = [one for key in keys for one in alike.get(key, ()) if one not in renamed.values()]
        if candidates:
            renamed[path] = next((one for one in candidates if one.rpartition("/")[2] == name), candidates[0])
    new = [path for path in came if path not in renamed.values() and not is_companion(path)]
    missing = [path for path in gone if path not in renamed and (companions or not is_companion(path))]
    changed = [
        path for path in sorted(lock.logs) if path in now.logs and not lock.logs[path].same(now.logs[path])
    ]
    both = {renamed.get(path, path) for path in lock.logs} & set(now.logs)
    before = _by_logs(lock, {path: renamed.get(path, path) for path in lock.logs}, both)
    after = _by_logs(now, {path: path for path in now.logs}, both)
    same: dict[str, str] = {}
    regrouped: list[str] = []
    changed_now = {path for path in changed if companions or not is_companion(path)}
    for logs, old in before.items():
        if logs & changed_now:
            continue
        runs = after.get(logs, [])
        if set(runs) == set(old):
            same |= {run: run for run in old}
        elif len(runs) == len(old):
            same |= dict(zip(old, runs, strict=True))
        else:
            same |= {run: run for run in old if run in runs}
            regrouped += [
                run
                for run in old
                if run not in runs and not any(path in missing for path in _logs_of(lock, run))
            ]
    return Matched(same, renamed, [path for path in changed if path in changed_now], missing, new, regrouped)


def _alike(lock: Lock, paths: Sequence[str]) -> dict[str, list[str]]:
    """Some logs of a lock by each digest that they are known by."""
    by_digest: dict[str, list[str]] = {}
    for path in paths:
        log = lock.logs[path]
        for key in {log.sha256, *log.other_ends, *([] if log.content is None else [log.content])}:
            by_digest.setdefault(key, []).append(path)
    return by_digest


def _logs_of(lock: Lock, run: str) -> list[str]:
    return [path for path, log in lock.logs.items() if run in log.runs]


def _by_logs(lock: Lock, names: Mapping[str, str], both: set[str]) -> dict[frozenset[str], list[str]]:
    """Runs by the set of their logs, in order; companions count only where they are there both times."""
    logs: dict[str, set[str]] = {}
    for path, log in lock.logs.items():
        if not is_companion(path) or names[path] in both:
            for run in log.runs:
                logs.setdefault(run, set()).add(names[path])
    runs_of: dict[frozenset[str], list[str]] = {}
    for run, paths in logs.items():
        runs_of.setdefault(frozenset(paths), []).append(run)
    return runs_of


def compare(
    entries: Sequence[Entry],
    confidence: float,
    lock: Lock,
    now: Lock,
    matched: Matched,
    followed: Mapping[str, str],
    *,
    groups: Mapping[str, str],
    locate: Callable[[str], Whereabouts],
    shorten: Callable[[str], str],
) -> tuple[list[Finding], dict[str, list[Finding]]]:
    """What is found against the lock: of the whole, and by policy.

    ``matched`` are the logs and runs that are in both, and ``followed`` the policies that have another name
    now. ``groups`` is each run's, ``locate`` says what became of a log, ``shorten`` gives a log's path as
    findings have it.
    """
    monitoring = all(lock.settings.get(name) == now.settings.get(name) for name in _MONITORING)
    judging = monitoring and lock.settings == now.settings
    whole = [
        *compare_gates(lock, now),
        *_compare_settings(lock, now, monitoring),
        *_compare_logs(lock, now, matched, locate, shorten, monitoring),
    ]
    by_policy: dict[str, list[Finding]] = {}
    moved = 0
    for entry in entries:
        was = followed.get(entry.name, entry.name)
        before, after = lock.policies.get(was), now.policies[entry.name]
        findings = by_policy[entry.name] = []
        if before is None:
            findings.append(Finding(Kind.NEW_POLICY, Severity.NOTE, policy=entry.name))
            continue
        if was != entry.name:
            facts = {"state": "renamed", "before": was, "after": entry.name}
            findings.append(Finding(Kind.CHANGED_POLICY, Severity.NOTE, policy=entry.name, facts=facts))
        findings += compare_limits(entry.name, before, after, matched.runs)
        pairs = [
            (before.stops[old], after.stops[new])
            for old, new in matched.runs.items()
            if old in before.stops and new in after.stops
        ]
        if before.spec != after.spec:
            facts = {"state": "changed", "before": before.spec, "after": after.spec}
            findings.append(Finding(Kind.CHANGED_POLICY, Severity.NOTE, policy=entry.name, facts=facts))
            if judging:
                findings += compare_figures(entry, pairs, groups, confidence)
        elif monitoring:
            differing = [
                _moved(entry.name, old, new) for old, new in pairs if old.stopped_eval != new.stopped_eval
            ]
            findings += differing
            moved += len(differing)
            if judging:
                findings += _same_stops_other_figures(entry.name, pairs)
        lost = tuple(
            old for old, new in matched.runs.items() if old in before.stops and new not in after.stops
        )
        if lost and before.spec == after.spec:
            facts = {"state": "not-judged"}
            findings.append(Finding(Kind.MOVED, Severity.WARNING, lost, entry.name, facts=facts))
        findings += _fires_no_more(entry.name, before, after, pairs, monitoring)
    whole += [
        Finding(Kind.REMOVED_POLICY, Severity.REGRESSION, policy=name)
        for name in lock.policies
        if name not in now.policies and name not in followed.values()
    ]
    if lock.version < VERSION:
        layouts = {"state": "layout", "before": lock.version, "after": VERSION}
        whole.append(Finding(Kind.VERSION, Severity.NOTE, facts=layouts))
    if lock.tool != now.tool:
        versions = {
            "state": "tool",
            "before": lock.tool,
            "after": now.tool,
            "moved": moved,
            "compared": monitoring,
            "runs": len(matched.runs),
        }
        whole.append(Finding(Kind.VERSION, Severity.NOTE, facts=versions))
    return whole, by_policy


def _compare_settings(lock: Lock, now: Lock, monitoring: bool) -> Iterable[Finding]:
    names = sorted({*lock.settings, *now.settings})
    differing = {
        name: (lock.settings.get(name), now.settings.get(name))
        for name in names
        if lock.settings.get(name) != now.settings.get(name)
    }
    if differing:
        facts = {"settings": differing, "stops_compared": monitoring}
        yield Finding(Kind.CHANGED_SETTINGS, Severity.UNDECIDED, facts=facts)


def _compare_logs(
    lock: Lock,
    now: Lock,
    matched: Matched,
    locate: Callable[[str], Whereabouts],
    shorten: Callable[[str], str],
    monitoring: bool,
) -> Iterable[Finding]:
    for path in matched.missing:
        state = locate(path)
        severity, kind = Severity.REGRESSION, Kind.VANISHED
        if state == "changed":
            kind = Kind.CHANGED_LOG
        elif state == "duplicate":
            severity, kind = Severity.WARNING, Kind.CHANGED_LOG
        elif state == "unreadable":
            # without the same monitor it may just not log another metric
            severity = Severity.UNDECIDED if monitoring else Severity.WARNING
            kind = Kind.CHANGED_LOG
        facts: dict[str, Any] = {"state": state, "of": lock.logs[path].runs}
        yield Finding(kind, severity, log=shorten(path), facts=facts)
    for path in matched.changed:
        facts = {"state": "changed", "of": lock.logs[path].runs}
        yield Finding(Kind.CHANGED_LOG, Severity.REGRESSION, log=shorten(path), facts=facts)
    if matched.regrouped:
        runs, facts = tuple(matched.regrouped), {"state": "regrouped"}
        yield Finding(Kind.CHANGED_LOG, Severity.WARNING, runs, facts=facts)
    if lock.logs and not matched.runs and matched.changed:
        yield Finding(Kind.CHANGED_LOG, Severity.UNDECIDED, facts={"state": "all-changed"})
    for old, new in matched.renamed.items():
        facts = {"state": "renamed", "before": shorten(old), "after": shorten(new)}
        yield Finding(Kind.NEW_LOG, Severity.NOTE, log=shorten(new), facts=facts)
    if matched.new:
        logs = tuple(shorten(path) for path in matched.new)
        yield Finding(Kind.NEW_LOG, Severity.NOTE, facts={"state": "new", "logs": logs})


def _moved(policy: str, old: Stop, new: Stop) -> Finding:
    facts = {"state": "moved", "before": old, "after": new}
    return Finding(Kind.MOVED, Severity.REGRESSION, (new.run,), policy, new.log, facts)


def _same_stops_other_figures(policy: str, pairs: Sequence[tuple[Stop, Stop]]) -> list[Finding]:
    """A warning where stops are the same and what they save or lose is not."""
    differing = [
        (old, new, key)
        for old, new in pairs
        if old.stopped_eval == new.stopped_eval
        for key in ("saved", "regret", "lost")
        if not _close(getattr(old, key), getattr(new, key))
    ]
    if not differing:
        return []
    old, new, key = differing[0]
    runs = tuple(dict.fromkeys(stop.run for _, stop, _ in differing))
    facts = {
        "state": "figures",
        "figure": key,
        "first": new.run,
        "values": (getattr(old, key), getattr(new, key)),
    }
    # the first of the runs is the one that the values are of
    runs = (new.run, *(run for run in runs if run != new.run))
    return [Finding(Kind.VERSION, Severity.WARNING, runs, policy, new.log, facts)]


def _close(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or math.isclose(old, new, rel_tol=_CLOSE, abs_tol=1e-12)


def _fires_no_more(
    policy: str,
    before: LockedPolicy,
    after: LockedPolicy,
    pairs: Sequence[tuple[Stop, Stop]],
    monitoring: bool,
) -> list[Finding]:
    """A finding where a policy that stopped some run stops none any more."""
    fired = sum(stop.stopped_eval is not None for stop in before.stops.values())
    if not fired or any(stop.stopped_eval is not None for stop in after.stops.values()):
        return []
    surely = monitoring and any(old.stopped_eval is not None for old, _ in pairs)
    facts = {"fired": fired, "total": len(before.stops)}
    severity = Severity.REGRESSION if surely else Severity.WARNING
    return [Finding(Kind.NEVER_FIRES, severity, policy=policy, facts=facts)]


def accepted(findings: Iterable[Finding]) -> list[Finding]:
    """The findings as an update tells them: it makes what differs from the old lock the new state, so nothing
    of it fails.
    """
    return [replace(finding, severity=Severity.NOTE) for finding in findings]

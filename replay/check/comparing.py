"""A check against the lock: which logs are the same, and what the policies do to them now that they did not
do before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from replay.check.config import Config, Entry
from replay.check.judging import line
from replay.check.lock import Lock, LockedPolicy, is_companion
from replay.check.model import Finding, Level, Stop
from replay.stats.intervals import interval
from replay.stats.summary import ENOUGH_RUNS

__all__ = ["Matched", "Whereabouts", "accepted", "compare", "match"]

#: Where a log of the lock is that no run was read from: deleted, outside the paths that were read, part of
#: another log's run, or there without a run that could be read from it.
Whereabouts = Literal["deleted", "elsewhere", "duplicate", "unreadable"]

_WATCHING = ("monitor", "mode")
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
    """Match the logs by path and digest: a log is known again under another path, and a run by its logs,
    whatever its id.

    ``companions`` says whether a policy asks for the files that lie beside logs; if not, they may come and
    go.
    """
    gone = [path for path in sorted(lock.logs) if path not in now.logs]
    came = [path for path in sorted(now.logs) if path not in lock.logs]
    by_digest: dict[str, list[str]] = {}
    for path in came:
        by_digest.setdefault(now.logs[path].sha256, []).append(path)
    renamed = {}
    for path in gone:
        candidates = by_digest.get(lock.logs[path].sha256)
        if candidates:
            alike = [one for one in candidates if one.rpartition("/")[2] == path.rpartition("/")[2]]
            renamed[path] = (alike or candidates)[0]
            candidates.remove(renamed[path])
    new = [path for path in came if path not in renamed.values() and not is_companion(path)]
    missing = [path for path in gone if path not in renamed and (companions or not is_companion(path))]
    changed = [
        path
        for path in sorted(lock.logs)
        if path in now.logs and lock.logs[path].sha256 != now.logs[path].sha256
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


def _logs_of(lock: Lock, run: str) -> list[str]:
    return [path for path, log in lock.logs.items() if run in log.runs]


def _by_logs(lock: Lock, names: Mapping[str, str], both: set[str]) -> dict[frozenset[str], list[str]]:
    """Runs by the set of their logs, in order; companions count only where they are there both times."""
    logs: dict[str, set[str]] = {}
    for path, log in lock.logs.items():
        if not is_companion(path) or names[path] in both:
            for run in log.runs:
                logs.setdefault(run, set()).add(names[path])
    found: dict[frozenset[str], list[str]] = {}
    for run, paths in logs.items():
        found.setdefault(frozenset(paths), []).append(run)
    return found


def compare(
    config: Config,
    lock: Lock,
    now: Lock,
    *,
    groups: Mapping[str, str],
    where: Callable[[str], Whereabouts],
    named: Callable[[str], str],
    companions: bool,
) -> tuple[list[Finding], dict[str, list[Finding]]]:
    """What is found against the lock: of the whole, and by policy.

    ``groups`` is each run's, ``where`` tells what became of a log, ``named`` a log's path as findings have
    it.
    """
    matched = match(lock, now, companions)
    watching = all(lock.settings.get(name) == now.settings.get(name) for name in _WATCHING)
    judging = watching and lock.settings == now.settings
    whole = [
        *_settings(lock, now, watching),
        *_logs(lock, now, matched, where, named, watching),
    ]
    by_policy: dict[str, list[Finding]] = {}
    moved = 0
    for entry in config.policies:
        before, after = lock.policies.get(entry.name), now.policies[entry.name]
        if before is None:
            by_policy[entry.name] = [
                Finding(
                    "note", "new-policy", f"{entry.name} is new: the lock does not have it", policy=entry.name
                )
            ]
            continue
        pairs = [
            (before.stops[old], after.stops[new])
            for old, new in matched.runs.items()
            if old in before.stops and new in after.stops
        ]
        found = by_policy[entry.name] = []
        if before.spec != after.spec:
            told = f"{entry.name} has changed from {before.spec} to {after.spec}"
            found.append(
                Finding(
                    "note", "changed-policy", told, policy=entry.name, before=before.spec, after=after.spec
                )
            )
            if judging:
                found += _worse(entry, pairs, groups, config.confidence)
        elif watching:
            stopped = [
                _moved(entry.name, old, new) for old, new in pairs if old.stopped_eval != new.stopped_eval
            ]
            found += stopped
            moved += len(stopped)
            if judging:
                found += _figures(entry.name, pairs)
        lost = [old for old, new in matched.runs.items() if old in before.stops and new not in after.stops]
        if lost and before.spec == after.spec:
            told = f"{entry.name} no longer judges {_some(lost)}, though the logs are the same"
            found.append(Finding("warning", "moved", told, policy=entry.name, run=lost[0]))
        found += _fires(entry.name, before, after, pairs, watching)
    for name in lock.policies:
        if name not in now.policies:
            whole.append(
                Finding(
                    "note", "changed-policy", f"{name} is in the lock, but no longer in the file", policy=name
                )
            )
    if lock.tool != now.tool:
        same = (
            f"{moved} stop{'s' * (moved != 1)} on the same logs moved"
            if moved
            else "all stops on the same logs are the same"
            if watching
            else ""
        )
        told = f"the lock was made by replay {lock.tool}, this is {now.tool}"
        whole.append(Finding("note", "version", told + (f"; {same}" if same and matched.runs else "")))
    return whole, by_policy


def _settings(lock: Lock, now: Lock, watching: bool) -> Iterable[Finding]:
    differ = [
        name
        for name in sorted({*lock.settings, *now.settings})
        if lock.settings.get(name) != now.settings.get(name)
    ]
    if differ:
        shown = "; ".join(
            f"{name} was {_word(lock.settings.get(name))} and is {_word(now.settings.get(name))}"
            for name in differ
        )
        left = (
            "stops are compared, figures are not" if watching else "so neither stops nor figures are compared"
        )
        yield Finding("warning", "changed-policy", f"the settings are not those of the lock: {shown}; {left}")


def _word(value: object) -> str:
    return "not given" if value is None else str(value)


def _logs(
    lock: Lock,
    now: Lock,
    matched: Matched,
    where: Callable[[str], Whereabouts],
    named: Callable[[str], str],
    watching: bool,
) -> Iterable[Finding]:
    for path in matched.missing:
        runs = f"with {_some(lock.logs[path].runs, 'run', 'runs')}"
        level: Level = "regression"
        kind = "vanished"
        place = where(path)
        if place == "deleted":
            told = f"{named(path)} has vanished, {runs}"
        elif place == "elsewhere":
            told = f"{named(path)} is in the lock, {runs}, but not below the logs that were given"
        elif place == "duplicate":
            level, kind = "warning", "changed-log"
            told = f"{named(path)} now counts as a part of another log, {runs}; it is compared no further"
        else:
            level, kind = (
                "undecided" if watching else "warning",
                "changed-log",
            )  # it may not log another metric
            told = (
                f"{named(path)} is there, but no run is read from it any more"
                f" ({_some(lock.logs[path].runs, 'run', 'runs')})"
            )
        yield Finding(level, kind, told, log=named(path))
    for path in matched.changed:
        told = (
            f"{named(path)} has changed ({_some(lock.logs[path].runs, 'run', 'runs')}); it is compared no"
            " further"
        )
        yield Finding("warning", "changed-log", told, log=named(path))
    if matched.regrouped:
        told = (
            f"{_some(matched.regrouped)} can no longer be told among the runs of the same logs, and cannot be"
            " compared"
        )
        yield Finding("warning", "changed-log", told, run=matched.regrouped[0])
    if lock.logs and not matched.runs and matched.changed:
        yield Finding(
            "undecided",
            "changed-log",
            "every log of the lock that is left has changed, so nothing can be compared with it",
        )
    for old, new in matched.renamed.items():
        yield Finding(
            "note",
            "new-log",
            f"{named(old)} is now {named(new)}",
            log=named(new),
            before=named(old),
            after=named(new),
        )
    if matched.new:
        shown = _some([named(path) for path in matched.new])
        yield Finding(
            "note",
            "new-log",
            f"{len(matched.new)} log{'s are' if len(matched.new) > 1 else ' is'} new: {shown}",
        )


def _some(names: Sequence[str], one: str = "", more: str = "", most: int = 3) -> str:
    """``run a``, ``runs a, b, c and 7 more``."""
    head = (one if len(names) == 1 else more) + " " if one else ""
    return head + ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _at(stop: Stop) -> str:
    return "did not stop it" if stop.stopped_eval is None else f"stopped it at eval {stop.stopped_eval}"


def _moved(name: str, old: Stop, new: Stop) -> Finding:
    does = (
        f"does not stop {new.run}"
        if new.stopped_eval is None
        else f"stops {new.run} at eval {new.stopped_eval}"
    )
    told = f"{name} {does}, but {_at(old)} when the lock was made"
    return Finding(
        "regression", "moved", told, policy=name, run=new.run, log=new.log, before=line(old), after=line(new)
    )


def _figures(name: str, pairs: Sequence[tuple[Stop, Stop]]) -> list[Finding]:
    """A warning where stops are the same and what they save or lose is not."""
    differ = [
        (old, new, key)
        for old, new in pairs
        if old.stopped_eval == new.stopped_eval
        for key in ("saved", "regret", "lost")
        if not _same(getattr(old, key), getattr(new, key))
    ]
    if not differ:
        return []
    old, new, key = differ[0]
    runs = list(dict.fromkeys(one.run for _, one, _ in differ))
    told = (
        f"{name} stops {_some(runs)} where it did, but the figures differ: {key} of {new.run} was"
        f" {_word(getattr(old, key))} and is {_word(getattr(new, key))}"
    )
    return [Finding("warning", "version", told, policy=name, run=new.run, log=new.log)]


def _same(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or math.isclose(old, new, rel_tol=_CLOSE, abs_tol=1e-12)


def _fires(
    name: str, before: LockedPolicy, after: LockedPolicy, pairs: Sequence[tuple[Stop, Stop]], watching: bool
) -> list[Finding]:
    """Whether a policy that stopped some run stops none any more."""
    fired = sum(stop.stopped_eval is not None for stop in before.stops.values())
    if not fired or any(stop.stopped_eval is not None for stop in after.stops.values()):
        return []
    told = (
        f"{name} no longer fires anywhere: when the lock was made, it stopped {fired} of {len(before.stops)}"
        " runs"
    )
    surely = watching and any(old.stopped_eval is not None for old, _ in pairs)
    return [Finding("regression" if surely else "warning", "never-fires", told, policy=name)]


def _worse(
    entry: Entry, pairs: Sequence[tuple[Stop, Stop]], groups: Mapping[str, str], level: float
) -> list[Finding]:
    """Whether a changed policy saves less or loses more on the same runs than what was before, by the paired
    differences.

    Their interval is not told that they lie between -1 and 1: a run as far off as that, which none was, would
    hide what all others show.
    """
    if len(pairs) < ENOUGH_RUNS:
        told = (
            f"{len(pairs)} runs are in the lock and the same now: too few to tell whether {entry.name} got"
            " worse"
        )
        return [Finding("note", "changed-policy", told, policy=entry.name)]
    limited = next(
        (limit.figure for limit in entry.limits if limit.figure in ("lost", "regret", "relative_regret")),
        "lost",
    )
    found = []
    said = []
    for figure, sign in (("saved", -1), (limited, 1)):
        old, new = (np.array([_float(getattr(pair[which], figure)) for pair in pairs]) for which in (0, 1))
        with np.errstate(invalid="ignore"):
            change = np.where(old == new, 0.0, new - old)  # an infinite loss both times is no change
        known = change[~np.isnan(change)]
        if not len(known) or not np.isfinite(known).all():
            continue
        low, high = interval(change, [groups[pair[1].run] for pair in pairs], level)
        mean = float(known.mean())
        text = f"{figure.replace('_', ' ')} {_signed(figure, mean)} on average"
        text += (
            "" if low == high or math.isnan(low) else f" ({_signed(figure, low)} to {_signed(figure, high)})"
        )
        if (high < 0) if sign < 0 else (low > 0):
            does = "saves less" if figure == "saved" else "loses more"
            told = f"{entry.name} {does} than before on the same {len(known)} runs: {text}"
            before, after = (
                f"{figure.replace('_', ' ')} {_plain(figure, float(np.nanmean(values)))}"
                for values in (old, new)
            )
            found.append(Finding("regression", "worse", told, policy=entry.name, before=before, after=after))
        else:
            said.append(text)
    if said:
        told = f"{entry.name} on the same {len(pairs)} runs, against before: {', '.join(said)}"
        found.append(Finding("note", "changed-policy", told, policy=entry.name))
    return found


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _plain(figure: str, value: float) -> str:
    return f"{value:.4g}" if figure == "regret" else f"{100 * value:.3g}%"


def _signed(figure: str, value: float) -> str:
    return f"{value:+.4g}" if figure == "regret" else f"{100 * value:+.3g} points"


def accepted(findings: Iterable[Finding]) -> list[Finding]:
    """The findings as an update tells them: it makes what differs from the old lock the new state, so nothing
    of it fails.
    """
    return [replace(finding, level="note") for finding in findings]

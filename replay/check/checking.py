"""``replay check``: simulates the policies of a file, and compares what comes out with their limits and with
the lock.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from replay import __version__
from replay.check.comparing import Whereabouts, accepted, compare, match
from replay.check.config import Config, Entry, Wanted, read_config
from replay.check.digests import digest_of_runs, digests_with_other_ends
from replay.check.error_places import about
from replay.check.following import follow
from replay.check.judging import expectations, judge, leave_open
from replay.check.lock import (
    VERSION,
    BrokenLock,
    Lock,
    LockedLimit,
    LockedPolicy,
    Log,
    digest,
    is_companion,
    read_lock,
    rounded,
)
from replay.check.log_paths import file_of, shorten
from replay.check.model import Checked, PolicyResult
from replay.check.places import path_in_repository
from replay.check.scores import Scores
from replay.check.simulated import (
    LargeStore,
    LogPaths,
    Simulated,
    asks_for_companions,
    large_store,
    simulate_runs,
    simulate_store,
)
from replay.check.stored import is_in_store, store_above
from replay.check.toml_lines import KeyPath
from replay.data.finding import Finding, Kind, Severity
from replay.errors import InputError, printable
from replay.readers import ReadResult
from replay.stats.summary import KEYS
from replay.store.reading import read
from replay.urls import Url, as_path, is_url

__all__ = ["LOCK_NAME", "check", "examine", "lock_beside", "logs_of", "read_logs_of"]

LOCK_NAME = "replay.lock"


def lock_beside(file: Path) -> Path:
    """Where the lock of a file of policies is, unless told otherwise."""
    return file.with_name(LOCK_NAME)


def logs_of(config: Config, given: Sequence[Path]) -> list[Path]:
    """The paths to read: those given, else those that the file names. Raises InputError where there are
    neither.
    """
    logs = list(given) or list(config.logs)
    if not logs:
        raise InputError(
            f'{config.path}: which logs? Give them on the command line, or write logs = ["…"] at the top of'
            " the file",
            key=("policies",),
        )
    return logs


def read_logs_of(
    config: Config,
    given: Sequence[Path],
    read: Callable[[Sequence[Path]], ReadResult],
    open_large: Callable[[Sequence[Path]], LargeStore | None] = large_store,
) -> tuple[list[Path], ReadResult | LargeStore]:
    """The paths of `logs_of`, and what was read from them; a store of very many runs is only opened."""
    roots = logs_of(config, given)
    key: KeyPath = ()
    if not given:
        there = [isinstance(root, Url) or os.path.lexists(root) for root in roots]
        key = ("logs",) if all(there) else ("logs", there.index(False))
    with about(key):
        return roots, open_large(roots) or read(roots)


def check(
    file: Path | str,
    logs: Sequence[Path | str] = (),
    *,
    lock: Path | str | None = None,
    require_lock: bool = False,
    strict: bool = False,
    read: Callable[[Sequence[Path]], ReadResult] = read,
) -> Checked:
    """Check a file of policies, as ``replay check`` does; nothing is written.

    ``logs`` are the paths to read (default: those that the file names), ``lock`` that of the lock (default:
    replay.lock beside the file), ``read`` what reads the logs. With ``require_lock`` there must be a lock;
    with ``strict``, warnings and a lock that is not up to date fail. Raises ReplayError for what cannot be
    read.
    """
    config = read_config(Path(file))
    roots, logs_read = read_logs_of(config, [as_path(log) for log in logs], read)
    path = lock_beside(config.path) if lock is None else Path(lock)
    return examine(config, logs_read, roots, path, require_lock=require_lock, strict=strict)[0]


def examine(
    config: Config,
    logs_read: ReadResult | LargeStore,
    roots: Sequence[Path],
    lock_path: Path,
    *,
    require_lock: bool = False,
    strict: bool = False,
    update: bool = False,
    only: Collection[str] = (),
    against: tuple[str, Lock] | None = None,
    again: Sequence[str] = (),
) -> tuple[Checked, Lock]:
    """The outcome of a check of the runs that were found below the roots, and the lock that says the same.

    With ``update`` what differs from the old lock is only a note, as the new one is to replace it; and the
    old one may be damaged. With ``only``, that goes for these policies alone. ``against`` is the lock to
    compare with instead, with its name. ``again`` is the command that checks again, for what is suggested
    (default: that of the file, with its lock).
    """
    gate = replace(
        config.gate,
        strict=config.gate.strict or strict,
        require_lock=config.gate.require_lock or require_lock,
    )
    renewal = shlex.join([*(again or _command(config, lock_path)), "--update"])
    old, trouble = _old(lock_path, renewal, update and not only) if against is None else (against[1], [])
    folder = Path(os.path.abspath(lock_path)).parent  # noqa: PTH100
    beside = Path(os.path.abspath(config.path.parent))  # noqa: PTH100
    paths = LogPaths(folder, lambda log: shorten(log, folder, beside))
    if isinstance(logs_read, ReadResult):
        runs = paths.add(
            logs_read.runs,
            asks_for_companions(config),
            logs_read.stores.get,
            {run.id for run in logs_read.runs},
        )
        simulated = simulate_runs(config, runs, paths)
    else:
        simulated = simulate_store(config, logs_read, paths)
    scores_of = {entry.name: simulated.scores[entry.spec] for entry in config.policies}
    other_ends = old is not None and old.version < VERSION
    now = _locked(config, simulated, scores_of, paths, other_ends)

    whole, by_policy = list(trouble), {entry.name: list[Finding]() for entry in config.policies}
    gone: list[str] = []
    followed: dict[str, str] = {}
    in_lock: set[str] = set()
    if old is not None:
        matched = match(old, now, asks_for_companions(config))
        in_lock = set(matched.runs.values())
        followed = follow(old, now, matched.runs)
        differences, by_policy = compare(
            config.policies,
            config.confidence,
            old,
            now,
            matched,
            followed,
            groups=simulated.groups,
            locate=lambda log: _locate(log, file_of(folder, log), roots, logs_read.duplicates, old.logs[log]),
            shorten=paths.shorten,
        )
        gone = [run for path, log in old.logs.items() if path not in now.logs for run in log.runs]

        def settle(finding: Finding) -> Finding:
            """The finding as it counts: what the update accepts is only a note."""
            if finding.get("state") == "gate" and not update:
                return finding  # the gate of the lock has set its severity
            if update and (not only or finding.policy in only):
                return accepted([finding])[0]
            return gate.apply(finding)

        by_policy = {name: [settle(one) for one in findings] for name, findings in by_policy.items()}
        whole += [settle(finding) for finding in differences]
    elif not trouble and not update:
        facts = {"lock": lock_path.name, "command": renewal}
        severity = Severity.UNDECIDED if gate.require_lock else Severity.NOTE
        whole.append(gate.apply(Finding(Kind.NO_LOCK, severity, facts=facts)))
    results = []
    for entry in config.policies:
        scores_here, locked = scores_of[entry.name], now.policies[entry.name]
        limits, findings = judge(
            entry,
            scores_here,
            config.confidence,
            simulated.summary[entry.spec],
            by_group=config.group not in (None, "run"),
        )
        if old is not None and not (update and (not only or entry.name in only)):
            findings = [leave_open(one, entry, scores_here, in_lock) for one in findings]
        findings += expectations(entry, scores_here, simulated.evals, gone)
        findings = [gate.apply(finding) for finding in findings] + by_policy[entry.name]
        silent = all(stop.stopped_eval is None for stop in locked.stops.values())
        known = any(finding.kind is Kind.NEVER_FIRES for finding in findings)
        if silent and entry.spec != "never" and not known:
            findings.append(gate.apply(Finding(Kind.NEVER_FIRES, Severity.NOTE, policy=entry.name)))
        was = followed.get(entry.name, entry.name)
        before = old.policies.get(was) if old is not None else None
        results.append(
            PolicyResult(
                entry.name,
                entry.spec,
                locked.summary,
                tuple(limits),
                scores_here.stops,
                tuple(findings),
                None if before is None else before.summary,
            )
        )
    checked = Checked(
        file=str(config.path),
        lock=None if old is None else str(lock_path) if against is None else against[0],
        version=__version__,
        runs=len(simulated.evals),
        monitor=simulated.monitor.name,
        objective=simulated.objective.name,
        unit=simulated.question.unit,
        policies=tuple(results),
        findings=tuple(whole),
        warnings=(*logs_read.findings, *simulated.findings),
        place=path_in_repository(config.path),
        lines=config.lines,
    )
    return checked, now


def _command(config: Config, lock: Path) -> list[str]:
    """The command that checks a file with a lock."""
    return [
        "replay",
        "check",
        str(config.path),
        *([] if lock == lock_beside(config.path) else ["--lock", str(lock)]),
    ]


def _old(path: Path, renewal: str, update: bool) -> tuple[Lock | None, list[Finding]]:
    try:
        return read_lock(path, renewal), []
    except BrokenLock as error:
        if not update:
            error.file = path_in_repository(path)
            raise
        return None, [Finding(Kind.LOCK, Severity.NOTE, facts={"error": error})]


def _locked(
    config: Config, simulated: Simulated, scores_of: Mapping[str, Scores], paths: LogPaths, other_ends: bool
) -> Lock:
    """The lock of what the policies do now."""
    runs_of: dict[str, list[str]] = {}
    for run in simulated.evals:
        for path in paths.of[run]:
            runs_of.setdefault(path, []).append(run)
    folder, stored = paths.folder, paths.stored
    logs = {
        path: Log(
            stored[path] if path in stored else digest(file_of(folder, path)),
            tuple(runs),
            None if is_companion(path) else digest_of_runs(simulated.contents[run] for run in runs),
            digests_with_other_ends(file_of(folder, path))
            if other_ends and path not in stored
            else frozenset(),
        )
        for path, runs in sorted(runs_of.items())
    }
    settings = {
        "confidence": config.confidence,
        "group": config.group,
        "keep": simulated.question.keep,
        "mode": simulated.monitor.mode,
        "monitor": simulated.monitor.name,
        "objective": simulated.objective.name,
        "objective_mode": simulated.objective.mode,
        "price": simulated.question.price,
        "unit": simulated.question.unit,
    }
    kept = [key for key in KEYS if key not in ("policy", "spec")]
    return Lock(
        __version__,
        {key: rounded(value) for key, value in settings.items()},
        logs,
        {
            entry.name: LockedPolicy(
                entry.spec,
                {key: rounded(simulated.summary[entry.spec][key]) for key in kept},
                {stop.run: stop for stop in scores_of[entry.name].stops},
                _limits(entry),
                {wanted.run: wanted.eval for wanted in entry.expect},
            )
            for entry in config.policies
        },
        config.gate.stated(),
    )


def _limits(entry: Entry) -> dict[tuple[str | None, str], LockedLimit]:
    """The limits of a policy, by group and name."""
    of: list[tuple[str | None, tuple[Wanted, ...]]] = [(None, entry.limits), *entry.groups.items()]
    return {
        (group, limit.name): LockedLimit(limit.text, rounded(limit.value))
        for group, limits in of
        for limit in limits
    }


def _locate(
    log: str, path: Path, roots: Sequence[Path], duplicates: Sequence[tuple[str, str]], was: Log
) -> Whereabouts:
    """What became of a log of the lock that no run was read from."""
    if is_url(log) and not any(f"{log}/".startswith(f"{root}/") for root in roots):
        return "elsewhere"
    homes = [os.path.realpath(root) for root in roots]
    store = None if is_url(log) else store_above(path)
    if store is not None and not path.is_file():
        # a run that is there was left out by a filter
        read = os.path.realpath(store) in homes
        return "elsewhere" if not read or is_in_store(store, path) else "deleted"
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "deleted"
    except OSError:  # in a folder that cannot be read
        return "unreadable"
    real = os.path.realpath(path)
    if not is_url(log) and not any(
        real == home or real.startswith(home.rstrip(os.sep) + os.sep) for home in homes
    ):
        return "elsewhere"
    shown = "/" + printable(log if is_url(log) else path)
    if not any(shown.endswith("/" + name) for name, _ in duplicates):
        return "unreadable"
    return "duplicate" if was.sha256 in digests_with_other_ends(path) else "changed"

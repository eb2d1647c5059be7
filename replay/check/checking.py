"""``replay check``: simulates the policies of a file, and compares what comes out with their limits and with
the lock.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from replay import __version__
from replay.check.comparing import Whereabouts, accepted, compare, match
from replay.check.config import Config, Entry, Wanted, read_config
from replay.check.digests import digest_of_runs, digests_with_other_ends
from replay.check.error_places import about, about_simulation
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
from replay.check.model import Checked, PolicyResult
from replay.check.places import path_in_repository
from replay.check.scores import Scores, score_policies
from replay.check.stored import digests_by_path, is_in_store, store_above
from replay.check.toml_lines import KeyPath
from replay.data.digest import digest_of_run
from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.engine.outcomes import records
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.errors import InputError, printable
from replay.files import in_utf8, on_disk
from replay.policies.companions import SettledModules
from replay.readers import ReadResult
from replay.readers.step_signals import FILE_NAME
from replay.stats.cautions import find_first_stretch, find_near_one
from replay.stats.groups import groups_of
from replay.stats.summary import KEYS, summarise
from replay.store.reading import read
from replay.urls import Url, as_path, copy_of, is_url

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
    config: Config, given: Sequence[Path], read: Callable[[Sequence[Path]], ReadResult]
) -> tuple[list[Path], ReadResult]:
    """The paths of `logs_of`, and what was read from them."""
    roots = logs_of(config, given)
    key: KeyPath = ()
    if not given:
        there = [isinstance(root, Url) or os.path.lexists(root) for root in roots]
        key = ("logs",) if all(there) else ("logs", there.index(False))
    with about(key):
        return roots, read(roots)


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
    logs_read: ReadResult,
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
    policies = [entry.policy for entry in config.policies]
    companions = any(
        isinstance(companion, SettledModules) for policy in policies for companion in policy.companions
    )
    stored: dict[str, str] = {}
    paths = {
        run.id: _sources(run, folder, companions, logs_read.stores.get(run.id), stored)
        for run in logs_read.runs
    }
    runs, paths = _portable(logs_read.runs, paths)
    with about_simulation(config, runs):
        outcomes = simulate_policies(runs, policies, config.question)
    study = outcomes.study
    with about(("group",)):
        labels = groups_of(study.panel.runs, config.group)
    groups = dict(zip((run.id for run in study.panel.runs), labels, strict=True))
    table = summarise(outcomes, labels, config.confidence)
    summary = {row["spec"]: row for row in records(table)}
    beside = Path(os.path.abspath(config.path.parent))  # noqa: PTH100
    shown = {run: _shorten(files[0], folder, beside) for run, files in paths.items()}
    by_spec = score_policies(outcomes, groups, shown)
    scores_of = {entry.name: by_spec[entry.spec] for entry in config.policies}
    other_ends = old is not None and old.version < VERSION
    now = _locked(config, study, summary, scores_of, paths, folder, other_ends, stored)

    whole, by_policy = list(trouble), {entry.name: list[Finding]() for entry in config.policies}
    gone: list[str] = []
    followed: dict[str, str] = {}
    in_lock: set[str] = set()
    if old is not None:
        matched = match(old, now, companions)
        in_lock = set(matched.runs.values())
        followed = follow(old, now, matched.runs)
        differences, by_policy = compare(
            config.policies,
            config.confidence,
            old,
            now,
            matched,
            followed,
            groups=groups,
            locate=lambda log: _locate(log, _file(folder, log), roots, logs_read, old.logs[log]),
            shorten=lambda log: _shorten(log, folder, beside),
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
    evals = {run.id: len(curve) for run, curve in zip(study.panel.runs, study.panel.curves, strict=True)}
    results = []
    for entry in config.policies:
        scores_here, locked = scores_of[entry.name], now.policies[entry.name]
        limits, findings = judge(
            entry,
            scores_here,
            config.confidence,
            summary[entry.spec],
            by_group=config.group not in (None, "run"),
        )
        if old is not None and not (update and (not only or entry.name in only)):
            findings = [leave_open(one, entry, scores_here, in_lock) for one in findings]
        findings += expectations(entry, scores_here, evals, gone)
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
        runs=len(study.panel.runs),
        monitor=study.monitor.name,
        objective=study.objective.name,
        unit=study.question.unit,
        policies=tuple(results),
        findings=tuple(whole),
        warnings=(
            *logs_read.findings,
            *outcomes.findings,
            *find_first_stretch(outcomes, table),
            *find_near_one(study, _relative_limits(config)),
        ),
        place=path_in_repository(config.path),
        lines=config.lines,
    )
    return checked, now


def _relative_limits(config: Config) -> list[float]:
    """The limits of a file that are on relative regret."""
    limits = [
        limit
        for entry in config.policies
        for some in (entry.limits, *entry.groups.values())
        for limit in some
    ]
    return [limit.value for limit in limits if limit.figure == "relative_regret"]


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
    config: Config,
    study: Study,
    summary: dict[str, Any],
    scores_of: dict[str, Scores],
    paths: dict[str, list[str]],
    folder: Path,
    other_ends: bool,
    stored: dict[str, str],
) -> Lock:
    """The lock of what the policies do now; ``stored`` has the digests of logs that are runs of stores."""
    runs_of: dict[str, list[Run]] = {}
    for run in study.panel.runs:
        for path in paths[run.id]:
            runs_of.setdefault(path, []).append(run)
    # once for each run, which may have been read from many files
    said = {run.id: digest_of_run(run) for run in study.panel.runs}
    logs = {
        path: Log(
            stored[path] if path in stored else digest(_file(folder, path)),
            tuple(run.id for run in runs),
            None if is_companion(path) else digest_of_runs(said[run.id] for run in runs),
            digests_with_other_ends(_file(folder, path))
            if other_ends and path not in stored
            else frozenset(),
        )
        for path, runs in sorted(runs_of.items())
    }
    settings = {
        "confidence": config.confidence,
        "group": config.group,
        "keep": study.question.keep,
        "mode": study.monitor.mode,
        "monitor": study.monitor.name,
        "objective": study.objective.name,
        "objective_mode": study.objective.mode,
        "price": study.question.price,
        "unit": study.question.unit,
    }
    return Lock(
        __version__,
        {key: rounded(value) for key, value in settings.items()},
        logs,
        {
            entry.name: LockedPolicy(
                entry.spec,
                {key: rounded(summary[entry.spec][key]) for key in KEYS if key not in ("policy", "spec")},
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


def _sources(
    run: Run, folder: Path, companions: bool, store: Path | None, stored: dict[str, str]
) -> list[str]:
    """The files of a run, relative to a folder, that of its id first; with what lies beside it where
    ``companions`` are asked for.

    A run of a store has a path below the store instead, whose digest is put into ``stored``.
    """
    if store is not None:
        digests = digests_by_path(run, store, companions)
        names = [_relative(Path(path), folder) for path in digests]
        stored.update(zip(names, digests.values(), strict=True))
        return names
    sources = list(run.info.sources)
    if not sources:
        raise InputError(f"run {run.id} says no file that it was read from, so it cannot be checked")
    if companions and len(sources) == 1 and copy_of(sources[0]).with_name(FILE_NAME).is_file():
        sources.append(_beside(sources[0], FILE_NAME))
    relative = list(
        dict.fromkeys(source if is_url(source) else _relative(Path(source), folder) for source in sources)
    )
    main = min(path for path in relative if not is_companion(path) or len(relative) == 1)
    return [main, *(path for path in sorted(relative) if path != main)]


def _beside(source: str, name: str) -> str:
    """The file of another name beside a source."""
    return f"{source.rpartition('/')[0]}/{name}" if is_url(source) else str(Path(source).with_name(name))


def _file(folder: Path, log: str) -> Path:
    """The file of a log of a lock: below the folder of the lock, or the copy of a URL."""
    return copy_of(log) if is_url(log) else on_disk(folder, log)


def _shorten(log: str, folder: Path, beside: Path) -> str:
    """A log of a lock as it is shown: relative to the file of policies, or its URL."""
    return log if is_url(log) else _relative(on_disk(folder, log), beside)


def _relative(path: Path, folder: Path) -> str:
    """A path relative to a folder, with slashes and in UTF-8; by what links stand for only where that keeps
    it below the folder.
    """
    try:
        plain = Path(os.path.relpath(os.path.abspath(path), folder))  # noqa: PTH100
        if plain.parts[0] == "..":
            real = Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder)))
            plain = plain if real.parts[0] == ".." else real
    except ValueError:  # another drive
        return in_utf8(path.absolute().as_posix())
    return in_utf8(plain.as_posix())


def _portable(runs: Sequence[Run], paths: dict[str, list[str]]) -> tuple[list[Run], dict[str, list[str]]]:
    """Give each run an id that does not depend on where the files lie.

    An id that is not a part of the run's path is replaced by the path. Returns the runs, and their paths by
    id.
    """
    taken = {run.id for run in runs}
    number: dict[str, int] = {}
    named: dict[str, list[str]] = {}
    renamed: list[Run] = []
    for run in runs:
        files = paths[run.id]
        number[files[0]] = number.get(files[0], 0) + 1
        shown = printable(files[0])
        # what follows a "#" may tell runs of one file apart, or belong to the name of a folder
        pieces = run.id.split("#")
        bases = ["#".join(pieces[:count]) for count in range(len(pieces), 0, -1)]
        if not any(f"/{Path(base).as_posix()}/" in f"/{shown}/" for base in bases):
            new = (
                f"{shown}#{pieces[-1]}"
                if len(pieces) > 1
                else shown + (f" ({number[files[0]]})" if number[files[0]] > 1 else "")
            )
            if new not in taken:
                taken.add(new)
                run = run.replace(id=new)
        named[run.id] = files
        renamed.append(run)
    return renamed, named


def _locate(log: str, path: Path, roots: Sequence[Path], logs_read: ReadResult, was: Log) -> Whereabouts:
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
    if not any(shown.endswith("/" + name) for name, _ in logs_read.duplicates):
        return "unreadable"
    return "duplicate" if was.sha256 in digests_with_other_ends(path) else "changed"

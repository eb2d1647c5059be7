"""Part of a lock: what some policies do, written into the lock that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from replay.check.comparing import match
from replay.check.lock import VERSION, Lock, read_lock, write_lock
from replay.errors import InputError, list_names, suggestion

__all__ = ["replace_policies", "write_policies"]


def write_policies(path: Path, made: Lock, names: Collection[str]) -> bool:
    """Write some policies of a new lock into the lock at a path; whether that changed it.

    Processes that do so at the same time wait for each other, so that none undoes what another wrote. Raises
    InputError where there is no lock, or what it says of logs and settings is out of date.
    """
    with _alone(Path(os.path.realpath(path)).parent):
        old = read_lock(path)
        if old is None:
            raise InputError(f"--policy updates a part of a lock, and there is no {path}; leave it out")
        return write_lock(path, replace_policies(old, made, names, str(path)))


def replace_policies(old: Lock, made: Lock, names: Collection[str], path: str) -> Lock:
    """The old lock with some of its policies as they are in the new one; those that are gone are left out.

    All policies of a lock are about the same logs and settings, so these may not have changed. Raises
    InputError where they have, and for a name that neither lock has.
    """
    for name in names:
        if name not in made.policies and name not in old.policies:
            known = {*made.policies, *old.policies}
            raise InputError(f"--policy {name}: no such policy; there are {suggestion(name, known)}")
    whole = f"leave out --policy, to write {path} anew as a whole"
    if old.version < VERSION:
        raise InputError(f"{path} is a lock of version {old.version}; {whole}")
    if old.settings != made.settings:
        differing = sorted(key for key, value in made.settings.items() if old.settings.get(key) != value)
        raise InputError(f"{path} was made with another {list_names(differing)}; {whole}")
    matched = match(old, made, companions=True)
    logs = [*matched.changed, *matched.missing, *matched.renamed, *matched.new]
    runs_now = {path: log.runs for path, log in made.logs.items()}
    logs += [path for path, log in old.logs.items() if path in runs_now and runs_now[path] != log.runs]
    if logs:
        raise InputError(f"{path} does not hold the logs as they are now ({list_names(logs)}); {whole}")
    policies = {name: policy for name, policy in old.policies.items() if name not in names}
    policies |= {name: made.policies[name] for name in names if name in made.policies}
    return replace(old, policies=policies)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here for the same folder, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

"""Policies of a lock under other names: which policy of the file is which of the lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from replay.check.locked import Lock, LockedPolicy

__all__ = ["follow"]


def follow(lock: Lock, now: Lock, runs: Mapping[str, str]) -> dict[str, str]:
    """The policies that are not in the lock by their name, each with the name that it has there.

    ``runs`` maps the runs of the lock to those of now. A policy is known again by its specification, by what
    it does to the runs, or by its limits; and where one policy went and one came, the new one is taken to
    stand in for the old one.
    """
    gone = [name for name in lock.policies if name not in now.policies]
    came = [name for name in now.policies if name not in lock.policies]
    followed: dict[str, str] = {}

    def does_the_same(old: LockedPolicy, new: LockedPolicy) -> bool:
        pairs = [(old.stops.get(was), new.stops.get(run)) for was, run in runs.items()]
        both = [(was, run) for was, run in pairs if was is not None and run is not None]
        fires = any(was.stopped_eval is not None for was, _ in both)
        return fires and all(was.stopped_eval == run.stopped_eval for was, run in both)

    ways: tuple[Callable[[LockedPolicy, LockedPolicy], bool], ...] = (
        lambda old, new: old.spec == new.spec and old.limits == new.limits and old.expect == new.expect,
        lambda old, new: old.spec == new.spec,
        does_the_same,
        lambda old, new: bool(old.limits or old.expect) and _promises(old) == _promises(new),
        lambda old, new: len(gone) == len(came) == 1,
    )
    for alike in ways:
        for name in list(came):
            was = next((one for one in gone if alike(lock.policies[one], now.policies[name])), None)
            if was is not None:
                followed[name] = was
                gone.remove(was)
                came.remove(name)
    return followed


def _promises(policy: LockedPolicy) -> tuple[object, object]:
    return policy.limits, policy.expect

"""What a file of policies demands less of than its lock says: limits, expectations, and what fails."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from replay.check.expected import runs_that_fit
from replay.check.gate import Gate
from replay.check.locked import Lock, LockedLimit, LockedPolicy
from replay.data.finding import Finding, Kind, Severity
from replay.search.tolerance import parse_confidence
from replay.stats.ties import above, below, tied

__all__ = ["compare_gates", "compare_limits"]


def compare_limits(
    name: str, before: LockedPolicy, after: LockedPolicy, runs: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings on the limits and expectations of a policy that are not those of the lock.

    ``runs`` maps the runs of the lock that are the same now to their ids now.
    """
    if before.limits is None or before.expect is None:
        return  # a lock of the first version does not hold them
    old, new = before.limits, after.limits or {}
    for (group, limit), was in old.items():
        now = new.get((group, limit))
        facts: dict[str, Any] = {"limit": limit, "group": group, "old": was.text}
        if now is None:
            facts |= {"state": "removed", "new": None}
            yield Finding(Kind.LOOSENED, Severity.REGRESSION, policy=name, facts=facts)
        elif (looser := _is_looser(limit, was, now)) or not _is_same(limit, was, now):
            facts |= {"state": "changed", "new": now.text}
            kind, severity = (
                (Kind.LOOSENED, Severity.REGRESSION) if looser else (Kind.CHANGED_LIMIT, Severity.NOTE)
            )
            yield Finding(kind, severity, policy=name, facts=facts)
    for (group, limit), now in new.items():
        if (group, limit) not in old:
            facts = {"limit": limit, "group": group, "old": None, "new": now.text, "state": "added"}
            yield Finding(Kind.CHANGED_LIMIT, Severity.NOTE, policy=name, facts=facts)
    yield from _compare_expectations(name, before, after, runs)


def _compare_expectations(
    name: str, before: LockedPolicy, after: LockedPolicy, runs: Mapping[str, str]
) -> Iterator[Finding]:
    """An expectation that says something else is as loose as one that is gone: what it guarded is open."""
    rows = enumerate((after.expect or {}).items())
    now = {_meant(text, after.stops): (row, text, eval) for row, (text, eval) in rows}
    known = set()
    for text, eval in (before.expect or {}).items():
        old = _meant(text, before.stops)
        run = next((one for one in (runs.get(old, old), text) if one in now), None)
        facts: dict[str, Any] = {"state": "expect", "of": text, "old": eval}
        if run is None:
            yield Finding(Kind.LOOSENED, Severity.REGRESSION, policy=name, facts=facts)
            continue
        known.add(run)
        row, written, new = now[run]
        if new != eval:
            facts |= {"state": "expect-changed", "of": written, "new": new, "row": row}
            yield Finding(Kind.LOOSENED, Severity.REGRESSION, policy=name, facts=facts)
    for run, (_, text, eval) in now.items():
        if run not in known:
            facts = {"state": "expect", "of": text, "new": eval}
            yield Finding(Kind.CHANGED_LIMIT, Severity.NOTE, policy=name, facts=facts)


def _meant(text: str, ids: Collection[str]) -> str:
    """The run that an expectation means, where its text fits just one; else the text."""
    fitting = runs_that_fit(text, ids)
    return fitting[0] if len(fitting) == 1 else text


def _is_same(name: str, old: LockedLimit, new: LockedLimit) -> bool:
    if name == "guarantee":
        return _confidence(old) == _confidence(new)
    return old.text == new.text or (_unit(old) == _unit(new) and bool(tied(old.value, new.value, 0.0)))


def _unit(limit: LockedLimit) -> str:
    return "%" if limit.text.endswith("%") else ""


def _is_looser(name: str, old: LockedLimit, new: LockedLimit) -> bool:
    """Whether the limit allows something that it did not; so do limits that cannot be compared."""
    if name == "guarantee":
        return _confidence(new) < _confidence(old)  # what is guaranteed is max_lost, a limit of its own
    if _unit(old) != _unit(new):
        return True
    if name.startswith("min_"):
        return bool(below(new.value, old.value, 0.0))
    return bool(above(new.value, old.value, 0.0))


def _confidence(limit: LockedLimit) -> float:
    """The confidence of a guarantee; 0 for one on average."""
    return 0.0 if limit.text == "mean" else parse_confidence(limit.text)


def compare_gates(lock: Lock, now: Lock) -> Iterator[Finding]:
    """A finding where the file no longer fails on something that it failed on when the lock was made.

    Its severity is set by the gate of the lock, so that a change cannot hide itself.
    """
    if lock.gate is None:
        return
    before, after = Gate.of(lock.gate), Gate.of(now.gate or {})
    weaker = after.weaker_than(before)
    if weaker:
        facts = {"state": "gate", "kinds": weaker}
        yield before.apply(Finding(Kind.LOOSENED, Severity.REGRESSION, facts=facts))

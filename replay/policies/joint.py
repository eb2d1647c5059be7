"""Joint: policies that compare runs, alone or combined with policies within runs, made ready for a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from replay.data.curve import CurveBatch
from replay.errors import PolicyError
from replay.policies.across import CONTINUE, PAUSE, STOP, AcrossRuns, Prepared, Scheduler
from replay.policies.base import Policy
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless

__all__ = ["Orders", "compares_runs", "orders_of", "parts_of", "prepare"]

Combined = AnyOf | AllOf | AllOnce | Unless


class Orders(NamedTuple):
    """How many random arrival orders to replay, on how many workers, from which seed."""

    orders: int
    workers: int
    seed: int


def parts_of(policy: Policy) -> Iterator[Policy]:
    """The single policies that a policy is combined of, or itself."""
    if isinstance(policy, Combined):
        for part in policy.parts:
            yield from parts_of(part)
    else:
        yield policy


def compares_runs(policy: Policy) -> bool:
    """Whether a policy, or a part of it, compares runs with each other."""
    return any(isinstance(leaf, AcrossRuns) for leaf in parts_of(policy))


def orders_of(policy: Policy) -> Orders:
    """The arrival orders that a policy asks for.

    Raises PolicyError where two parts ask for different ones.
    """
    asked = {
        Orders(leaf.orders, leaf.workers, leaf.seed): leaf
        for leaf in parts_of(policy)
        if isinstance(leaf, AcrossRuns)
    }
    if len(asked) > 1:
        raise PolicyError(
            f"policy {policy.spec()!r}: both parts must have the same workers, orders and seed, since they"
            " see the same arrival order"
        )
    return next(iter(asked))


def prepare(policy: Policy, batch: CurveBatch) -> Prepared:
    """Make a policy ready for the runs of a batch: one that compares runs, or a combination with such parts.

    Raises PolicyError where a part monitors a metric of its own.
    """
    if isinstance(policy, AcrossRuns):
        return policy.prepare(batch)
    if isinstance(policy, Combined):
        parts = [prepare(part, batch) for part in policy.parts]
        asked = [
            sorted(set().union(*(part.asked[run] for part in parts))) for run in range(len(batch.lengths))
        ]
        kind = type(policy)
        return Prepared(asked, lambda rng: _Joined(kind, [part.begin(rng) for part in parts]))
    return _within(policy, batch)


def _within(policy: Policy, batch: CurveBatch) -> Prepared:
    """A policy within runs as a scheduler: at which evals it would stop is known beforehand."""
    if policy.monitor is not None:
        raise PolicyError(
            f"{policy.spec()} monitors {policy.monitor}: beside a policy that compares runs, all parts must"
            " monitor the same metric; leave out monitor= and give --monitor"
        )
    signal = policy.signal(batch)
    fires = (signal >= policy.signal_threshold(batch.mode)) & batch.mask
    asked = [np.flatnonzero(row).tolist() for row in fires]
    scheduler = _Fixed(asked)
    return Prepared(asked, lambda rng: scheduler)


class _Fixed(Scheduler):
    """Would stop at evals that are known beforehand."""

    def __init__(self, asked: Sequence[Sequence[int]]) -> None:
        self._asked = [frozenset(evals) for evals in asked]

    def report(self, run: int, eval: int) -> int:
        return STOP if eval in self._asked[run] else CONTINUE


class _Joined(Scheduler):
    """Joins the decisions of several schedulers, all of which get every report."""

    def __init__(self, kind: type[Policy], parts: Sequence[Scheduler]) -> None:
        self._kind, self._parts = kind, parts
        self._ever: dict[int, list[bool]] = {}

    def start(self, run: int) -> None:
        for part in self._parts:
            part.start(run)

    def end(self, run: int, stopped: bool) -> None:
        for part in self._parts:
            part.end(run, stopped)

    def report(self, run: int, eval: int) -> int:
        decisions = [part.report(run, eval) for part in self._parts]
        fired = [decision == STOP for decision in decisions]
        if self._kind is AnyOf:
            stop = any(fired)
        elif self._kind is AllOf:
            stop = all(fired)
        else:
            before = self._ever.get(run, [False] * len(fired))
            ever = self._ever[run] = [one or other for one, other in zip(fired, before, strict=True)]
            stop = all(ever) if self._kind is AllOnce else fired[0] and not ever[1]
        if stop:
            return STOP
        return PAUSE if PAUSE in decisions else CONTINUE

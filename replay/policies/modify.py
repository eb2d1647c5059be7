"""Modifiers: monitor, thinning of evals, smoothing, warm-up and resets.

A modifier that hides evals from the policy inside gives it a shorter curve and puts −inf (cannot fire) where
the policy inside saw nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from replay.data.curve import CurveBatch, MetricColumn
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion, LastKnown
from replay.policies.param import format_parameter, format_value, param, parameters
from replay.policies.progress import PROGRESS_UNITS, progress_of
from replay.policies.smoothing import smoother
from replay.policies.stops import find_stops, group_equal

__all__ = ["MODIFIERS", "Modified", "modified"]

_RATE = LastKnown("learning_rate")

#: Parameters that every policy takes: the name in a specification, the field of Modified, and what it does.
MODIFIERS: dict[str, tuple[str, str]] = {
    "monitor": ("watch", "the metric to watch (default: the one of the command)"),
    "mode": ("direction", "min or max, where the metric's name or log does not say"),
    "every": ("every", "make only every k-th eval"),
    "smooth": ("smooth", "ema:0.3 (weight of the new value), mean:3 or median:3 (evals)"),
    "start": (
        "start",
        (
            "first eval (or step, epoch, token: its unit) at which it may look; lr_warmup: once the learning"
            " rate has risen"
        ),
    ),
    "reset_on": ("reset_on", "lr_drop: count anew when the learning rate falls to half or less"),
}


@dataclass(frozen=True)
class Modified(Policy):
    """A policy that looks at a chosen metric, at fewer evals, at smoothed values, from later on, or anew
    after a reset.

    In this order: ``monitor`` picks the metric; ``every=k`` makes only evals k, 2k, 3k, … (as if eval_steps
    were k times as large, so their compute is counted only); ``smooth`` averages over the evals made;
    ``start`` hides everything before that eval (or step, epoch or train token, in the policy's own unit): it
    neither counts nor becomes a reference. ``start=lr_warmup`` hides everything before the first eval whose
    learning rate is not above that of the eval before, both finite and the latter above 0: where its first
    rise has ended. ``reset_on=lr_drop`` begins a new curve at every eval whose learning rate is at most half
    of that of the eval before (above 0): the policy counts anew, knowing nothing of what came earlier but how
    far it is in steps, epochs or tokens; averages of ``smooth`` go on. The learning rate at an eval is the
    last that was logged (companion ``learning_rate``).
    """

    name: ClassVar[str] = "modified"
    error_prefix: ClassVar[str | None] = ""  # a user wrote every=0, not modified:every=0

    policy: Policy
    watch: str | None = param("the metric to watch instead of the one given", None)
    direction: str | None = param("its mode, min or max", None)
    every: int = param("make only every k-th eval", 1, minimum=1)
    smooth: str = param("ema:WEIGHT of the new value, mean:EVALS or median:EVALS", "none")
    start: float | str = param(
        "first eval (step, epoch, token) at which the policy may look, or lr_warmup", 0.0
    )
    reset_on: str = param(
        "lr_drop: count anew when the learning rate falls to half or less",
        "none",
        choices=("none", "lr_drop"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        smoother(self.smooth)
        if self.direction not in (None, "min", "max"):
            raise PolicyError(f"mode is min or max, not {self.direction!r}")
        if isinstance(self.start, str) and self.start != "lr_warmup":
            raise PolicyError(f"start is a number or lr_warmup, not {self.start!r}")
        if not isinstance(self.start, str) and self.start < 0:
            raise PolicyError(f"start must be at least 0, not {format_parameter(self.start)}")

    def spec(self) -> str:
        shown = [("monitor", self.watch), ("mode", self.direction)]
        if self.every != 1:
            shown.append(("every", str(self.every)))
        if self.smooth != "none":
            shown.append(("smooth", self.smooth))
        if self.start:
            shown.append(("start", self._start))
        if self.reset_on != "none":
            shown.append(("reset_on", self.reset_on))
        extra = ",".join(f"{name}={value}" for name, value in shown if value is not None)
        inner = self.policy.spec()
        if not extra:
            return inner
        return f"{inner}{',' if '=' in inner else ':'}{extra}"

    @property
    def unit(self) -> str:
        """What ``start`` counts: the policy's own unit where that is one of how far an eval is."""
        unit = getattr(self.policy, "unit", "evals")
        return unit if unit in PROGRESS_UNITS else "evals"

    @property
    def _start(self) -> str:
        return self.start if isinstance(self.start, str) else format_parameter(float(self.start))

    @property
    def companions(self) -> tuple[Companion, ...]:
        progress = PROGRESS_UNITS[self.unit] if self.start and not isinstance(self.start, str) else ()
        rate = (_RATE,) if isinstance(self.start, str) or self.reset_on != "none" else ()
        return tuple(dict.fromkeys([*self.policy.companions, *progress, *rate]))

    @property
    def monitor(self) -> str | None:
        return self.watch or self.policy.monitor

    @property
    def mode(self) -> Mode | None:
        return self.direction or self.policy.mode  # type: ignore[return-value]

    def with_modes(self, modes: Mapping[str, Mode]) -> Policy:
        direction, inside = (
            self.direction or (modes.get(self.watch) if self.watch else None),
            self.policy.with_modes(modes),
        )
        if direction == self.direction and inside is self.policy:
            return self
        return replace(self, policy=inside, direction=direction)

    def absence_note(self) -> str | None:
        return self.policy.absence_note()

    def caution(self, metric: str, mode: Mode) -> str | None:
        return self.policy.caution(self.watch or metric, self.mode or mode)

    def signal_threshold(self, mode: Mode) -> float:
        return self.policy.signal_threshold(mode)

    @property
    def thinning(self) -> frozenset[int]:
        return frozenset([self.every])

    def trace(self, batch: CurveBatch) -> Trace:
        view = self._view(batch)
        inner = self.policy.trace(view.inside)
        runs, evals = view.inside.shape
        signal = view.back(np.where(view.inside.mask, inner.signal, -np.inf), -np.inf)
        reference = None if inner.reference is None else view.back(inner.reference, np.nan)
        place = view.back(progress_of(view.inside, "evals") - 1, -1.0).astype(np.int64)
        row = None
        if self.reset_on != "none":
            row = view.back(np.broadcast_to(np.arange(float(runs))[:, None], (runs, evals)), -1.0).astype(
                np.int64
            )
        return Trace(view.outside.replace(values=view.values), signal, reference, (inner,), place, row)

    def _view(self, batch: CurveBatch) -> _View:
        """The batch as the policy inside sees it."""
        batch = _select(batch, self.monitor, self.mode)
        present = batch.mask & ~_absent(batch, self.monitor)
        made = _compress(
            batch, present if self.every == 1 else present & (np.cumsum(present, axis=1) % self.every == 0)
        )
        smoothed = made.batch.replace(values=smoother(self.smooth)(made.batch))
        started = _Compressed(smoothed, _unchanged)
        if self.start:
            begun = (
                _after_warm_up(smoothed)
                if isinstance(self.start, str)
                else progress_of(smoothed, self.unit) >= self.start
            )
            started = _compress(smoothed, smoothed.mask & begun)
        split = (
            _split(started.batch, _drops(started.batch))
            if self.reset_on != "none"
            else _Compressed(started.batch, _unchanged)
        )

        def back(inside: Floats, fill: float) -> Floats:
            return made.back(started.back(split.back(inside, fill), fill), fill)

        return _View(batch, split.batch, back, made.back(smoothed.values, np.nan))

    def shape(self) -> tuple[Any, ...]:
        return (type(self.policy), self.policy.shape(), *self._changes)

    def trace_shape(self) -> tuple[Any, ...]:
        return (type(self.policy), self.policy.trace_shape(), *self._changes)

    @cached_property
    def _changes(self) -> tuple[Any, ...]:
        """What the policy inside sees of a batch depends on these."""
        return (
            self.monitor,
            self.mode,
            self.every,
            self.smooth,
            self.start,
            self.unit if self.start else None,
            self.reset_on,
        )

    @classmethod
    def family_stops(cls, policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
        rules = [policy for policy in policies if isinstance(policy, Modified)]
        for members in group_equal([rule._changes for rule in rules]):
            first = rules[members[0]]
            if first.reset_on != "none":  # several rows inside stand for one run: only the signal leads back
                for own, stops in super().family_stops([rules[member] for member in members], batch):
                    yield [members[place] for place in own], stops
                continue
            view = first._view(batch)
            outside = _places(view)
            for own, inside in find_stops([rules[member].policy for member in members], view.inside):
                yield (
                    [members[place] for place in own],
                    inside if outside is None else _outside(inside, outside),
                )

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        return self.policy.undefined(trace.parts[0], *self._inside(trace, run, eval))

    @staticmethod
    def _inside(trace: Trace, run: int, eval: int) -> tuple[int, int]:
        """Run and eval in what the policy inside saw; an eval of −1 was not seen."""
        assert trace.position is not None
        return run if trace.row is None else int(trace.row[run, eval]), int(trace.position[run, eval])

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        row, place = self._inside(trace, run, eval)
        if place < 0:
            why = [f"every={self.every}"] * (self.every > 1) + [f"start={self._start}"] * bool(self.start)
            return f"not looked at ({', '.join(why)})" if why else "metric not logged"
        inner = self.policy.reason(trace.parts[0], row, place)
        return (
            inner
            if self.smooth == "none"
            else f"smoothed {format_value(float(trace.batch.values[run, eval]))}: {inner}"
        )


class _View(NamedTuple):
    """A batch from outside, and from inside a modifier: the way back, and the values at the evals looked at
    (NaN elsewhere).
    """

    outside: CurveBatch
    inside: CurveBatch
    back: Callable[[Floats, float], Floats]
    values: Floats


def _places(view: _View) -> Ints | None:
    """The place outside of each eval inside (runs × evals inside); None where they are the same."""
    if view.inside.shape == view.outside.shape and bool((view.inside.lengths == view.outside.lengths).all()):
        return None
    seen = view.back(progress_of(view.inside, "evals"), 0.0)
    runs, places = np.nonzero(seen)
    found = np.zeros((len(seen), max(view.inside.shape[1], 1)), dtype=np.int64)
    found[runs, seen[runs, places].astype(np.int64) - 1] = places
    return found


def _outside(stops: Ints, positions: Ints) -> Ints:
    """Stops inside (policies × runs) as evals outside; NEVER and REFUSED, which are no positions, stay."""
    runs = np.arange(stops.shape[1])
    return np.where(stops >= 0, positions[runs, np.maximum(stops, 0)], stops)


def modified(policy: Policy, **changes: Any) -> Policy:
    """The policy with modifiers (fields of Modified); the policy itself where none is given."""
    given = {
        name: value for name, value in changes.items() if value is not None and value != _UNMODIFIED.get(name)
    }
    return Modified(policy, **given) if given else policy


#: The values of modifiers that change nothing.
_UNMODIFIED = {item.name: item.default for item in parameters(Modified)}


def _select(batch: CurveBatch, monitor: str | None, mode: Mode | None) -> CurveBatch:
    """The batch with the named metric as its values, where it carries several, and with the mode that is
    insisted on.
    """
    column = batch.metrics.get(monitor)
    return batch.replace(values=batch.values if column is None else column.values, mode=mode or batch.mode)


def _absent(batch: CurveBatch, monitor: str | None) -> Bools:
    column = batch.metrics.get(monitor)
    return np.zeros(batch.shape, dtype=bool) if column is None else ~column.logged


class _Compressed(NamedTuple):
    batch: CurveBatch
    back: Callable[[Floats, float], Floats]


def _compress(batch: CurveBatch, keep: Bools) -> _Compressed:
    """The batch with only the kept evals, and the way back to the full shape."""
    if bool((keep == batch.mask).all()):
        return _Compressed(batch, _unchanged)
    lengths = keep.sum(axis=1)
    width = int(lengths.max(initial=0))
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    inside = np.arange(width)[None, :] < lengths[:, None]

    def forth(array: Floats) -> Floats:
        return np.where(inside, np.take_along_axis(array, order, axis=1), np.nan)

    def back(inner: Floats, fill: float) -> Floats:
        out = np.full(batch.shape, fill)
        rows, columns = np.nonzero(inside)
        out[rows, order[rows, columns]] = inner[rows, columns]
        return out

    compressed = CurveBatch(
        forth(batch.values),
        forth(batch.steps),
        lengths,
        batch.mode,
        {name: forth(column) for name, column in batch.columns.items()},
        {
            name: MetricColumn(forth(values), forth(logged.astype(np.float64)) == 1)
            for name, (values, logged) in batch.metrics.items()
        },
    )
    return _Compressed(compressed, back)


def _unchanged(inner: Floats, fill: float) -> Floats:
    return inner


def _before(batch: CurveBatch) -> tuple[Floats, Floats]:
    """The learning rate at each eval and at that before it (NaN at the first, and where it is not finite and
    above 0).
    """
    rate = batch.columns[_RATE.name]
    before = np.full(batch.shape, np.nan)
    before[:, 1:] = np.where(np.isfinite(rate[:, :-1]) & (rate[:, :-1] > 0), rate[:, :-1], np.nan)
    return rate, before


def _after_warm_up(batch: CurveBatch) -> Bools:
    """Which evals come after the learning rate's first rise: from the first on whose rate is not above that
    of the eval before.
    """
    rate, before = _before(batch)
    after: Bools = np.logical_or.accumulate(rate <= before, axis=1)
    return after


def _drops(batch: CurveBatch) -> Bools:
    """At which evals the learning rate is at most half of that of the eval before."""
    rate, before = _before(batch)
    drops: Bools = rate <= before / 2
    return drops


def _split(batch: CurveBatch, begins: Bools) -> _Compressed:
    """The batch with every run cut into runs of their own where one begins, and the way back."""
    number = np.cumsum(begins & batch.mask, axis=1)
    pieces = number.max(axis=1, initial=0) + 1
    row = number + (np.cumsum(pieces) - pieces)[:, None]
    evals = np.arange(batch.shape[1])
    place = evals - np.maximum.accumulate(np.where(begins, evals, 0), axis=1)
    lengths = np.bincount(row[batch.mask], minlength=int(pieces.sum())).astype(np.int64)
    width = int(lengths.max(initial=0))

    def forth(array: Floats) -> Floats:
        out = np.full((len(lengths), width), np.nan)
        out[row[batch.mask], place[batch.mask]] = array[batch.mask]
        return out

    def back(inner: Floats, fill: float) -> Floats:
        out = np.full(batch.shape, fill)
        out[batch.mask] = inner[row[batch.mask], place[batch.mask]]
        return out

    pieces_batch = CurveBatch(
        forth(batch.values),
        forth(batch.steps),
        lengths,
        batch.mode,
        {name: forth(column) for name, column in batch.columns.items()},
        {
            name: MetricColumn(forth(values), forth(logged.astype(np.float64)) == 1)
            for name, (values, logged) in batch.metrics.items()
        },
    )
    return _Compressed(pieces_batch, back)

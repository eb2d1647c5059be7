"""Modifiers: monitor, thinning of evals, smoothing, warm-up and resets.

A modifier that hides evals from the policy inside gives it a shorter curve (see `replay.policies.views`), and
puts −inf (cannot fire) where the policy inside saw nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion
from replay.policies.param import format_parameter, format_value, param, parameters
from replay.policies.progress import PROGRESS_UNITS, progress_of
from replay.policies.smoothing import smoother
from replay.policies.stops import find_stops, group_equal
from replay.policies.views import (
    LEARNING_RATE,
    View,
    after_warm_up,
    keep_evals,
    rate_drops,
    select_metric,
    split_runs,
)

__all__ = ["MODIFIERS", "Modified", "modified"]

#: Parameters that every policy takes: the name in a specification, the field of Modified, and what it does.
MODIFIERS: dict[str, tuple[str, str]] = {
    "monitor": ("watch", "the metric to monitor (default: that of the command)"),
    "mode": ("direction", "min or max, where the metric's name or log does not say"),
    "every": ("every", "use only every k-th eval"),
    "smooth": ("smooth", "ema:0.3 (weight of the new value), mean:3 or median:3 (evals)"),
    "start": (
        "start",
        (
            "the first eval (or step, epoch, token: see unit) that the policy uses; lr_warmup: the first one"
            " after the learning rate has risen"
        ),
    ),
    "reset_on": ("reset_on", "lr_drop: restart the count when the learning rate falls to half or less"),
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
        "lr_drop: restart the count when the learning rate falls to half or less",
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
        """What ``start`` counts: the policy's unit if progress can be counted in it, else evals."""
        unit = getattr(self.policy, "unit", "evals")
        return unit if unit in PROGRESS_UNITS else "evals"

    @property
    def _start(self) -> str:
        return self.start if isinstance(self.start, str) else format_parameter(float(self.start))

    @property
    def companions(self) -> tuple[Companion, ...]:
        progress = PROGRESS_UNITS[self.unit] if self.start and not isinstance(self.start, str) else ()
        rate = (LEARNING_RATE,) if isinstance(self.start, str) or self.reset_on != "none" else ()
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
        outside, view, values = self._view(batch)
        inner = self.policy.trace(view.inside)
        runs, evals = view.inside.shape
        signal = view.back(np.where(view.inside.mask, inner.signal, -np.inf), -np.inf)
        reference = None if inner.reference is None else view.back(inner.reference, np.nan)
        position = view.back(progress_of(view.inside, "evals") - 1, -1.0).astype(np.int64)
        row = None
        if self.reset_on != "none":
            rows = np.broadcast_to(np.arange(float(runs))[:, None], (runs, evals))
            row = view.back(rows, -1.0).astype(np.int64)
        return Trace(outside.replace(values=values), signal, reference, (inner,), position, row)

    def _view(self, batch: CurveBatch) -> tuple[CurveBatch, View, Floats]:
        """The batch with the metric that the policy monitors, what the policy inside sees of it, and the
        smoothed values at the evals made (NaN elsewhere).
        """
        outside, logged = select_metric(batch, self.monitor, self.mode)
        made = keep_evals(
            outside, logged if self.every == 1 else logged & (np.cumsum(logged, axis=1) % self.every == 0)
        )
        smoothed = made.inside.replace(values=smoother(self.smooth)(made.inside))
        view = View(smoothed, made.back)
        if self.start:
            begun = (
                after_warm_up(smoothed)
                if isinstance(self.start, str)
                else progress_of(smoothed, self.unit) >= self.start
            )
            view = view.then(keep_evals(smoothed, smoothed.mask & begun))
        if self.reset_on != "none":
            view = view.then(split_runs(view.inside, rate_drops(view.inside)))
        return outside, view, made.back(smoothed.values, np.nan)

    def shape(self) -> tuple[Any, ...]:
        return (type(self.policy), self.policy.shape(), *self._changes)

    def trace_shape(self) -> tuple[Any, ...]:
        return (type(self.policy), self.policy.trace_shape(), *self._changes)

    @cached_property
    def _changes(self) -> tuple[Any, ...]:
        """The settings that decide what the policy inside sees of a batch."""
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
        family = [policy for policy in policies if isinstance(policy, Modified)]
        for members in group_equal([policy._changes for policy in family]):
            alike = [family[member] for member in members]
            if alike[0].reset_on != "none":
                # several rows inside stand for one run, so that only the signal leads back
                for indices, stops in super().family_stops(alike, batch):
                    yield [members[index] for index in indices], stops
                continue
            outside, view, _ = alike[0]._view(batch)
            positions = view.positions(outside)
            for indices, stops in find_stops([policy.policy for policy in alike], view.inside):
                yield (
                    [members[index] for index in indices],
                    stops if positions is None else _stops_outside(stops, positions),
                )

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        return self.policy.undefined(trace.parts[0], *self._inside(trace, run, eval))

    @staticmethod
    def _inside(trace: Trace, run: int, eval: int) -> tuple[int, int]:
        """The run and eval in what the policy inside saw; eval −1 if it did not see this one."""
        assert trace.position is not None
        return run if trace.row is None else int(trace.row[run, eval]), int(trace.position[run, eval])

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        row, position = self._inside(trace, run, eval)
        if position < 0:
            why = [f"every={self.every}"] * (self.every > 1) + [f"start={self._start}"] * bool(self.start)
            return f"not looked at ({', '.join(why)})" if why else "metric not logged"
        inner = self.policy.reason(trace.parts[0], row, position)
        return (
            inner
            if self.smooth == "none"
            else f"smoothed {format_value(float(trace.batch.values[run, eval]))}: {inner}"
        )


def _stops_outside(stops: Ints, positions: Ints) -> Ints:
    """Stops inside (policies × runs) as evals outside; NEVER and REFUSED, which are no positions, stay."""
    runs = np.arange(stops.shape[1])
    return np.where(stops >= 0, positions[runs, np.maximum(stops, 0)], stops)


def modified(policy: Policy, **changes: Any) -> Policy:
    """The policy with modifiers (fields of Modified); the policy itself where none changes anything."""
    given = {
        name: value for name, value in changes.items() if value is not None and value != _UNMODIFIED.get(name)
    }
    return Modified(policy, **given) if given else policy


#: The values of modifiers that change nothing.
_UNMODIFIED = {item.name: item.default for item in parameters(Modified)}

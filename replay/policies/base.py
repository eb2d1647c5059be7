"""Policy, Trace and Decision: a policy is a causal signal and a threshold.

A policy is initialised with its parameters and keeps nothing else. From a batch of curves it computes a
*signal*: one number per eval, which depends on that eval and the evals before it only. The policy stops a run
at the first eval where the signal reaches its threshold. So replay and a live callback are the same function,
a sweep over thresholds is one pass, and a resumed training cannot lose a counter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from replay.data.curve import Curve, CurveBatch, MetricColumn
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.companions import Companion
from replay.policies.param import check_parameter, format_parameter, parameters, signal_fields
from replay.policies.stops import first_reached, first_reached_each, group_equal

_MOST_CONTINUED = 1000

__all__ = ["Decision", "Policy", "Trace", "reference_after_stop"]


class Decision(NamedTuple):
    """Whether to stop at one eval (1-based), with the reason in words."""

    eval: int
    stop: bool
    reason: str


@dataclass(frozen=True, eq=False)
class Trace:
    """How a policy saw a batch; all arrays have the shape runs × evals.

    ``signal`` is −inf where the policy cannot fire, and NaN where it is not defined for what was logged: a
    run that gets there before it is stopped is refused (see `Policy.refusals`). ``reference`` is the value
    that the eval was compared with, in the metric's own sign, NaN where there was none. ``figures`` are other
    numbers that a reason reports, by name.

    A policy that wraps others keeps their traces in ``parts``. Where they saw other evals, ``position`` is
    the index of each eval in what they saw (−1: not seen), and ``row`` its run there where that differs.
    """

    batch: CurveBatch
    signal: Floats
    reference: Floats | None = None
    parts: tuple[Trace, ...] = ()
    position: Ints | None = None
    row: Ints | None = None
    figures: Mapping[str, Floats] = field(default_factory=dict)


class Policy(ABC):
    """Base of all policies. Subclasses are frozen dataclasses whose fields are made by `param`.

    A subclass has a ``name`` (its key in POLICIES), a ``trace`` that computes the signal, a
    ``signal_threshold``, and a ``reason`` that describes an eval. ``replay policies`` shows the first
    paragraph of its docstring.
    """

    name: ClassVar[str]
    #: Library and version whose behaviour the rule reproduces; None for rules of our own.
    checked_against: ClassVar[str | None] = None
    #: What is worth sweeping: values of parameters as ``--grid`` takes them. Where empty: the patience, or
    #: the parameter that the policy is named after.
    grid: ClassVar[Mapping[str, str]] = {}

    #: Beginning of a message about a parameter; None: the policy's name.
    error_prefix: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for item in parameters(type(self)):
            prefix = f"{self.name}: " if self.error_prefix is None else self.error_prefix
            if item.name == self.name:  # the name once
                prefix = ""
            check_parameter(prefix, item, getattr(self, item.name))

    def __str__(self) -> str:
        return self.spec()

    def spec(self) -> str:
        """The specification that `parse_policy` reads back as an equal policy."""
        given = [
            (item.name, getattr(self, item.name))
            for item in parameters(type(self))
            if getattr(self, item.name) != item.default
        ]
        if given and given[0][0] == self.name:
            return ",".join(f"{name}={format_parameter(value)}" for name, value in given)
        return self.name + (
            ":" + ",".join(f"{name}={format_parameter(value)}" for name, value in given) if given else ""
        )

    @property
    def companions(self) -> tuple[Companion, ...]:
        """Columns that the policy reads beside its monitor."""
        return ()

    @property
    def monitor(self) -> str | None:
        """The metric that the policy insists on; None: the one it is given."""
        return None

    @property
    def mode(self) -> Mode | None:
        """The mode that the policy insists on; None: the one it is given."""
        return None

    def monitors(self) -> dict[str | None, Mode | None]:
        """Every metric that the policy monitors, with the mode that it insists on (None: the one given)."""
        return {self.monitor: self.mode}

    def with_modes(self, modes: Mapping[str, Mode]) -> Policy:
        """The policy with the modes of the metrics that it names filled in, where it does not state them."""
        return self

    def absence_note(self) -> str | None:
        """What the tool itself does on a log without the metric that the policy insists on; None: nothing
        to add.
        """
        return None

    def caution(self, metric: str, mode: Mode) -> str | None:
        """What a user should know before trusting the rule on this metric, in one sentence; None: nothing."""
        return None

    @property
    def thinning(self) -> frozenset[int]:
        """The policy makes only the evals whose number (1, 2, …) is a multiple of one of these."""
        return frozenset([1])

    def evals_made(self, batch: CurveBatch) -> Bools:
        """Which evals a training under the policy would have made (runs × evals)."""
        number = np.arange(1, batch.shape[1] + 1)
        made: Bools = batch.mask & np.logical_or.reduce(
            [number % every == 0 for every in sorted(self.thinning)]
        )
        return made

    @abstractmethod
    def trace(self, batch: CurveBatch) -> Trace:
        """The signal at every eval of every run, and the reference it was measured against."""

    @abstractmethod
    def signal_threshold(self, mode: Mode) -> float:
        """The policy stops at the first eval where its signal is at least this."""

    @abstractmethod
    def reason(self, trace: Trace, run: int, eval: int) -> str:
        """Describe what happened at one eval (0-based) of one run of a trace."""

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        """Describe why the signal is not defined (NaN) at one eval (0-based) of one run of a trace."""
        return f"it is not defined at step {trace.batch.steps[run, eval]:g}"

    def refusals(self, trace: Trace) -> dict[int, str]:
        """The runs that the policy cannot judge, by index in the batch, with the reason.

        Those are the runs that reach an eval at which the signal is not defined before they are stopped.
        """
        unknown = np.isnan(trace.signal) & trace.batch.mask
        if not unknown.any():
            return {}
        stops = first_reached(
            np.where(trace.batch.mask, trace.signal, -np.inf), self.signal_threshold(trace.batch.mode)
        )
        first = unknown.argmax(axis=1)
        refused = unknown.any(axis=1) & ((stops < 0) | (first < stops))
        return {int(run): self.undefined(trace, int(run), int(first[run])) for run in np.flatnonzero(refused)}

    def signal(self, batch: CurveBatch) -> Floats:
        """The signal at every eval (runs × evals), −inf beyond a run's length."""
        return np.where(batch.mask, self.trace(batch).signal, -np.inf)

    def stops(self, batch: CurveBatch) -> Ints:
        """0-based eval at which each run is stopped, NEVER where it is not."""
        return first_reached(self.signal(batch), self.signal_threshold(batch.mode))

    @property
    def off_reason(self) -> str | None:
        """Why these parameters switch the policy off, in words; None where they do not."""
        return None

    def shape(self) -> tuple[Any, ...]:
        """What the signal depends on: all parameters but those that set the threshold alone."""
        return (self.off_reason is None, *(getattr(self, name) for name in signal_fields(type(self))))

    def trace_shape(self) -> tuple[Any, ...]:
        """What the trace depends on: `shape`, with the threshold where that is the trace's reference."""
        return self.shape()

    @classmethod
    def family_stops(cls, policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
        """Find where policies of this class stop the runs of a batch.

        Gives parts, in some order: indices of policies, and their stops (policies × runs), which are 0-based
        evals, NEVER or REFUSED. Policies that differ in their threshold alone share a signal.
        """
        for members in group_equal([policy.shape() for policy in policies]):
            signal = policies[members[0]].signal(batch)
            yield (
                members,
                first_reached_each(
                    signal, [policies[member].signal_threshold(batch.mode) for member in members]
                ),
            )

    def reference_after(self, batch: CurveBatch, stops: Ints) -> Floats:
        """The value that the eval after the stop would be compared with, per run, in the metric's own sign.

        A negative stop stands for the last eval. For most policies this is the best value by their own, gated
        comparison. NaN where there is none, or where the policy compares with no value.
        """
        return reference_after_stop(self.continued_trace(batch), stops, batch.lengths)

    def continued_trace(self, batch: CurveBatch) -> Trace:
        """The trace of the batch with one more eval that the policy looks at behind each run."""
        # a thinning that is longer than this lets the policy look at no eval of the log
        return self.trace(_continue(batch, min(max(self.thinning), _MOST_CONTINUED)))

    def stop_eval(
        self,
        values: Sequence[float] | Floats,
        mode: Mode = "min",
        steps: Sequence[float] | None = None,
        columns: Mapping[str, Sequence[float]] | None = None,
    ) -> int | None:
        """1-based eval at which the policy stops a curve, or None.

        ``values`` has one metric value per eval; ``steps`` defaults to 1, 2, 3, …; ``columns`` are the
        companion columns by name (see `companions`). Raises PolicyError where one is missing, and where the
        policy is not defined for the values.
        """
        batch = self._batch(values, mode, steps, columns)
        trace = self.trace(batch)
        for why in self.refusals(trace).values():
            raise PolicyError(f"{self} cannot judge this curve: {why}")
        index = int(
            first_reached(np.where(batch.mask, trace.signal, -np.inf), self.signal_threshold(batch.mode))[0]
        )
        return None if index < 0 else index + 1

    def decide(
        self,
        values: Sequence[float] | Floats,
        mode: Mode = "min",
        steps: Sequence[float] | None = None,
        columns: Mapping[str, Sequence[float]] | None = None,
    ) -> Decision:
        """The decision at the last of the evals so far; arguments as for `stop_eval`."""
        batch = self._batch(values, mode, steps, columns)
        last = int(batch.lengths[0]) - 1
        if last < 0:
            return Decision(0, False, "no eval yet")
        trace = self.trace(batch)
        if np.isnan(trace.signal[0, last]):
            raise PolicyError(f"{self} cannot judge this curve: {self.undefined(trace, 0, last)}")
        return Decision(
            last + 1,
            bool(trace.signal[0, last] >= self.signal_threshold(batch.mode)),
            self.reason(trace, 0, last),
        )

    def _batch(
        self,
        values: Sequence[float] | Floats,
        mode: Mode,
        steps: Sequence[float] | None,
        columns: Mapping[str, Sequence[float]] | None,
    ) -> CurveBatch:
        if mode not in ("min", "max"):
            raise PolicyError(f"mode is 'min' or 'max', not {mode!r}")
        given = {name: [np.asarray(column, dtype=np.float64)] for name, column in (columns or {}).items()}
        lacking = [companion.name for companion in self.companions if companion.name not in given]
        if lacking:
            raise PolicyError(
                f"{self} needs {', '.join(lacking)} beside the metric: pass it in columns={{...}}"
            )
        return CurveBatch.of([Curve.of(values, self.mode or mode, steps)], given)


def _continue(batch: CurveBatch, evals: int) -> CurveBatch:
    """The batch with some more evals of NaN at the end of each run, one step apart.

    Companions keep the value that they have at the last eval.
    """
    runs, most = batch.shape
    extra = np.arange(most + evals)[None, :] - batch.lengths[:, None]
    beyond = (extra >= 0) & (extra < evals)

    def longer(array: Floats, fill: float | None = None) -> Floats:
        wide = np.concatenate([array, np.full((runs, evals), np.nan)], axis=1)
        last = (
            array[np.arange(runs), np.maximum(batch.lengths - 1, 0)][:, None] if most else np.zeros((runs, 1))
        )
        return np.where(beyond, last if fill is None else fill, wide)

    steps = longer(batch.steps) + np.where(beyond, extra + 1, 0)
    return CurveBatch(
        longer(batch.values, np.nan),
        steps,
        batch.lengths + evals,
        batch.mode,
        {name: longer(column) for name, column in batch.columns.items()},
        {
            name: MetricColumn(longer(values, np.nan), longer(logged.astype(np.float64), 1.0) == 1)
            for name, (values, logged) in batch.metrics.items()
        },
    )


def reference_after_stop(trace: Trace, stops: Ints, lengths: Ints) -> Floats:
    """The reference that the next eval after each run's stop (or its last eval) would be compared with.

    ``trace`` is a continued trace of runs with these lengths. NaN where the policy compares with no value.
    """
    runs = len(lengths)
    if trace.reference is None:
        return np.full(runs, np.nan)
    looked = trace.batch.mask if trace.position is None else trace.position >= 0
    width = looked.shape[1]
    following = np.where(looked, np.arange(width), width)
    # the first eval looked at from each on
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(runs)
    at = following[rows, np.where(stops < 0, lengths - 1, stops) + 1]
    return np.where(at < width, trace.reference[rows, np.minimum(at, width - 1)], np.nan)

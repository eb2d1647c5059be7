"""Policy, Trace and Decision: a stop rule is a causal signal and a limit.

A policy is initialised with its parameters and keeps nothing else. From a batch of curves it computes a
*signal*, one number an eval that depends on that eval and the ones before only, and it stops a run at the
first eval where the signal reaches its limit. So replay and a live callback are the same function, a sweep
over limits is one pass, and a resumed training cannot lose a counter.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from replay.data.curve import Curve, CurveBatch, MetricColumn
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import PolicyError
from replay.policies.companions import Companion, Progress

__all__ = [
    "NEVER",
    "PROGRESS_UNITS",
    "REFUSED",
    "Decision",
    "Policy",
    "Trace",
    "count_consecutive",
    "find_stops",
    "first_reached_each",
    "format_parameter",
    "format_value",
    "group_equal",
    "param",
    "progress_of",
    "reference_after_stop",
    "require_patience",
]

#: What stands for an eval where a policy never stops a run, and where it cannot judge it (see
#: `Policy.refusals`).
NEVER, REFUSED = -1, -2


class Decision(NamedTuple):
    """Stop or continue at one eval (1-based), with the reason in words."""

    eval: int
    stop: bool
    reason: str


@dataclass(frozen=True, eq=False)
class Trace:
    """How a policy saw a batch, all of shape runs × evals.

    ``signal`` is −inf where the policy cannot fire, and NaN where it is not defined for what was logged: a
    run that gets there before it is stopped is refused (see `Policy.refusals`). ``reference`` is the value
    that the eval was compared with (in the metric's own sign, NaN where there was none); ``figures`` are
    others that a reason tells, by name. A policy that wraps others keeps their traces in ``parts`` and, where
    they saw other evals, the place of each eval in what they saw (−1: not seen) in ``place``, and its run
    there in ``row`` where that is another.
    """

    batch: CurveBatch
    signal: Floats
    reference: Floats | None = None
    parts: tuple[Trace, ...] = ()
    position: Ints | None = None
    row: Ints | None = None
    figures: Mapping[str, Floats] = field(default_factory=dict)


def param(
    help: str,
    default: Any = MISSING,
    *,
    minimum: float | None = None,
    choices: Sequence[str] = (),
    aliases: Sequence[str] = (),
    sets_threshold: bool = False,
) -> Any:
    """A policy's parameter: a dataclass field with its description, bounds, choices and other accepted names.

    ``limit`` says that it sets the policy's limit alone: the signal is the same whatever its value, so that a
    sweep computes it once.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "choices": tuple(choices),
        "aliases": tuple(aliases),
        "sets_threshold": sets_threshold,
    }
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


class Policy(ABC):
    """Base of all stop rules. Subclasses are frozen dataclasses whose fields are made by `param`.

    A subclass has a ``name`` (its key in POLICIES), a ``trace`` that computes the signal, a ``limit``, and a
    ``reason`` that tells an eval's story. Its docstring's first line is what ``replay policies`` shows.
    """

    name: ClassVar[str]
    #: Library and version whose behaviour the rule reproduces; None for rules of our own.
    checked_against: ClassVar[str | None] = None
    #: What is worth sweeping: values of parameters as ``--grid`` takes them. Where empty, the patience or
    #: what the rule is named after.
    grid: ClassVar[Mapping[str, str]] = {}

    #: What a message about a parameter begins with; None: the policy's name.
    error_prefix: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        whose = f"{self.name}: " if self.error_prefix is None else self.error_prefix
        for item in parameters(type(self)):
            _check(whose, item, getattr(self, item.name))

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
        """Every metric that the policy watches, with the mode it insists on (None: the one that it is
        given).
        """
        return {self.monitor: self.mode}

    def with_modes(self, modes: Mapping[str, Mode]) -> Policy:
        """The policy with the modes of the metrics that it names filled in, where it does not say them
        itself.
        """
        return self

    def absence_note(self) -> str | None:
        """What a log without the metric that the policy insists on means for the tool's own rule, in words;
        None: nothing to add.
        """
        return None

    def caution(self, metric: str, mode: Mode) -> str | None:
        """What a user should know before trusting the rule on this metric, in one sentence; None: nothing."""
        return None

    @property
    def thinning(self) -> frozenset[int]:
        """The policy has only those evals made whose number (1, 2, …) is a multiple of one of these: of 1,
        unless it thins them.
        """
        return frozenset([1])

    def evals_made(self, batch: CurveBatch) -> Bools:
        """Which evals the policy would have had made (runs × evals)."""
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
        """What happened at one eval (0-based) of one run of a trace, in words."""

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        """Why the signal of a trace is not defined (NaN) at one eval (0-based) of one run, in words."""
        return f"it is not defined at step {trace.batch.steps[run, eval]:g}"

    def refusals(self, trace: Trace) -> dict[int, str]:
        """Runs that the policy cannot judge, by place in the trace's batch, and why: it is not defined where
        it had not stopped yet.
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
        """0-based eval at which each run is stopped, −1 where it never is."""
        return first_reached(self.signal(batch), self.signal_threshold(batch.mode))

    @property
    def off_reason(self) -> str | None:
        """Why these parameters switch the rule off, in words; None where they do not."""
        return None

    def shape(self) -> tuple[Any, ...]:
        """What the signal depends on, of policies of one kind: the parameters but those that set the limit
        alone.
        """
        return (self.off_reason is None, *(getattr(self, name) for name in _shaping(type(self))))

    @classmethod
    def family_stops(cls, policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
        """Where policies of this kind stop the runs of a batch, in some order and in parts: their places, and
        their stops.

        The stops have shape policies × runs: 0-based evals, NEVER or REFUSED. Policies that differ in their
        limit share a signal.
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
        """The policy's own best of each run after its stop (after its last eval where that is negative), in
        the metric's own sign.

        That is what the next eval would be compared with: for most rules the best value by their own, gated
        comparison. NaN where there is none, or the policy compares with no value.
        """
        return reference_after_stop(self.continued_trace(batch), stops, batch.lengths)

    def continued_trace(self, batch: CurveBatch) -> Trace:
        """The trace of the batch with one more eval that the policy looks at behind each run."""
        return self.trace(_continued(batch, max(self.thinning)))

    def stop_eval(
        self,
        values: Sequence[float] | Floats,
        mode: Mode = "min",
        steps: Sequence[float] | None = None,
        columns: Mapping[str, Sequence[float]] | None = None,
    ) -> int | None:
        """1-based eval at which the policy stops a curve, or None.

        ``values`` has one metric value an eval; ``steps`` defaults to 1, 2, 3, …; ``columns`` are the
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


@cache
def parameters(kind: type[Policy]) -> tuple[Field[Any], ...]:
    """The parameters of a policy class, in order."""
    return tuple(item for item in fields(kind) if "help" in item.metadata)  # type: ignore[arg-type]


def _continued(batch: CurveBatch, evals: int) -> CurveBatch:
    """The batch with some more evals of NaN at the end of each run, one step apart, that find all else as the
    last eval did.
    """
    runs, most = batch.shape
    place = np.arange(most + evals)[None, :] - batch.lengths[:, None]
    beyond = (place >= 0) & (place < evals)

    def longer(array: Floats, fill: float | None = None) -> Floats:
        wide = np.concatenate([array, np.full((runs, evals), np.nan)], axis=1)
        last = (
            array[np.arange(runs), np.maximum(batch.lengths - 1, 0)][:, None] if most else np.zeros((runs, 1))
        )
        return np.where(beyond, last if fill is None else fill, wide)

    steps = longer(batch.steps) + np.where(beyond, place + 1, 0)
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
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[
        :, ::-1
    ]  # the first one looked at from here on
    rows = np.arange(runs)
    at = following[rows, np.where(stops < 0, lengths - 1, stops) + 1]
    return np.where(at < width, trace.reference[rows, np.minimum(at, width - 1)], np.nan)


def first_reached(signal: Floats, limit: float) -> Ints:
    """0-based place in each row of the first value at or above the limit, −1 where there is none."""
    hit = signal >= limit
    return (
        np.where(hit.any(axis=1), hit.argmax(axis=1), -1).astype(np.int64)
        if signal.shape[1]
        else np.full(len(signal), -1, dtype=np.int64)
    )


def first_reached_each(signal: Floats, limits: Sequence[float]) -> Ints:
    """0-based place in each row (runs × evals) of the first value at or above each limit; shape limits ×
    runs.

    NEVER where there is none, REFUSED where the signal is not defined (NaN) before it.
    """
    runs, evals = signal.shape
    unknown = np.isnan(signal)
    begin = np.where(unknown.any(axis=1), unknown.argmax(axis=1), evals) if evals and unknown.any() else None
    wanted = np.asarray(limits, dtype=np.float64)
    if not evals:
        return np.full((len(wanted), runs), NEVER, dtype=np.int64)
    if len(wanted) < 4:
        out = np.stack([first_reached(signal, limit) for limit in wanted.tolist()])
    else:
        # how many limits the highest value so far reaches; it never falls, so the evals at which it is below
        # a number give a place
        distinct, which = np.unique(wanted, return_inverse=True)
        highest = np.fmax.accumulate(signal, axis=1)
        reached = np.searchsorted(distinct, np.where(np.isnan(highest), -np.inf, highest), side="right")
        width = len(distinct) + 1
        reached += np.arange(runs)[:, None] * width
        places = (
            np.bincount(reached.ravel(), minlength=runs * width).reshape(runs, width).cumsum(axis=1)[:, :-1].T
        )
        out = np.where(places == evals, NEVER, places)[which]
    if begin is not None:
        out = np.where((begin < evals) & ((out < 0) | (begin < out)), REFUSED, out)
    return out


def find_stops(policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
    """Where policies of any kinds stop the runs of a batch: places among the policies, and stops as of
    `Policy.family_stops`.
    """
    for members in group_equal([type(policy) for policy in policies]):
        for own, stops in type(policies[members[0]]).family_stops(
            [policies[member] for member in members], batch
        ):
            yield [members[place] for place in own], stops


def group_equal(keys: Sequence[Any]) -> list[list[int]]:
    """The places of equal keys, in the order in which they first occur."""
    found: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return list(found.values())


@cache
def _shaping(kind: type[Policy]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if not item.metadata.get("sets_threshold"))  # type: ignore[arg-type]


#: Units of how far an eval is, and the companions that each needs.
PROGRESS_UNITS: dict[str, tuple[Companion, ...]] = {
    "evals": (),
    "steps": (),
    "epochs": (Progress("epoch"),),
    "tokens": (Progress("tokens"),),
}


def require_patience(policy: str, patience: float, unit: str) -> None:
    """Raise PolicyError where a patience in a unit of PROGRESS_UNITS cannot be: it is above 0, and evals are
    whole.
    """
    if unit == "evals" and patience < 1:
        raise PolicyError(f"{policy}: patience must be at least 1, not {format_parameter(patience)}")
    if patience <= 0:
        raise PolicyError(f"{policy}: patience must be above 0, not {format_parameter(patience)}")
    if unit == "evals" and patience != int(patience):
        raise PolicyError(
            f"{policy}: patience counts whole evals, not {format_parameter(patience)}; for fractions give"
            " unit=epochs"
        )


def count_consecutive(holds: Bools) -> Floats:
    """How many evals in a row, up to each, something holds; shape runs × evals."""
    evals = np.arange(1, holds.shape[1] + 1)
    last_not = (
        np.maximum.accumulate(np.where(holds, 0, evals), axis=1) if holds.shape[1] else np.empty(holds.shape)
    )
    return (evals - last_not).astype(np.float64)


def progress_of(batch: CurveBatch, unit: str) -> Floats:
    """How far each eval is, in evals (1, 2, …), steps, epochs or train tokens; shape runs × evals."""
    if unit == "evals":
        return np.broadcast_to(np.arange(1.0, batch.shape[1] + 1), batch.shape)
    return batch.steps if unit == "steps" else batch.columns[PROGRESS_UNITS[unit][0].name]


def format_parameter(value: Any) -> str:
    """A parameter as the specification spells it, short and exact (``3``, ``0.001``)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def format_value(value: float) -> str:
    """A metric value for a reader: five significant digits."""
    return f"{value:.5g}"


def _check(whose: str, item: Field[Any], value: Any) -> None:
    minimum, choices = item.metadata["minimum"], item.metadata["choices"]
    if choices and value not in choices:
        raise PolicyError(f"{whose}{item.name} is one of {', '.join(choices)}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{whose}{item.name} must be a finite number, not {value!r}")
    if minimum is not None and value < minimum:
        raise PolicyError(
            f"{whose}{item.name} must be at least {format_parameter(minimum)}, not {format_parameter(value)}"
        )

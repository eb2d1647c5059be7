"""Policies made of policies: modifiers (monitor, thinning, smoothing, warm-up, resets) and the combinators any, all and unless.

Each wraps policies and is one: a causal function of the curve so far. A wrapper that hides evals from the policy inside
gives it a shorter curve and puts −inf (cannot fire) where the inner policy saw nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from replay.errors import PolicyError
from replay.policies.base import POSITIONS, Policy, Trace, alike, param, parameters, plain, position, steady, stops_of
from replay.run import Bools, CurveBatch, Floats, Ints, Mode

__all__ = ["AllOf", "AllOnce", "AnyOf", "Modified", "Unless", "modified"]


@dataclass(frozen=True)
class Modified(Policy):
    """A policy that looks at a chosen metric, at fewer evals, at smoothed values, from later on, or anew after a reset.

    In this order: ``monitor`` picks the metric; ``every=k`` makes only evals k, 2k, 3k, … (as if eval_steps were k times
    as large, so their compute is counted only); ``smooth`` averages over the evals made; ``start`` hides everything
    before that eval (or step, epoch or train token, in the policy's own unit): it neither counts nor becomes a reference.
    ``start=lr_warmup`` hides everything before the first eval whose learning rate is not above that of the eval before, both
    finite and the latter above 0: where its first rise has ended. ``reset_on=lr_drop`` begins a new curve at every eval whose
    learning rate is at most half of that of the eval before (above 0): the policy counts anew, knowing nothing of what came
    earlier but how far it is in steps, epochs or tokens; averages of ``smooth`` go on. The learning rate at an eval is the last
    that was logged (companion ``learning_rate``).
    """

    name: ClassVar[str] = "modified"
    whose: ClassVar[str | None] = ""  # a user wrote every=0, not modified:every=0

    policy: Policy
    watch: str | None = param("the metric to watch instead of the one given", None)
    direction: str | None = param("its mode, min or max", None)
    every: int = param("make only every k-th eval", 1, minimum=1)
    smooth: str = param("ema:WEIGHT of the new value, mean:EVALS or median:EVALS", "none")
    start: float | str = param("first eval (step, epoch, token) at which the policy may look, or lr_warmup", 0.0)
    reset_on: str = param("lr_drop: count anew when the learning rate falls to half or less", "none", choices=("none", "lr_drop"))

    def __post_init__(self) -> None:
        super().__post_init__()
        _smoother(self.smooth)
        if self.direction not in (None, "min", "max"):
            raise PolicyError(f"mode is min or max, not {self.direction!r}")
        if isinstance(self.start, str) and self.start != "lr_warmup":
            raise PolicyError(f"start is a number or lr_warmup, not {self.start!r}")
        if not isinstance(self.start, str) and self.start < 0:
            raise PolicyError(f"start must be at least 0, not {plain(self.start)}")

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
        return unit if unit in POSITIONS else "evals"

    @property
    def _start(self) -> str:
        return self.start if isinstance(self.start, str) else plain(float(self.start))

    @property
    def needs(self) -> tuple[str, ...]:
        own = POSITIONS[self.unit] if self.start and not isinstance(self.start, str) else ()
        rate = ("learning_rate",) if isinstance(self.start, str) or self.reset_on != "none" else ()
        return tuple(dict.fromkeys([*self.policy.needs, *own, *rate]))

    @property
    def monitor(self) -> str | None:
        return self.watch or self.policy.monitor

    @property
    def mode(self) -> Mode | None:
        return self.direction or self.policy.mode  # type: ignore[return-value]

    def resolved(self, modes: Mapping[str, Mode]) -> Policy:
        direction, inside = self.direction or (modes.get(self.watch) if self.watch else None), self.policy.resolved(modes)
        if direction == self.direction and inside is self.policy:
            return self
        return replace(self, policy=inside, direction=direction)

    def absent(self) -> str | None:
        return self.policy.absent()

    def caution(self, metric: str, mode: Mode) -> str | None:
        return self.policy.caution(self.watch or metric, self.mode or mode)

    def limit(self, mode: Mode) -> float:
        return self.policy.limit(mode)

    @property
    def thinning(self) -> frozenset[int]:
        return frozenset([self.every])

    def trace(self, batch: CurveBatch) -> Trace:
        view = self._view(batch)
        inner = self.policy.trace(view.inside)
        runs, evals = view.inside.shape
        signal = view.back(np.where(view.inside.mask, inner.signal, -np.inf), -np.inf)
        reference = None if inner.reference is None else view.back(inner.reference, np.nan)
        place = view.back(position(view.inside, "evals") - 1, -1.0).astype(np.int64)
        row = None
        if self.reset_on != "none":
            row = view.back(np.broadcast_to(np.arange(float(runs))[:, None], (runs, evals)), -1.0).astype(np.int64)
        return Trace(view.outside.replace(values=view.values), signal, reference, (inner,), place, row)

    def _view(self, batch: CurveBatch) -> _View:
        """The batch as the policy inside sees it."""
        batch = _select(batch, self.monitor, self.mode)
        present = batch.mask & ~_absent(batch, self.monitor)
        made = _compress(batch, present if self.every == 1 else present & (np.cumsum(present, axis=1) % self.every == 0))
        smoothed = made.batch.replace(values=_smoother(self.smooth)(made.batch))
        started = _Compressed(smoothed, _unchanged)
        if self.start:
            begun = _after_warm_up(smoothed) if isinstance(self.start, str) else position(smoothed, self.unit) >= self.start
            started = _compress(smoothed, smoothed.mask & begun)
        split = _split(started.batch, _drops(started.batch)) if self.reset_on != "none" else _Compressed(started.batch, _unchanged)

        def back(inside: Floats, fill: float) -> Floats:
            return made.back(started.back(split.back(inside, fill), fill), fill)

        return _View(batch, split.batch, back, made.back(smoothed.values, np.nan))

    def shape(self) -> tuple[Any, ...]:
        return (type(self.policy), self.policy.shape(), *self._changes)

    @cached_property
    def _changes(self) -> tuple[Any, ...]:
        """What the policy inside sees of a batch depends on these."""
        return (self.monitor, self.mode, self.every, self.smooth, self.start, self.unit if self.start else None, self.reset_on)

    @classmethod
    def stops_each(cls, policies: Sequence[Policy], batch: CurveBatch) -> Iterator[tuple[list[int], Ints]]:
        rules = [policy for policy in policies if isinstance(policy, Modified)]
        for members in alike([rule._changes for rule in rules]):
            first = rules[members[0]]
            if first.reset_on != "none":  # several rows inside stand for one run: only the signal leads back
                for own, stops in super().stops_each([rules[member] for member in members], batch):
                    yield [members[place] for place in own], stops
                continue
            view = first._view(batch)
            outside = _places(view)
            for own, inside in stops_of([rules[member].policy for member in members], view.inside):
                stops = inside if outside is None else np.where(inside >= 0, outside[np.arange(inside.shape[1]), inside], inside)
                yield [members[place] for place in own], stops

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        return self.policy.undefined(trace.parts[0], *self._inside(trace, run, eval))

    @staticmethod
    def _inside(trace: Trace, run: int, eval: int) -> tuple[int, int]:
        """Run and eval in what the policy inside saw; an eval of −1 was not seen."""
        assert trace.place is not None
        return run if trace.row is None else int(trace.row[run, eval]), int(trace.place[run, eval])

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        row, place = self._inside(trace, run, eval)
        if place < 0:
            why = [f"every={self.every}"] * (self.every > 1) + [f"start={self._start}"] * bool(self.start)
            return f"not looked at ({', '.join(why)})" if why else "metric not logged"
        inner = self.policy.reason(trace.parts[0], row, place)
        return inner if self.smooth == "none" else f"smoothed {steady(float(trace.batch.values[run, eval]))}: {inner}"


class _View(NamedTuple):
    """A batch from outside, and from inside a modifier: the way back, and the values at the evals looked at (NaN elsewhere)."""

    outside: CurveBatch
    inside: CurveBatch
    back: Callable[[Floats, float], Floats]
    values: Floats


def _places(view: _View) -> Ints | None:
    """The place outside of each eval inside (runs × evals inside); None where they are the same."""
    if view.inside.shape == view.outside.shape and bool((view.inside.lengths == view.outside.lengths).all()):
        return None
    seen = view.back(position(view.inside, "evals"), 0.0)
    runs, places = np.nonzero(seen)
    found = np.zeros((len(seen), max(view.inside.shape[1], 1)), dtype=np.int64)
    found[runs, seen[runs, places].astype(np.int64) - 1] = places
    return found


def modified(policy: Policy, **changes: Any) -> Policy:
    """The policy with modifiers (fields of Modified); the policy itself where none is given."""
    given = {name: value for name, value in changes.items() if value is not None and value != _UNMODIFIED.get(name)}
    return Modified(policy, **given) if given else policy


#: The values of modifiers that change nothing.
_UNMODIFIED = {item.name: item.default for item in parameters(Modified)}


@dataclass(frozen=True)
class _Combined(Policy):
    parts: tuple[Policy, ...]

    symbol: ClassVar[str]
    #: How loosely the operator binds: a part that binds more loosely stands in parentheses.
    binds: ClassVar[int]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise PolicyError(f"{self.name} needs at least two policies")

    def spec(self) -> str:
        """The parts, joined by the symbol; a part that binds more loosely is in parentheses."""
        shown = [f"({part.spec()})" if isinstance(part, _Combined) and part.binds > self.binds else part.spec() for part in self.parts]
        return f" {self.symbol} ".join(shown)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.needs))

    @property
    def _first(self) -> Policy:
        """The part whose metric decides which checkpoint is best: one that watches the given metric, else the first."""
        return next((part for part in self.parts if part.monitor is None), self.parts[0])

    @property
    def monitor(self) -> str | None:
        return self._first.monitor

    @property
    def mode(self) -> Mode | None:
        return self._first.mode

    def watched(self) -> dict[str | None, Mode | None]:
        merged: dict[str | None, Mode | None] = {}
        for part in self.parts:
            for name, mode in part.watched().items():
                if merged.get(name) and mode and mode != merged[name]:
                    raise PolicyError(f"policy {self.spec()!r} takes both modes for {name or 'its monitor'}")
                merged[name] = merged.get(name) or mode
        return merged

    def resolved(self, modes: Mapping[str, Mode]) -> Policy:
        return replace(self, parts=tuple(part.resolved(modes) for part in self.parts))

    def absent(self) -> str | None:
        return next((text for part in self.parts if (text := part.absent()) is not None), None)

    def caution(self, metric: str, mode: Mode) -> str | None:
        said = [text for part in self.parts if (text := part.caution(metric, part.mode or mode)) is not None]
        return said[0] if said else None

    @property
    def thinning(self) -> frozenset[int]:
        return frozenset[int]().union(*(part.thinning for part in self.parts))

    def limit(self, mode: Mode) -> float:
        return 1.0

    def _readers(self, batch: CurveBatch) -> list[Policy]:
        """The parts, each able to pass over evals that did not log its metric where the parts watch several."""
        several = any(name.startswith("logged:") for name in batch.columns)
        return [Modified(part) if several and not isinstance(part, Modified | _Combined) else part for part in self.parts]

    def _fired(self, batch: CurveBatch) -> tuple[tuple[Trace, ...], list[Bools]]:
        readers = self._readers(batch)
        traces = tuple(reader.trace(batch) for reader in readers)
        fired = [trace.signal >= reader.limit(reader.mode or batch.mode) for reader, trace in zip(readers, traces, strict=True)]
        return traces, fired

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        readers = self._readers(trace.batch)
        unknown = [np.flatnonzero(np.isnan(own.signal[run, : eval + 1])) for own in trace.parts]
        at, part = max((int(where[-1]), -part) for part, where in enumerate(unknown) if len(where))
        return readers[-part].undefined(trace.parts[-part], run, at)

    def _fired_before(self, trace: Trace, part: int, run: int, eval: int) -> int | None:
        """The first eval (0-based) up to this one at which a part fired."""
        reader, own = self._readers(trace.batch)[part], trace.parts[part]
        fired = np.flatnonzero(own.signal[run, : eval + 1] >= reader.limit(reader.mode or trace.batch.mode))
        return int(fired[0]) if len(fired) else None

    def _texts(self, trace: Trace, run: int, eval: int) -> list[tuple[bool, str]]:
        """Whether each part would stop at the eval, and its reason."""
        found = []
        for part, reader, own in zip(self.parts, self._readers(trace.batch), trace.parts, strict=True):
            fires = bool(own.signal[run, eval] >= reader.limit(reader.mode or trace.batch.mode))
            found.append((fires, f"{part.spec()}: {reader.reason(own, run, eval)}"))
        return found


@dataclass(frozen=True)
class AnyOf(_Combined):
    """Stop when any of the policies would (``A | B``).

    Examples
    --------
    >>> from replay.policies.patience import Patience
    >>> from replay.policies.threshold import Target
    >>> AnyOf((Patience(3), Target(0.5))).stop_eval([1.0, 0.4, 0.6])
    2
    """

    name: ClassVar[str] = "any"
    symbol: ClassVar[str] = "|"
    binds: ClassVar[int] = 3

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        unknown = np.logical_or.reduce([np.isnan(own.signal) for own in traces])
        return Trace(batch, np.where(np.logical_or.reduce(fired), 1.0, np.where(unknown, np.nan, 0.0)), None, traces)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        texts = self._texts(trace, run, eval)
        return next((text for fires, text in texts if fires), "; ".join(text for _, text in texts))


@dataclass(frozen=True)
class AllOf(_Combined):
    """Stop when all of the policies would at the same eval (``A & B``).

    Examples
    --------
    >>> from replay.policies.budget import Budget
    >>> from replay.policies.patience import Patience
    >>> AllOf((Patience(1), Budget(3))).stop_eval([1.0, 1.1, 0.9, 1.0])
    4
    """

    name: ClassVar[str] = "all"
    symbol: ClassVar[str] = "&"
    binds: ClassVar[int] = 1

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        open_ = np.logical_and.reduce([here | np.isnan(own.signal) for here, own in zip(fired, traces, strict=True)])
        return Trace(batch, np.where(np.logical_and.reduce(fired), 1.0, np.where(open_, np.nan, 0.0)), None, traces)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return "; ".join(text for _, text in self._texts(trace, run, eval))


@dataclass(frozen=True)
class AllOnce(_Combined):
    """Stop when all of the policies would have stopped, each at this eval or an earlier one (``A && B``).

    A part that has stopped once stays so, whatever comes later. (Of ``A & B`` both must want to stop at the same eval.)

    Examples
    --------
    >>> from replay.policies.patience import Patience
    >>> from replay.policies.threshold import Target
    >>> parts, curve = (Patience(1), Target(0.5)), [1.0, 1.1, 0.9, 0.5]
    >>> AllOnce(parts).stop_eval(curve), AllOf(parts).stop_eval(curve)
    (4, None)
    """

    name: ClassVar[str] = "all-once"
    symbol: ClassVar[str] = "&&"
    binds: ClassVar[int] = 2

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        ever, unknown = _latched(traces, fired)
        open_ = np.logical_and.reduce([here | there for here, there in zip(ever, unknown, strict=True)])
        return Trace(batch, np.where(np.logical_and.reduce(ever), 1.0, np.where(open_, np.nan, 0.0)), None, traces)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        told = []
        for number, (fires, text) in enumerate(self._texts(trace, run, eval)):
            before = self._fired_before(trace, number, run, eval)
            told.append(text if fires or before is None else f"{self.parts[number].spec()}: since step {trace.batch.steps[run, before]:g}")
        return "; ".join(told)


@dataclass(frozen=True)
class Unless(_Combined):
    """Stop when the first policy would, unless the second would have stopped, at this eval or an earlier one (``A unless B``).

    So once B has fired, the run goes on to its end: ``patience=3 unless target=0.5``.

    Examples
    --------
    >>> from replay.policies.patience import Patience
    >>> from replay.policies.threshold import Target
    >>> rule = Unless((Patience(2), Target(0.5)))
    >>> rule.stop_eval([1.0, 1.1, 1.2]), rule.stop_eval([1.0, 0.5, 1.2, 1.3, 1.4])
    (3, None)
    """

    name: ClassVar[str] = "unless"
    symbol: ClassVar[str] = "unless"
    binds: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if len(self.parts) != 2:
            raise PolicyError("unless joins two policies: the one that stops, and the one that forbids it")

    def spec(self) -> str:
        rule, veto = self.parts
        return f"{rule.spec()} unless " + (f"({veto.spec()})" if isinstance(veto, Unless) else veto.spec())

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        (_, forbidden), (_, unsure) = _latched(traces, fired)
        stops = np.where(np.isnan(traces[0].signal), np.nan, fired[0].astype(np.float64))
        return Trace(batch, np.where(forbidden | (stops == 0), 0.0, np.where(unsure, np.nan, stops)), None, traces)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        (stops, text), (_, veto) = self._texts(trace, run, eval)
        before = self._fired_before(trace, 1, run, eval)
        if not stops or before is None:
            return text
        return (
            f"{text}; but {veto}" if before == eval else f"{text}; but {self.parts[1].spec()} since step {trace.batch.steps[run, before]:g}"
        )


def _latched(traces: Sequence[Trace], fired: Sequence[Bools]) -> tuple[list[Bools], list[Bools]]:
    """Of each part: whether it has fired by each eval, and whether that is unknown, because it was not defined once and has not."""
    ever = [np.logical_or.accumulate(here, axis=1) for here in fired]
    return ever, [np.logical_or.accumulate(np.isnan(own.signal), axis=1) & ~here for own, here in zip(traces, ever, strict=True)]


def _select(batch: CurveBatch, monitor: str | None, mode: Mode | None) -> CurveBatch:
    """The batch with the named metric as its values, where it carries several, and with the mode that is insisted on."""
    values = batch.columns.get(f"metric:{monitor}", batch.values)
    return batch.replace(values=values, mode=mode or batch.mode)


def _absent(batch: CurveBatch, monitor: str | None) -> Bools:
    logged = batch.columns.get(f"logged:{monitor}")
    return np.zeros(batch.shape, dtype=bool) if logged is None else logged != 1


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
        forth(batch.values), forth(batch.steps), lengths, batch.mode, {name: forth(column) for name, column in batch.columns.items()}
    )
    return _Compressed(compressed, back)


def _unchanged(inner: Floats, fill: float) -> Floats:
    return inner


def _before(batch: CurveBatch) -> tuple[Floats, Floats]:
    """The learning rate at each eval and at that before it (NaN at the first, and where it is not finite and above 0)."""
    rate = batch.columns["learning_rate"]
    before = np.full(batch.shape, np.nan)
    before[:, 1:] = np.where(np.isfinite(rate[:, :-1]) & (rate[:, :-1] > 0), rate[:, :-1], np.nan)
    return rate, before


def _after_warm_up(batch: CurveBatch) -> Bools:
    """Which evals come after the learning rate's first rise: from the first on whose rate is not above that of the eval before."""
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

    columns = {name: forth(column) for name, column in batch.columns.items()}
    return _Compressed(CurveBatch(forth(batch.values), forth(batch.steps), lengths, batch.mode, columns), back)


def _smoother(spec: str) -> Callable[[CurveBatch], Floats]:
    """The smoothing of a specification; a value that is not finite is passed on as it is and left out of the average."""
    if spec == "none":
        return lambda batch: batch.values
    match = re.fullmatch(r"(ema|mean|median):([0-9.eE+-]+)", spec)
    allowed = "smooth is none, ema:WEIGHT (0 < WEIGHT <= 1, of the new value), mean:EVALS or median:EVALS"
    if match is None:
        raise PolicyError(f"{allowed}; not {spec!r}")
    kind, text = match.groups()
    try:
        number = float(text)
    except ValueError:
        raise PolicyError(f"{allowed}; not {spec!r}") from None
    if kind == "ema":
        if not 0 < number <= 1:
            raise PolicyError(f"{allowed}; not {spec!r}")
        return lambda batch: _ema(batch.values, number)
    if not math.isfinite(number) or number != int(number) or number < 1:
        raise PolicyError(f"{allowed}; not {spec!r}")
    return lambda batch: _window(batch.values, int(number), kind)


def _ema(values: Floats, weight: float) -> Floats:
    out = np.array(values.T, order="C")  # one eval of all runs lies together in memory
    state = np.full(len(values), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        for value, finite in zip(out, np.isfinite(out), strict=True):
            new = np.where(np.isnan(state), value, weight * value + (1 - weight) * state)
            state = np.where(finite, new, state)
            np.copyto(value, state, where=finite)
    return np.ascontiguousarray(out.T)


def _window(values: Floats, evals: int, kind: str) -> Floats:
    finite = np.isfinite(values)
    smoothed = (_mean if kind == "mean" else _median)(values, finite, min(evals, values.shape[1]))
    return np.where(finite, smoothed, values)


def _mean(values: Floats, finite: Bools, evals: int) -> Floats:
    total = np.zeros(values.shape)
    known = np.where(finite, values, 0.0)
    count: Ints = np.cumsum(finite, axis=1, dtype=np.int64)
    count[:, evals:] -= count[:, : values.shape[1] - evals].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for ago in reversed(range(evals)):  # oldest first, one by one: the same sum as a plain loop's
            total[:, ago:] += known[:, : values.shape[1] - ago]
        return total / np.maximum(count, 1)


def _median(values: Floats, finite: Bools, evals: int) -> Floats:
    out = values.copy()
    runs = np.arange(len(values))
    ordered = np.where(finite, values, np.inf)
    for eval in range(values.shape[1]):
        begin = max(0, eval - evals + 1)
        window, count = np.sort(ordered[:, begin : eval + 1], axis=1), finite[:, begin : eval + 1].sum(axis=1)
        low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, window.shape[1] - 1)
        with np.errstate(over="ignore"):
            out[:, eval] = np.where(count % 2 == 1, window[runs, low], (window[runs, low] + window[runs, high]) / 2)
    return out

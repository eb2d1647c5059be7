"""Policies made of policies: modifiers (monitor, thinning, smoothing, warm-up) and the combinators any and all.

Each wraps policies and is one: a causal function of the curve so far. A wrapper that hides evals from the policy inside
gives it a shorter curve and puts −inf (cannot fire) where the inner policy saw nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from replay.errors import PolicyError
from replay.policies.base import Policy, Trace, param, plain, position, steady
from replay.run import Bools, CurveBatch, Floats, Mode

__all__ = ["AllOf", "AnyOf", "Modified", "modified"]


@dataclass(frozen=True)
class Modified(Policy):
    """A policy that looks at a chosen metric, at fewer evals, at smoothed values, or from later on.

    In this order: ``monitor`` picks the metric; ``every=k`` makes only evals k, 2k, 3k, … (as if eval_steps were k times
    as large, so their compute is counted only); ``smooth`` averages over the evals made; ``start`` hides everything
    before that eval (or step, or epoch, in the policy's own unit): it neither counts nor becomes a reference.
    """

    name: ClassVar[str] = "modified"

    policy: Policy
    watch: str | None = param("the metric to watch instead of the one given", None)
    direction: str | None = param("its mode, min or max", None)
    every: int = param("make only every k-th eval", 1, minimum=1)
    smooth: str = param("ema:WEIGHT of the new value, mean:EVALS or median:EVALS", "none")
    start: float = param("first eval (step, epoch) at which the policy may look", 0.0, minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _smoother(self.smooth)
        if self.direction not in (None, "min", "max"):
            raise PolicyError(f"mode is min or max, not {self.direction!r}")

    def spec(self) -> str:
        shown = [("monitor", self.watch), ("mode", self.direction)]
        if self.every != 1:
            shown.append(("every", str(self.every)))
        if self.smooth != "none":
            shown.append(("smooth", self.smooth))
        if self.start:
            shown.append(("start", plain(float(self.start))))
        extra = ",".join(f"{name}={value}" for name, value in shown if value is not None)
        inner = self.policy.spec()
        if not extra:
            return inner
        return f"{inner}{',' if '=' in inner else ':'}{extra}"

    @property
    def unit(self) -> str:
        """What ``start`` counts: the policy's own unit where that is evals, steps or epochs."""
        unit = getattr(self.policy, "unit", "evals")
        return unit if unit in ("evals", "steps", "epochs") else "evals"

    @property
    def needs(self) -> tuple[str, ...]:
        own = ("epoch",) if self.start and self.unit == "epochs" else ()
        return tuple(dict.fromkeys([*self.policy.needs, *own]))

    @property
    def monitor(self) -> str | None:
        return self.watch or self.policy.monitor

    @property
    def mode(self) -> Mode | None:
        return self.direction or self.policy.mode  # type: ignore[return-value]

    def resolved(self, modes: Mapping[str, Mode]) -> Policy:
        direction = self.direction or (modes.get(self.watch) if self.watch else None)
        return replace(self, policy=self.policy.resolved(modes), direction=direction)

    def caution(self, metric: str, mode: Mode) -> str | None:
        return self.policy.caution(self.watch or metric, self.mode or mode)

    def limit(self, mode: Mode) -> float:
        return self.policy.limit(mode)

    def seen(self, batch: CurveBatch) -> Bools:
        evals = np.arange(1, batch.shape[1] + 1)
        made: Bools = batch.mask & (evals % self.every == 0)
        return made

    def trace(self, batch: CurveBatch) -> Trace:
        batch = _select(batch, self.monitor, self.mode)
        present = batch.mask & ~_absent(batch, self.monitor)
        number = np.cumsum(present, axis=1)
        made = _compress(batch, present & (number % self.every == 0))
        smoothed = made.batch.replace(values=_smoother(self.smooth)(made.batch))
        started = _compress(smoothed, smoothed.mask & (position(smoothed, self.unit) >= self.start))
        inner = self.policy.trace(started.batch)
        signal = started.back(np.where(started.batch.mask, inner.signal, -np.inf), -np.inf)
        reference = None if inner.reference is None else made.back(started.back(inner.reference, np.nan), np.nan)
        place = made.back(started.back(position(started.batch, "evals") - 1, -1.0), -1.0).astype(np.int64)
        seen_values = batch.replace(values=made.back(smoothed.values, np.nan))
        return Trace(seen_values, made.back(signal, -np.inf), reference, (inner,), place)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        assert trace.place is not None
        place = int(trace.place[run, eval])
        if place < 0:
            return (
                "not looked at ("
                + ", ".join(
                    text
                    for text in (f"every={self.every}" if self.every > 1 else "", f"start={plain(float(self.start))}" if self.start else "")
                    if text
                )
                + ")"
                if self.every > 1 or self.start
                else "metric not logged"
            )
        inner = self.policy.reason(trace.parts[0], run, place)
        return inner if self.smooth == "none" else f"smoothed {steady(float(trace.batch.values[run, eval]))}: {inner}"


def modified(policy: Policy, **changes: Any) -> Policy:
    """The policy with modifiers (fields of Modified); the policy itself where none is given."""
    given = {name: value for name, value in changes.items() if value is not None}
    return Modified(policy, **given) if given else policy


@dataclass(frozen=True)
class _Combined(Policy):
    parts: tuple[Policy, ...]

    symbol: ClassVar[str]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise PolicyError(f"{self.name} needs at least two policies")

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

    def caution(self, metric: str, mode: Mode) -> str | None:
        said = [text for part in self.parts if (text := part.caution(metric, part.mode or mode)) is not None]
        return said[0] if said else None

    def seen(self, batch: CurveBatch) -> Bools:
        made: Bools = np.logical_or.reduce([part.seen(batch) for part in self.parts])
        return made

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

    def spec(self) -> str:
        return " | ".join(part.spec() for part in self.parts)

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        return Trace(batch, np.logical_or.reduce(fired).astype(np.float64), None, traces)

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

    def spec(self) -> str:
        return " & ".join(f"({part.spec()})" if isinstance(part, AnyOf) else part.spec() for part in self.parts)

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._fired(batch)
        return Trace(batch, np.logical_and.reduce(fired).astype(np.float64), None, traces)

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return "; ".join(text for _, text in self._texts(trace, run, eval))


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
        return _Compressed(batch, lambda inner, fill: inner)
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
    if number != int(number) or number < 1:
        raise PolicyError(f"{allowed}; not {spec!r}")
    return lambda batch: _window(batch.values, int(number), kind)


def _ema(values: Floats, weight: float) -> Floats:
    out = values.copy()
    state = np.full(len(values), np.nan)
    for eval in range(values.shape[1]):
        value = values[:, eval]
        finite = np.isfinite(value)
        with np.errstate(over="ignore", invalid="ignore"):
            state = np.where(finite, np.where(np.isnan(state), value, weight * value + (1 - weight) * state), state)
        out[:, eval] = np.where(finite, state, value)
    return out


def _window(values: Floats, evals: int, kind: str) -> Floats:
    out = values.copy()
    for eval in range(values.shape[1]):
        window = values[:, max(0, eval - evals + 1) : eval + 1]
        finite = np.isfinite(window)
        count = finite.sum(axis=1)
        if kind == "mean":
            total = np.zeros(len(values))
            for column in range(window.shape[1]):  # oldest first, one by one: the same sum as a plain loop's
                with np.errstate(over="ignore", invalid="ignore"):
                    total = np.where(finite[:, column], total + window[:, column], total)
            smoothed = total / np.maximum(count, 1)
        else:
            ordered = np.sort(np.where(finite, window, np.inf), axis=1)
            low, high = np.maximum(count - 1, 0) // 2, count // 2
            high = np.minimum(high, window.shape[1] - 1)
            rows = np.arange(len(values))
            with np.errstate(over="ignore"):
                smoothed = np.where(count % 2 == 1, ordered[rows, low], (ordered[rows, low] + ordered[rows, high]) / 2)
        out[:, eval] = np.where(finite[:, -1], smoothed, values[:, eval])
    return out

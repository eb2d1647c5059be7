"""Combinators: policies joined by any, all, all-once and unless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Mode
from replay.errors import PolicyError
from replay.policies.base import Policy, Trace
from replay.policies.companions import Companion
from replay.policies.modify import Modified

__all__ = ["AllOf", "AllOnce", "AnyOf", "Unless"]


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
        shown = [
            f"({part.spec()})" if isinstance(part, _Combined) and part.binds > self.binds else part.spec()
            for part in self.parts
        ]
        return f" {self.symbol} ".join(shown)

    @property
    def companions(self) -> tuple[Companion, ...]:
        return tuple(dict.fromkeys(companion for part in self.parts for companion in part.companions))

    @cached_property
    def _first(self) -> Policy:
        """The part whose metric decides which checkpoint is best: the first that monitors the given metric,
        else the first.
        """
        return next((part for part in self.parts if part.monitor is None), self.parts[0])

    # each asks its parts twice, so that uncached the time would double with each level

    @cached_property
    def monitor(self) -> str | None:
        return self._first.monitor

    @cached_property
    def mode(self) -> Mode | None:
        return self._first.mode

    def monitors(self) -> dict[str | None, Mode | None]:
        merged: dict[str | None, Mode | None] = {}
        for part in self.parts:
            for name, mode in part.monitors().items():
                if merged.get(name) and mode and mode != merged[name]:
                    raise PolicyError(f"policy {self.spec()!r} takes both modes for {name or 'its monitor'}")
                merged[name] = merged.get(name) or mode
        return merged

    def with_modes(self, modes: Mapping[str, Mode]) -> Policy:
        return replace(self, parts=tuple(part.with_modes(modes) for part in self.parts))

    def absence_note(self) -> str | None:
        return next((text for part in self.parts if (text := part.absence_note()) is not None), None)

    def caution(self, metric: str, mode: Mode) -> str | None:
        cautions = (part.caution(metric, part.mode or mode) for part in self.parts)
        return next((text for text in cautions if text is not None), None)

    @property
    def thinning(self) -> frozenset[int]:
        return frozenset[int]().union(*(part.thinning for part in self.parts))

    def signal_threshold(self, mode: Mode) -> float:
        return 1.0

    def _readers(self, batch: CurveBatch) -> list[Policy]:
        """The parts, each able to skip evals that did not log its metric where the parts monitor several."""
        return [
            Modified(part) if batch.metrics and not isinstance(part, Modified | _Combined) else part
            for part in self.parts
        ]

    def _find_fired(self, batch: CurveBatch) -> tuple[tuple[Trace, ...], list[Bools]]:
        readers = self._readers(batch)
        traces = tuple(reader.trace(batch) for reader in readers)
        fired = [
            trace.signal >= _threshold(reader, batch) for reader, trace in zip(readers, traces, strict=True)
        ]
        return traces, fired

    def undefined(self, trace: Trace, run: int, eval: int) -> str:
        readers = self._readers(trace.batch)
        unknown = [np.flatnonzero(np.isnan(part.signal[run, : eval + 1])) for part in trace.parts]
        # of the parts that were last undefined, the first
        last, index = max((int(evals[-1]), -index) for index, evals in enumerate(unknown) if len(evals))
        return readers[-index].undefined(trace.parts[-index], run, last)

    def _first_fired(self, trace: Trace, part: int, run: int, eval: int) -> int | None:
        """The first eval (0-based) up to this one at which a part fired; None where it has not."""
        threshold = _threshold(self._readers(trace.batch)[part], trace.batch)
        fired = np.flatnonzero(trace.parts[part].signal[run, : eval + 1] >= threshold)
        return int(fired[0]) if len(fired) else None

    def _texts(self, trace: Trace, run: int, eval: int) -> list[tuple[bool, str]]:
        """Whether each part would stop at the eval, and its reason."""
        texts = []
        for part, reader, seen in zip(self.parts, self._readers(trace.batch), trace.parts, strict=True):
            fires = bool(seen.signal[run, eval] >= _threshold(reader, trace.batch))
            texts.append((fires, f"{part.spec()}: {reader.reason(seen, run, eval)}"))
        return texts


@dataclass(frozen=True)
class AnyOf(_Combined):
    """Stop when any of the policies would (``A | B``).

    Examples
    --------
    >>> from replay.policies.rules.patience import Patience
    >>> from replay.policies.rules.threshold import Target
    >>> AnyOf((Patience(3), Target(0.5))).stop_eval([1.0, 0.4, 0.6])
    2
    """

    name: ClassVar[str] = "any"
    symbol: ClassVar[str] = "|"
    binds: ClassVar[int] = 3

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._find_fired(batch)
        unknown = np.logical_or.reduce([np.isnan(trace.signal) for trace in traces])
        return Trace(
            batch, np.where(np.logical_or.reduce(fired), 1.0, np.where(unknown, np.nan, 0.0)), None, traces
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        texts = self._texts(trace, run, eval)
        return next((text for fires, text in texts if fires), "; ".join(text for _, text in texts))


@dataclass(frozen=True)
class AllOf(_Combined):
    """Stop when all of the policies would at the same eval (``A & B``).

    Examples
    --------
    >>> from replay.policies.rules.budget import Budget
    >>> from replay.policies.rules.patience import Patience
    >>> AllOf((Patience(1), Budget(3))).stop_eval([1.0, 1.1, 0.9, 1.0])
    4
    """

    name: ClassVar[str] = "all"
    symbol: ClassVar[str] = "&"
    binds: ClassVar[int] = 1

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._find_fired(batch)
        open_ = np.logical_and.reduce(
            [here | np.isnan(trace.signal) for here, trace in zip(fired, traces, strict=True)]
        )
        return Trace(
            batch, np.where(np.logical_and.reduce(fired), 1.0, np.where(open_, np.nan, 0.0)), None, traces
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        return "; ".join(text for _, text in self._texts(trace, run, eval))


@dataclass(frozen=True)
class AllOnce(_Combined):
    """Stop when all of the policies would have stopped, each at this eval or an earlier one (``A && B``).

    A part that has stopped once stays so, whatever comes later. (Of ``A & B`` both must want to stop at the
    same eval.)

    Examples
    --------
    >>> from replay.policies.rules.patience import Patience
    >>> from replay.policies.rules.threshold import Target
    >>> parts, curve = (Patience(1), Target(0.5)), [1.0, 1.1, 0.9, 0.5]
    >>> AllOnce(parts).stop_eval(curve), AllOf(parts).stop_eval(curve)
    (4, None)
    """

    name: ClassVar[str] = "all-once"
    symbol: ClassVar[str] = "&&"
    binds: ClassVar[int] = 2

    def trace(self, batch: CurveBatch) -> Trace:
        traces, fired = self._find_fired(batch)
        ever, unknown = _latch(traces, fired)
        open_ = np.logical_and.reduce([here | there for here, there in zip(ever, unknown, strict=True)])
        return Trace(
            batch, np.where(np.logical_and.reduce(ever), 1.0, np.where(open_, np.nan, 0.0)), None, traces
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        texts = []
        for number, (fires, text) in enumerate(self._texts(trace, run, eval)):
            before = self._first_fired(trace, number, run, eval)
            texts.append(
                text
                if fires or before is None
                else f"{self.parts[number].spec()}: since step {trace.batch.steps[run, before]:g}"
            )
        return "; ".join(texts)


@dataclass(frozen=True)
class Unless(_Combined):
    """Stop when the first policy would, unless the second would have stopped, at this eval or an earlier one
    (``A unless B``).

    So once B has fired, the run goes on to its end: ``patience=3 unless target=0.5``.

    Examples
    --------
    >>> from replay.policies.rules.patience import Patience
    >>> from replay.policies.rules.threshold import Target
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
        traces, fired = self._find_fired(batch)
        (_, forbidden), (_, unsure) = _latch(traces, fired)
        stops = np.where(np.isnan(traces[0].signal), np.nan, fired[0].astype(np.float64))
        return Trace(
            batch, np.where(forbidden | (stops == 0), 0.0, np.where(unsure, np.nan, stops)), None, traces
        )

    def reason(self, trace: Trace, run: int, eval: int) -> str:
        (stops, text), (_, veto) = self._texts(trace, run, eval)
        before = self._first_fired(trace, 1, run, eval)
        if not stops or before is None:
            return text
        return (
            f"{text}; but {veto}"
            if before == eval
            else f"{text}; but {self.parts[1].spec()} since step {trace.batch.steps[run, before]:g}"
        )


def _threshold(policy: Policy, batch: CurveBatch) -> float:
    return policy.signal_threshold(policy.mode or batch.mode)


def _latch(traces: Sequence[Trace], fired: Sequence[Bools]) -> tuple[list[Bools], list[Bools]]:
    """Whether each part has fired by each eval, and where that is unknown: not fired, but undefined once."""
    ever = [np.logical_or.accumulate(here, axis=1) for here in fired]
    return ever, [
        np.logical_or.accumulate(np.isnan(trace.signal), axis=1) & ~here
        for trace, here in zip(traces, ever, strict=True)
    ]

"""What a policy would do at the next eval of a training that goes on, by the value that the eval gives."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.types import Bools, Floats
from replay.policies import Policy

__all__ = ["NextEval", "NextKind", "next_eval"]

#: Values that are tried at once. In 64-bit numbers, 11 rounds of them find a bound exactly.
_TRIED, _ROUNDS = 64, 12
#: How far beyond the values so far a value counts as possible.
_FAR = 1e6


class NextKind(StrEnum):
    """What the policy does at the next eval."""

    CONTINUES = "continues"
    STOPS = "stops"
    STOPS_UNLESS_BETTER = "stops_unless_better"
    STOPS_IF_BETTER = "stops_if_better"
    #: It depends on more than the value: on other columns, or on the value in more than one way.
    OPEN = "open"


@dataclass(frozen=True)
class NextEval:
    """What the policy does at eval number ``eval`` (1, 2, …).

    ``bound`` is the value that decides. Where ``strict``, the value must be better than the bound to count as
    better; otherwise a value equal to the bound counts too. Both are set for the two kinds that have a bound.
    """

    kind: NextKind
    eval: int
    bound: float | None = None
    strict: bool = True


def next_eval(policy: Policy, batch: CurveBatch, row: int) -> NextEval:
    """What a policy does at the next eval of a run that it has not stopped so far.

    ``batch`` is what the policy looks at, ``row`` the run in it. The next eval is taken to come after as many
    steps as the last one did.
    """
    length = int(batch.lengths[row])
    number = length + 1
    if policy.companions or batch.metrics or len(policy.trace(batch).parts) > 1:
        return NextEval(NextKind.OPEN, number)  # of several rules, each may have a bound of its own
    values, steps = batch.values[row, :length], batch.steps[row, :length]
    step = 2 * steps[-1] - steps[-2] if length > 1 else steps[-1] + 1 if length else 1.0

    def stops(tried: Floats) -> Bools | None:
        """Whether the policy stops for each of the values; None where it is not defined for one."""
        count = len(tried)
        longer = CurveBatch(
            np.column_stack([np.tile(values, (count, 1)), tried]),
            np.tile(np.append(steps, step), (count, 1)),
            np.full(count, number, dtype=np.int64),
            batch.mode,
        )
        signal = policy.trace(longer).signal[:, -1]
        if np.isnan(signal).any():
            return None
        fires: Bools = signal >= policy.signal_threshold(batch.mode)
        return fires

    sign = 1.0 if batch.mode == "min" else -1.0
    tried = _first_tried(values, sign)
    fires = stops(tried)
    if fires is None:
        return NextEval(NextKind.OPEN, number)
    if fires.all():
        return NextEval(NextKind.STOPS, number)
    if not fires.any():
        return NextEval(NextKind.CONTINUES, number)
    change = int(np.flatnonzero(fires != fires[0])[0])
    if (fires[change:] == fires[0]).any():
        return NextEval(NextKind.OPEN, number)
    # the values on both sides of the bound: the last that does as the best one, and the first that does not
    near, far = float(tried[change - 1]), float(tried[change])
    for _ in range(_ROUNDS):
        between = _between(near, far)
        if not len(between):
            break
        same = stops(between)
        if same is None:
            return NextEval(NextKind.OPEN, number)
        differ = np.flatnonzero(same != fires[0])
        first = int(differ[0]) if len(differ) else len(between)
        if (same[first:] == fires[0]).any():
            return NextEval(NextKind.OPEN, number)
        near = float(between[first - 1]) if first else near
        far = float(between[first]) if first < len(between) else far
    strict = _is_plainer(far, near, values)
    kind = NextKind.STOPS_IF_BETTER if fires[0] else NextKind.STOPS_UNLESS_BETTER
    return NextEval(kind, number, far if strict else near, strict)


def _is_plainer(value: float, other: float, values: Floats) -> bool:
    """Whether a value says more to a reader than its neighbour: it is one of those logged, or is shorter."""
    known = value in values, other in values
    return known[0] if known[0] != known[1] else len(repr(value)) <= len(repr(other))


def _first_tried(values: Floats, sign: float) -> Floats:
    """Values that the next eval might give, from the best to the worst: far beyond those so far, and among
    them. A metric that was always positive stays so.
    """
    finite = np.unique(values[np.isfinite(values)])
    most = float(np.abs(finite).max(initial=1.0)) * _FAR
    least = float(finite[0]) / _FAR if len(finite) and finite[0] > 0 else -most
    among = finite if len(finite) <= _TRIED else np.quantile(finite, np.linspace(0, 1, _TRIED))
    tried = np.unique(np.concatenate([[least], among, [most]]))
    return tried if sign > 0 else tried[::-1]


def _between(one: float, other: float) -> Floats:
    """Some doubles strictly between two doubles, evenly spread over all that there are, from the first to the
    second; none where the two are neighbours.
    """
    begin, end = _rank(one), _rank(other)
    gap = end - begin
    count = min(abs(gap) - 1, _TRIED)
    ranks = [begin + gap * number // (count + 1) for number in range(1, count + 1)]
    distinct = [rank for rank in dict.fromkeys(ranks) if rank not in (begin, end)]
    return np.array([_double(rank) for rank in distinct], dtype=np.float64)


def _rank(value: float) -> int:
    """The place of a finite double in the order of all doubles."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits) if bits >= 0 else -(int(bits) & 0x7FFF_FFFF_FFFF_FFFF)


def _double(rank: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<d", 0.0) if rank == 0 else struct.pack("<q", abs(rank)))
    return float(value) if rank >= 0 else -float(value)

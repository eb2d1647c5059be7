"""The values of a grid's parameter: a list of values and of ranges, which is counted before it is made.

A range is ``A..B`` (both ends, step 1), ``A..B..STEP`` or ``A..B*FACTOR``. Its numbers are those that one
would type: sums and products are exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Context, Decimal, InvalidOperation
from typing import NamedTuple

from replay.errors import PolicyError
from replay.policies.param import format_parameter

__all__ = ["Range", "as_range", "parse_values"]

#: Wide enough for sums and quotients of any two floats written out, so that they are exact.
_EXACT = Context(prec=700)
_NEAR = Context(prec=50)  # for logarithms, of which only whole quotients count
#: Far above what rounding makes of such a quotient: a range that reaches its end exactly has it.
_HAIR = Decimal("1e-30")
#: How far above its end, relative to it, a geometric range may come and still be said to end there.
_ROUNDING = Decimal("1e-6")
#: A range as other programs write it.
_OTHER_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:-|–|:|…|to)\s*(\d+(?:\.\d+)?)")
#: About how many values a range has with the step that a message proposes.
_THINNED = 20


class Range(NamedTuple):
    """The numbers from ``first`` to ``last``: each is the one before plus ``by`` (times it: geometric)."""

    first: Decimal
    last: Decimal
    by: Decimal
    geometric: bool

    @property
    def size(self) -> int:
        if not self.geometric:
            return int(_EXACT.divide_int(_EXACT.subtract(self.last, self.first), self.by)) + 1
        end = _EXACT.multiply(self.last, _EXACT.add(Decimal(1), self._slack))
        steps = _NEAR.divide(_NEAR.subtract(_NEAR.ln(end), _NEAR.ln(self.first)), _NEAR.ln(self.by))
        return int(_NEAR.add(steps, _HAIR)) + 1

    @property
    def _slack(self) -> Decimal:
        """A small part of a step where the steps are small themselves."""
        return min(_ROUNDING, _EXACT.divide(_EXACT.subtract(self.by, Decimal(1)), Decimal(10)))

    def texts(self) -> Iterator[str]:
        value = self.first
        for _ in range(self.size):
            near = self.geometric and abs(_EXACT.subtract(value, self.last)) <= _EXACT.multiply(
                self.last, self._slack
            )
            yield format_parameter(float(self.last if near else value))
            value = _EXACT.multiply(value, self.by) if self.geometric else _EXACT.add(value, self.by)

    @property
    def long(self) -> bool:
        """Whether the range has more values than a message would propose."""
        return self.size > _THINNED

    def thinned(self) -> str:
        """The same range, written with a larger step or factor so that it has a few of its values."""
        steps = -(-self.size // _THINNED)
        if not self.geometric:
            return f"{self.first}..{self.last}..{format_parameter(float(self.by * steps))}".lower()
        return f"{self.first}..{self.last}*{float((_NEAR.ln(self.by) * steps).exp()):.3g}".lower()


def as_range(text: str) -> str | None:
    """How a range that is written in another way (``1-6``, ``1:6``) is written here; None for other texts."""
    match = _OTHER_RANGE.fullmatch(text.strip())
    return None if match is None else f"{match[1]}..{match[2]}"


def parse_values(name: str, values: str, numbers: bool) -> tuple[str | Range, ...]:
    """The values and ranges of a list, as texts and ranges; ``numbers`` says that the list may have ranges.

    Raises PolicyError, whose message begins with the parameter's name, for a range that is none.
    """
    pieces = [piece for piece in map(str.strip, values.split(",")) if piece]
    for piece in pieces:
        if numbers and ".." not in piece and (meant := as_range(piece)) is not None:
            raise PolicyError(f"{name}: {piece!r} is not a range; write {name}={meant}")
    return tuple(_parse_range(name, piece) if numbers and ".." in piece else piece for piece in pieces)


def _parse_range(name: str, text: str) -> Range:
    span, star, factor = text.partition("*")
    ends = span.split("..")
    if len(ends) > (2 if star else 3):
        raise PolicyError(f"{name}: a range is A..B, A..B..STEP or A..B*FACTOR, not {text!r}")
    first, last, *step = [_parse_decimal(name, end, text) for end in ends]
    by = _parse_decimal(name, factor, text) if star else step[0] if step else Decimal(1)
    if first > last:
        raise PolicyError(f"{name}: a range goes up: {ends[1]}..{ends[0]}, not {ends[0]}..{ends[1]}")
    if star and by <= 1:
        raise PolicyError(f"{name}: the factor of a range must be above 1, as in {span}*2, not {factor}")
    if star and first <= 0:
        raise PolicyError(
            f"{name}: a range by a factor begins above 0, not at {ends[0]}; give 0 as a value of its own, as"
            " in 0,1e-4..1*10"
        )
    if by <= 0:
        raise PolicyError(f"{name}: the step of a range must be above 0, not {ends[2]}")
    return Range(first, last, by, bool(star))


def _parse_decimal(name: str, text: str, whole: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise PolicyError(
            f"{name}: a range has numbers, as in 1..20, 0..1..0.1 or 1e-4..1*10; {text!r} in {whole!r} is"
            " none"
        ) from None
    if not value.is_finite() or not math.isfinite(float(value)) or (value and not float(value)):
        raise PolicyError(f"{name}: a range has finite numbers; {text!r} in {whole!r} is none")
    return value

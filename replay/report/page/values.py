"""Numbers as the page holds them: short, and never NaN."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["MANY_RUNS", "exact", "share_digits", "short", "shorts", "spread"]

_DIGITS = 7
#: With more runs than this, a page holds less of each.
MANY_RUNS = 1_000


def short(value: float | None, digits: int = _DIGITS) -> float | int | str | None:
    """A number with few significant digits; None for NaN, and text for an infinity."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def shorts(values: Iterable[float | None], digits: int = _DIGITS) -> list[float | int | str | None]:
    """`short` of each value."""
    return [short(value, digits) for value in values]


def share_digits(runs: int) -> int:
    """The significant digits of what a policy saves and loses on each run."""
    return 6 if runs <= MANY_RUNS else 4


def exact(value: Any) -> Any:
    """A figure in full; None for NaN, and text for an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def spread(count: int, most: int, always: Sequence[int] = ()) -> list[int]:
    """At most about ``most`` indices below ``count``, evenly spread, with those of ``always``."""
    if count <= most:
        return list(range(count))
    step = (count - 1) / max(most - 1, 1)
    chosen = {round(step * number) for number in range(most)}
    return sorted(chosen | {index for index in always if 0 <= index < count})

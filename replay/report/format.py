"""Numbers as short text: shares, shares with an interval, values of a metric, and counts of things."""

from __future__ import annotations

import math

__all__ = ["cell", "number", "percent", "say_among", "say_count", "span"]


def percent(share: float | None) -> str:
    """A share as a short percentage: ``0%``, ``<0.1%``, ``4.2%``, ``31%``; ``?`` where it is unknown."""
    if share is None or math.isnan(share):
        return "?"
    value = 100 * share
    if value == 0:
        return "0%"
    if abs(value) < 0.05:
        return "<0.1%"
    return f"{value:.1f}%" if abs(value) < 9.95 else f"{value:.0f}%"


def cell(mean: float | None, low: float | None, high: float | None) -> str:
    """A mean share with its interval: ``39% 33-58``."""
    if mean is None:
        return "?"
    ends = span(low, high)
    return f"{percent(mean)} {ends}" if ends else percent(mean)


def span(low: float | None, high: float | None) -> str:
    """The ends of an interval of a share in percent: ``33-58``; empty where there is none."""
    if low is None or high is None or low == high:
        return ""
    digits = 0 if 100 * high >= 9.95 else 1
    return f"{100 * low:.{digits}f}-{100 * high:.{digits}f}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with a few significant digits; ``-`` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, int) or (math.isfinite(value) and float(value).is_integer() and abs(value) < 1e9):
        return str(int(value))
    return f"{value:.{digits}g}"


def say_count(count: int, noun: str, one: str = "", more: str = "") -> str:
    """A count with its noun, and with a verb for one and for more: ``1 row has``, ``4,000 rows have``."""
    verb = one if count == 1 else more
    return f"{count:,} {noun}{'s' * (count != 1)}{' ' * bool(verb)}{verb}"


def say_among(count: int, total: int, noun: str, one: str = "", more: str = "") -> str:
    """How many of all, with a verb: ``9 of 26 runs have``, ``1 of 26 runs has``, ``the run has``."""
    verb = one if count == 1 else more
    who = f"the {noun}" if count == total == 1 else f"{count:,} of {say_count(total, noun)}"
    return f"{who}{' ' * bool(verb)}{verb}"

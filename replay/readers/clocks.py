"""Counters and clocks among the series of a table, by name and values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from replay.data.names import canonical
from replay.readers.points import Points
from replay.readers.series_names import companions_of

__all__ = ["clocks_of", "is_zero_based", "measures_of"]

_CLOCKS = {
    "time",
    "elapsed",
    "elapsed_time",
    "wall_time",
    "walltime",
    "runtime",
    "time_total_s",
    "total_time",
    "timestamp",
    "seconds",
    "relative_time",
}


_TOKENS = ("num_input_tokens_seen", "num_tokens", "tokens_seen", "total_tokens", "tokens")


def clocks_of(points: Mapping[str, Points]) -> dict[str, str]:
    """Which series are clocks: ``wall_time`` (seconds since 1970) or ``wall_seconds`` (seconds since the run
    began). A clock never goes back.
    """
    clocks: dict[str, str] = {}
    for name, (_, step, value) in points.items():
        if canonical(name) not in _CLOCKS or not np.isfinite(value).all():
            continue
        gain = np.diff(value)[np.diff(step) >= 0]
        if not len(gain) or not (gain >= 0).all() or not gain.any() or value[0] < 0:
            continue
        if value[0] > 1e9:
            target = "wall_time"
        elif len(value) >= 5 or value[-1] > 1.5 * value[0]:
            target = "wall_seconds"
        else:
            continue
        if target not in clocks.values():
            clocks[name] = target
    return clocks


def measures_of(
    points: Mapping[str, Points], held_out: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Counters and companions among the series of a table, by name and values, as `assemble` takes them."""
    clocks = clocks_of({name: series for name, series in points.items() if name not in held_out})
    counters = {name: target for name, target in clocks.items() if target == "wall_seconds"}
    counters |= {
        name: "tokens" for name in points if name in _TOKENS and (np.diff(points[name].value) >= 0).all()
    }
    companions = {name: target for name, target in clocks.items() if target == "wall_time"}
    return counters, companions | companions_of(name for name in points if name not in held_out)


def is_zero_based(
    points: Mapping[str, Points], held_out: Collection[str], first_row: Collection[str]
) -> bool:
    """Whether epochs are counted from 0; an eval of epoch 0 without any train figures was made before the
    training.

    ``first_row`` are the names that the first row has a value for.
    """
    if not points or min(float(series.step[0]) for series in points.values() if len(series.step)) != 0:
        return False
    train = points.keys() - set(held_out)
    return not set(held_out) & set(first_row) or not train or bool(train & set(first_row))

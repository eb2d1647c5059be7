"""What one log call of an experiment tracker stored, as rows, however the tracker lays them out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from replay.errors import printable
from replay.readers.points import number

__all__ = ["Row", "flat_numbers", "joined", "place_by_arrival", "rows_by_time", "time_of", "unique_names"]


class Row(NamedTuple):
    """What one log call stored: the tracker's step, the numbers by name, and the time in seconds since 1970
    (NaN where it is not known).
    """

    step: float
    values: Mapping[str, float]
    wall: float = math.nan


def flat_numbers(values: Mapping[str, Any], separator: str = "/") -> dict[str, float]:
    """The numbers of a row by name; nested names are joined, and text and lists are not numbers."""
    found: dict[str, float] = {}
    pending: list[tuple[str, Mapping[str, Any], int]] = [("", values, 0)]
    while pending:
        before, items, depth = pending.pop(0)
        for key, item in items.items():
            name = f"{before}{key}"
            if isinstance(item, dict):
                if depth < 8:
                    pending.append((name + separator, item, depth + 1))
            elif (value := number(item)) is not None:
                found[name] = value
    return found


def joined(rows: Iterable[Row]) -> list[Row]:
    """The rows with those of one step that follow each other as one, as far as no name is there twice."""
    calls: list[Row] = []
    for row in rows:
        if calls and calls[-1].step == row.step and calls[-1].values.keys().isdisjoint(row.values):
            calls[-1] = calls[-1]._replace(values={**calls[-1].values, **row.values})
        else:
            calls.append(row)
    return calls


def rows_by_time(series: Mapping[str, Sequence[tuple[float, float, float]]]) -> list[Row]:
    """The rows of a run whose names are stored one by one, each as (time, step, value) in the order in which
    it was stored, which counts more than its times.
    """
    points: list[tuple[float, int, str, float, float]] = []
    for rank, (name, stored) in enumerate(series.items()):
        latest = -math.inf
        for wall, step, value in stored:
            latest = max(latest, wall) if math.isfinite(wall) else latest
            points.append((latest, rank, name, step, value))
    rows: list[Row] = []
    for wall, _, name, step, value in sorted(points, key=lambda point: point[0]):
        known = wall if math.isfinite(wall) else math.nan
        same = rows and rows[-1].step == step and (rows[-1].wall == known or math.isnan(known))
        if same and name not in rows[-1].values:
            rows[-1] = rows[-1]._replace(values={**rows[-1].values, name: value})
        else:
            rows.append(Row(step, {name: value}, known))
    return rows


def place_by_arrival(rows: Sequence[Row]) -> list[Row]:
    """The rows with steps for those that were logged without any (NaN): how often the longest series of these
    had been logged by then.

    A loss that is logged at every training step so becomes the clock of the evals between.
    """
    count = Counter(name for row in rows if math.isnan(row.step) for name in row.values)
    if not count:
        return list(rows)
    clock = max(count, key=lambda name: count[name])
    placed, seen = [], 0
    for row in rows:
        if math.isnan(row.step):
            seen += clock in row.values
            row = row._replace(step=float(seen))
        placed.append(row)
    return placed


def time_of(value: Any) -> float:
    """A time in seconds since 1970, from a number or a text of ISO 8601 (UTC where it has no zone); NaN where
    it is neither.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return math.nan
    plain = number(value)
    return math.nan if plain is None else plain


def unique_names(names: Mapping[str, str]) -> dict[str, str]:
    """A different name for each run of a store, by the run's id: the name that it has, with the first part of
    its id where others have the same name.
    """
    count = Counter(names.values())
    return {
        run: printable(name if name and count[name] == 1 else f"{name} {run[:8]}".strip())
        for run, name in names.items()
    }

"""Values that stand where nothing was evaluated: NaN, −1, 0, infinity or 999 in rows that are written anyway.

A table has a cell for each metric in each row, and its writer fills those of the rows between two evals. Such
a fill is left out. It is told from a real value by three things: its row also logs something else, so that it
was not written for the eval; it comes between all real values of the metric, or before the first of them; and
of the other metrics of the same set none has a value in that row. A real NaN is kept: one among values that
are logged in every row, those from which a metric never comes back, and those of a training whose losses were
never numbers. Values that repeat the eval before them are left out as well (`replay.readers.carried`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, Severity
from replay.data.names import held_out_words, infer_mode
from replay.readers.carried import drop_carried, may_be_carried
from replay.readers.points import Points
from replay.readers.series_names import is_bookkeeping, words

__all__ = ["drop_placeholders", "drop_placeholders_by_step"]

_Bools = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

#: Numbers that are written where there is nothing to write, in the order in which they are looked for.
_FILLS = (np.nan, -1.0, 0.0, np.inf, -np.inf, 999.0, 9999.0, 99999.0, -999.0, -9999.0, 1e9, 1e10)

_NO_ROWS: _Rows = np.empty(0, dtype=np.int64)

#: Words of metrics that may well be −1 or 0.
_SIGNED = frozenset(
    """
    reward rewards return r2 mcc matthews matthew pearson spearman pearsonr spearmanr kappa correlation corr
    cosine similarity score margin margins advantage elbo likelihood logp logps
    """.split()
)


def drop_placeholders(
    points: Mapping[str, Points], held_out: Collection[str]
) -> tuple[dict[str, Points], list[Finding]]:
    """The points of a table without those that stand where nothing was evaluated, and what was left out.

    ``held_out`` names the metrics of evals. Of the other series only NaN is left out.
    """
    if not any(_suspicious(series, name in held_out) for name, series in points.items()):
        return drop_carried(points, held_out)
    table = _Table(points, held_out)
    kept: dict[str, Points] = {}
    dropped: dict[str, list[tuple[str, int]]] = {}
    for name in sorted(points, key=lambda one: bool(_SIGNED & set(words(one)))):
        series, is_held_out = points[name], name in held_out
        for fill in _FILLS if is_held_out else _FILLS[:1]:
            blank = _equals(series.value, fill)
            if not blank.any():
                continue
            gone = table.fills(name, series, blank, fill, is_held_out)
            if gone.any():
                table.leave_out(name, series.order[gone], fill)
                series = series.at(~gone)
                if is_held_out:
                    dropped.setdefault(f"{fill:g}", []).append((name, int(gone.sum())))
        if len(series.order):
            kept[name] = series
    ordered = {name: kept[name] for name in points if name in kept}
    findings = []
    for text, names in dropped.items():
        facts = {
            "fill": text,
            "names": tuple(sorted(name for name, _ in names)),
            "count": max(count for _, count in names),
        }
        findings.append(Finding(Kind.PLACEHOLDERS, Severity.NOTE, facts=facts))
    ordered, carried = drop_carried(ordered, held_out)
    return ordered, findings + carried


def drop_placeholders_by_step(
    points: Mapping[str, Points], held_out: Collection[str]
) -> tuple[dict[str, Points], list[Finding]]:
    """What `drop_placeholders` does, of a log that stores each value by itself: those that arrived after each
    other with the same step are one row.
    """
    if not any(_suspicious(series, name in held_out) for name, series in points.items()) and not any(
        may_be_carried(points[name]) for name in held_out if name in points
    ):
        return dict(points), []
    order = np.concatenate([series.order for series in points.values()])
    arrival = np.argsort(order, kind="stable")
    order = order[arrival]
    step = np.concatenate([series.step for series in points.values()])[arrival]
    row = 1 + np.cumsum(np.concatenate([[False], step[1:] != step[:-1]]))
    table = {
        name: series._replace(order=row[np.searchsorted(order, series.order)])
        for name, series in points.items()
    }
    kept, findings = drop_placeholders(table, held_out)
    left = {name: points[name].at(np.isin(table[name].order, series.order)) for name, series in kept.items()}
    return left, findings


def _equals(values: npt.NDArray[np.float64], fill: float) -> _Bools:
    return np.isnan(values) if np.isnan(fill) else values == fill


def _suspicious(series: Points, is_held_out: bool) -> bool:
    values = series.value
    if not len(values):
        return False
    low, high = np.minimum.reduce(values), np.maximum.reduce(values)
    if not (math.isfinite(low) and math.isfinite(high)):  # one NaN makes both NaN
        return True
    if low > 0 and high < 999:
        return False
    return is_held_out and bool(((values == -1) | (values == 0) | (np.abs(values) >= 999)).any())


def _counts(name: str) -> bool:
    """Whether a name counts time or places, as ``trainer/global_step``, and so is in every row."""
    return is_bookkeeping(name) or (
        words(name)[-1] in ("step", "steps", "epoch", "iteration", "iter") and infer_mode(name) is None
    )


def _set_of(name: str) -> tuple[str, ...]:
    """The set that a metric was measured on, by the words of its name."""
    return tuple(sorted(held_out_words(name)))


class _Table:
    """The rows of a table: which of them log something, by set."""

    def __init__(self, points: Mapping[str, Points], held_out: Collection[str]) -> None:
        self._rows: dict[str, _Rows] = {
            name: series.order[np.isfinite(series.value)]
            for name, series in points.items()
            if name in held_out or not _counts(name)
        }
        self._of_set: dict[tuple[str, ...], list[str]] = {}
        for name in self._rows:
            self._of_set.setdefault(_set_of(name) if name in held_out else ("train",), []).append(name)
        self._filled: dict[tuple[tuple[str, ...], float], _Rows] = {}
        losses = [
            series.value for name, series in points.items() if name not in held_out and "loss" in words(name)
        ]
        self._diverged_at_once = bool(losses) and not any(np.isfinite(values).any() for values in losses)

    def leave_out(self, name: str, rows: _Rows, fill: float) -> None:
        """Take note that some rows of a metric are fills."""
        if name in self._rows:
            self._rows[name] = np.setdiff1d(self._rows[name], rows)
        key = (_set_of(name), fill)
        self._filled[key] = np.union1d(self._filled.get(key, _NO_ROWS), rows)

    def fills(self, name: str, series: Points, blank: _Bools, fill: float, is_held_out: bool) -> _Bools:
        """Which of the ``blank`` points of a series are fills."""
        rows, number = series.order, bool(np.isfinite(fill))
        if number and _SIGNED & set(words(name)):  # only where another metric of the set has the fill too
            return blank & np.isin(rows, self._filled.get((_set_of(name), fill), _NO_ROWS))
        real = series.value[np.isfinite(series.value) & ~blank]
        if not number and not len(real) and self._diverged_at_once:
            return np.zeros(len(blank), dtype=bool)  # no loss was ever a number, that of the training neither
        if number and (real >= fill if fill > 0 else real <= fill).any():
            return np.zeros(len(blank), dtype=bool)  # the metric does go as high or low as that
        mine = _set_of(name) if is_held_out else ("train",)
        others = [logged for other, logged in self._rows.items() if other != name]
        same_set = [self._rows[other] for other in self._of_set.get(mine, []) if other != name]
        groups = _Groups.of(series.step, blank)
        gone = blank & groups.mixed[groups.index]
        if number and groups.mixed.sum() < 2:
            gone[:] = False
        is_fill, sparse = groups.fills(
            before=fill != 0 or getattr(infer_mode(name), "mode", None) == "min",
            after=number and fill != 0,
            throughout=fill != 0,
            due=not number,
        )
        may = np.isin(rows, _union(others))
        if not number and not sparse:
            may &= ~np.isin(rows, _union(same_set))
        filled: _Bools = gone | (blank & may & is_fill[groups.index])
        return filled


@dataclass
class _Groups:
    """Points in a row that have the same step, in the order in which they were logged.

    ``index`` is the group of each point, ``blank`` whether all its points may be fills, and ``mixed`` whether
    some are while others are not.
    """

    index: npt.NDArray[np.int64]
    blank: _Bools
    mixed: _Bools

    @classmethod
    def of(cls, step: npt.NDArray[np.float64], blank: _Bools) -> _Groups:
        begins = np.concatenate([[True], step[1:] != step[:-1]])
        index = np.cumsum(begins) - 1
        count = np.bincount(index)
        blanks = np.bincount(index, weights=blank)
        return cls(index, blanks == count, (blanks > 0) & (blanks < count))

    def fills(self, *, before: bool, after: bool, throughout: bool, due: bool) -> tuple[_Bools, bool]:
        """Which groups are fills by their place among those with a value, and whether values are sparse.

        ``before`` allows fills before the first of values that are logged in each row, ``after`` such after
        the last, ``throughout`` nothing but fills. With ``due``, a blank where a value was due after the last
        one is a value: it is what a metric that never comes back looks like.
        """
        count = len(self.blank)
        at = np.flatnonzero(~self.blank)
        if not len(at):
            return np.full(count, throughout), False
        gaps = np.diff(at) - 1
        sparse = _is_sparse(int(at[0]), gaps)
        is_fill = np.zeros(count, dtype=bool)
        if sparse:
            is_fill[:] = self.blank
        elif before:
            is_fill[: at[0]] = True
        rest = np.arange(at[-1] + 1, count)
        is_fill[rest] = sparse or after or (len(at) == 1 and len(rest) <= at[0])
        if sparse and due:
            usual = [gap for gap in gaps.tolist() if gap]
            if len(rest) > max(usual) and len(set(usual)) == 1:
                is_fill[rest[usual[0] :: usual[0] + 1]] = False
        return is_fill, sparse


def _is_sparse(before: int, gaps: npt.NDArray[np.int64]) -> bool:
    """Whether values come in between blanks only; an eval at the end of a training may follow the one before
    at once.

    ``before`` is the number of blanks before the first value, ``gaps`` are those between two values.
    """
    if not len(gaps):
        return False
    if len(gaps) == 1:
        return bool(gaps[0] >= 2 or (gaps[0] == 1 and before))
    close = gaps[:-1] if len(gaps) >= 3 else gaps
    return bool((close >= 1).all()) or bool(
        (gaps == 0).sum() <= 0.2 * len(gaps) and gaps.sum() + before > len(gaps) + 1
    )


def _union(rows: list[_Rows]) -> _Rows:
    return np.unique(np.concatenate(rows)) if rows else _NO_ROWS

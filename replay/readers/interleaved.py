"""Two sets in turn under one name: a log that evaluates on several sets and does not say which is which.

Every step then has as many values of the name as there are sets, always in the same order, and from one step
to the next the values jump back. Several evals of one set within a step, such as an epoch, go on in one
direction instead; two processes that write each row twice also repeat the figures of the training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind, Severity
from replay.readers.points import Points, distinct_steps
from replay.readers.series_names import is_bookkeeping

__all__ = ["name_sets"]

_FEWEST_STEPS = 3
_ORDINALS = ("1st", "2nd", "3rd", "4th")
#: Values that differ by no more, as a share of them, are the same one.
_SAME = 1e-3
#: Share of the steps that must show the order of the sets.
_SHARE = 0.8


def name_sets(
    points: Mapping[str, Points], held_out: Collection[str]
) -> tuple[dict[str, Points], list[Finding]]:
    """The points with each held-out name that several sets share split by set, such as ``eval_accuracy (1st
    of 2)``; where no name is held out, those of the other metrics.
    """
    looked_at = set(held_out) or {name for name in points if not is_bookkeeping(name)}
    counts = {name: _count_sets(series) for name, series in points.items() if name in looked_at}
    if not any(counts.values()) or _are_repeated(points, looked_at):
        return dict(points), []
    parted: dict[str, Points] = {}
    findings = []
    for name, series in points.items():
        count = counts.get(name, 0)
        if not count and name in looked_at:  # metrics of one row are of one set
            count = max(number for other, number in counts.items() if _same_rows(points[other], series))
        if not count:
            parted[name] = series
            continue
        names = tuple(f"{name} ({_ORDINALS[number]} of {count})" for number in range(count))
        kept = _without_more(series, count)
        for number, part in enumerate(names):
            parted[part] = kept.at(slice(number, None, count))
        facts = {"name": name, "count": count, "names": names}
        findings.append(Finding(Kind.INTERLEAVED_SETS, Severity.WARNING, facts=facts))
    return parted, findings


def _same_rows(one: Points, other: Points) -> bool:
    return len(one.order) == len(other.order) and bool((one.order == other.order).all())


def _without_more(series: Points, count: int) -> Points:
    """The points without those of the last step beyond one per set: the sets were evaluated once more at the
    end, or the training was killed between two of them.
    """
    last = int(np.searchsorted(series.step, series.step[-1])) if (np.diff(series.step) >= 0).all() else 0
    more = len(series.step) - last
    return series.at(slice(0, last + (count if more >= count else 0))) if more != count else series


def _are_repeated(points: Mapping[str, Points], held_out: Collection[str]) -> bool:
    """Whether figures of the training repeat their steps as well: two processes write each row."""
    train = [
        series
        for name, series in points.items()
        if name not in held_out and not is_bookkeeping(name) and len(series.step) > 1
    ]
    return any(
        np.count_nonzero(step[1:] == step[:-1]) > 0.25 * (len(step) - 1)
        for step in distinct_steps(train).values()
    )


def _count_sets(series: Points) -> int:
    """How many sets share a name; 0 where it is one, or where that cannot be told."""
    if len(series.step) < 2 * _FEWEST_STEPS or series.step[0] != series.step[1]:
        return 0
    first = int(np.argmax(series.step != series.step[0])) or len(series.step)
    step, value = (part := _without_more(series, first)).step, part.value
    begins = np.flatnonzero(np.concatenate([[True], step[1:] != step[:-1]]))
    sizes = np.diff(np.append(begins, len(step)))
    count = int(sizes[0])
    if not 2 <= count <= len(_ORDINALS) or len(sizes) < _FEWEST_STEPS or (sizes != count).any():
        return 0
    return count if _is_in_turn(value.reshape(-1, count)) else 0


def _is_in_turn(values: npt.NDArray[np.float64]) -> bool:
    """Whether the rows (steps × sets) have their values in one order, and jump back between two steps."""
    if not np.isfinite(values).all():
        return False
    spread = values.max(axis=1) - values.min(axis=1)
    if np.median(spread) <= _SAME * np.median(np.abs(values)):
        return False  # one value that was printed twice, with more and with fewer digits
    orders = np.argsort(values, axis=1, kind="stable")
    differ = (values.max(axis=1) > values.min(axis=1)).mean() >= _SHARE
    patterns, times = np.unique(orders, axis=0, return_counts=True)
    if not differ or times.max() < _SHARE * len(values):
        return False
    usual = patterns[times.argmax()]
    rises = np.diff(values, axis=1).sum(axis=1) > 0
    back = (values[1:, 0] - values[:-1, -1] > 0) != rises[:-1]
    plain = (usual == np.arange(values.shape[1])).all() or (usual == np.arange(values.shape[1])[::-1]).all()
    return bool(back.mean() >= _SHARE) if plain else len(values) > _FEWEST_STEPS

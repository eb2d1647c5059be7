"""A changed policy against what the lock says of it, run by run: whether it saves less or loses more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.check.config import Entry
from replay.check.model import Stop
from replay.data.finding import Finding, Kind, Severity
from replay.data.types import Floats
from replay.stats.intervals import interval
from replay.stats.risk_control import risk_control
from replay.stats.summary import ENOUGH_RUNS
from replay.stats.ties import above, tied

__all__ = ["compare_figures"]

#: Figures of which differences lie between -1 and 1, whatever the runs.
_SHARES = ("saved", "lost")


def compare_figures(
    entry: Entry, pairs: Sequence[tuple[Stop, Stop]], groups: Mapping[str, str], level: float
) -> list[Finding]:
    """Whether a changed policy saves less or loses more on the same runs, by the paired differences.

    ``pairs`` are the stops of each run before and now, ``groups`` each run's group.
    """
    limited = next(
        (limit.figure for limit in entry.limits if limit.figure in ("lost", "regret", "relative_regret")),
        "lost",
    )
    few = len(pairs) < ENOUGH_RUNS
    moved = np.array([old.stopped_eval != new.stopped_eval for old, new in pairs], dtype=bool)
    worse: list[Finding] = []
    changes: list[dict[str, Any]] = []
    in_doubt = not pairs
    for figure, sign in (("saved", -1), (limited, 1)):
        old, new = (np.array([_float(getattr(pair[side], figure)) for pair in pairs]) for side in (0, 1))
        scale = 0.0 if figure == "regret" else 1.0  # see replay.stats.ties
        with np.errstate(invalid="ignore"):
            # an infinite loss both times is no change
            change = np.where(tied(old, new, scale), 0.0, new - old)
        unknown = np.isnan(change)
        # a run that is stopped elsewhere, with an unknown loss, may have got worse
        in_doubt |= bool(np.any(above(sign * change, 0.0, scale) | (unknown & moved)))
        known = change[~unknown]
        if not len(known) or not np.isfinite(known).all():
            continue
        mean = float(known.mean())
        if not few:
            low, high = interval(change, [groups[new.run] for _, new in pairs], level)
        elif figure in _SHARES:
            low, high = _bounds(change, level)
        else:
            low, high = -math.inf, math.inf
        facts = {"figure": figure, "mean": mean, "low": low, "high": high, "count": len(known)}
        if above(low if sign > 0 else -high, 0.0, scale):
            means = (float(np.nanmean(old)), float(np.nanmean(new)))
            facts |= {"before": (figure, means[0]), "after": (figure, means[1])}
            worse.append(Finding(Kind.WORSE, Severity.REGRESSION, policy=entry.name, facts=facts))
        else:
            # the bounds of few runs are too wide to be worth a word
            changes.append(facts | {"low": mean, "high": mean} if few else facts)
    if few and in_doubt and not worse:
        facts = {"count": len(pairs), "changes": tuple(changes)}
        return [Finding(Kind.FEW_COMMON_RUNS, Severity.UNDECIDED, policy=entry.name, facts=facts)]
    if changes:
        facts = {"state": "compared", "count": len(pairs), "changes": tuple(changes)}
        worse.append(Finding(Kind.CHANGED_POLICY, Severity.NOTE, policy=entry.name, facts=facts))
    return worse


def _bounds(change: Floats, level: float) -> tuple[float, float]:
    """Bounds of the mean of differences between -1 and 1 that hold for any number of runs.

    The interval for more runs does not know that the differences lie there, and of few runs it cannot be
    trusted. A difference that is unknown counts as the extreme that widens the bounds.
    """
    control = risk_control((1 + level) / 2)
    least, most = (np.where(np.isnan(change), extreme, change) for extreme in (-1.0, 1.0))
    high = 2 * float(control.bounds((1 + most)[:, None] / 2)[0]) - 1
    low = 1 - 2 * float(control.bounds((1 - least)[:, None] / 2)[0])
    return low, high


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)

"""What the runs of a check prove: guarantees, and what censored runs leave open."""

from __future__ import annotations

import math

import numpy as np

from replay.check.config import Entry, Wanted
from replay.check.lock import rounded
from replay.check.model import LimitResult
from replay.check.scores import Scores
from replay.data.finding import Severity
from replay.stats.risk_control import risk_control
from replay.stats.ties import at_most

__all__ = ["is_hidden", "judge_guarantee", "scale_of"]


def scale_of(figure: str) -> float:
    """The scale of a figure, for `replay.stats.ties`."""
    return 0.0 if figure == "regret" else 1.0


def judge_guarantee(
    entry: Entry, limit: Wanted, part: Scores, by_group: bool
) -> tuple[LimitResult, Severity | None]:
    """The result of the demand for a guarantee, and the severity of the finding that it makes, if any.

    The policy was fixed before these runs were seen, so all of them count.
    """
    lost = part.figures["lost"]
    losses = np.where(part.censored, 1.0, lost)[~np.isnan(lost)]
    if by_group:
        groups = np.array(part.groups)[~np.isnan(lost)]
        _, unit = np.unique(groups, return_inverse=True)
        losses = np.bincount(unit, weights=losses) / np.bincount(unit)
    control = risk_control(limit.confidence)
    bound = float(control.bounds(losses[:, None])[0])
    kept = bool(at_most(bound, limit.value))
    result = LimitResult(
        entry.name,
        limit.name,
        f'"{limit.text}"',
        limit.figure,
        rounded(limit.value),
        rounded(bound),
        None,
        None,
        "kept" if kept else "unproven",
        needed=None if kept else control.needed_units(losses[:, None], limit.value)[0],
    )
    return result, None if kept else Severity.UNDECIDED


def is_hidden(limit: Wanted, part: Scores, result: LimitResult) -> bool:
    """Whether the logs of censored runs, which end before the planned end, leave open what a limit says.

    The training as planned could have gone on: then it would have saved more than the log shows, and it could
    have lost any amount more. So a limit on what is saved can only be kept for sure, and one on losses only
    broken, unless it is kept even at the worst.
    """
    if limit.name == "guarantee" or not part.censored.any():
        return False
    if limit.is_minimum:
        return result.verdict == "broken"
    if result.verdict != "kept":
        return False
    values = part.early if limit.figure == "stopped_too_early" else part.figures[limit.figure]
    most = 1.0 if limit.figure in ("lost", "stopped_too_early") else math.inf
    worst = np.where(part.censored, most, values)
    worst = worst[~np.isnan(worst)]
    value = float(worst.max() if limit.worst else worst.mean())
    return not at_most(value, limit.value, scale_of(limit.figure))

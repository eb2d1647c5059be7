"""What the runs of a check prove: guarantees, limits on the means of few runs, and what censored runs leave
open.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from replay.check.config import Entry, Wanted
from replay.check.lock import rounded
from replay.check.model import LimitResult
from replay.check.scores import Scores
from replay.data.finding import Severity
from replay.data.types import Floats
from replay.stats.risk_control import risk_control
from replay.stats.ties import above, at_least, at_most, below

__all__ = ["is_hidden", "judge_few", "judge_guarantee", "scale_of"]

#: Figures that lie between 0 and 1, whatever the runs.
_SHARES = ("lost", "saved", "stopped_too_early")


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
        losses = _means_of_groups(losses, np.array(part.groups)[~np.isnan(lost)])
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


def _means_of_groups(values: Floats, groups: npt.NDArray[np.str_]) -> Floats:
    _, unit = np.unique(groups, return_inverse=True)
    means: Floats = np.bincount(unit, weights=values) / np.bincount(unit)
    return means


def judge_few(
    entry: Entry, limit: Wanted, part: Scores, level: float, by_group: bool
) -> tuple[LimitResult, Severity | None] | None:
    """The result of a limit on a mean share by the bounds of the guarantees; None where they do not decide.

    These bounds hold for any number of runs. The limit is kept where the mean is proven to be within it, on
    average over the next runs or with the confidence, and broken where the mean is proven to be beyond it
    with the confidence. A figure that is not known, or that a censored run leaves open, counts as the worst
    that it can be.
    """
    if limit.figure not in _SHARES:
        return None
    values = part.early if limit.figure == "stopped_too_early" else part.figures[limit.figure]
    known = ~np.isnan(values)
    if not known.any():
        return None
    most = np.where(part.censored | ~known, 1.0, values)
    least = np.where(known, values, 0.0)
    if by_group:
        most, least = (_means_of_groups(some, np.array(part.groups)) for some in (most, least))
    sure, average = risk_control((1 + level) / 2), risk_control(None)
    high, low = (float(sure.bounds(some[:, None])[0]) for some in (most, 1 - least))
    low = 1 - low
    wanted = limit.value
    if limit.is_minimum:
        expected = 1 - float(average.bounds((1 - least)[:, None])[0])
        kept, broken = at_least(max(low, expected), wanted), below(high, wanted)
    else:
        expected = float(average.bounds(most[:, None])[0])
        kept, broken = at_most(min(high, expected), wanted), above(low, wanted)
    if not (kept or broken):
        return None
    result = LimitResult(
        entry.name,
        limit.name,
        limit.text,
        limit.figure,
        rounded(wanted),
        rounded(float(values[known].mean())),
        rounded(low),
        rounded(high),
        "kept" if kept else "broken",
    )
    return result, None if kept else Severity.REGRESSION


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

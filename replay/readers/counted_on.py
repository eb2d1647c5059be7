"""Steps that begin again while the epochs go on.

A loop may count its steps anew in each epoch, and a resumed one may keep the epoch and not the step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.readers.points import Points

__all__ = ["count_on"]

#: Fewer rows with an epoch tell nothing.
_FEWEST = 4


def count_on(points: Mapping[str, Points], epoch: str | None) -> tuple[dict[str, Points], Finding | None]:
    """The points with steps that are counted on, and the finding on it.

    They are unchanged where the steps do not begin again, and where the epochs do as well. ``epoch`` names
    the series of epochs.
    """
    plain = dict(points), None
    if epoch is None or epoch not in points or len(points[epoch].step) < _FEWEST or len(points) < 2:
        return plain
    order, step, value = points[epoch]
    change = np.diff(step)
    falls = np.flatnonzero(change < 0) + 1
    if not len(falls) or not (value == np.floor(value)).all() or (np.diff(value) < 0).any():
        return plain
    longest = max((series.step for name, series in points.items() if name != epoch), key=len)
    if np.count_nonzero(longest[1:] < longest[:-1]) != len(falls):
        return plain  # two clocks: the evals alone have lower steps
    rise = float(np.median(change[change > 0])) if (change > 0).any() else 0.0
    if (step[falls] > max(float(step[0]), rise)).any() or (value[falls] <= value[falls - 1]).any():
        return plain
    offsets = [0.0]
    for begin, end in zip([0, *falls[:-1].tolist()], falls.tolist(), strict=True):
        offsets.append(offsets[-1] + float(step[begin:end].max()) + (rise if step[end] == 0 else 0.0))
    of_segment = np.array(offsets)
    moved = {
        name: series._replace(
            step=series.step + of_segment[np.searchsorted(order[falls], series.order, side="right")]
        )
        for name, series in points.items()
    }
    facts = {"epochs": tuple(value[falls].tolist())}
    return moved, Finding(Kind.STEPS_COUNTED_ON, Severity.NOTE, facts=facts)

"""Which of several logs of one run is kept: the order of precedence, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from replay.data.run import Run

__all__ = ["PRECEDENCE", "Entry", "Precedence", "precedence"]


@dataclass
class Entry:
    """A loaded run, the folder that it lies in, and its rank: how much its format tells (0 is most)."""

    run: Run
    folder: Path
    rank: int


class Precedence(NamedTuple):
    """One criterion: the log with the smaller ``key`` comes first; ``text`` says which that is."""

    text: str
    key: Callable[[Entry], float]


def _longest(run: Run) -> int:
    lengths = [int(np.count_nonzero(run.columns[name].present)) for name in run.metrics]
    return max(lengths or [len(series.step) for series in run.train.values()], default=0)


#: Of the logs of one run the first by these criteria is kept; each decides where those before it are equal.
PRECEDENCE = (
    Precedence("the log with more evals", lambda entry: -len(entry.run)),
    Precedence(
        "the log with the longer series: the evals that have the metric, or the train entries where there are"
        " no evals",
        lambda entry: -_longest(entry.run),
    ),
    Precedence(
        "the log whose format comes first in the table of formats, which is ordered by how much they tell",
        lambda entry: entry.rank,
    ),
    Precedence("the log that comes further in the training", lambda entry: -entry.run.trained_steps),
    Precedence("the file that comes first in natural order", lambda entry: 0),
)


def precedence(entry: Entry) -> tuple[float, ...]:
    """The sort key of a log among those of one run."""
    return tuple(criterion.key(entry) for criterion in PRECEDENCE)

"""Which runs belong together: they share data or a model, and so are no independent witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replay.data.run import Run
from replay.errors import InputError, suggestion

__all__ = ["groups_of"]

_PLAIN = (str, int, float, bool)


def groups_of(runs: Sequence[Run], by: str | None = None) -> list[str]:
    """The group of each run: that which its log states, or by ``run``, ``folder``, or something that the log
    says of the run.

    By default a run that states no group is its own. ``folder`` is the first folder of the run's id; any
    other name is that of something in the log's head or its hyperparameters, such as ``dataset``, ``model``
    or ``learning_rate``; runs that do not say it are their own group. Raises InputError where no run says it,
    naming what they say.
    """
    if by is None:
        return [str(run.info.group or run.id) for run in runs]
    if by == "run":
        return [run.id for run in runs]
    if by == "folder":
        return [run.id.split("/")[0] if "/" in run.id else run.id for run in runs]
    labels = [_labels(run).get(by) for run in runs]
    if all(value is None for value in labels):
        have = {name for run in runs for name in _labels(run)} | {"run", "folder"}
        raise InputError(
            f"no run says its {by!r}, so runs cannot be grouped by it; there are {suggestion(by, have)}"
        )
    return [run.id if value is None else f"{by}={value}" for run, value in zip(runs, labels, strict=True)]


def _labels(run: Run) -> dict[str, Any]:
    """What a log says of a run as a whole, in one word or number each."""
    every = {**run.info.hyperparameters, **run.info.stated()}
    return {name: value for name, value in every.items() if isinstance(value, _PLAIN)}

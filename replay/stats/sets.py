"""Sets: which runs can be compared with each other, because they share data, a model and a metric."""

from __future__ import annotations

from collections.abc import Sequence

from replay.data.finding import Finding, Kind
from replay.data.names import canonical
from replay.data.run import Run
from replay.engine.question import Question
from replay.errors import InputError, list_names
from replay.stats.groups import groups_of

__all__ = ["find_mixed", "refuse_mixed", "split"]


def _stated_sets(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The ids of the runs of each set that logs state, by its name: their group, or else their data set."""
    sets: dict[str, list[str]] = {}
    for run in runs:
        name = run.info.group or run.info.dataset
        if name:
            sets.setdefault(str(name), []).append(run.id)
    return sets


def find_mixed(runs: Sequence[Run]) -> list[Finding]:
    """The finding that runs of several groups or data sets are compared with each other."""
    sets = _stated_sets(runs)
    if len(sets) < 2:
        return []
    name = _what(runs)
    facts = {"total": len(runs), "sets": tuple(sets), "by": name}
    return [Finding(Kind.MIXED_SETS, runs=tuple(run for ids in sets.values() for run in ids), facts=facts)]


def _what(runs: Sequence[Run]) -> str:
    return "group" if any(run.info.group for run in runs) else "dataset"


def refuse_mixed(runs: Sequence[Run], question: Question) -> None:
    """Raise InputError where runs cannot be compared: they state several groups or data sets, or, where no
    monitor is given, several monitors.
    """
    monitors = {canonical(run.info.monitor): run.info.monitor for run in runs if run.info.monitor}
    if question.monitor is None and len(monitors) > 1:
        raise InputError(
            f"the logs monitor {len(monitors)} metrics ({list_names(monitors.values())}), and values of"
            f" different metrics cannot be compared; give --monitor, as in --monitor"
            f" {next(iter(monitors.values()))}"
        )
    sets = _stated_sets(runs)
    if len(sets) > 1:
        name = _what(runs)
        raise InputError(
            f"the runs belong to {len(sets)} {'groups' if name == 'group' else 'data sets'}"
            f" ({list_names(sets)}), and values of one cannot be compared with those of another; add"
            f" --group {name} to compare within each, or give the logs of one of them"
        )


def split(runs: Sequence[Run], by: str) -> dict[str, list[Run]]:
    """The runs of each group, in the order of the logs; see `replay.stats.groups.groups_of`."""
    groups: dict[str, list[Run]] = {}
    for run, name in zip(runs, groups_of(runs, by), strict=True):
        groups.setdefault(name, []).append(run)
    return groups

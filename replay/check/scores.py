"""What one policy does to each run, as a check judges it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from replay.check.lock import rounded
from replay.check.model import Stop
from replay.data.types import Bools, Floats
from replay.engine.outcomes import Outcomes
from replay.stats.summary import RANGES
from replay.stats.ties import above

__all__ = ["Scores", "score_policies"]


@dataclass(frozen=True, eq=False)
class Scores:
    """What one policy does to each run that it can judge; arrays have one entry a run, NaN where a figure is
    unknown.

    ``noise`` holds each run's eval noise in the terms of each figure; ``early`` whether the run was stopped
    before an eval that is better than what was kept by more than the run's noise; ``judged`` whether the run
    can be judged.
    """

    stops: tuple[Stop, ...]
    groups: tuple[str, ...]
    evals: Floats
    censored: Bools
    figures: dict[str, Floats]
    noise: dict[str, Floats]
    early: Floats
    judged: Bools

    @classmethod
    def joined(cls, pieces: Sequence[Scores], place: Mapping[str, int]) -> Scores:
        """The scores of several sets of runs, by the place of each run in the order."""
        stops = [stop for piece in pieces for stop in piece.stops]
        order = np.argsort([place[stop.run] for stop in stops], kind="stable").astype(np.int64)
        groups = [group for piece in pieces for group in piece.groups]

        def join(arrays: Sequence[Any]) -> Any:
            return np.concatenate(arrays)[order] if arrays else np.empty(0)

        def join_each(name: str) -> dict[str, Floats]:
            each = [getattr(piece, name) for piece in pieces]
            return {key: join([one[key] for one in each]) for key in (each[0] if each else ())}

        return cls(
            tuple(stops[at] for at in order.tolist()),
            tuple(groups[at] for at in order.tolist()),
            join([piece.evals for piece in pieces]),
            join([piece.censored for piece in pieces]),
            join_each("figures"),
            join_each("noise"),
            join([piece.early for piece in pieces]),
            join([piece.judged for piece in pieces]),
        )

    def of(self, group: str) -> Scores:
        """The scores of the runs of one group."""
        return self._select(np.array([name == group for name in self.groups], dtype=bool))

    def of_runs(self, runs: Collection[str]) -> Scores:
        """The scores of some runs, by their ids."""
        return self._select(np.array([stop.run in runs for stop in self.stops], dtype=bool))

    def of_judged(self) -> Scores:
        """The scores of the runs that the limits are about, which are those of the summary: the judged ones,
        or all with unknown losses where none can be judged.
        """
        if self.judged.any():
            return self._select(self.judged)
        unknown = {name: np.full(len(self.stops), np.nan) for name in self.figures if name != "saved"}
        return replace(self, figures=self.figures | unknown)

    def _select(self, here: Bools) -> Scores:
        return Scores(
            tuple(stop for stop, inside in zip(self.stops, here, strict=True) if inside),
            tuple(name for name, inside in zip(self.groups, here, strict=True) if inside),
            self.evals[here],
            self.censored[here],
            {name: values[here] for name, values in self.figures.items()},
            {name: values[here] for name, values in self.noise.items()},
            self.early[here],
            self.judged[here],
        )


#: Columns of outcomes, which are made anew each time that they are asked for.
_COLUMNS = (*RANGES, "noise", "best", "first", "improvement", "stopped_step", "kept", "evals")


def score_policies(
    outcomes: Outcomes, groups: Mapping[str, str], logs: Mapping[str, str]
) -> dict[str, Scores]:
    """The scores of each policy, by its specification; ``groups`` and ``logs`` are each run's."""
    columns = {name: getattr(outcomes, name) for name in _COLUMNS}
    reasons = outcomes.reasons().tolist()
    return {
        spec: _scores(outcomes, index, columns, groups, logs, reasons)
        for index, spec in enumerate(outcomes.policies)
    }


def _scores(
    outcomes: Outcomes,
    policy: int,
    columns: Mapping[str, Floats],
    groups: Mapping[str, str],
    logs: Mapping[str, str],
    reasons: Sequence[str],
) -> Scores:
    """The scores of one policy, by its index; ``columns`` and ``reasons`` are those of all outcomes."""
    here = outcomes.rows_of(policy)
    study = outcomes.study
    figures = {name: columns[name][here] for name in RANGES}
    raw, best, first = columns["noise"][here], columns["best"][here], columns["first"][here]
    improvement = columns["improvement"][here]
    with np.errstate(all="ignore"):
        noise = {
            "regret": raw,
            "relative_regret": np.where(np.abs(best) > 0, raw / np.abs(best), np.nan),
            "lost": np.where(improvement > 0, np.minimum(raw / improvement, 1.0), np.nan),
        }
    position, steps, kept = outcomes.position[here], columns["stopped_step"][here], columns["kept"][here]
    source = outcomes.sources[policy]
    values = source.payoffs.panel.objective.values[source.payoffs.rows[source.rows]]
    lengths = source.payoffs.lengths[source.rows]
    stops = []
    early = np.full(len(position), np.nan)
    runs = [study.panel.runs[run].id for run in outcomes.runs_of(policy).tolist()]
    for number, (run, at) in enumerate(zip(runs, position.tolist(), strict=True)):
        step = None if at < 0 else float(steps[number])
        stops.append(
            Stop(
                run,
                logs[run],
                None if at < 0 else at + 1,
                int(step) if step is not None and step.is_integer() else rounded(step),
                reasons[here.start + number],
                *(rounded(float(figures[name][number])) for name in _STOP_FIGURES),
            )
        )
        if math.isnan(raw[number]):
            continue
        later = values[number, at + 1 : lengths[number]] if at >= 0 else values[number, :0]
        later = later[np.isfinite(later)]
        if at < 0 or not len(later):
            early[number] = 0.0
        elif math.isnan(kept[number]):
            early[number] = 1.0 if math.isfinite(first[number]) else np.nan
        else:
            lower = study.objective.mode == "min"
            gain = float(kept[number] - later.min() if lower else later.max() - kept[number])
            surely = math.isnan(gain) or bool(above(gain, raw[number], abs(float(kept[number]))))
            early[number] = float(surely)
    return Scores(
        stops=tuple(stops),
        groups=tuple(groups[run] for run in runs),
        evals=columns["evals"][here].astype(np.float64),
        censored=outcomes.censored[here],
        figures=figures,
        noise=noise,
        early=early,
        judged=outcomes.judged[here],
    )


#: The figures of a `Stop`, in its order.
_STOP_FIGURES = ("saved", "regret", "relative_regret", "lost")

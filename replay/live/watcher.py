"""Watcher: the decision of a policy on a training so far, by the simulation that replays finished logs.

It keeps no counter. At each eval the whole history goes through the policy once more, so that nothing is
counted twice, a resumed training loses nothing, and the training stops at the eval where a replay of its full
log would stop it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Finding
from replay.data.info import RunInfo, StepUnit
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.judging import OF_FIGURES
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, ReplayWarning
from replay.policies.base import Decision, Policy
from replay.policies.spec import parse_policy
from replay.readers.assemble import assemble
from replay.readers.clocks import measures_of
from replay.readers.points import PointsBuilder
from replay.readers.series_names import held_out_of, is_metric
from replay.report.sentences import sentence

__all__ = ["Watcher", "numbers", "run_of"]

logger = logging.getLogger("replay")


class Watcher:
    """A policy on its way through one training.

    ``policy`` is a specification or a Policy; ``monitor`` and ``mode`` are for where it does not say them
    itself and the log does not state them. Raises PolicyError where the specification cannot be read.
    """

    def __init__(self, policy: str | Policy, *, monitor: str | None = None, mode: Mode | None = None) -> None:
        self.policy = parse_policy(policy) if isinstance(policy, str) else policy
        if mode not in (None, "min", "max"):
            raise InputError(f"mode is 'min' or 'max', not {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self._reported: list[Finding] = []

    def decide(self, run: Run) -> Decision:
        """The decision after the last eval of a run: stop from the eval on at which the policy first fires.

        Raises InputError, naming what there is, where the metric or a companion that the policy needs is not
        logged.
        """
        outcomes = simulate_policies([run], [self.policy], Question(self.monitor, self.mode))
        for finding in outcomes.findings:
            # a training that goes on has no figures yet
            if finding.kind not in OF_FIGURES and finding not in self._reported:
                self._reported.append(finding)
                warnings.warn(sentence(finding), ReplayWarning, stacklevel=4)
        position = int(outcomes.position[0])
        if position < 0:
            return Decision(int(outcomes.evals[0]), False, "")
        reason = str(outcomes.reasons()[0])
        step = f"{outcomes.stopped_step[0]:.15g}"
        logger.info("%s stops at eval %d, step %s: %s", outcomes.policies[0], position + 1, step, reason)
        return Decision(position + 1, True, reason)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are single numbers, tensors and arrays of one element among them, as numbers of
    Python.
    """
    out = {}
    for name, value in values.items():
        try:
            out[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue
    return out


def run_of(rows: Sequence[Mapping[str, float]], *, step_unit: StepUnit = "step") -> Run:
    """A run from rows of ``step``, ``epoch`` and logged values, as they would be read from a file of them."""
    points = PointsBuilder()
    for row in rows:
        points.add(row["step"], {name: value for name, value in row.items() if name != "step"})
    series = points.points()
    held_out = held_out_of(series) or {name for name in series if is_metric(name)}
    counters, companions = measures_of(series, held_out)
    runs = assemble(
        "run",
        series,
        held_out=held_out,
        epoch="epoch",
        counters=counters,
        companions=companions,
        resumes=[],
        info=RunInfo(step_unit=step_unit),
    )
    if not runs:
        raise InputError("nothing has been logged yet")
    return runs[0]

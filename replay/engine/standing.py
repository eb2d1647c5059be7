"""Standing: where policies stand on a training that may still be running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from replay.data.censoring import censoring, planned_steps
from replay.data.run import Run
from replay.data.types import Floats, Mode
from replay.engine.next_eval import NextEval, next_eval
from replay.engine.outcomes import Outcomes
from replay.engine.question import Question
from replay.engine.scoring import score
from replay.engine.stops import Stops
from replay.engine.study import Study
from replay.errors import InputError, ReplayError
from replay.policies import Policy

__all__ = ["RunState", "Standing", "observe"]


@dataclass(frozen=True)
class Standing:
    """Where one policy stands after the last eval of a run.

    ``counter`` is its signal and ``threshold`` the value at which it stops; they are None where there is
    none. After a stop, ``since`` is the compute that the log has used from then on, in the unit of the
    question; before one, ``next`` says what the next eval would do. ``problem`` says why the policy cannot
    judge the run.
    """

    policy: str
    spec: str
    counter: float | None = None
    threshold: float | None = None
    stopped_eval: int | None = None
    stopped_step: float | None = None
    reason: str | None = None
    since: float | None = None
    next: NextEval | None = None
    problem: ReplayError | None = None


@dataclass(frozen=True, eq=False)
class RunState:
    """One run so far: the monitor's evals, and where each policy stands.

    ``ended`` is whether the log says that the training is over, ``planned`` the step at which it is to end.
    ``problem`` says why there is no curve to look at; the metric is empty then.
    """

    run: Run
    metric: str
    mode: Mode
    values: Floats
    steps: Floats
    best: int | None
    ended: bool
    planned: float | None
    standings: tuple[Standing, ...]
    problem: ReplayError | None = None

    @property
    def stopped(self) -> Standing | None:
        """The policy that stops the run first; of several, the one that was given first."""
        stopped = [one for one in self.standings if one.stopped_eval is not None]
        return min(stopped, key=lambda one: one.stopped_eval or 0) if stopped else None


def observe(run: Run, policies: Sequence[tuple[str, Policy]], question: Question) -> RunState:
    """Where policies, each with the specification that was typed, stand on a run.

    Nothing is raised for a log that lacks something, since the next eval may bring it: the state says what
    the problem is.
    """
    planned, ended = planned_steps(run), _has_ended(run)
    try:
        study = Study([run], [policy for _, policy in policies], question)
    except InputError as error:
        nothing = np.empty(0)
        return RunState(run, "", "min", nothing, nothing, None, ended, planned, (), error)
    curve = study.panel.curves[0]
    return RunState(
        run,
        curve.metric,
        curve.mode,
        curve.values,
        curve.steps,
        curve.best(),
        ended,
        planned,
        tuple(_stand(study, typed, policy) for typed, policy in policies),
    )


def _has_ended(run: Run) -> bool:
    """Whether the log says that the training is over."""
    if run.info.complete is not None or run.info.stopped_by:
        return bool(run.info.complete or run.info.stopped_by)
    return planned_steps(run) is not None and censoring(run) is None


def _stand(study: Study, typed: str, policy: Policy) -> Standing:
    spec = policy.spec()
    try:
        stops = Stops.find(study, [policy])
        outcomes = score(study, stops)
    except ReplayError as error:
        return Standing(typed, spec, problem=error)
    return _of_outcomes(outcomes, typed, spec)


def _of_outcomes(outcomes: Outcomes, typed: str, spec: str) -> Standing:
    """The standing of the one policy on the one run of some outcomes."""
    stops = outcomes.stops
    rule, trace, view = stops.resolved(0), stops.trace(0), stops.view(0)
    threshold = rule.signal_threshold(trace.batch.mode)
    last, position = int(trace.batch.lengths[0]) - 1, int(outcomes.position[0])
    signal = float(trace.signal[0, last]) if last >= 0 else np.nan
    standing = Standing(
        typed,
        spec,
        signal if np.isfinite(signal) else None,
        threshold if np.isfinite(threshold) else None,
    )
    if position < 0:
        return replace(standing, next=next_eval(rule, view.batch, 0))
    since = float(outcomes.used_full[0] - outcomes.used[0])
    return replace(
        standing,
        stopped_eval=position + 1,
        stopped_step=float(outcomes.stopped_step[0]),
        reason=str(outcomes.reasons()[0]),
        since=since if np.isfinite(since) else None,
    )

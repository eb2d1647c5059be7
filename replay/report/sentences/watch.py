"""Where a policy stands on a running training, in words."""

from __future__ import annotations

from collections.abc import Sequence

from replay.data.types import Mode
from replay.engine.next_eval import NextEval, NextKind
from replay.engine.standing import RunState, Standing
from replay.errors import printable
from replay.report.format import number

__all__ = [
    "say_amount",
    "say_bars",
    "say_count",
    "say_hook_failure",
    "say_next",
    "say_progress",
    "say_standing",
]

#: One of each unit of compute, and several.
_UNITS = {
    "steps": ("step", "steps"),
    "epochs": ("epoch", "epochs"),
    "tokens": ("token", "tokens"),
    "flops": ("FLOP", "FLOPs"),
    "seconds": ("second", "seconds"),
    "gpu_hours": ("GPU hour", "GPU hours"),
    "cost": ("in cost", "in cost"),
}


def say_amount(amount: float, unit: str) -> str:
    """An amount of compute with its unit."""
    one, several = _UNITS.get(unit, (unit, unit))
    return f"{number(amount)} {one if amount == 1 else several}"


def say_standing(standing: Standing, state: RunState, unit: str) -> str:
    """What a policy did, or what it will do next."""
    if standing.problem is not None:
        return f"cannot judge this run: {printable(standing.problem)}"
    if standing.stopped_eval is not None:
        text = f"stops at eval {standing.stopped_eval} (step {number(standing.stopped_step)})"
        if later := len(state.values) - standing.stopped_eval:
            text += f", {later} eval{'s' * (later != 1)} ago"
        text += f": {standing.reason}."
        if standing.since is None:
            return text
        if standing.since == 0:
            return f"{text} The log ends there."
        return f"{text} Since then: {say_amount(standing.since, unit)}."
    if state.ended:
        return "never stops this run"
    return "" if standing.next is None else say_next(standing.next, state.metric, state.mode)


def say_next(coming: NextEval, metric: str, mode: Mode) -> str:
    """What a policy will do at the next eval."""
    at = f"at eval {coming.eval}"
    if coming.kind is NextKind.CONTINUES:
        return f"does not stop {at}"
    if coming.kind is NextKind.STOPS:
        return f"stops {at}, whatever {printable(metric)} is"
    if coming.kind is NextKind.OPEN or coming.bound is None:
        return f"may stop {at}"
    if coming.strict:
        word = "below" if mode == "min" else "above"
    else:
        word = "at most" if mode == "min" else "at least"
    when = "unless" if coming.kind is NextKind.STOPS_UNLESS_BETTER else "if"
    return f"stops {at} {when} {printable(metric)} is {word} {number(coming.bound, 6)}"


def say_progress(state: RunState) -> str:
    """How far a run is."""
    step = number(float(state.steps[-1])) if len(state.steps) else "0"
    text = f"{state.run.info.step_unit} {step}"
    if state.ended:
        return f"{text}, ended"
    return text if state.planned is None else f"{text} of {number(state.planned)}"


def say_count(states: Sequence[RunState]) -> str:
    """How many runs there are, and what becomes of them."""
    ended = sum(state.ended for state in states)
    stopped = sum(state.stopped is not None and not state.ended for state in states)
    count = f"{len(states)} run{'s' * (len(states) != 1)}"
    parts = []
    if stopped:
        parts.append(f"{stopped} train{'s' * (stopped == 1)} on after a stop")
    if ended:
        parts.append(f"{ended} ended")
    return f"{count}: {', '.join(parts)}" if parts else count


def say_bars(states: Sequence[RunState], most: int) -> str:
    """What the bars of the runs are, and which of their directions is good."""
    drawn = [state for state in states if len(state.values)]
    if not drawn:
        return ""
    modes = {state.mode for state in drawn}
    metrics = {state.metric for state in drawn}
    metric = printable(drawn[0].metric) if len(metrics) == 1 else "the monitor"
    text = f"Bars: the last {most} values of {metric}"
    if len(modes) > 1:
        return f"{text}, higher bars for higher values"
    return f"{text}; {'lower' if modes == {'min'} else 'higher'} bars are better"


def say_hook_failure(command: str, run: str, problem: str) -> str:
    """That the command of ``--on-stop`` failed for a run."""
    return f"--on-stop: {printable(command)} failed for {printable(run)}: {printable(problem)}."

"""Prove on a finished run that a policy, asked live at each eval, stops where the replay of the whole log
stops it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from replay.data.run import Column, Run, Series
from replay.data.types import Mode
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError
from replay.live.watcher import Watcher
from replay.policies.base import Decision, Policy
from replay.urls import copy_of

__all__ = ["Verified", "until", "verify"]


class Verified(NamedTuple):
    """One run: where replay stops it, and where a live policy does; both 1-based evals, None where it never
    stops.

    ``asked`` says who was asked live: ``log``, the policy on the log cut off after each eval, or
    ``transformers``, its ``StopCallback`` on the history that the Trainer kept.
    """

    run: str
    evals: int
    replayed: int | None
    live: int | None
    asked: str

    @property
    def same(self) -> bool:
        """Whether both stop at the same eval."""
        return self.replayed == self.live


def verify(
    run: Run, policy: Policy, *, monitor: str | None = None, mode: Mode | None = None
) -> list[Verified]:
    """Ask the policy after each eval of a run, as it is asked in a training, and compare with the replay of
    the whole.

    Where the run's folder has a ``trainer_state.json`` and transformers is installed, its callback is asked
    too. Raises InputError where the run does not log what the policy needs.
    """
    outcomes = simulate_policies([run], [policy], Question(monitor, mode))
    watch = outcomes.study.monitor
    position = int(outcomes.position[0])
    stopped = None if position < 0 else position + 1
    curve = run.curve(watch.name, watch.mode)
    results = []
    live: int | None = None
    for step in curve.steps.tolist():
        decision = Watcher(policy, monitor=watch.name, mode=watch.mode).decide(until(run, step))
        if decision.stop:
            live = decision.eval
            break
    results.append(Verified(run.id, len(curve), stopped, live, "log"))
    state = next(
        (
            path
            for source in run.info.sources
            if (path := copy_of(source).parent / "trainer_state.json").is_file()
        ),
        None,
    )
    if state is not None:
        asked = _ask_transformers(state, policy, watch.name, watch.mode)
        if asked is not None:
            results.append(
                Verified(
                    run.id,
                    len(curve),
                    stopped,
                    asked.eval if asked.stop else None,
                    "transformers",
                )
            )
    return results


def until(run: Run, step: float) -> Run:
    """The run as its log was at a step: nothing later, and not how it ended."""
    rows = run.steps <= step
    columns = {name: Column(values[rows], present[rows]) for name, (values, present) in run.columns.items()}
    train = {}
    for name, series in run.train.items():
        here = series.step <= step
        if here.any():
            train[name] = Series(series.step[here], series.value[here])
    info = run.info.replace(
        trained_steps=None,
        complete=None,
        stopped_by=None,
        trained_tokens=None,
        trained_flops=None,
        trained_seconds=None,
        train_runtime=None,
        total_flos=None,
    )
    return Run(run.id, columns, info, train)


def _ask_transformers(path: Path, policy: Policy, metric: str, mode: Mode) -> Decision | None:
    """What transformers' callback says, handed the history entry by entry as the Trainer does; None where it
    is not installed.
    """
    try:
        from replay.live.transformers import StopCallback
    except ImportError:
        return None
    state: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    history = [row for row in state["log_history"] if "stop_policy" not in row]
    callback = StopCallback(policy, monitor=metric, mode=mode)
    args = SimpleNamespace(metric_for_best_model=None, greater_is_better=None)
    facts = {name: state.get(name) for name in ("max_steps", "num_train_epochs", "train_batch_size")}
    control = SimpleNamespace(should_training_stop=False)
    live = SimpleNamespace(log_history=[], global_step=0, epoch=0.0, **facts)
    callback.on_train_begin(args, live, control)
    for row in history:
        if row["step"] > live.global_step:
            callback.on_step_begin(args, live, control)
        live.log_history.append(row)
        live.global_step, live.epoch = row["step"], row.get("epoch")
        if any(name.startswith(("eval_", "test_")) for name in row):
            callback.on_evaluate(args, live, control)
            if control.should_training_stop:
                break
    if callback.decision is None:
        raise InputError(f"{path}: there is no evaluation in it")
    return callback.decision

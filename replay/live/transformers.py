"""A stop policy as a callback of transformers' Trainer."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from replay.data.types import Mode
from replay.errors import InputError
from replay.live.watcher import Watcher
from replay.policies.base import Decision, Policy
from replay.readers.formats import trainer_state

__all__ = ["StopCallback"]

_FACTS = ("global_step", "max_steps", "num_train_epochs", "train_batch_size")


class StopCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Stops a Trainer where the policy does on the Trainer's own ``log_history``::

        trainer.add_callback(StopCallback("patience=3,smooth=ema:0.3"))

    The metric is the policy's own ``monitor=``, else ``monitor``, else ``metric_for_best_model``, else
    ``eval_loss``; its mode likewise, else ``greater_is_better``, else what its name says. A metric that the
    first evaluation does not log is an InputError, which names those that it does. On a resume the history
    comes from the checkpoint, so that no counter is lost; a training that had been stopped stops again at
    once. The reason is in ``decision``, in the last entry of ``state.log_history`` (``stop_policy``,
    ``stop_reason``) and in the log named ``replay``.
    """

    def __init__(self, policy: str | Policy, *, monitor: str | None = None, mode: Mode | None = None) -> None:
        self._watcher = Watcher(policy, monitor=monitor, mode=mode)
        #: The last decision; None before the first evaluation.
        self.decision: Decision | None = None
        self._refused: InputError | None = None
        self._resumed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        watcher, best = self._watcher, args.metric_for_best_model
        if watcher.policy.monitor is None and watcher.monitor is None and best:
            watcher.monitor = best if best.startswith("eval_") else f"eval_{best}"
            if watcher.mode is None and watcher.policy.mode is None and args.greater_is_better is not None:
                watcher.mode = "max" if args.greater_is_better else "min"
        self.decision = None
        if any(
            "stop_policy" in row for row in state.log_history
        ):  # of a run that goes on, whoever stopped it
            state.log_history = [row for row in state.log_history if "stop_policy" not in row]
        self._resumed = self._decide(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._refused is not None:  # all data sets of the evaluation have been measured by now
            raise self._refused

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._resumed:
            self._stop(state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._decide(state):
            self._stop(state, control)

    def _decide(self, state: Any) -> bool:
        given = {name: getattr(state, name) for name in _FACTS}
        runs = [
            run
            for run in trainer_state.runs_of({**given, "log_history": state.log_history}, "run")
            if len(run)
        ]
        if not runs:
            return False
        try:
            self.decision = self._watcher.decide(runs[-1])
        except InputError as error:
            self._refused = error
            return False
        self._refused = None
        return self.decision.stop

    def _stop(self, state: Any, control: Any) -> None:
        control.should_training_stop = True
        if self.decision is not None and not any("stop_policy" in row for row in state.log_history):
            said = {
                "stop_policy": self._watcher.policy.spec(),
                "stop_reason": self.decision.reason,
                "stop_eval": self.decision.eval,
            }
            state.log_history.append({"step": state.global_step, "epoch": state.epoch, **said})

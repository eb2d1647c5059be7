"""A stop policy as a Lightning callback."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:  # the older package of the same code
    from pytorch_lightning.callbacks import Callback  # type: ignore[assignment]

from replay.data.types import Mode
from replay.live.watcher import Watcher, numbers, run_of
from replay.policies.base import Decision, Policy

__all__ = ["StopCallback"]


class StopCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Stops a Lightning Trainer where the policy does on the validations so far::

        Trainer(callbacks=[StopCallback("patience=3", monitor="val_loss")])

    One eval a validation (the sanity check is none); the metric is the policy's own ``monitor=``, else
    ``monitor``, else the validation loss. A metric that is not logged is an InputError, which names those
    that are. The history is part of Lightning's checkpoints, so that a resumed training loses nothing. Of
    several processes each decides by the same reduced metrics, and all stop if one does. The reason is in
    ``decision``, and in the log named ``replay``.
    """

    def __init__(self, policy: str | Policy, *, monitor: str | None = None, mode: Mode | None = None) -> None:
        self._watcher = Watcher(policy, monitor=monitor, mode=mode)
        self._rows: list[dict[str, float]] = []
        #: The last decision; None before the first validation.
        self.decision: Decision | None = None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or str(trainer.state.fn) not in ("fit", "TrainerFn.FITTING"):
            return
        # numbered from 0, as Lightning's loggers do it
        step = max(trainer.global_step - 1.0, 0.0)
        row = {**numbers(trainer.callback_metrics), "step": step, "epoch": trainer.current_epoch + 1.0}
        self._rows = [earlier for earlier in self._rows if earlier["step"] < row["step"]]
        self._rows.append(row)
        self.decision = self._watcher.decide(run_of(self._rows))
        if trainer.strategy.reduce_boolean_decision(self.decision.stop, all=False):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows = list(state_dict["rows"])

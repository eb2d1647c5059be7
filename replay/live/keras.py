"""A stop policy as a Keras callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from replay.data.types import Mode
from replay.live.watcher import Watcher, numbers, run_of
from replay.policies.base import Decision, Policy

__all__ = ["StopCallback"]


class StopCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops ``model.fit`` where the policy does on the epochs so far::

        model.fit(..., validation_data=..., callbacks=[StopCallback("patience=3")])

    One eval an epoch; the metric is the policy's own ``monitor=``, else ``monitor``, else ``val_loss``. A
    metric that is not logged is an InputError, which names those that are. Keras keeps no history over
    several calls of ``fit``: to go on with an interrupted training, give that of the calls before as
    ``history`` (``History.history``, its epochs counted from 0) and ``initial_epoch`` to ``fit``. The reason
    is in ``decision``, and in the log named ``replay``.
    """

    def __init__(
        self,
        policy: str | Policy,
        *,
        monitor: str | None = None,
        mode: Mode | None = None,
        history: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self._watcher = Watcher(policy, monitor=monitor, mode=mode)
        self._rows: dict[int, dict[str, float]] = {}
        for name, values in (history or {}).items():
            for epoch, value in enumerate(values):
                self._rows.setdefault(epoch, {})[name] = float(value)
        #: The last decision; None before the first epoch ends.
        self.decision: Decision | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # an epoch that is trained again, and what came after it, replaces what there was
        self._rows = {number: row for number, row in self._rows.items() if number < epoch}
        self._rows[epoch] = numbers(logs or {})
        rows = [
            {"step": number + 1.0, "epoch": number + 1.0, **row} for number, row in sorted(self._rows.items())
        ]
        self.decision = self._watcher.decide(run_of(rows, step_unit="epoch"))
        if self.decision.stop:
            self.model.stop_training = True

"""Reports of a run to other trackers (``train.report_to``), through transformers' own callbacks.

They come beside the log, and the training must not notice them: they get copies of what they could change,
what they draw from the random generators is undone, and one that fails is left out from then on.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from collect.random_state import random_state_aside
from replay.errors import InputError, suggestion

__all__ = ["Reporter", "close_reporters", "make_reporters"]

#: What keeps a tracker from sending anything anywhere, unless the environment says otherwise.
_OFFLINE = {
    "clearml": {"CLEARML_OFFLINE_MODE": "1", "CLEARML_LOG_MODEL": "FALSE"},
    "comet_ml": {"COMET_START_ONLINE": "false"},
    "neptune": {"NEPTUNE_MODE": "offline"},
    "swanlab": {"SWANLAB_MODE": "offline"},
    "wandb": {"WANDB_MODE": "offline", "WANDB_SILENT": "true"},
}
#: The function of a tracker that ends its run: otherwise the next run of the process would be added to it.
_FINISH = {"mlflow": "end_run", "swanlab": "finish", "trackio": "finish", "wandb": "finish"}


class Reporter:
    """Passes the events of a Trainer to a tracker's callback."""

    def __init__(self, name: str, callback: Any, say: Callable[[str], None]) -> None:
        self.name = name
        self._callback = callback
        self._say = say
        self._has_failed = False

    def __getattr__(self, event: str) -> Any:
        from transformers import TrainerCallback

        if not event.startswith("on_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {event!r}")
        if getattr(type(self._callback), event, None) is getattr(TrainerCallback, event, None):
            return _pass  # the tracker has no use for it
        method = getattr(self._callback, event)

        def pass_on(args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self._has_failed:
                return
            if "logs" in kwargs:
                kwargs["logs"] = copy.copy(kwargs["logs"])
            try:
                # what it prints is kept from our stdout
                with random_state_aside(args.device), contextlib.redirect_stdout(io.StringIO()):
                    method(args, state, copy.copy(control), **kwargs)
            except Exception as error:  # whatever the library of the tracker raises
                self._has_failed = True
                self._say(
                    f"{self.name} failed and gets nothing more of this run ({_first_line(error)}); the log"
                    " and the training are not affected"
                )

        return pass_on


def _pass(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def make_reporters(names: Sequence[str], say: Callable[[str], None]) -> list[Reporter]:
    """A reporter for each tracker, to be made before the training is seeded. A tracker works offline where
    the environment does not say otherwise.

    Raises InputError where a tracker's library is missing or refuses to be used.
    """
    reporters: list[Reporter] = []
    if not names:
        return reporters
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:  # of a log that was written with another transformers
            raise InputError(
                f"train.report_to = {name!r}; it must be one of {suggestion(name, INTEGRATION_TO_CALLBACK)}"
            )
        for variable, value in _OFFLINE.get(name, {}).items():
            os.environ.setdefault(variable, value)
        try:
            callback = INTEGRATION_TO_CALLBACK[name]()
        except Exception as error:  # transformers has no class of its own for a missing library
            raise InputError(f"train.report_to = {name!r} cannot be used: {_first_line(error)}") from None
        reporters.append(Reporter(name, callback, say))
    return reporters


def close_reporters(reporters: Sequence[Reporter]) -> None:
    """End the runs of the trackers, also those of a training that failed."""
    for reporter in reporters:
        finish = getattr(sys.modules.get(reporter.name), _FINISH.get(reporter.name, ""), None)
        if finish is not None:
            # most raise where their run has ended already
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                finish()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__

"""What the settings that a tracker stored say of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from replay.data.names import infer_mode
from replay.data.run import Run
from replay.readers.points import number

__all__ = ["settings_of", "stated_monitor", "with_known_monitor"]

#: transformers' number of epochs of a data set without a length is sys.maxsize.
_NO_LENGTH = 10**9
#: The parts of a name of nested settings: what stands before the last of them, and that.
_KEY = re.compile(r"((?:.*[./])?)([^./]*)")


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings of a training say, as fields of `RunInfo`: its plan, its model, and the monitor with
    its mode where transformers states both. Numbers and truth values may be written as text.
    """
    plain = {
        name: item for name, item in values.items() if isinstance(item, str | int | float) and item != ""
    }
    facts: dict[str, Any] = {"hyperparameters": plain} if plain else {}
    steps, epochs = (_setting(plain.get(name)) for name in ("max_steps", "num_train_epochs"))
    if steps is not None and 0 < steps < math.inf:
        facts["planned_steps"] = int(steps) if steps == int(steps) else steps
    elif epochs is not None and 0 < epochs < _NO_LENGTH:
        facts["planned_epochs"] = epochs
    facts |= stated_monitor(plain)
    model = plain.get("model/_name_or_path", plain.get("_name_or_path"))
    if isinstance(model, str):
        facts["model"] = model
    return facts


def stated_monitor(values: Mapping[str, Any]) -> dict[str, Any]:
    """The monitor that settings state, and its mode where they state that as well: transformers'
    ``metric_for_best_model``, or the ``monitor`` and ``mode`` of Keras and Lightning at any depth. Monitors
    that differ state none, unless that of the checkpoints is among them.
    """
    metric, greater = values.get("metric_for_best_model"), str(values.get("greater_is_better")).lower()
    if isinstance(metric, str) and metric.lower() not in ("", "none", "null"):
        name = "eval_" + metric.removeprefix("eval_").removeprefix("eval/")
        if greater in ("true", "false"):
            return {"monitor": name, "modes": {name: "max" if greater == "true" else "min"}}
        if infer_mode(name) is None:  # transformers' own default, where the name does not say it
            return {"monitor": name, "modes": {name: "min" if metric.endswith("loss") else "max"}}
        return {"monitor": name}
    found = {}
    for key, item in values.items():
        parts = _KEY.fullmatch(key)
        before, last = parts.groups() if parts is not None else ("", "")
        if last.lower() == "monitor" and isinstance(item, str) and item.lower() not in ("", "none", "null"):
            mode = values.get(f"{before}mode")
            found[before] = (item, mode if mode in ("min", "max") else None)
    if len(set(found.values())) > 1:
        found = {before: one for before, one in found.items() if "checkpoint" in before.lower()}
    if len(set(found.values())) != 1:
        return {}
    ((name, mode),) = set(found.values())
    return {"monitor": name, "modes": {name: mode}} if mode else {"monitor": name}


def with_known_monitor(run: Run) -> Run:
    """The run with its monitor under the name that it logs it by, or without one that it does not log."""
    stated = run.info.monitor
    if stated is None:
        return run
    name = run.find_metric(stated)
    if name is None or name not in run.metrics:
        return run.replace(info=run.info.replace(monitor=None, modes={}))
    modes = dict.fromkeys((name,), *run.info.modes.values()) if run.info.modes else {}
    return run.replace(info=run.info.replace(monitor=name, modes=modes))


def _setting(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return number(value)

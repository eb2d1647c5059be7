"""What the settings that a tracker stored say of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from replay.readers.points import number

__all__ = ["settings_of"]

#: transformers' number of epochs of a data set without a length is sys.maxsize.
_NO_LENGTH = 10**9


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
    metric, greater = plain.get("metric_for_best_model"), str(plain.get("greater_is_better")).lower()
    if isinstance(metric, str) and metric not in ("None", "none") and greater in ("true", "false"):
        name = "eval_" + metric.removeprefix("eval_").removeprefix("eval/")
        facts["monitor"], facts["modes"] = name, {name: "max" if greater == "true" else "min"}
    model = plain.get("model/_name_or_path", plain.get("_name_or_path"))
    if isinstance(model, str):
        facts["model"] = model
    return facts


def _setting(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return number(value)

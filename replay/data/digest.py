"""The digest of a run by what policies can see of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.data.types import Floats

__all__ = ["digest_of_run"]

#: What a log says of a run beside its curves that changes what policies make of it.
_FACTS = (
    "modes",
    "contradicted_modes",
    "monitor",
    "planned_steps",
    "planned_epochs",
    "trained_steps",
    "trained_tokens",
    "trained_flops",
    "trained_seconds",
    "step_unit",
    "group",
    "model",
    "dataset",
    "hyperparameters",
    "devices",
    "stopped_by",
    "reference",
    "complete",
    "resumes",
)


def digest_of_run(run: Run) -> bytes:
    """A digest of all that policies could see of a run, whatever its id.

    It is the same for a log that was written anew with other spaces, line ends or an empty line more.
    """
    made = hashlib.sha256()
    for name, (values, present) in sorted(run.columns.items()):
        _add(made, "column", name)
        made.update(np.packbits(present).tobytes())
        made.update(_bytes(np.where(present, values, 0.0)))
    for name, (steps, values) in sorted(run.train.items()):
        _add(made, "series", name)
        made.update(_bytes(steps))
        made.update(_bytes(values))
    for name in _FACTS:
        _add(made, name, _plain(getattr(run.info, name)))
    return made.digest()


def _add(made: Any, *words: Any) -> None:
    made.update(json.dumps(words, sort_keys=True, default=str).encode("utf-8", "surrogatepass") + b"\n")


def _bytes(values: Floats) -> bytes:
    """The bytes of numbers, with one NaN and one zero, in the same order on every machine."""
    plain = np.where(np.isnan(values), np.nan, values) + 0.0
    return len(plain).to_bytes(8, "little") + plain.astype("<f8").tobytes()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value

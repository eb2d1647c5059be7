"""The table of log formats: those of replay, and those that plug-ins add.

A plug-in is an installed package with entry points in the group ``stop_replay.formats``. Each of them names a
`replay.readers.Format`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from replay.data.finding import Finding, Kind
from replay.readers.format import Format
from replay.readers.formats import (
    aim,
    catboost,
    clearml,
    comet,
    csv_log,
    dvclive,
    eval_log,
    guild,
    json_history,
    jsonl,
    mlflow,
    neptune,
    neptune_scale,
    peft_benchmark,
    ray_tune,
    sacred,
    swanlab,
    tensorboard,
    text_log,
    trackio,
    trainer_state,
    wandb,
)

__all__ = ["FORMATS", "GROUP", "Registry", "registry"]

GROUP = "stop_replay.formats"

#: The formats of replay. Where two recognise a file, the earlier one reads it.
FORMATS: tuple[Format, ...] = (
    eval_log.FORMAT,
    trainer_state.FORMAT,
    tensorboard.FORMAT,
    aim.FORMAT,
    clearml.FORMAT,
    comet.FORMAT,
    neptune.FORMAT,
    neptune_scale.FORMAT,
    csv_log.FORMAT,
    catboost.FORMAT,
    peft_benchmark.FORMAT,
    json_history.FORMAT,
    jsonl.FORMAT,
    mlflow.FORMAT,
    wandb.FORMAT,
    trackio.FORMAT,
    swanlab.FORMAT,
    dvclive.FORMAT,
    guild.FORMAT,
    sacred.FORMAT,
    ray_tune.FORMAT,
    text_log.FORMAT,
)


class Registry(NamedTuple):
    """All formats, those of plug-ins last, and findings about plug-ins that could not be used."""

    formats: tuple[Format, ...]
    findings: tuple[Finding, ...]


@cache
def registry() -> Registry:
    """The formats of replay and of all plug-ins, which are imported once."""
    formats = {format.name: format for format in FORMATS}
    findings = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        facts = {"name": point.name, "plugin": point.dist.name if point.dist is not None else point.module}
        try:
            format = _load(point)
        except Exception as error:  # whatever a plug-in raises must not hide the logs that others read
            facts |= {"error_type": type(error).__name__, "error": str(error)}
            findings.append(Finding(Kind.PLUGIN_FAILED, facts=facts))
            continue
        if format.name in formats:
            findings.append(Finding(Kind.PLUGIN_FAILED, facts={**facts, "name": format.name}))
        else:
            formats[format.name] = format
    return Registry(tuple(formats.values()), tuple(findings))


def _load(point: EntryPoint) -> Format:
    format = point.load()
    if not isinstance(format, Format):
        raise TypeError(f"{point.value} is not a replay.readers.Format but of type {type(format).__name__}")
    return format

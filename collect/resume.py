"""How far the run of a folder is, and what is left to do: nothing, the rest from a checkpoint, or all."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import NamedTuple

from collect.config import Config, parse_record
from collect.eval_log import FILE_NAME, ExistingLog, read_existing_log
from replay.errors import InputError

__all__ = ["Plan", "config_difference", "make_plan", "read_config"]


class Plan(NamedTuple):
    """What is left to do in a folder: nothing where the run is ``finished``, otherwise to continue ``log``
    from ``checkpoint``, or from the first step where that is None.
    """

    finished: bool
    log: ExistingLog | None
    checkpoint: Path | None


def make_plan(config: Config, folder: Path) -> Plan:
    """What is left to do of a run; raises InputError where the folder holds a run of another config."""
    log = read_existing_log(folder)
    if log is None or not log.header:
        return Plan(False, None, None)
    if (difference := config_difference(log, config)) is not None:
        raise InputError(
            f"{folder} holds a run of another config ({difference}); nothing is written over it: give another"
            " name or --out"
        )
    return Plan(log.ended, log, None if log.ended else _newest_checkpoint(folder, log))


def _newest_checkpoint(folder: Path, log: ExistingLog) -> Path | None:
    """The newest checkpoint that the log says is complete, and that is still there."""
    for step in reversed(log.checkpoints()):
        path = folder / f"checkpoint-{step}"
        if (path / "trainer_state.json").is_file():
            return path
    return None


def config_difference(log: ExistingLog, config: Config) -> str | None:
    """How the config of a log differs from this one, or None; settings that an older version did not know
    have their default.
    """
    recorded = log.header.get("config")
    if not isinstance(recorded, dict):
        return "its log says no config"
    with contextlib.suppress(InputError):
        recorded = parse_record(recorded, "the log's config").record()
    return log._replace(header={"config": recorded}).difference({"config": config.record()}, ("config",))


def read_config(folder: Path, root: Path) -> Config:
    """The config that the log in a folder was made with, local paths relative to ``root``.

    Raises InputError where the folder holds no log, or a log without a config.
    """
    log = read_existing_log(folder)
    if log is None:
        raise InputError(f"{folder} holds no {FILE_NAME}; it must be the folder of a run of collect")
    record = log.header.get("config")
    if not isinstance(record, dict):
        raise InputError(f"{folder / FILE_NAME} says no config; only a run of collect can be resumed by it")
    return dataclasses.replace(parse_record(record, str(folder / FILE_NAME)), root=root)

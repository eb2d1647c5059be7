"""How far the run of a folder is, and what is left to do: nothing, the rest from a checkpoint, or all."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import NamedTuple

from collect.config import Config, parse_record
from collect.eval_log import FILE_NAME, ExistingLog, read_existing_log
from collect.eval_log.reader import without_plan
from replay.errors import InputError

__all__ = ["Plan", "config_difference", "make_plan", "read_config"]


class Plan(NamedTuple):
    """What is left to do in a folder: nothing where the run is ``finished``, otherwise to continue ``log``
    from ``checkpoint``, or from the first step where that is None.

    ``config`` is that of the run as it is planned by now. ``extended_at`` is the step at which it had
    finished, where it goes on from there under another plan.
    """

    finished: bool
    log: ExistingLog | None
    checkpoint: Path | None
    config: Config
    extended_at: int | None = None


def make_plan(config: Config, folder: Path, max_steps: int | None = None) -> Plan:
    """What is left to do of a run; ``max_steps`` extends one that is finished to so many steps.

    Raises InputError where the folder holds a run of another config, and where it cannot be extended.
    """
    log = read_existing_log(folder)
    if log is None or not log.header:
        if max_steps is not None:
            raise InputError(f"{folder} holds no run that could be extended to {max_steps} steps")
        return Plan(False, None, None, config)
    if (difference := config_difference(log, config)) is not None:
        hint = ""
        if config.train.max_steps is not None and log.ended and _differs_in_steps_only(log, config):
            hint = f", or extend that run: collect resume {folder} --max-steps {config.train.max_steps}"
        raise InputError(
            f"{folder} holds a run of another config ({difference}); nothing is written over it: give another"
            f" name or --out{hint}"
        )
    planned = log.planned_steps
    if max_steps is not None and max_steps != planned:
        return _extension(log, config, folder, max_steps)
    if log.extended_at is not None and planned is not None:
        config = _with_steps(config, planned)
    if log.ended:
        return Plan(True, log, None, config)
    checkpoint = _newest_checkpoint(folder, log)
    if log.extended_at is None:
        return Plan(False, log, checkpoint, config)
    if checkpoint is None or checkpoint.name not in {
        f"checkpoint-{step}" for step in log.checkpoints() if step >= log.extended_at
    }:
        raise InputError(_lost_state(folder, log.extended_at))
    is_at_extension = checkpoint == _checkpoint(folder, log.extended_at)
    return Plan(False, log, checkpoint, config, log.extended_at if is_at_extension else None)


def _differs_in_steps_only(log: ExistingLog, config: Config) -> bool:
    """Whether the config plans more steps than the run of a log, and is the same otherwise."""
    planned = log.planned_steps
    if planned is None or config.train.max_steps is None or config.train.max_steps <= planned:
        return False
    record = without_plan({"config": config.record()})
    return log._replace(header=without_plan(log.header)).difference(record, ("config",)) is None


def _extension(log: ExistingLog, config: Config, folder: Path, max_steps: int) -> Plan:
    """What is to be done to extend a finished run."""
    planned = log.planned_steps
    if not log.ended:
        raise InputError(
            f"--max-steps {max_steps}: {folder} has not finished its {planned} steps, and only a finished run"
            f" is extended; finish it first: collect resume {folder}"
        )
    step = int(log.step)
    if max_steps <= step:
        raise InputError(
            f"--max-steps {max_steps}: {folder} has been trained for {step} steps; give a larger number"
        )
    checkpoint = _checkpoint(folder, step)
    if checkpoint is None or not config.train.keep_state:
        raise InputError(_lost_state(folder, step))
    return Plan(False, log, checkpoint, _with_steps(config, max_steps), step)


def _lost_state(folder: Path, step: int) -> str:
    return (
        f"{folder} cannot go on after its step {step}: the state of the training at that step was not kept. A"
        " run keeps that of its last step with train.keep_state = true in its config"
    )


def _with_steps(config: Config, max_steps: int) -> Config:
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, max_steps=max_steps, epochs=None)
    )


def _checkpoint(folder: Path, step: int | None) -> Path | None:
    """The checkpoint of a step, where it is there."""
    path = folder / f"checkpoint-{step}"
    return path if (path / "trainer_state.json").is_file() else None


def _newest_checkpoint(folder: Path, log: ExistingLog) -> Path | None:
    """The newest checkpoint that the log says is complete, and that is still there."""
    for step in reversed(log.checkpoints()):
        if (path := _checkpoint(folder, step)) is not None:
            return path
    return None


def config_difference(log: ExistingLog, config: Config) -> str | None:
    """How the config of a log differs from this one, or None; settings that an older version did not know
    have their default. A run that was extended is that of its first config, and of the same with its steps
    by now.
    """
    recorded = log.header.get("config")
    if not isinstance(recorded, dict):
        return "its log says no config"
    plans = [recorded]
    with contextlib.suppress(InputError):
        first = parse_record(recorded, "the log's config")
        plans = [first.record()]
        if log.extended_at is not None and log.planned_steps is not None:
            plans.insert(0, _with_steps(first, log.planned_steps).record())
    wanted = {"config": config.record()}
    differences = [log._replace(header={"config": plan}).difference(wanted, ("config",)) for plan in plans]
    return None if None in differences else differences[0]


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

"""Checkpoints of a run: when one is written, and which stay."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from collect.keep import forget

__all__ = ["Checkpoints", "prune"]


class Checkpoints(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Saves at every ``keep_every``-th step and the last (those stay), and at every ``resume_every``-th (of
    those only the newest). With ``keep_last`` the last one stays in any case.

    Comes after the log among the callbacks: nothing is removed before the log holds the checkpoint that takes
    its place.
    """

    def __init__(self, folder: Path, keep_every: int, resume_every: int, *, keep_last: bool = False) -> None:
        self._folder = folder
        self._keep_every = keep_every
        self._keep_last = keep_last
        self._resume_every = resume_every
        self._last = 0

    def keeps(self, step: int) -> bool:
        """Whether the checkpoint of a step stays."""
        if step == self._last:
            return self._keep_last or bool(self._keep_every)
        return bool(self._keep_every) and step % self._keep_every == 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._last = state.max_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        if self.keeps(step) or (self._resume_every and step % self._resume_every == 0 and step < self._last):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            prune(self._folder, lambda step: step == state.global_step or self.keeps(step))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.leave(self._last)

    def leave(self, last: int) -> None:
        """Remove what a run that ended after its ``last`` step does not need any more."""
        self._last = last
        prune(self._folder, self.keeps)
        for checkpoint in self._folder.glob("checkpoint-*"):
            # an extension of the run goes on from the last one
            if not (self._keep_last and checkpoint.name == f"checkpoint-{last}"):
                forget(checkpoint)


def prune(folder: Path, keeps: Callable[[int], bool]) -> None:
    """Remove the checkpoints of the steps that ``keeps`` does not want."""
    for path in folder.glob("checkpoint-*"):
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if match and path.is_dir() and not path.is_symlink() and not keeps(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)

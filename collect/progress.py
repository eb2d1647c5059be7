"""One line on a terminal: where the training is, how good it is, and how long it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import click
from transformers import TrainerCallback

__all__ = ["Progress"]


class Progress(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Rewrites one line of stderr after each step."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = 0.0
        self._first = 0
        self._evals = 0
        self._loss = math.nan
        self._best = (math.inf, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        loss = (metrics or {}).get("eval_loss")
        if loss is not None:
            self._evals += 1
            self._loss = loss
            self._best = min(self._best, (loss, state.global_step))
            self._show(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        click.echo(err=True)

    def _show(self, state: Any) -> None:
        done = state.global_step - self._first
        left = (time.monotonic() - self._began) / max(done, 1) * (state.max_steps - state.global_step)
        parts = [f"{self._name}: step {state.global_step}/{state.max_steps}"]
        if self._evals:
            parts.append(f"{self._evals} evals, eval_loss {self._loss:.4g}, best {self._best[0]:.4g} at step {self._best[1]}")
        parts.append(f"{left / 60:.1f} min left")
        click.echo("\r\x1b[K" + ", ".join(parts), nl=False, err=True)

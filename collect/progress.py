"""One line on a terminal: where the training is, how good it is, and how long it takes."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from typing import Any

import click
from transformers import TrainerCallback

__all__ = ["Progress"]


class Progress(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Rewrites one line of stderr after each step; it fits the terminal, or it could not be rewritten."""

    def __init__(self, name: str, evals: int) -> None:
        self._name = name
        self._planned = evals
        self._began = 0.0
        self._first = 0
        self._evals = 0
        self._train = math.nan
        self._loss = math.nan
        self._best = (math.inf, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step
        for row in state.log_history:  # of a run that goes on
            if "eval_loss" in row:
                self._evaluated(row["eval_loss"], row["step"])

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self._train = (logs or {}).get("loss", self._train)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        loss = (metrics or {}).get("eval_loss")
        if loss is not None:
            self._evaluated(loss, state.global_step)
            self._show(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        click.echo(err=True)

    def _evaluated(self, loss: float, step: int) -> None:
        self._evals += 1
        self._loss = loss
        self._best = min(self._best, (loss, step))

    def _show(self, state: Any) -> None:
        done = state.global_step - self._first
        seconds = (time.monotonic() - self._began) / max(done, 1) * (state.max_steps - state.global_step)
        parts = [f"step {state.global_step}/{state.max_steps}", _span(seconds) + " left"]
        if self._evals:
            parts += [
                (
                    f"eval {self._evals}/{self._planned}: {self._loss:.4g}, best {self._best[0]:.4g} at"
                    f" {self._best[1]}"
                )
            ]
        if math.isfinite(self._train):
            parts.append(f"train {self._train:.4g}")
        click.echo(
            "\r\x1b[K" + _fitted(self._name, parts, shutil.get_terminal_size().columns - 1),
            nl=False,
            err=True,
        )


def _span(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _fitted(name: str, parts: list[str], width: int) -> str:
    """As many of the parts as fit, and of the name what is left over, its end shortened."""
    while len(parts) > 1 and len(", ".join(parts)) + 6 > width:
        parts = parts[:-1]
    text = ", ".join(parts)
    room = width - len(text) - 2
    if len(name) > room:
        name = name[: max(room - 1, 0)] + "…"
    return f"{name}: {text}"[:width]

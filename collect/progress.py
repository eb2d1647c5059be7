"""What a training says: what is about to be trained, and then where it is, how good it is and how long it
takes, in one line on a terminal or one line per eval elsewhere.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from collect.config import Config
from collect.examples import count_learned

__all__ = ["EvalLines", "Progress", "describe_training"]


class _Follower(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Remembers where a training is; ``evals`` is how many are planned."""

    def __init__(self, evals: int) -> None:
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

    def _evaluated(self, loss: float, step: int) -> None:
        self._evals += 1
        self._loss = loss
        self._best = min(self._best, (loss, step))

    def _parts(self, state: Any) -> list[str]:
        """Where the training is, the most important first."""
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
        return parts

    def _show(self, state: Any) -> None:
        raise NotImplementedError


class EvalLines(_Follower):
    """One line per eval, for a file or a batch job."""

    def __init__(self, say: Callable[[str], None], evals: int) -> None:
        super().__init__(evals)
        self._say = say

    def _show(self, state: Any) -> None:
        self._say(", ".join(self._parts(state)))


class Progress(_Follower):
    """Rewrites one line of a terminal after each step; it fits the terminal, or it could not be rewritten.

    ``terminal`` is the terminal's file descriptor.
    """

    def __init__(self, name: str, evals: int, terminal: int) -> None:
        super().__init__(evals)
        self._name = name
        self._terminal = terminal

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._write("\n")

    def _show(self, state: Any) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size(self._terminal).columns
        except (ValueError, OSError):
            width = 80
        self._write("\r\x1b[K" + _fitted(self._name, self._parts(state), width - 1))

    def _write(self, text: str) -> None:
        os.write(self._terminal, text.encode(errors="replace"))


def describe_training(
    splits: Mapping[str, Sequence[Mapping[str, Any]]], model: Any, config: Config, steps: int, evals: int
) -> Iterator[str]:
    """What is about to be trained, in lines: the encoded examples, the parameters, the steps and evals."""
    names = {"train": "train", "eval": "validation", "test": "test", "generic": "generic"}
    present = {names[split]: examples for split, examples in splits.items() if examples}
    tokens = {
        name: sum(len(example["input_ids"]) for example in examples) for name, examples in present.items()
    }
    yield "tokens: " + ", ".join(f"{count:,} {name}" for name, count in tokens.items())
    if config.task == "causal-lm":
        learned = {
            name: sum(count_learned(example["labels"]) for example in examples)
            for name, examples in present.items()
        }
        yield "tokens with loss: " + ", ".join(f"{count:,} {name}" for name, count in learned.items())
    cut = {name: sum(example["cut"] for example in examples) for name, examples in present.items()}
    for section, limit, parts in (
        ("data", config.data.max_length, ("train", "validation", "test")),
        ("generic", 0 if config.generic is None else config.generic.max_length, ("generic",)),
    ):
        if counts := ", ".join(
            f"{cut[part]:,} of {len(present[part]):,} {part}" for part in parts if cut.get(part)
        ):
            yield f"texts cut to {section}.max_length = {limit} tokens: {counts}"
    if config.generic is not None and (dropped := config.generic.size - len(present.get("generic", ()))):
        yield f"generic texts of fewer than 2 tokens, which have no loss and are left out: {dropped:,}"
    trained, every = model.get_nb_trainable_parameters()
    yield (
        f"{trained:,} of {every:,} parameters are trained ({trained / every:.2%}); {steps:,} steps,"
        f" {evals:,} {'eval' if evals == 1 else 'evals'}"
    )
    if config.train.eval_every > steps:
        yield (
            f"train.eval_every = {config.train.eval_every} is more than the {steps} steps of this training,"
            " which is evaluated only at its last step. No stop policy can be replayed on a single eval; give"
            " a smaller number"
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

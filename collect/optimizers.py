"""The optimizer of a run: any that transformers has, as far as its package is installed."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from replay.errors import InputError

__all__ = ["check_optimizer", "explain_first_step", "hides_gradients", "target_modules"]


def target_modules(name: str | None) -> list[str] | None:
    """The modules whose gradients an optimizer projects: those of the adapter; None for other optimizers."""
    return ["lora_A", "lora_B"] if name is not None and name.startswith(("galore_", "apollo_")) else None


def hides_gradients(name: str | None) -> bool:
    """Whether an optimizer changes each weight in the middle of the backward pass, and leaves no gradient
    that could be logged.
    """
    return name is not None and (name.endswith("_layerwise") or name in ("lomo", "adalomo"))


def check_optimizer(name: str | None, arguments: Any) -> None:
    """Raise InputError where transformers cannot make the optimizer, as its package is not installed."""
    if name is None:
        return
    import torch
    from transformers import Trainer

    smallest: Any = torch.nn.ModuleDict({"lora_A": torch.nn.Linear(1, 1)})  # some optimizers ask for a model
    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments, smallest)
    except Exception as error:  # whatever the optimizer's package raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"train.optimizer = {name!r} cannot be used: {reason}") from None


@contextlib.contextmanager
def explain_first_step(name: str | None, step: Callable[[], int]) -> Iterator[None]:
    """Turn an error of a chosen optimizer in the first ``step`` into InputError: some need a GPU, and say so
    only then.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        calls = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if name is None or step() > 0 or not calls & {"step", "optimizer_step", "optimizer_hook"}:
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"train.optimizer = {name!r} cannot make a step here: {reason}") from None

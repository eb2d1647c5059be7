"""The header entries of a log that a Trainer knows."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

__all__ = ["header_from_trainer", "schedule_from_trainer"]

#: Schedules whose learning rate at a step does not depend on how many steps are planned.
_FOR_ANY_LENGTH = ("constant", "constant_with_warmup", "inverse_sqrt")

_HYPERPARAMETERS = (
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "optim",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "max_steps",
    "num_train_epochs",
    "bf16",
    "fp16",
)
_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "use_rslora", "use_dora")


def header_from_trainer(args: Any, state: Any, model: Any, batches: Any) -> dict[str, Any]:
    """Header entries from the Trainer's arguments and state, its model and its batches of training data."""
    header: dict[str, Any] = {
        "planned_steps": state.max_steps,
        "planned_epochs": _planned_epochs(args, state, batches),
        "hyperparameters": {**_training_hyperparameters(args), **_lora_hyperparameters(model)},
        "seed": args.seed,
    }
    with contextlib.suppress(TypeError):
        header["data"] = {"train": {"examples": len(batches.dataset)}}
    if path := getattr(getattr(model, "config", None), "_name_or_path", None):
        header["model"] = Path(path).name if Path(path).is_absolute() else path
    if args.metric_for_best_model:
        metric = str(args.metric_for_best_model)
        metric = metric if metric.startswith("eval_") else f"eval_{metric}"
        header["monitor"] = metric
        if args.greater_is_better is not None:
            header["modes"] = {metric: "max" if args.greater_is_better else "min"}
    if args.device.type == "cuda":
        header["devices"] = args.world_size * max(1, args.n_gpu)
    return header


def schedule_from_trainer(args: Any, state: Any, optimizer: Any) -> dict[str, Any]:
    """The schedule of the learning rate, the rate of the next step, and whether the rates so far are those of
    a training of any number of steps.
    """
    name = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    is_same = name in _FOR_ANY_LENGTH and not 0 < args.warmup_steps < 1
    if name == "reduce_lr_on_plateau":  # an eval that a longer training would not have made counts for it
        is_same = state.eval_steps > 0 and state.global_step % state.eval_steps == 0
    groups = getattr(optimizer, "param_groups", None)
    return {
        "scheduler": name,
        "same_schedule": is_same,
        **({"learning_rate": float(groups[0]["lr"])} if groups else {}),
    }


def _planned_epochs(args: Any, state: Any, batches: Any) -> float | None:
    try:
        epochs: float = state.max_steps / math.ceil(len(batches) / args.gradient_accumulation_steps)
    except TypeError:  # a stream of batches has no length
        return None
    return epochs


def _training_hyperparameters(args: Any) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in _HYPERPARAMETERS if hasattr(args, name)}
    given.pop("num_train_epochs" if args.max_steps > 0 else "max_steps", None)
    # enumerations by their value
    hyperparameters = {name: getattr(value, "value", value) for name, value in given.items()}
    for name in ("lr_scheduler_kwargs", "gradient_checkpointing"):
        if not hyperparameters.get(name):
            hyperparameters.pop(name, None)
    return hyperparameters


def _lora_hyperparameters(model: Any) -> dict[str, Any]:
    # of several adapters the first is trained
    adapter = next(iter((getattr(model, "peft_config", None) or {}).values()), None)
    values = {name: getattr(adapter, name, None) for name in _LORA}
    return {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in values.items()
        if value is not None
    }

"""The metrics that the evaluations of a config give, and their modes."""

from __future__ import annotations

from collect.config.sections import Config

__all__ = ["metric_modes"]


def metric_modes(config: Config) -> dict[str, str]:
    """Metrics of the task, for each split, with their mode."""
    names = (
        {"loss": "min", "accuracy": "max", "f1": "max"}
        if config.task == "classification"
        else {"loss": "min", "accuracy": "max"}
    )
    if config.generation is not None:
        names |= dict.fromkeys(config.generation.metrics, "max")
    splits = ("eval", "test") if config.data.test_size or config.data.test_file else ("eval",)
    modes = {f"{split}_{name}": mode for split in splits for name, mode in names.items()}
    return modes | ({"eval_generic_loss": "min"} if config.generic is not None else {})

"""Train LoRA adapters to the end, and write down everything that a stop rule could have looked at.

``EvalLog`` is the record, for your own training script::

    from collect import EvalLog
    trainer.add_callback(EvalLog("logs/my-run"))

``collect run config.toml --out logs/`` is a whole fine-tune. Importing this package is cheap: torch and
transformers are loaded when a name that needs them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collect.eval_log import EvalLog

__all__ = ["EvalLog"]


def __getattr__(name: str) -> Any:
    if name == "EvalLog":
        from collect.eval_log import EvalLog

        return EvalLog
    raise AttributeError(f"module 'collect' has no attribute {name!r}")

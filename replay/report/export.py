"""The report of ``replay export``: a policy as code for a training script."""

from __future__ import annotations

from collections.abc import Mapping

from replay.data.types import Mode
from replay.policies.base import Policy
from replay.policies.param import format_parameter
from replay.policies.presets.keras import Keras
from replay.policies.presets.lightning import Lightning
from replay.policies.presets.transformers import Transformers
from replay.report.document import Code, Document

__all__ = ["FRAMEWORKS", "build", "code"]

FRAMEWORKS = ("transformers", "keras", "lightning")


def build(
    policy: Policy, framework: str, *, monitor: str | None = None, mode: Mode | None = None
) -> Document:
    """Report the code that stops a training by the policy, for one of FRAMEWORKS."""
    return Document(lambda: [Code(code(policy, framework, monitor=monitor, mode=mode))])


def code(policy: Policy, framework: str, *, monitor: str | None = None, mode: Mode | None = None) -> str:
    """Python code that stops a training by the policy, for one of FRAMEWORKS.

    A framework's own rule becomes that framework's callback. Every other policy becomes replay's
    StopCallback, which needs replay installed where the training runs.
    """
    native = {"transformers": _transformers, "keras": _keras, "lightning": _lightning}[framework](
        policy, monitor, mode
    )
    if native is not None:
        return native
    given = ", ".join(
        [
            repr(policy.spec()),
            *(
                f"{name}={value!r}"
                for name, value in (("monitor", monitor), ("mode", mode))
                if value is not None
            ),
        ]
    )
    return {
        "transformers": (
            f"""\
from replay.live.transformers import StopCallback

# needs eval_strategy and eval_steps in TrainingArguments, and an eval_dataset
trainer.add_callback(StopCallback({given}))
"""
        ),
        "keras": (
            f"""\
from replay.live.keras import StopCallback

model.fit(x, y, validation_data=(x_val, y_val), epochs=100, callbacks=[StopCallback({given})])
"""
        ),
        "lightning": (
            f"""\
from replay.live.lightning import StopCallback

trainer = Trainer(max_epochs=100, callbacks=[StopCallback({given})])
"""
        ),
    }[framework]


def _transformers(policy: Policy, monitor: str | None, mode: Mode | None) -> str | None:
    if not isinstance(policy, Transformers):
        return None
    metric = monitor or "eval_loss"
    threshold = format_parameter(policy.threshold)
    greater = mode == "max" if mode is not None else not metric.endswith("loss")
    return f"""\
from transformers import EarlyStoppingCallback

# in TrainingArguments: eval_strategy="steps", metric_for_best_model={metric!r}, greater_is_better={greater}
trainer.add_callback(
    EarlyStoppingCallback(early_stopping_patience={policy.patience}, early_stopping_threshold={threshold})
)
"""


def _keras(policy: Policy, monitor: str | None, mode: Mode | None) -> str | None:
    if not isinstance(policy, Keras):
        return None
    given = {"patience": format_parameter(policy.patience), "min_delta": format_parameter(policy.min_delta)}
    if policy.baseline is not None:
        given["baseline"] = format_parameter(policy.baseline)
    if policy.start_from_epoch:
        given["start_from_epoch"] = format_parameter(policy.start_from_epoch)
    arguments = _arguments(monitor, mode, given)
    return f"""\
from keras.callbacks import EarlyStopping

model.fit(x, y, validation_data=(x_val, y_val), epochs=100, callbacks=[EarlyStopping({arguments})])
"""


def _lightning(policy: Policy, monitor: str | None, mode: Mode | None) -> str | None:
    if not isinstance(policy, Lightning):
        return None
    given = {
        "patience": format_parameter(policy.patience),
        "min_delta": format_parameter(policy.min_delta),
        "check_finite": str(policy.check_finite),
    }
    for name in ("stopping_threshold", "divergence_threshold"):
        if (value := getattr(policy, name)) is not None:
            given[name] = format_parameter(value)
    return f"""\
from lightning.pytorch.callbacks import EarlyStopping

trainer = Trainer(max_epochs=100, callbacks=[EarlyStopping({_arguments(monitor, mode, given)})])
"""


def _arguments(monitor: str | None, mode: Mode | None, given: Mapping[str, str]) -> str:
    arguments = {"monitor": repr(monitor or "val_loss"), "mode": repr(mode or "min"), **given}
    return ", ".join(f"{name}={text}" for name, text in arguments.items())

"""Counts the operations of any training, by hooks on its model: measured once for each shape of a batch."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from collect.operations import Counter

__all__ = ["PassMeter", "describe_pass", "find_transformer", "find_tuner", "is_measurable"]

#: accelerate's ways to train where a process holds only a part of the model.
_PARTS = ("FSDP", "DEEPSPEED", "MEGATRON_LM", "XLA")
#: The shapes of what a pass gets, and what kind of pass it is.
_Key = tuple[Any, ...]


def find_transformer(model: Any) -> Any:
    """The model that all tokens go through: beneath peft's, which generation passes by, unless peft replaces
    the tokens itself.
    """
    config = getattr(model, "active_peft_config", None)
    return model if config is None or config.is_prompt_learning else model.get_base_model()


def find_tuner(model: Any) -> Any:
    """One of peft's layers, which knows whether the adapter is switched off; None where there is none."""
    # whole models have a method of the same name
    modules = model.modules()
    return next((one for one in modules if isinstance(getattr(one, "disable_adapters", None), bool)), None)


def describe_pass(model: Any, tuner: Any) -> str:
    """What the counters of a pass through the model begin with; nothing for one that is trained.

    A method such as DPO or GRPO reads the texts of a step several times: to train, for the log probabilities
    of the model without its adapter, and to write answers. Only the first are tokens that were trained.
    """
    if model.training:
        return "" if torch.is_grad_enabled() else "inference_"
    if tuner is not None and tuner.disable_adapters:
        return "eval_reference_"
    return "eval_"


def is_measurable(model: Any, args: Any = None) -> bool:
    """Whether the operations of a model can be counted, as the ``args`` of its Trainer have it run.

    A measured pass is not compiled. It would run flex_attention without its kernel, which may take far more
    memory; the other cases are those where a process sees only a part of the model, or several at once.
    """
    config = getattr(find_transformer(model), "config", None)
    if getattr(config, "_attn_implementation", None) == "flex_attention":
        return False
    if args is None:
        return True
    from accelerate.state import AcceleratorState

    kind = getattr(AcceleratorState._shared_state.get("distributed_type"), "value", None)
    return kind not in _PARTS and not args.torch_compile and args.n_gpu <= 1


@dataclass
class _Batch:
    """The training passes of one batch, up to the end of its backward pass."""

    keys: list[_Key]
    #: None where the operations are known already.
    counter: Counter | None
    #: What other passes have taken while it was measured.
    other: float = 0
    is_propagated: bool = False


@dataclass
class _Pass:
    """One pass without gradients."""

    key: _Key
    prefix: str
    #: None where the operations are known already.
    counter: Counter | None
    began: float = 0


@dataclass
class PassMeter:
    """Counts the operations of the passes through a model by ``count``, under ``flops`` and what
    `describe_pass` says.

    The first batch of each shape is measured, from its forward pass to the end of its backward pass, and
    later ones count the same. `end_batch` says when a backward pass is over, at the latest before the
    optimizer's step. What cannot be known is NaN.
    """

    model: Any
    count: Callable[[str, float], None]
    _known: dict[tuple[_Key, ...], float] = field(default_factory=dict)
    _batch: _Batch | None = None
    _pass: _Pass | None = None
    #: Whether a batch takes several passes with gradients. Their shapes then do not say enough beforehand.
    _has_several: bool = False

    def __post_init__(self) -> None:
        transformer = find_transformer(self.model)
        self._tuner = find_tuner(self.model)
        self._thread = threading.get_ident()
        self._hooks = [
            transformer.register_forward_pre_hook(self._begin, with_kwargs=True),
            transformer.register_forward_hook(self._end, with_kwargs=True, always_call=True),
        ]

    def follow(self, optimizer: Any) -> None:
        """End a batch before each step of an optimizer."""
        self._hooks.append(optimizer.register_step_pre_hook(lambda *_: self.end_batch()))

    def close(self) -> None:
        """Count what is in progress, and leave the model alone."""
        self.end_batch()
        for hook in self._hooks:
            hook.remove()

    def end_batch(self) -> None:
        """Count the batch whose backward pass is over."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        keys = tuple(batch.keys)
        if batch.counter is not None:
            amount = _stop(batch.counter) - batch.other
            if batch.is_propagated and not math.isnan(amount):
                self._known[keys] = amount
        else:
            amount = self._known.get(keys, math.nan)
        self._has_several |= len(keys) > 1
        self.count("flops", amount)

    def _begin(self, model: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return
        prefix = describe_pass(model, self._tuner)
        if threading.get_ident() != self._thread:  # one of several copies
            self.count(f"{prefix}flops", math.nan)
            return
        key = (prefix, *_shapes(args, kwargs))
        if prefix:
            self._begin_pass(key, prefix, kwargs)
        else:
            self._begin_training(key)

    def _begin_training(self, key: _Key) -> None:
        if self._batch is not None and self._batch.is_propagated:
            self.end_batch()
        if self._batch is not None:
            self._batch.keys.append(key)
        else:
            is_known = (key,) in self._known and not self._has_several
            self._batch = _Batch([key], None if is_known else _start())

    def _begin_pass(self, key: _Key, prefix: str, kwargs: Mapping[str, Any]) -> None:
        if self._batch is not None and self._batch.is_propagated:
            self.end_batch()
        if kwargs.get("encoder_outputs") is not None:  # the encoder is asked by its own name
            self.count(f"{prefix}flops", math.nan)
        elif (key,) in self._known:
            self._pass = _Pass(key, prefix, None)
        elif self._batch is not None and (counter := self._batch.counter) is not None:
            self._pass = _Pass(key, prefix, counter, counter.total)
        else:
            self._pass = _Pass(key, prefix, _start())

    def _end(self, model: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        if torch.compiler.is_compiling() or threading.get_ident() != self._thread:
            return
        one, self._pass = self._pass, None
        if one is not None:
            self._end_pass(one)
        elif (batch := self._batch) is not None and not describe_pass(model, self._tuner):
            if output is None:  # an exception
                self.end_batch()
                return

            def note(gradient: Any) -> None:
                batch.is_propagated = True

            for value in output.values() if isinstance(output, Mapping) else _items(output):
                if isinstance(value, torch.Tensor) and value.requires_grad:
                    value.register_hook(note)  # type: ignore[no-untyped-call]

    def _end_pass(self, one: _Pass) -> None:
        batch = self._batch
        if one.counter is None:
            amount = self._known.get((one.key,), math.nan)
        elif batch is not None and one.counter is batch.counter:
            amount = one.counter.total - one.began
        else:
            amount = _stop(one.counter)
        if not math.isnan(amount):
            self._known[(one.key,)] = amount
        if batch is not None:
            batch.other += amount
        self.count(f"{one.prefix}flops", amount)


def _shapes(args: Any, kwargs: Mapping[str, Any]) -> list[Any]:
    """The shapes of what a pass gets, its switches, and how many tokens its cache holds."""
    shapes: list[Any] = []
    for name, value in [*enumerate(args), *kwargs.items()]:
        if isinstance(value, torch.Tensor):
            shapes.append((name, *value.shape))
        elif isinstance(value, int | str):  # such as the number of logits to keep
            shapes.append((name, value))
        elif hasattr(value, "get_seq_length"):
            shapes.append((name, int(value.get_seq_length())))
    return shapes


def _items(output: Any) -> Any:
    return output if isinstance(output, tuple | list) else (output,)


def _start() -> Counter | None:
    """A counter of all that is dispatched from now on; None where another mode of torch is active, which may
    end first.
    """
    if isinstance(top := _get_current_dispatch_mode(), _Open):  # of a step that an exception ended
        _stop(top)
    if _get_current_dispatch_mode() is not None:
        return None
    counter = _Open()
    counter.__enter__()  # type: ignore[no-untyped-call]
    return counter


def _stop(counter: Counter) -> float:
    """What a counter has counted, or NaN where it is not active any more."""
    if _get_current_dispatch_mode() is not counter:
        return math.nan
    counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
    return counter.total


class _Open(Counter):  # type: ignore[no-untyped-call]
    """A counter that hooks begin and end."""

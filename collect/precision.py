"""What is trained is float32, whatever the frozen weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["train_in_full_precision"]


def train_in_full_precision(model: Any) -> None:
    """Turn the modules that a peft model trains in full into float32, where the model is in bf16 or fp16.

    peft does so for the adapter itself. In half precision the steps of a usual learning rate are rounded
    away, and Adam divides by a square that is 0. Such a module computes in float32 and hands its result on in
    the precision of the model, as peft's adapters do.
    """
    import torch
    from peft.utils import ModulesToSaveWrapper

    half = (torch.float16, torch.bfloat16)
    for wrapper in model.modules():
        if not isinstance(wrapper, ModulesToSaveWrapper):
            continue
        for module in wrapper.modules_to_save.values():
            dtypes = {weight.dtype for weight in module.parameters() if weight.requires_grad}
            if dtype := next(iter(dtypes & set(half)), None):
                module.float()
                module.register_forward_pre_hook(_cast_inputs, with_kwargs=True)
                module.register_forward_hook(_caster(dtype))


def _cast_inputs(module: Any, args: Any, kwargs: Any) -> Any:
    import torch

    return _cast(args, torch.float32), _cast(kwargs, torch.float32)


def _caster(dtype: torch.dtype) -> Any:
    def cast_output(module: Any, args: Any, output: Any) -> Any:
        return _cast(output, dtype)

    return cast_output


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """The value with the floating-point tensors in it in this dtype."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_cast(item, dtype) for item in value)
    return value

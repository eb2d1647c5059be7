"""Floating-point operations of torch, counted while they run.

It counts matrix products, convolutions and attention, forward and backward, and not what is done element by
element.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.utils.flop_counter as torch_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Counter"]


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of what is dispatched inside, by torch's own formulas, and changes nothing of it.

    torch's FlopCounterMode (2.13) takes operations apart that it has no formula for, which rounds their
    results differently: a run whose passes are measured would not be that of one resumed, or not measured.
    """

    #: Operations made of operations, such as flex_attention, come here too.
    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        #: NaN where a formula does not know the operation's arguments.
        self.total: float = 0
        self._formulas = {**flop_registry, **_cpu_attention()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = self._formulas.get(getattr(func, "_overloadpacket", func))
        if formula is not None:
            try:
                self.total += formula(*args, **kwargs, out_val=out)
            except Exception:  # a training does not end because an operation could not be counted
                self.total = math.nan
        return out


def _cpu_attention() -> dict[Any, Any]:
    """The fused attention that torch uses on CPUs, which its counter leaves out (torch 2.13): counted like
    that of GPUs.
    """
    formulas: Any = torch_counter

    def forward(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(formulas.sdpa_flop_count(query.shape, key.shape, value.shape))

    def backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(formulas.sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))

    name = "_scaled_dot_product_flash_attention_for_cpu"
    operations = {name: forward, f"{name}_backward": backward}
    return {
        getattr(torch.ops.aten, key): formula
        for key, formula in operations.items()
        if hasattr(torch.ops.aten, key)
    }

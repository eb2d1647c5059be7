"""Floating-point operations, measured: once for each shape of a batch, by torch's own formulas for dispatched
operations.

It counts matrix products, convolutions and attention, forward and backward, and not what is done element by
element.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.flop_counter as torch_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from collect.eval_log import EvalLog

__all__ = ["Counter", "Meter"]


class Meter:
    """Adds the operations of each forward or training pass to a counter of the log.

    A shape's first pass is measured, and later passes of that shape count the same.
    """

    def __init__(self, log: EvalLog) -> None:
        self._log = log
        self._known: dict[tuple[Any, ...], int] = {}

    @contextlib.contextmanager
    def measure(self, counter: str, inputs: Mapping[str, Any], kind: str = "") -> Iterator[None]:
        """Count what runs inside under ``counter``; ``inputs`` is the batch, whose shape decides, for passes
        of one ``kind``.
        """
        key = (
            counter,
            kind,
            *(tuple(inputs[name].shape) for name in ("input_ids", "labels") if name in inputs),
        )
        if key in self._known:
            yield
        else:
            with Counter() as counted:
                yield
            self._known[key] = counted.total
        self._log.count(**{counter: self._known[key]})

    @contextlib.contextmanager
    def counted(self, counter: str) -> Iterator[None]:
        """Count what runs inside under ``counter``, each time anew: where no shape says how much it is."""
        with Counter() as counted:
            yield
        self._log.count(**{counter: counted.total})


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of what is dispatched inside, by torch's own formulas, and changes nothing of it.

    torch's FlopCounterMode (2.13) takes operations apart that it has no formula for, which rounds their
    results differently: a run whose passes are measured would not be that of one resumed, or not measured.
    """

    #: Operations made of operations, such as flex_attention, come here too.
    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self._formulas = {**flop_registry, **_cpu_attention()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = self._formulas.get(getattr(func, "_overloadpacket", func))
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=out)
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

"""Floating-point operations, measured: once for each shape of a batch, by torch's own counter of dispatched operations.

It counts matrix products, convolutions and attention, forward and backward, and not what is done element by element.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collect.eval_log import EvalLog

__all__ = ["Meter"]


class Meter:
    """Adds the operations of each forward or training pass to a counter of the log.

    A shape's first pass is measured, and later passes of that shape count the same.
    """

    def __init__(self, log: EvalLog) -> None:
        self._log = log
        self._known: dict[tuple[Any, ...], int] = {}

    @contextlib.contextmanager
    def measure(self, counter: str, inputs: Mapping[str, Any]) -> Iterator[None]:
        """Count what runs inside under ``counter``; ``inputs`` is the batch, whose shape decides."""
        from torch.utils.flop_counter import FlopCounterMode

        key = (counter, *(tuple(inputs[name].shape) for name in ("input_ids", "labels") if name in inputs))
        if key in self._known:
            yield
        else:
            with FlopCounterMode(display=False, custom_mapping=_cpu_attention()) as mode:
                yield
            self._known[key] = mode.get_total_flops()
        self._log.count(**{counter: self._known[key]})


def _cpu_attention() -> dict[Any, Any]:
    """The fused attention that torch uses on CPUs, which its counter leaves out (torch 2.13): counted like that of GPUs."""
    import torch
    import torch.utils.flop_counter as counter

    formulas: Any = counter

    def forward(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(formulas.sdpa_flop_count(query, key, value))

    def backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(formulas.sdpa_backward_flop_count(grad, query, key, value))

    name = "_scaled_dot_product_flash_attention_for_cpu"
    operations = {name: forward, f"{name}_backward": backward}
    return {getattr(torch.ops.aten, key): formula for key, formula in operations.items() if hasattr(torch.ops.aten, key)}

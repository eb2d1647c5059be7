"""The state of the random generators, set aside while something runs that the training must not notice."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["random_state_aside"]


@contextlib.contextmanager
def random_state_aside(device: torch.device) -> Iterator[None]:
    """Restore the generators of Python, numpy and torch (CPU, and the GPU of ``device``) at the end.

    An evaluation draws numbers: each DataLoader takes a seed from torch's generator (2.13), even where it
    shuffles nothing. Without this the dropout masks and the order of the training examples would depend on
    how often a run is evaluated.
    """
    import torch

    # the other GPUs belong to other processes, and asking for their state would reserve memory on them
    gpu: Any = None if device.type == "cpu" else getattr(torch, device.type)
    python, arrays, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = None if gpu is None else gpu.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(cpu)
        if gpu is not None:
            gpu.set_rng_state(on_gpu)

"""The machine a training runs on: what it is, and what of it is used (time, memory, energy). Nothing names
the machine.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

__all__ = [
    "NEEDED",
    "Energy",
    "gather",
    "gather_sums",
    "hardware",
    "peak_memory",
    "processes",
    "rank",
    "versions",
]

#: What every training needs.
NEEDED = ("torch", "transformers", "peft", "accelerate")
_LIBRARIES = (
    "stop-replay",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "trl",
    "bitsandbytes",
    "tokenizers",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that shape a training, as far as they are installed."""
    installed = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def hardware() -> dict[str, Any]:
    """Kind and number of the processors."""
    processors: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
    if (torch := sys.modules.get("torch")) is not None:
        processors["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            processors["gpus"] = [
                torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
            ]
    return processors


def peak_memory() -> dict[str, int]:
    """Bytes of memory that this process has held at most so far: ``peak_rss_bytes``, and ``peak_gpu_bytes``
    where torch used a GPU.
    """
    peaks = {}
    with contextlib.suppress(ImportError):  # Windows has no such module
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peaks["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["peak_gpu_bytes"] = sum(
            torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())
        )
    return peaks


class Energy:
    """Energy that this process's GPU has drawn since now, as its own counter says (NVML); unknown is None,
    never an estimate.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_available():
            return
        try:
            import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

            pynvml.nvmlInit()
            uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(
                uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
            )
            self._read = pynvml.nvmlDeviceGetTotalEnergyConsumption
            self._first = self._read(self._handle)
        except Exception:  # not installed, no driver, a card without a counter: unknown
            self._handle = None

    def joules(self) -> float | None:
        """Joules since the beginning; the whole card's, whoever else uses it."""
        if self._handle is None:
            return None
        try:
            return float(self._read(self._handle) - self._first) / 1000
        except Exception:  # the driver went away
            return None


def processes() -> int:
    """How many processes train together (1 unless torch.distributed runs)."""
    torch = sys.modules.get("torch")
    distributed = None if torch is None else getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())


def rank() -> int:
    """Number of this process among those that train together; the first is 0."""
    if processes() == 1:
        return 0
    import torch.distributed

    return int(torch.distributed.get_rank())


def gather(value: Any) -> list[Any]:
    """Each process's value, by rank; every process must call it at the same time. Alone: a list of one."""
    if processes() == 1:
        return [value]
    import torch.distributed

    values: list[Any] = [None] * processes()
    torch.distributed.all_gather_object(values, value)
    return values


def gather_sums(counters: Mapping[str, Any]) -> dict[str, Any]:
    """Counters added up over all processes; names that begin with ``peak_`` are maxima."""
    totals: dict[str, Any] = {}
    for one in gather(dict(counters)):
        for name, value in one.items():
            totals[name] = (
                value
                if name not in totals
                else max(totals[name], value)
                if name.startswith("peak_")
                else totals[name] + value
            )
    return totals

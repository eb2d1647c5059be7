"""Replay early-stop policies on finished training logs: compute saved against best-metric loss."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replay.api import Choice, choose_policy, load, plan, simulate, sweep
    from replay.data.run import Run
    from replay.errors import ReplayError, ReplayWarning
    from replay.live.verify import verify
    from replay.policies.base import Policy
    from replay.policies.spec import parse_policy

__version__ = "0.1.0"
__all__ = [
    "Choice",
    "Policy",
    "ReplayError",
    "ReplayWarning",
    "Run",
    "__version__",
    "choose_policy",
    "load",
    "parse_policy",
    "plan",
    "simulate",
    "sweep",
    "verify",
]

# Imported on first use, so that `replay --help` starts without numpy.
_HOME = {
    "Choice": "replay.api",
    "Policy": "replay.policies.base",
    "ReplayError": "replay.errors",
    "ReplayWarning": "replay.errors",
    "Run": "replay.data.run",
    "choose_policy": "replay.api",
    "load": "replay.api",
    "parse_policy": "replay.policies.spec",
    "plan": "replay.api",
    "simulate": "replay.api",
    "sweep": "replay.api",
    "verify": "replay.live.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'replay' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

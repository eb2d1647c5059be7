"""Question: the seven settings of a simulation, which nothing else carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from replay.data.types import Mode
from replay.errors import InputError

__all__ = ["KEEPS", "Keep", "Question"]

Keep = Literal["best", "best-saved", "transformers", "last"]
KEEPS: tuple[Keep, ...] = get_args(Keep)


@dataclass(frozen=True)
class Question:
    """What to simulate: how the runs are monitored, judged and counted.

    Parameters
    ----------
    monitor, mode:
        The metric that policies watch, and ``min`` or ``max``. By default the metric that the logs state,
        else the validation loss, and the mode that the logs state, else that of the metric's name.
    objective, objective_mode:
        The metric that the outcomes are judged by, and its mode (default: the monitor's).
    unit, price:
        Unit of compute, one of `replay.data.compute.UNITS`, and the price of one hour of a device for the
        unit ``cost``.
    keep:
        The checkpoint kept after a stop: ``best`` (by the monitor, up to the stop), ``best-saved`` (among
        evals that wrote a checkpoint), ``transformers`` (what its load_best_model_at_end loads) or ``last``.

    Raises InputError for a mode or a checkpoint kept that there is not.
    """

    monitor: str | None = None
    mode: Mode | None = None
    objective: str | None = None
    objective_mode: Mode | None = None
    unit: str = "steps"
    price: float | None = None
    keep: Keep = "best"

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise InputError(f"keep is {', '.join(KEEPS[:-1])} or {KEEPS[-1]}, not {self.keep!r}")

"""Summary of outcomes of a set of runs: means over arrival orders, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from replay.data.types import Floats
from replay.engine.across import SetOutcome

__all__ = ["SET_KEYS", "summarise_set"]

#: Keys of one row. ``low`` and ``high`` are the 5th and the 95th percentile over arrival orders.
SET_KEYS = tuple(
    """
    policy spec runs orders workers saved_mean saved_low saved_high regret_mean regret_low regret_high
    regret_worst lost_mean lost_low lost_high lost_worst best_stopped best_missed
    """.split()
)


def summarise_set(outcomes: Sequence[SetOutcome]) -> list[dict[str, Any]]:
    """One row per policy, with the keys of SET_KEYS; None where a figure is not known.

    A policy within runs has no spread, since it stops each run at the same eval in any order.
    """
    return [
        {
            "policy": one.policy,
            "spec": one.spec,
            "runs": one.stops.shape[1],
            "orders": None if one.orders is None else one.orders.orders,
            "workers": None if one.orders is None else one.orders.workers,
            **_spread("saved", one.saved),
            **_spread("regret", one.regret),
            "regret_worst": _known(one.regret.max()),
            **_spread("lost", one.lost),
            "lost_worst": _known(one.lost.max()),
            "best_stopped": float(one.best_stopped.mean()),
            "best_missed": float(one.best_missed.mean()),
        }
        for one in outcomes
    ]


def _spread(name: str, values: Floats) -> dict[str, float | None]:
    low, high = np.quantile(values, [0.05, 0.95]).tolist()
    return {
        f"{name}_mean": _known(values.mean()),
        f"{name}_low": _known(low),
        f"{name}_high": _known(high),
    }


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)

"""From outcomes to a choice: summaries of policies over runs, with intervals."""

from __future__ import annotations

from replay.choose.intervals import ENOUGH_GROUPS, interval
from replay.choose.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, Budget, FixedBudgets, summarise, sweep

__all__ = ["ENOUGH_EVALS", "ENOUGH_GROUPS", "ENOUGH_RUNS", "KEYS", "Budget", "FixedBudgets", "interval", "summarise", "sweep"]

"""From outcomes to a choice: summaries of policies over runs, sweeps of thousands of policies, and held-out choice."""

from __future__ import annotations

from replay.choose.choice import Choice, choose
from replay.choose.intervals import ENOUGH_GROUPS, interval, reliable
from replay.choose.limits import Limit, parse_limit
from replay.choose.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, Budget, FixedBudgets, summarise
from replay.choose.sweeping import sweep

__all__ = [
    "ENOUGH_EVALS", "ENOUGH_GROUPS", "ENOUGH_RUNS", "KEYS", "Budget", "Choice", "FixedBudgets", "Limit", "choose", "interval",
    "parse_limit", "reliable", "summarise", "sweep",
]  # fmt: skip

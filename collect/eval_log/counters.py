"""What a run has used so far: time, tokens, operations, memory and energy."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from collect.eval_log.values import plain_numbers
from collect.machine import Energy, gather_sums, peak_memory, processes
from replay.readers.formats.eval_log import number

__all__ = ["WASTE", "Counters"]

#: Counters that are reported as wasted where a kill made them void.
WASTE = ("wall_seconds", "train_seconds", "tokens", "padded_tokens", "flops", "energy_joules")
#: How the names of counters end that may be measured here.
_MEASURED = "flops"
#: What the names of sums begin with that were measured here.
_MARK = "measured "
#: Counters that are continued from a log as clocks, not as sums.
_CLOCKS = ("wall_seconds", "train_seconds", "cpu_seconds", "checkpoint_seconds")


class Counters:
    """The clocks and sums of one run. Names that begin with ``eval_`` are of the evaluation in progress.

    Of several processes that train together, each counts its own share; `merge_processes` adds them up.
    """

    def __init__(self) -> None:
        #: Seconds spent in evaluations, and in writing checkpoints, since the beginning of the run.
        self.eval_seconds = self.checkpoint_seconds = 0.0
        #: Seconds of the evaluation in progress.
        self.this_eval_seconds = 0.0
        self._sums: dict[str, Any] = {}
        #: Names of sums that come from the log, and that nobody has added to since.
        self._stale: set[str] = set()
        #: Names of sums that the training counts itself; what is measured here does not count then.
        self._own: set[str] = set()
        self._recent: dict[str, Any] = {}
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()
        self._energy: Energy | None = None
        #: Energy that earlier segments of the run have used; None where it is unknown.
        self._energy_before: float | None = 0.0
        self._other_processes: dict[str, Any] = {}

    def start(self) -> None:
        """Start the clocks now."""
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()
        self._energy = Energy()

    def restore(self, counters: Mapping[str, Any], wasted: Mapping[str, Any], *, beginning: bool) -> None:
        """Continue from the counters of a checkpoint, and from what kills have wasted until now.

        At the ``beginning`` of the training nothing was used before, so unknown energy is none.
        """
        base = dict(counters)
        clocks = {name: number(base.pop(name, 0.0)) or 0.0 for name in _CLOCKS}
        self._began -= clocks["wall_seconds"]
        self._cpu_began -= clocks["cpu_seconds"]
        self.checkpoint_seconds = clocks["checkpoint_seconds"]
        timed = clocks["train_seconds"]
        self.eval_seconds = clocks["wall_seconds"] - timed - self.checkpoint_seconds if timed else 0.0
        self._energy_before = 0.0 if beginning and not base else number(base.pop("energy_joules", None))
        self._sums = {
            name: value
            for name, value in base.items()
            if not name.startswith(("eval_", "peak_", "wasted_", "total_flos"))
        }
        self._recent.clear()
        self._stale = {name for name in self._sums if name.endswith(_MEASURED)}
        self._sums |= {f"wasted_{name}": value for name, value in wasted.items()}

    def add(self, amounts: Mapping[str, Any]) -> None:
        """Add to sums. Tensors stay on their device until `merge`."""
        for name, amount in amounts.items():
            self._own.add(name)
            self._stale.discard(name)
            self._recent[name] = self._recent.get(name, 0) + amount

    def add_measured(self, name: str, amount: float) -> None:
        """Add what was measured here to a sum, which counts unless the training counts that itself."""
        self._stale.discard(name)
        key = f"{_MARK}{name}"
        self._recent[key] = self._recent.get(key, 0) + amount

    def is_known(self, name: str) -> bool:
        """Whether there is a sum of this name."""
        return name in self._sums

    def forget_stale(self) -> None:
        """Forget operations that the log counted until it was continued, if nobody goes on counting."""
        for name in self._stale:
            self._sums.pop(name, None)
        self._stale.clear()

    def add_eval_seconds(self, seconds: float) -> None:
        """Add to the seconds of the evaluation in progress."""
        self.this_eval_seconds += seconds
        self.eval_seconds += seconds

    def merge(self, *, together: bool = False) -> None:
        """Take up what was added since the last time; of all processes, where all call this ``together``."""
        recent = plain_numbers(self._recent)
        self._recent.clear()
        if together:
            recent = gather_sums(recent)
        for name, value in recent.items():
            self._sums[name] = self._sums.get(name, 0) + value

    def merge_processes(self) -> None:
        """Take up what all processes have counted; every process must call this at the same time."""
        self.merge(together=processes() > 1)
        if processes() > 1:
            used: dict[str, Any] = {"cpu_seconds": time.process_time() - self._cpu_began, **peak_memory()}
            joules = None if self._energy is None else self._energy.joules()
            total = gather_sums(used | ({} if joules is None else {"energy_joules": joules}))
            self._other_processes = {
                "cpu_seconds": total.pop("cpu_seconds") - used["cpu_seconds"],
                "energy_joules": total.pop("energy_joules", 0.0) - (joules or 0.0),
                **total,
            }

    def end_eval(self) -> None:
        """Forget the counters of the evaluation in progress."""
        self.merge()
        self.this_eval_seconds = 0.0
        for name in [name for name in self._sums if name.removeprefix(_MARK).startswith("eval_")]:
            del self._sums[name]

    def values(self, *, timed: bool) -> dict[str, Any]:
        """All counters; ``timed`` where the time of evaluations is known, so that training time is too."""
        wall = time.perf_counter() - self._began
        seconds = {
            "wall_seconds": wall,
            "cpu_seconds": (
                time.process_time() - self._cpu_began + self._other_processes.get("cpu_seconds", 0.0)
            ),
        }
        if timed:
            train = wall - self.eval_seconds - self.checkpoint_seconds
            seconds = {"train_seconds": train, "eval_seconds": self.this_eval_seconds, **seconds}
        if self.checkpoint_seconds:
            seconds["checkpoint_seconds"] = self.checkpoint_seconds
        joules = None if self._energy is None else self._energy.joules()
        if joules is not None and self._energy_before is not None:
            others = self._other_processes.get("energy_joules", 0.0)
            seconds["energy_joules"] = joules + others + self._energy_before
        peaks = peak_memory() | {
            name: value for name, value in self._other_processes.items() if name.startswith("peak_")
        }
        return {**seconds, **self._plain_sums(), **peaks}

    def _plain_sums(self) -> dict[str, Any]:
        """The sums under their names; operations of which a part is unknown are left out."""
        sums = {name: value for name, value in self._sums.items() if not name.startswith(_MARK)}
        for key, value in self._sums.items():
            name = key.removeprefix(_MARK)
            if key != name and name not in self._own:
                sums[name] = sums.get(name, 0) + value
        return {
            name: value
            for name, value in plain_numbers(sums).items()
            if not (name.endswith(_MEASURED) and value is not None and math.isnan(value))
        }

    def totals(self, *, timed: bool) -> dict[str, Any]:
        """The cumulative counters, without those of a single evaluation."""
        return {
            name: value for name, value in self.values(timed=timed).items() if not name.startswith("eval_")
        }

    def at_risk(self, *, timed: bool) -> dict[str, Any]:
        """What a kill from now on would waste; of several processes only the time is known between
        evaluations.
        """
        alone = processes() == 1
        if alone:
            self.merge()
        names = WASTE if alone else ("wall_seconds", "train_seconds")
        return {name: value for name, value in self.totals(timed=timed).items() if name in names}

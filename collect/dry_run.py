"""`--dry-run`: what the runs of a command will take, from a few measured steps of each shape among them."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collect.config import Config
from collect.estimate import Estimate, Measurement, estimate, shape_of, together
from collect.jobs import child_environment, run_state
from replay.errors import printable

__all__ = ["Forecast", "forecast", "lines"]

_TAIL_CHARACTERS = 20_000


@dataclass(frozen=True)
class Forecast:
    """What runs will take; ``failed`` has the reason for each run that cannot begin, and ``finished`` names
    those that need nothing any more.
    """

    estimates: list[Estimate]
    measurements: dict[str, Measurement]
    failed: dict[str, str]
    finished: list[str]
    jobs: int
    price: float | None

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "runs": [one.record() for one in self.estimates],
            "finished": self.finished,
            "failed": self.failed,
            "measured": {name: dataclasses.asdict(one) for name, one in self.measurements.items()},
            "price_per_hour": self.price,
            "total": self.total(),
        }

    def total(self) -> dict[str, Any]:
        """The sums over the runs, and how long they take with so many jobs."""
        seconds = [one.seconds for one in self.estimates]
        wall = together(seconds, self.jobs)
        energies = [one.energy_joules for one in self.estimates]
        return {
            "runs": len(seconds),
            "seconds": sum(seconds),
            "cost": None if self.price is None else self.price * sum(seconds) / 3600,
            "jobs": self.jobs,
            "wall_seconds": wall,
            "wall_cost": None if self.price is None else self.price * wall / 3600,
            "energy_joules": None if None in energies or not energies else sum(filter(None, energies)),
            "checkpoint_bytes": sum(one.checkpoint_bytes for one in self.estimates),
        }


def forecast(
    configs: Sequence[Config],
    out: Path | None,
    command: Callable[[Config], list[str]],
    *,
    jobs: int = 1,
    price: float | None = None,
    say: Callable[[str], None],
) -> Forecast:
    """Measure one run of each shape, in a process of its own, and estimate all that are not finished in
    ``out``.

    ``command`` starts a process that measures a run, and prints the result.
    """
    finished = [
        config.name
        for config in configs
        if out is not None and run_state(config, out / config.name) == "finished"
    ]
    waiting = [config for config in configs if config.name not in finished]
    shapes: dict[Any, list[Config]] = {}
    for config in waiting:
        shapes.setdefault(shape_of(config), []).append(config)
    estimates: dict[str, Estimate] = {}
    measurements: dict[str, Measurement] = {}
    failed: dict[str, str] = {}
    for number, alike in enumerate(shapes.values(), 1):
        largest = max(alike, key=lambda config: config.lora.r)
        say(f"measuring {largest.name} ({number} of {len(shapes)})")
        measured = _measure(largest, command(largest), jobs)
        if isinstance(measured, str):
            failed |= {config.name: measured for config in alike}
            continue
        measurements[largest.name] = measured
        for config in alike:
            estimates[config.name] = estimate(config, measured, largest.name, price)
    ordered = [estimates[config.name] for config in waiting if config.name in estimates]
    return Forecast(ordered, measurements, failed, finished, jobs, price)


def _measure(config: Config, command: Sequence[str], jobs: int) -> Measurement | str:
    """What a run takes, or why it cannot begin."""
    done = subprocess.run(
        [*command, "--started", repr(time.time())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=child_environment(config, jobs),
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-_TAIL_CHARACTERS:].splitlines()
        errors = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")] or said[-1:]
        return printable(errors[-1]) if errors else f"exit code {done.returncode}"
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def lines(result: Forecast) -> Iterator[str]:
    """The forecast as text."""
    table = [["run", "steps", "evals", "time", "memory", "GPU memory", "energy", "cost", "measured"]]
    for one in result.estimates:
        table.append(
            [
                one.run,
                f"{one.steps:,}",
                f"{one.evals:,}",
                _span(one.seconds),
                _size(one.peak_rss_bytes),
                _size(one.peak_gpu_bytes),
                _energy(one.energy_joules),
                "-" if one.cost is None else f"{one.cost:.2f}",
                "yes" if one.run == one.measured else f"as {one.measured}",
            ]
        )
    if result.estimates:
        keep = [
            place
            for place, column in enumerate(zip(*table[1:], strict=True))
            if set(column) != {"-"} and not (table[0][place] == "measured" and len(result.estimates) == 1)
        ]
        yield from _aligned([[row[place] for place in keep] for row in table])
        yield ""
        yield from _totals(result)
    if result.finished:
        yield f"finished already: {', '.join(result.finished)}"
    for name, reason in result.failed.items():
        yield f"{name} cannot be trained: {reason}"


def _totals(result: Forecast) -> Iterator[str]:
    total = result.total()
    count = total["runs"]
    cost = "" if total["cost"] is None else f", cost {total['cost']:.2f}"
    energy = "" if total["energy_joules"] is None else f", {_energy(total['energy_joules'])}"
    if count > 1:
        yield f"{count} runs, one after the other: {_span(total['seconds'])}{energy}{cost}"
    if total["jobs"] > 1:
        cost = "" if total["wall_cost"] is None else f", cost {total['wall_cost']:.2f}"
        yield (
            f"with --jobs {total['jobs']}: {_span(total['wall_seconds'])}{cost}. Runs were measured alone;"
            " they slow each other down where they share a processor or a GPU"
        )
    if total["checkpoint_bytes"]:
        yield f"checkpoints that stay: {_size(total['checkpoint_bytes'])}"
    steps = [one.steps_measured for one in result.measurements.values()]
    yield (
        f"measured: {sum(steps)} steps and {2 * len(steps)} evals of one batch, in"
        f" {len(steps)} of {count} runs; the rest is extrapolated from these"
    )


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    last = len(widths) - 1
    for row in table:
        yield (
            "  ".join(
                cell.ljust(width) if place == 0 or table[0][place] == "measured" else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            if last
            else row[0]
        )


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _size(size: float | None) -> str:
    if size is None:
        return "-"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _energy(joules: float | None) -> str:
    return "-" if joules is None else f"{joules / 3.6e6:.3g} kWh"

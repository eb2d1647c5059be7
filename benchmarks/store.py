"""Sweeping policies over a store, against reading it and against the kernel; and the memory that it takes.

    python benchmarks/store.py                       100,000 runs x 200 evals x 5 metrics, 1,000 policies
    python benchmarks/store.py --jobs 2              the sweep in two processes
    python benchmarks/store.py --generated 10        10 million generated runs without a store: flat memory
    python benchmarks/store.py --page docs/scale.md  writes the figures into the page

Each part runs in a process of its own, so that its peak memory is its own. ``kernel`` is what finding the
stops and adding up their figures takes for the same runs in memory, without exact sums, reading and merging.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.engine.question import Question
from replay.engine.stops import StopsFinder
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.grid import parse_grids, policies_of
from replay.search.local_processes import run_in_processes
from replay.search.policy_sums import PolicySums
from replay.search.store_sweep import sum_runs, sweep_store
from replay.search.sweep import total_up
from replay.store import Origin, Store

QUESTION = Question(monitor="eval_loss", mode="min")
BEGIN, END = "<!-- figures of benchmarks/store.py -->", "<!-- end of the figures -->"
#: Runs that are generated at a time, as many as a file of a store has.
PART = 4096


def made_run(number: int, evals: int, metrics: int) -> Run:
    """A run whose loss falls, with noise, and rises again in the end."""
    chance = np.random.default_rng(number)
    steps = np.arange(1, evals + 1, dtype=float)
    turn = chance.uniform(0.2, 1.2) * evals
    columns = {"step": steps * 50}
    for index in range(metrics):
        curve = np.exp(-4 * steps / turn) + 0.3 * np.maximum(steps / turn - 1, 0)
        name = "eval_loss" if index == 0 else f"eval_metric_{index}"
        columns[name] = 1 + curve + chance.normal(0, 0.01, evals)
    return Run(f"run-{number:09d}", columns, {"planned_steps": evals * 50, "model": f"m{number % 7}"})


def made_runs(count: int, evals: int, metrics: int, begin: int = 0) -> Iterator[Run]:
    return (made_run(number, evals, metrics) for number in range(begin, begin + count))


def made_policies(count: int) -> list[Policy]:
    """Patiences and minimum gains, as a grid has them."""
    patiences, gains = min(50, count), -(-count // min(50, count))
    deltas = ",".join(f"{gain * 1e-4:g}" for gain in range(gains))
    grids = parse_grids([f"patience=1..{patiences}", f"min_delta={deltas}"])
    return policies_of(grids)[:count]


def peak() -> float:
    """The most memory that this process and its children have had, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, children) * unit / 2**20


def write(asked: argparse.Namespace) -> dict[str, Any]:
    begin = time.perf_counter()
    added = Store.add(
        asked.store, made_runs(asked.runs, asked.evals, asked.metrics), Origin(["generated"], "-")
    )
    assert added.runs == asked.runs
    size = sum(shard.bytes for shard in Store.open(asked.store).shards)
    return {"seconds": time.perf_counter() - begin, "bytes": size}


def scan(asked: argparse.Namespace) -> dict[str, Any]:
    begin, store = time.perf_counter(), Store.open(asked.store)
    count = sum(len(store.read_shard(shard, [])) for shard in store.shards)
    assert count == asked.runs
    return {"seconds": time.perf_counter() - begin}


def kernel(asked: argparse.Namespace) -> dict[str, Any]:
    store, policies, seconds = Store.open(asked.store), made_policies(asked.policies), 0.0
    for shard in store.shards:
        study = Study(store.read_shard(shard, []), policies, QUESTION)
        begin = time.perf_counter()
        for block in StopsFinder(study, policies).blocks():
            total_up(block, study, policies)
        seconds += time.perf_counter() - begin
    return {"seconds": seconds}


def sweep(asked: argparse.Namespace) -> dict[str, Any]:
    policies, store = made_policies(asked.policies), Store.open(asked.store)
    begin = time.perf_counter()
    run_all: Any = map
    if asked.jobs > 1:
        run_all = lambda call, tasks: run_in_processes(call, tasks, asked.jobs)  # noqa: E731
    swept = sweep_store(store, policies, QUESTION, run_all=run_all)
    assert swept.runs == asked.runs
    return {"seconds": time.perf_counter() - begin}


def generated(asked: argparse.Namespace) -> dict[str, Any]:
    """Sums over generated runs, part by part, with the memory as it grows."""
    policies = made_policies(asked.policies)
    total, sums, memory, seconds = asked.runs, PolicySums.zeros(len(policies)), [], 0.0
    for number, first in enumerate(range(0, total, PART)):
        runs = list(made_runs(min(PART, total - first), asked.evals, asked.metrics, first))
        begin = time.perf_counter()
        sums = sums + sum_runs(runs, policies, QUESTION).sums
        seconds += time.perf_counter() - begin
        if number % max(total // PART // 10, 1) == 0:
            memory.append([first + len(runs), round(peak(), 1)])
    assert sums.figures()["runs"].max() == total
    return {"seconds": seconds, "memory": memory}


PARTS = {"write": write, "scan": scan, "kernel": kernel, "sweep": sweep, "generated": generated}


def measure(part: str, asked: argparse.Namespace, store: Path, runs: int) -> dict[str, Any]:
    """What a part reports, from a process of its own."""
    options = {
        "part": part,
        "store": store,
        "runs": runs,
        **{name: getattr(asked, name) for name in ("evals", "metrics", "policies", "jobs")},
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"{part}: {result['seconds']:.2f} s, {result['peak']:.0f} MiB", file=sys.stderr)
    return result


def as_table(asked: argparse.Namespace, results: dict[str, dict[str, Any]]) -> str:
    """The figures as markdown, with what they were measured on."""
    machine = f"{platform.machine()} with {os.cpu_count()} cores"
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    lines = [f"Measured with `python benchmarks/store.py` on {machine}, {versions}.", ""]
    head = ["| part | runs | seconds | runs per second | peak memory |", "| :-- | --: | --: | --: | --: |"]
    rows = [
        f"| {part} | {one['runs']:,} | {one['seconds']:.1f} | {one['runs'] / one['seconds']:,.0f}"
        f" | {one['peak']:,.0f} MiB |"
        for part, one in results.items()
    ]
    lines += [*head, *rows, ""]
    if "sweep" in results:
        own = results["scan"]["seconds"] + results["kernel"]["seconds"]
        lines.append(
            f"The sweep with {asked.jobs} {'process' if asked.jobs == 1 else 'processes'} took"
            f" {results['sweep']['seconds'] / own:.2f} times what the scan and the kernel take together:"
            f" {asked.evals} evals, {asked.metrics} metrics, {asked.policies:,} policies,"
            f" {results['write']['bytes'] / 2**20:,.0f} MiB of Parquet."
        )
    if "generated" in results:
        memory = ", ".join(
            f"{size:,.0f} MiB after {runs:,} runs" for runs, size in results["generated"]["memory"]
        )
        lines += ["", f"Peak memory of the generated runs: {memory}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--evals", type=int, default=200)
    parser.add_argument("--metrics", type=int, default=5)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--generated", type=float, metavar="MILLIONS", help="only generated runs, so many million"
    )
    parser.add_argument("--page", type=Path, help="a page to write the figures into")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps({**PARTS[asked.part](asked), "peak": peak(), "runs": asked.runs}))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs.store"
        if asked.generated is not None:
            parts, runs = ["generated"], round(asked.generated * 1e6)
        else:
            parts, runs = ["write", "scan", "kernel", "sweep"], asked.runs
        results = {part: measure(part, asked, store, runs) for part in parts}
    table = as_table(asked, results)
    print(table)
    if asked.page is not None:
        text = asked.page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        asked.page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

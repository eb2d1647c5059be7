"""Sweeping policies over a store, against reading it and against the kernel; and the memory that it takes.

    python benchmarks/store.py                       100,000 runs x 200 evals x 5 metrics, 1,000 policies
    python benchmarks/store.py --jobs 2              the sweep and the simulation in two processes
    python benchmarks/store.py --generated 10        10 million generated runs without a store: flat memory
    python benchmarks/store.py --page docs/scale.md  writes the figures into the page, beside those of the
                                                     other form that are there already

The first takes about five minutes on two quiet cores, and 800 MB of disk; with --runs 20000 about one. The
generated runs (20 evals, one metric and 100 policies, unless others are given) end after 9 minutes or
--minutes: then the table has the runs that were done, and what all of them would take at that rate.

Each part runs in a process of its own, so that its peak memory is its own. ``kernel`` is what finding the
stops and adding up their figures takes for the same runs in memory, without exact sums, reading and merging.
``simulate`` is a simulation of three policies with intervals, verdicts and the equal budget.
"""

from __future__ import annotations

import argparse
import importlib
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
from typing import Any, NamedTuple

import numpy as np

from replay.data.run import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.engine.stops import StopsFinder
from replay.engine.study import Study
from replay.policies import Policy
from replay.policies.grid import parse_grids, policies_of
from replay.search.local_processes import run_in_processes
from replay.search.policy_sums import PolicySums
from replay.search.store_simulation import simulate_store
from replay.search.store_sweep import sum_runs, sweep_store
from replay.search.sweep import total_up
from replay.store import Origin, Store

QUESTION = Question(monitor="eval_loss", mode="min")
BEGIN, END = "<!-- figures of benchmarks/store.py -->", "<!-- end of the figures -->"
#: Between the figures of a store and those of generated runs.
MIDDLE = "<!-- generated runs -->"
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


def in_jobs(jobs: int) -> Any:
    """What calls a function with many tasks: this process, or several others."""
    return map if jobs == 1 else lambda call, tasks: run_in_processes(call, tasks, jobs)


def sweep(asked: argparse.Namespace) -> dict[str, Any]:
    policies, store = made_policies(asked.policies), Store.open(asked.store)
    begin = time.perf_counter()
    swept = sweep_store(store, policies, QUESTION, run_all=in_jobs(asked.jobs))
    assert swept.runs == asked.runs
    return {"seconds": time.perf_counter() - begin}


def simulate(asked: argparse.Namespace) -> dict[str, Any]:
    rules = parse_policies(["patience=3", "patience=10,min_delta=0.001", "gl=5"])
    begin = time.perf_counter()
    made = simulate_store(Store.open(asked.store), rules, QUESTION, run_all=in_jobs(asked.jobs))
    assert set(made.summary["runs"]) == {asked.runs}
    return {"seconds": time.perf_counter() - begin}


class Generated(NamedTuple):
    """Runs that are generated and summed up in one go."""

    first: int
    runs: int
    evals: int
    metrics: int
    policies: int


def sum_generated(task: Generated) -> tuple[PolicySums, float]:
    """The sums over generated runs, and the most memory that this process has had."""
    runs = list(made_runs(task.runs, task.evals, task.metrics, task.first))
    return sum_runs(runs, made_policies(task.policies), QUESTION).sums, peak()


def generated(asked: argparse.Namespace) -> dict[str, Any]:
    """Sums over generated runs, part by part, with the memory as it grows, until the time is over."""
    total, sums, memory, done = asked.runs, PolicySums.zeros(asked.policies), [], 0
    sizes = asked.evals, asked.metrics, asked.policies
    # by their names in a module that other processes can import, too
    here = importlib.import_module(Path(__file__).stem)
    tasks = [here.Generated(first, min(PART, total - first), *sizes) for first in range(0, total, PART)]
    begin = time.perf_counter()
    results = in_jobs(asked.jobs)(here.sum_generated, tasks)
    highest = 0.0
    for number, (task, (more, most)) in enumerate(zip(tasks, results, strict=False)):
        sums, done, highest = sums + more, done + task.runs, max(highest, most, peak())
        if number % max(len(tasks) // 200, 1) == 0:
            memory.append([done, round(highest, 1)])
        if time.perf_counter() - begin > 60 * asked.minutes:
            break
    seconds = time.perf_counter() - begin
    if hasattr(results, "close"):
        results.close()
    assert sums.figures()["runs"].max() == done
    return {"seconds": seconds, "memory": memory, "peak": highest, "runs": done}


PARTS = {
    "write": write,
    "scan": scan,
    "kernel": kernel,
    "sweep": sweep,
    "simulate": simulate,
    "generated": generated,
}


def measure(part: str, asked: argparse.Namespace, store: Path, runs: int) -> dict[str, Any]:
    """What a part reports, from a process of its own."""
    options = {
        "part": part,
        "store": store,
        "runs": runs,
        **{name: getattr(asked, name) for name in ("evals", "metrics", "policies", "jobs", "minutes")},
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
    form = " --generated" if "generated" in results else ""
    lines = [f"Measured with `python benchmarks/store.py{form}` on {machine}, {versions}.", ""]
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
        lines += describe_generated(asked, results["generated"])
    return "\n".join(lines)


def describe_generated(asked: argparse.Namespace, one: dict[str, Any]) -> list[str]:
    """What was streamed, how the memory grew, and what all runs would have taken."""
    memory = one["memory"]
    shown = [memory[at] for at in sorted({0, len(memory) // 10, len(memory) // 2, len(memory) - 1})]
    grown = ", ".join(f"{size:,.0f} MiB after {runs:,} runs" for runs, size in shown)
    jobs = "one process" if asked.jobs == 1 else f"each of {asked.jobs} processes"
    metrics = f"{asked.metrics} metric{'s' * (asked.metrics != 1)}"
    text = f"Generated runs with {asked.evals} evals, {metrics} and {asked.policies:,} policies; the time"
    lines = [f"{text} includes generating them. Peak memory of {jobs}: {grown}."]
    wanted = round(asked.generated * 1e6)
    if one["runs"] < wanted:
        minutes = one["seconds"] / one["runs"] * wanted / 60
        lines.append(
            f"It was ended after {one['runs']:,} of {wanted:,} runs; at this rate all would take"
            f" {minutes:,.0f} minutes. This is an extrapolation."
        )
    return lines


def write_figures(page: Path, table: str, *, of_generated: bool) -> None:
    """Put figures into a page, in the place of older ones of the same form."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    figures, after = rest.split(END)
    of_store, _, generated = figures.partition(MIDDLE)
    parts = (of_store, table) if of_generated else (table, generated)
    text = f"\n\n{MIDDLE}\n\n".join(part.strip() for part in parts)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--evals", type=int)
    parser.add_argument("--metrics", type=int)
    parser.add_argument("--policies", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--generated", type=float, metavar="MILLIONS", help="only generated runs, so many million"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="end the generated runs after so long")
    parser.add_argument("--page", type=Path, help="a page to write the figures into")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    usual = (200, 5, 1000) if asked.generated is None else (20, 1, 100)
    for name, value in zip(("evals", "metrics", "policies"), usual, strict=True):
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    if asked.part:
        result = PARTS[asked.part](asked)
        print(json.dumps({"peak": peak(), "runs": asked.runs, **result}))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs.store"
        if asked.generated is not None:
            parts, runs = ["generated"], round(asked.generated * 1e6)
        else:
            parts, runs = ["write", "scan", "kernel", "sweep", "simulate"], asked.runs
        results = {part: measure(part, asked, store, runs) for part in parts}
    table = as_table(asked, results)
    print(table)
    if asked.page is not None:
        write_figures(asked.page, table, of_generated=asked.generated is not None)


if __name__ == "__main__":
    main()

"""Sweeping a grid of policies: replay against a tight Python loop, the real callbacks, and pandas a run;
growth, and memory.

The grid is patience 1 to 50 x 20 gains x 10 smoothings. The tight loop smooths once for each setting and
finds the stop, no more; replay also looks up what every stop saves and loses, and averages that. The slow
peers are timed on a part and scaled.

Run: python benchmarks/sweep.py [runs] [evals]; python benchmarks/sweep.py memory
"""

import resource
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np

from replay import Run
from replay.data.curve import Curve, CurveBatch
from replay.engine.question import Question
from replay.engine.study import Study
from replay.policies.modify import Modified
from replay.policies.rules.patience import Patience
from replay.policies.smoothing import smoother
from replay.policies.stops import find_stops
from replay.search.sweep import sweep_study

SMOOTHS = (
    "none",
    "ema:0.1",
    "ema:0.2",
    "ema:0.3",
    "ema:0.5",
    "ema:0.7",
    "mean:2",
    "mean:3",
    "mean:5",
    "mean:10",
)
DELTAS = tuple(0.001 * number for number in range(20))
PATIENCES = range(1, 51)


def curves(runs, evals, seed=0):
    rng = np.random.default_rng(seed)
    falls = np.exp(-np.arange(evals) / rng.uniform(5, 40, (runs, 1)))
    return falls + 0.02 * rng.standard_normal((runs, evals))


def grid(smooths=SMOOTHS, deltas=DELTAS, patiences=PATIENCES):
    return [
        Patience(patience, delta) if smooth == "none" else Modified(Patience(patience, delta), smooth=smooth)
        for smooth in smooths
        for delta in deltas
        for patience in patiences
    ]


def tight_loop(values, patience, delta):
    best, waited = float("inf"), 0
    for number, value in enumerate(values):
        if best - value > delta:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= patience:
                return number
    return -1


def smooth_all(values):
    """The values under each smoothing, as lists."""
    batch = CurveBatch.of([Curve.of(row, "min") for row in values])
    return {smooth: smoother(smooth)(batch).tolist() for smooth in SMOOTHS}


def loop(values):
    """Every policy of the grid on every run: policies x runs of stops."""
    rows = smooth_all(values)
    return [
        [tight_loop(row, patience, delta) for row in rows[smooth]]
        for smooth in SMOOTHS
        for delta in DELTAS
        for patience in PATIENCES
    ]


def transformers_callback(values, policies):
    import transformers

    args = SimpleNamespace(metric_for_best_model="eval_x", greater_is_better=False, save_strategy="no")
    for patience, threshold in policies:
        for row in values:
            callback = transformers.EarlyStoppingCallback(patience, threshold)
            state, control = transformers.TrainerState(), transformers.TrainerControl()
            trainer = SimpleNamespace(args=args, state=state)
            for value in row:
                callback.on_evaluate(args, state, control, metrics={"eval_x": value})
                if control.should_training_stop:
                    break
                transformers.Trainer._determine_best_metric(trainer, {"eval_x": value}, None)


def lightning_criteria(values, policies):
    import torch
    from lightning.pytorch.callbacks import EarlyStopping

    for patience, delta in policies:
        for row in values:
            stopping = EarlyStopping("x", min_delta=delta, patience=patience)
            for value in row:
                if stopping._evaluate_stopping_criteria(torch.tensor(value))[0]:
                    break


def pandas_a_run(values, policies):
    import pandas as pd

    for patience, _ in policies:
        for row in values:
            series = pd.Series(row)
            at = series.index.to_series().where(series < series.shift().cummin().fillna(np.inf)).ffill()
            waited = series.index - at
            hit = waited[waited >= patience]
            hit.index[0] if len(hit) else None


def timed(function, repeats=3):
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), result


def gathered(parts, runs):
    """Parts of stops as one array: policies x runs."""
    found = np.empty((sum(len(members) for members, _ in parts), runs), dtype=np.int64)
    for members, stops in parts:
        found[members] = stops
    return found


def compare(runs, evals):
    values = curves(runs, evals)
    policies = grid()
    units = runs * evals * len(policies)
    print(
        f"{runs} runs x {evals} evals x {len(policies)} policies: {units:.2g} policy-run-evals; seconds, M"
        " units a second, x the loop"
    )
    few = min(runs, 40)
    slow, expected = timed(lambda: loop(values[:few]), 1)
    slow *= runs / few

    def report(name, taken, note=""):
        print(f"  {name:44} {taken:9.2f} s {units / taken / 1e6:9.0f} {slow / taken:8.2f}x {note}")

    report("tight Python loop, stops only", slow, f"(timed on {few} runs)")
    batch = CurveBatch.of([Curve.of(row, "min") for row in values])
    made = [
        Run(f"r{number}", {"step": np.arange(1, evals + 1), "eval_loss": row})
        for number, row in enumerate(values)
    ]
    begin = time.perf_counter()
    study = Study(made, [], Question())
    study_s = time.perf_counter() - begin
    taken, parts = timed(lambda: list(find_stops(policies, batch)))
    assert gathered(parts, runs)[:, :few].tolist() == expected, "not the loop's stops"
    report("replay: stops only", taken)
    taken, _ = timed(lambda: sweep_study(study, policies))
    report("replay: whole sweep", taken, "(saved, regret, lost, equal budget)")
    print(f"  (making {runs} runs ready for any sweep: {study_s:.2f} s)")
    tried = [(3, 0.0), (10, 0.01)]
    for name, peer, part in (
        ("transformers' callback", transformers_callback, 20),
        ("pandas a run", pandas_a_run, 20),
        ("Lightning's criteria", lightning_criteria, 4),
    ):
        rows = values[:part].tolist()
        taken, _ = timed(lambda peer=peer, rows=rows: peer(rows, tried), 3)
        report(
            name,
            taken / len(rows) * runs / len(tried) * len(policies),
            f"(timed on {part} runs, {len(tried)} policies)",
        )


def growth():
    print("growth of the whole sweep, seconds")
    for name, cases in {
        "runs": [(250, 200, 1), (500, 200, 1), (1000, 200, 1), (2000, 200, 1)],
        "evals": [(1000, 50, 1), (1000, 100, 1), (1000, 200, 1), (1000, 400, 1)],
        "policies": [(1000, 200, 0.1), (1000, 200, 0.2), (1000, 200, 0.5), (1000, 200, 1)],
    }.items():
        for runs, evals, part in cases:
            values = curves(runs, evals)
            made = [
                Run(f"r{number}", {"step": np.arange(1, evals + 1), "eval_loss": row})
                for number, row in enumerate(values)
            ]
            study = Study(made, [], Question())
            policies = grid(smooths=SMOOTHS[: round(len(SMOOTHS) * part)])
            taken, _ = timed(lambda study=study, policies=policies: sweep_study(study, policies))
            print(f"  {name:9} {runs:5} runs {evals:4} evals {len(policies):6} policies  {taken:6.2f}")


def memory(runs=10_000, evals=1000):
    """In a process of its own: what 10,000 ragged runs of up to 1,000 evals take, 10,000 policies on them."""
    rng = np.random.default_rng(1)
    begin = time.perf_counter()
    made = []
    for number in range(runs):
        count = int(rng.integers(100, evals + 1))
        row = np.exp(-np.arange(count) / rng.uniform(20, 200)) + 0.02 * rng.standard_normal(count)
        made.append(Run(f"r{number}", {"step": np.arange(1, count + 1), "eval_loss": row}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    study = Study(made, [], Question())
    ready = time.perf_counter()
    sweep_study(study, grid())
    done = time.perf_counter()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    units = sum(len(run) for run in made) * 10_000
    print(
        f"{runs} ragged runs of up to {evals} evals x 10000 policies: ready after {ready - begin:.1f} s,"
        f" swept in {done - ready:.1f} s ({units / (done - ready) / 1e9:.1f} G units a second); peak memory"
        f" {most:.2f} GiB ({before:.2f} with the runs made)"
    )


def main(*arguments):
    if arguments[:1] == ("memory",):
        memory()
        return
    compare(*map(int, arguments)) if arguments else compare(1000, 200)
    if not arguments:
        growth()
        subprocess.run([sys.executable, __file__, "memory"], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Simulating policies: replay's batch against a plain loop over each run and policy, and against the real
transformers callback.

Also the whole command `replay simulate sample_logs`, as a ratio to `python -c "import pandas"` in the same
run.

Run: python benchmarks/simulate.py [runs] [evals]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from replay.data.curve import Curve, CurveBatch
from replay.policies.rules.patience import Patience
from replay.policies.spec import parse_policy
from replay.policies.stops import first_reached


def curves(runs, evals):
    rng = np.random.default_rng(0)
    falls = np.exp(-np.arange(evals) / rng.uniform(5, 40, (runs, 1)))
    return falls + 0.02 * rng.standard_normal((runs, evals))


def plain_loop(values, patience, min_delta):
    best, waited = None, 0
    for number, value in enumerate(values, 1):
        if best is None or best - value > min_delta:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= patience:
                return number
    return None


def real_callback(values, patience, threshold):
    import transformers

    args = SimpleNamespace(metric_for_best_model="eval_x", greater_is_better=False, save_strategy="no")
    callback = transformers.EarlyStoppingCallback(patience, threshold)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    trainer = SimpleNamespace(args=args, state=state)
    for number, value in enumerate(values, 1):
        callback.on_evaluate(args, state, control, metrics={"eval_x": value})
        if control.should_training_stop:
            return number
        transformers.Trainer._determine_best_metric(trainer, {"eval_x": value}, None)
    return None


def timed(function, repeats=5):
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), result


def main(runs=1000, evals=200):
    values = curves(runs, evals)
    batch = CurveBatch.of([Curve.of(row, "min") for row in values])
    rows = values.tolist()
    print(
        f"{runs} runs x {evals} evals, one policy a line; seconds, and how many times as fast as the plain"
        " Python loop"
    )
    for spec, patience, delta in [("patience=3", 3, 0.0), ("patience=10,min_delta=0.01", 10, 0.01)]:
        loop, expected = timed(lambda p=patience, d=delta: [plain_loop(row, p, d) for row in rows])
        ours, stops = timed(lambda s=spec: parse_policy(s).stops(batch))
        assert [None if stop < 0 else stop + 1 for stop in stops.tolist()] == expected
        print(f"  {spec:40} loop {loop:.4f}  replay {ours:.4f}  {loop / ours:6.1f}x")
    limits = range(1, 51)
    loop, expected = timed(
        lambda: [[plain_loop(row, patience, 0.01) for row in rows] for patience in limits], 3
    )

    def one_pass():
        rule = Patience(1, min_delta=0.01)
        signal = rule.signal(batch)
        return [first_reached(signal, limit) for limit in limits]

    ours, stops = timed(one_pass)
    assert [[None if stop < 0 else stop + 1 for stop in found.tolist()] for found in stops] == expected
    print(f"  {'patience=1..50 of one signal':40} loop {loop:.4f}  replay {ours:.4f}  {loop / ours:6.1f}x")
    few = rows[:50]
    spec = "transformers:patience=10,threshold=0.01"
    real, expected = timed(lambda: [real_callback(row, 10, 0.01) for row in few], 3)
    ours, stops = timed(lambda: parse_policy(spec).stops(batch))
    assert [None if stop < 0 else stop + 1 for stop in stops[:50].tolist()] == expected
    real *= runs / len(few)
    print(
        f"  {spec:40} real {real:.4f}  replay {ours:.4f}  {real / ours:6.1f}x as fast as transformers' own"
        " callback"
    )
    sample = Path(__file__).parents[1] / "sample_logs"
    whole, pandas = [], []
    for turn in range(6):
        for taken, command in [
            (whole, [sys.executable, "-m", "replay", "simulate", str(sample)]),
            (pandas, [sys.executable, "-c", "import pandas"]),
        ]:
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                taken.append(time.perf_counter() - begin)
    ratio = statistics.median(whole) / statistics.median(pandas)
    print(
        f"replay simulate sample_logs: {statistics.median(whole):.2f} s, {ratio:.2f}x python -c 'import"
        " pandas'"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Outcomes through ``replay.simulate``: time and memory per outcome, as a ratio to a tight Python loop.

The loop only finds the stop of each policy and run. replay.simulate also scores it (compute saved, regret,
loss, the checkpoint kept), says why, and returns a DataFrame.

Run: python benchmarks/outcomes.py
"""

import gc
import statistics
import time
import tracemalloc

import numpy as np
from simulate import plain_loop

import replay

RUNS, EVALS = 500, 30
DELTAS = tuple(0.0025 * number for number in range(10))


def make_runs(seed=0):
    rng = np.random.default_rng(seed)
    falls = np.exp(-np.arange(EVALS) / rng.uniform(3, 20, (RUNS, 1)))
    values = falls + 0.02 * rng.standard_normal((RUNS, EVALS))
    steps = np.arange(1, EVALS + 1) * 100
    runs = [
        replay.Run(f"run{number}", {"step": steps, "eval_loss": row}) for number, row in enumerate(values)
    ]
    return runs, values.tolist()


def measure(function, repeats=5):
    seconds = []
    for _ in range(repeats):
        gc.collect()
        begin = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), result


def main():
    runs, rows = make_runs()
    replay.simulate(runs[:2], ["patience=1"], monitor="eval_loss", mode="min")  # imports pandas
    for patiences, deltas in ((range(1, 21), DELTAS), (range(1, 11), DELTAS[:2])):
        pairs = [(patience, delta) for patience in patiences for delta in deltas]
        specs = [f"patience={patience},min_delta={delta!r}" for patience, delta in pairs]
        count = len(specs) * RUNS

        def simulate(specs=specs):
            return replay.simulate(runs, specs, monitor="eval_loss", mode="min")

        def loop(pairs=pairs):
            return [[plain_loop(row, patience, delta) for row in rows] for patience, delta in pairs]

        looped, expected = measure(loop)
        simulated, frame = measure(simulate)
        stops = frame["stopped_eval"].astype(object).where(frame["stopped_eval"].notna(), None).tolist()
        assert stops == [stop for stops in expected for stop in stops]
        assert frame["reason"].str.len().min() > 0
        tracemalloc.start()
        simulate()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(
            f"{RUNS} runs x {EVALS} evals x {len(specs)} policies: loop {looped / count * 1e6:.2f} us per"
            f" outcome, replay.simulate {simulated / count * 1e6:.2f} us ({simulated / looped:.2f} times the"
            f" loop), peak {peak / count:.0f} bytes per outcome"
        )


if __name__ == "__main__":
    main()

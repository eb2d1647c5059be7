"""How long arrival orders of runs take here, and how long it takes to drive Optuna by ask and tell.

Both are CPU time, ours with making the policies ready. Optuna is measured on a few orders of one setting of
each pruner, and its time is scaled up to all orders and settings; ours is measured on all of them.

Run: python benchmarks/across.py [--runs 1000] [--orders 200] [--optuna-orders 1]
"""

import argparse
import time
import warnings

import numpy as np
import optuna

from replay.data.curve import Curve, CurveBatch
from replay.policies.clock import Timing, play
from replay.policies.spec import parse_policy

EVALS, WORKERS = 20, 8
SETTINGS = [
    *(f"optuna-halving:grace=1,reduction={factor}" for factor in (2, 3, 4, 5, 8)),
    *(f"optuna-hyperband:max_resource={EVALS},reduction={factor}" for factor in (2, 3, 4, 5, 8)),
    *(f"optuna-median:n_startup_trials={count}" for count in (1, 5, 10, 20, 40)),
    *(f"optuna-percentile:percentile={share}" for share in (10, 25, 40, 60, 75)),
]
#: The setting of each pruner that Optuna is measured on.
MEASURED = SETTINGS[1::5]


def draw_batch(runs):
    rng = np.random.default_rng(0)
    final = rng.normal(1, 0.2, runs)
    curves = final[:, None] + 1 / np.arange(1, EVALS + 1) + rng.normal(0, 0.03, (runs, EVALS))
    return CurveBatch.of([Curve.of(row, "min") for row in curves])


def replay_orders(policy, batch, orders):
    prepared = policy.prepare(batch)
    times = [[eval + 1.0 for eval in evals] for evals in prepared.asked]
    timing = Timing(prepared.asked, times, [float(EVALS)] * len(times))
    for number in range(orders):
        rng = np.random.default_rng(number)
        play(rng.permutation(len(times)).tolist(), WORKERS, timing, prepared.begin(rng))


def drive_optuna(policy, batch, number):
    from tests.policies.across.optuna_trials import OptunaScheduler, make_pruner

    evals = [list(range(EVALS))] * len(batch.lengths)
    steps = [list(range(1, EVALS + 1))] * len(evals)
    order = np.random.default_rng(number).permutation(len(evals)).tolist()
    timing = Timing(evals, steps, [float(EVALS)] * len(evals))
    play(order, WORKERS, timing, OptunaScheduler(make_pruner(policy), batch, steps))


def spent(function, *arguments):
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin


def print_line(name, here, there):
    print(f"  {name:18} {here:8.1f} here, {there:10.0f} with Optuna: 1/{there / here:.0f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--optuna-orders", type=int, default=1)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    batch = draw_batch(arguments.runs)
    policies = {spec: parse_policy(spec, across=True) for spec in SETTINGS}
    ours = {spec: spent(replay_orders, policy, batch, arguments.orders) for spec, policy in policies.items()}
    per_order = {
        spec: np.mean(
            [spent(drive_optuna, policies[spec], batch, order) for order in range(arguments.optuna_orders)]
        )
        for spec in MEASURED
    }
    print(f"{arguments.runs} runs x {arguments.orders} orders x {len(SETTINGS)} settings, CPU seconds")
    total = [0.0, 0.0]
    for index, spec in enumerate(MEASURED):
        family = SETTINGS[5 * index : 5 * index + 5]
        here, there = sum(ours[one] for one in family), per_order[spec] * arguments.orders * len(family)
        print_line(spec.split(":")[0], here, there)
        total = [total[0] + here, total[1] + there]
    print_line("all", *total)
    print(f"Optuna: {arguments.optuna_orders} order(s) of one setting per pruner, scaled up.")


if __name__ == "__main__":
    main()

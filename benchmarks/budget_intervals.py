"""How often the 95 % intervals of replay budget hold the truth, on simulated sets of runs.

The truth comes from one large set. Each sample is a set of runs of the same kind, of which a budget pays for
so many to the end. Printed are the shares for training to the end, for asha, and for their difference.

Run: python benchmarks/budget_intervals.py [--runs 40] [--paid 4] [--samples 100] [--draws 300]
"""

import argparse

import numpy as np

from replay import Run
from replay.engine.draws import Budget, draw_runs
from replay.engine.question import Question
from replay.engine.study import Study
from replay.policies.spec import parse_policy
from replay.stats.draws import mean_interval

EVALS, STEPS = 8, 10
POLICIES = [parse_policy(spec, across=True) for spec in ("never", "asha:reduction=3")]


def draw_set(rng, runs):
    final = rng.normal(1, 0.2, runs)
    curves = final[:, None] + 1 / np.arange(1, EVALS + 1) + rng.normal(0, 0.03, (runs, EVALS))
    steps = (np.arange(EVALS) + 1) * STEPS
    return [Run(f"r{number}", {"step": steps, "eval_loss": curve}) for number, curve in enumerate(curves)]


def find(runs, budget):
    """The values found, and which runs were begun, for each policy and for the difference."""
    study = Study(runs, [], Question("eval_loss", "min"))
    never, asha = draw_runs(study, POLICIES, ["never", "asha"], budget)
    difference = (never.found - asha.found, never.begun | asha.begun)
    return [(never.found, never.begun), (asha.found, asha.begun), difference]


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("runs", 40), ("paid", 4), ("samples", 100), ("draws", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    compute = float(EVALS * STEPS * arguments.paid)
    rng = np.random.default_rng(1)
    truth = [values.mean() for values, _ in find(draw_set(rng, 3000), Budget(compute, draws=3000))]
    held, known = np.zeros(3), np.zeros(3)
    for sample in range(arguments.samples):
        budget = Budget(compute, draws=arguments.draws, seed=sample)
        for index, part in enumerate(find(draw_set(rng, arguments.runs), budget)):
            low, high = mean_interval([part])
            if low is not None:
                known[index] += 1
                held[index] += low <= truth[index] <= high
    for name, share, count in zip(("to the end", "asha", "difference"), held / known, known, strict=True):
        print(f"{name:12} held the truth in {100 * share:.0f} % of {count:.0f} samples")


if __name__ == "__main__":
    main()

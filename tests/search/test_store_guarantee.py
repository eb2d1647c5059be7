"""A guaranteed choice over a store file by file, against that of all runs at once."""

import random

import numpy as np
import pytest

from replay import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.engine.study import Study
from replay.search.guarantee import guarantee
from replay.search.ladders import default_policies
from replay.search.local_processes import run_in_processes
from replay.search.store_guarantee import guarantee_of_store
from tests.search.test_store_sweep import stored


def falling_runs(count, evals=30):
    """Runs whose loss falls and rises again, with noise; the last ones are cut short or have no scale."""
    runs = []
    for number in range(count):
        chance = np.random.default_rng(number)
        steps = np.arange(1, evals + 1) * 10
        values = 1 + np.exp(-np.arange(evals) / chance.uniform(2, 6)) + 0.01 * chance.normal(size=evals)
        values += 0.02 * np.maximum(np.arange(evals) - chance.integers(8, 20), 0)
        if number % 20 == 19:
            values[:] = 1.0 + number
        planned = 10 * evals * (2 if number % 25 == 24 else 1)
        runs.append(Run(f"run{number}", {"step": steps, "eval_loss": values}, {"planned_steps": planned}))
    return runs


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("weight", ["runs", "compute"])
@pytest.mark.parametrize("several", [False, True])
def test_the_choice_is_that_of_all_runs_to_the_bit(tmp_path, confidence, weight, several):
    runs = falling_runs(60)
    policies = default_policies()
    if several:
        policies = [*policies, *parse_policies(["never", "gl=1", "gl=5", "gl=20"])]
    question = Question(monitor="eval_loss", mode="min")
    whole = guarantee(Study(runs, policies, question), 0.2, policies, confidence=confidence, weight=weight)
    shuffled = runs[:]
    random.Random(3).shuffle(shuffled)
    store = stored(tmp_path / "s", shuffled, 17)
    by_file, resolved = guarantee_of_store(
        store,
        policies,
        question,
        0.2,
        confidence=confidence,
        weight=weight,
        run_all=lambda call, tasks: [call(task) for task in reversed(tasks)],
    )
    assert resolved.monitor.name == "eval_loss"
    for name in ("policy", "chosen", "method", "rungs", "units", "used_runs", "left_out", "censored"):
        assert getattr(by_file, name) == getattr(whole, name), name
    assert (by_file.partial, by_file.needed_units) == (whole.partial, whole.needed_units)
    for name in ("saved", "lost", "worst", "full"):
        assert np.array_equal(getattr(by_file.evidence, name), getattr(whole.evidence, name)), name
    if confidence is None and not several:
        assert by_file.policy is not None
        assert by_file.runs == 60
        parallel = guarantee_of_store(
            store,
            policies,
            question,
            0.2,
            weight=weight,
            run_all=lambda call, tasks: run_in_processes(call, tasks, 2),
        )[0]
        assert parallel.rungs == by_file.rungs

"""A simulation of a store file by file, against that of all of its runs at once."""

import random

import numpy as np
import pytest

from replay import Run
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies, typed_specs
from replay.errors import InputError
from replay.search.store_simulation import simulate_store
from replay.stats.summary import KEYS, summarise
from tests.search.test_store_guarantee import falling_runs
from tests.search.test_store_sweep import stored
from tests.search.test_sweep import made_run, made_runs

POLICIES = ["patience=1", "patience=3,min_delta=0.01", "gl=5", "budget=6"]


def compare(store, runs, policies, question):
    """Check that each figure is that of all runs at once, the equal budget but for its last digits."""
    rules = parse_policies(policies)
    by_file = simulate_store(store, rules, question, typed=typed_specs(policies, rules))
    expected = summarise(simulate_policies(runs, policies, question, baselines=True))
    assert by_file.summary["policy"] == expected["policy"]
    for name in KEYS:
        loose = name in ("budget_lost", "budget_regret")
        for policy, one, other in zip(expected["policy"], by_file.summary[name], expected[name], strict=True):
            if loose and other is not None:
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15, err_msg=policy)
            else:
                assert one == other, (policy, name)
    return by_file


@pytest.mark.parametrize("asked", [{}, {"keep": "last"}, {"unit": "seconds"}, {"objective": "eval_score"}])
@pytest.mark.parametrize("size", [4, 7, 100])
def test_every_figure_of_even_logs_is_that_of_all_runs(tmp_path, asked, size):
    chance = random.Random(size)
    runs = even_runs(24)
    if "objective" in asked:
        asked = {**asked, "objective_mode": "max"}
    shuffled = runs[:]
    chance.shuffle(shuffled)
    question = Question(monitor="eval_loss", mode="min", **asked)
    compare(stored(tmp_path / "s", shuffled, size), in_order(runs), POLICIES, question)


def even_runs(count, evals=16):
    """Runs with evals at even shares, another metric, and the time that their training took."""
    runs = []
    for run in falling_runs(count, evals):
        values = run.columns["eval_loss"].values
        more = {"eval_score": np.sin(values * 9), "train_seconds": run.steps * 3.0, "saved": run.steps % 20}
        runs.append(Run(run.id, {**run.columns, **more}, run.info))
    return runs


def in_order(runs):
    from replay.readers.find import natural

    return sorted(runs, key=lambda run: (natural(run.id), run.id))


def test_verdicts_are_those_of_all_runs_also_where_some_are_cut_short(tmp_path):
    runs = falling_runs(60)
    question = Question(monitor="eval_loss", mode="min")
    made = compare(stored(tmp_path / "s", runs, 17), in_order(runs), POLICIES, question)
    assert {"no significant difference", "cannot tell"} <= set(made.summary["verdict"])
    assert made.summary["censored"][2] > 0
    assert all(low is not None for low in made.summary["lost_low"][1:-1])


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_odd_logs_have_the_same_figures(tmp_path, seed):
    runs = made_runs(seed, 30, odd=True)
    question = Question(monitor="eval_loss")
    compare(stored(tmp_path / "s", runs, 8), in_order(runs), POLICIES, question)


def test_a_policy_that_only_some_files_can_try_has_the_figures_of_their_runs(tmp_path):
    chance = random.Random(2)
    lacking = [made_run(number, chance, evals=9, lacks=("train_loss",)) for number in range(5)]
    whole = [made_run(number, chance, evals=9) for number in range(5, 20)]
    question = Question(monitor="eval_loss", mode="min")
    policies = ["gap:patience=2,window=3", "patience=2"]
    store = stored(tmp_path / "s", [*lacking, *whole], 5)
    made = compare(store, in_order([*lacking, *whole]), policies, question)
    assert made.summary["runs"] == [20, 20, 15, 20, 20]
    (one,) = [one for one in made.findings if one.kind == "companion-missing"]
    assert (len(one.runs), one["available"]) == (5, True)
    with pytest.raises(InputError, match="can be tried on no run of the store"):
        simulate_store(
            stored(tmp_path / "t", lacking, 2), parse_policies(["gap:patience=2,window=3"]), question
        )

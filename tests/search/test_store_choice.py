"""A choice on the runs of a store file by file, against that of all runs at once."""

import random

import numpy as np
import pytest

from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.engine.study import Study
from replay.errors import InputError
from replay.search.choice import select_policy
from replay.search.store_choice import choose_from_store
from replay.search.tolerance import parse_tolerance
from tests.search.test_store_guarantee import falling_runs
from tests.search.test_store_simulation import in_order
from tests.search.test_store_sweep import stored
from tests.search.test_sweep import made_run, made_runs

POLICIES = parse_policies([*(f"patience={wait}" for wait in range(1, 12)), "gl=1", "gl=5", "gl=20", "never"])


def compare(store, runs, policies, question, tolerance, **settings):
    by_file = choose_from_store(store, policies, question, tolerance, **settings)
    study = Study(in_order(runs), policies, question)
    whole = select_policy(study, policies, tolerance, **settings)
    for name in (
        "status",
        "policy",
        "guess",
        "obstacle",
        "stable",
        "groups",
        "run_ids",
        "unit",
        "least_groups",
    ):
        assert getattr(by_file, name) == getattr(whole, name), name
    assert (by_file.guarantee and by_file.guarantee.rungs) == (whole.guarantee and whole.guarantee.rungs)
    assert by_file.compared_evals.tolist() == whole.compared_evals.tolist()
    lines = [(by_file.in_sample, whole.in_sample), *zip(by_file.held_out, whole.held_out, strict=True)]
    if whole.guaranteed is not None:
        lines.append((by_file.guaranteed, whole.guaranteed))
    for one, other in lines:
        assert (one.name, one.kept, one.judged) == (other.name, other.kept, other.judged)
        np.testing.assert_equal(one.worst_mean, other.worst_mean)
        same(one.summary, other.summary)
    assert by_file.baselines.keys() == whole.baselines.keys()
    for name, summary in whole.baselines.items():
        same(by_file.baselines[name], summary)
    for one, other in zip(by_file.cross_validated.held_out, whole.cross_validated.held_out, strict=True):
        assert (one.by, one.chosen) == (other.by, other.chosen)
    for name in ("saved", "loss", "bound"):
        one, other = (getattr(made.cross_validated, name) for made in (by_file, whole))
        np.testing.assert_array_equal(one, other)
    return by_file


def same(summary, expected):
    for name, value in expected.items():
        if name.startswith("budget_") and value is not None:
            np.testing.assert_allclose(summary[name], value, rtol=1e-12, atol=1e-15, err_msg=name)
        else:
            assert summary[name] == value, name


@pytest.mark.parametrize("asked", ["lost 2%", "lost 20%", "regret 0.01", "regret 0.5%"])
@pytest.mark.parametrize("weight", ["runs", "compute"])
def test_the_choice_is_that_of_all_runs(tmp_path, asked, weight):
    kind, value = asked.split()
    tolerance = parse_tolerance(**{f"max_{kind}": value})
    runs = falling_runs(60, 20)
    shuffled = runs[:]
    random.Random(2).shuffle(shuffled)
    question = Question(monitor="eval_loss", mode="min")
    store = stored(tmp_path / "s", shuffled, 17)
    compare(store, runs, POLICIES, question, tolerance, weight=weight)


def test_stated_groups_are_held_out_as_well(tmp_path):
    runs = [
        run.replace(info=run.info.replace(group=f"data{number % 6}", planned_steps=200))
        for number, run in enumerate(falling_runs(40, 20))
    ]
    store = stored(tmp_path / "s", runs, 9)
    tolerance = parse_tolerance(max_lost="25%")
    made = compare(store, runs, POLICIES, Question(monitor="eval_loss", mode="min"), tolerance)
    assert [one.by for one in made.cross_validated.held_out] == ["run", "group"]
    assert [one.group for one in made.by_group] == [f"data{number}" for number in range(6)]
    assert made.policy is not None


def test_odd_runs_are_left_out_alike(tmp_path):
    runs = made_runs(5, 40, odd=True)
    store = stored(tmp_path / "s", runs, 11)
    question = Question(monitor="eval_loss", mode="min")
    compare(store, runs, POLICIES, question, parse_tolerance(max_lost="60%"), optional=True)


def test_a_policy_that_a_file_cannot_try_is_no_candidate(tmp_path):
    chance = random.Random(2)
    lacking = [made_run(number, chance, evals=9, lacks=("train_loss",)) for number in range(5)]
    runs = [*lacking, *(made_run(number, chance, evals=9) for number in range(5, 20))]
    policies = parse_policies(["gap:patience=2,window=3", "patience=2", "patience=3"])
    question = Question(monitor="eval_loss", mode="min")
    tolerance = parse_tolerance(max_lost="90%")
    made = compare(stored(tmp_path / "s", runs, 5), runs, policies, question, tolerance)
    assert made.cross_validated.partial == 1
    store = stored(tmp_path / "t", lacking, 2)
    with pytest.raises(InputError, match="can be tried on no run of the store"):
        choose_from_store(store, policies, question, tolerance)

"""A sweep of a store file by file, against the sweep of all of its runs at once."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay.store.store
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.engine.study import Study
from replay.errors import InputError
from replay.report.sentences import sentences
from replay.search.policy_sums import STREAMED
from replay.search.store_sweep import sum_runs, sweep_store
from replay.search.sweep import sweep_study
from replay.store import Origin, Store
from tests.search.test_sweep import MANY, made_run, made_runs

SOME = [*MANY[:12], "gl=5", "target=0.3", "budget=3", "never", "extrapolate:min_evals=4,min_delta=0.05"]


def bits(figures):
    return {name: [struct.pack("<d", value) for value in values] for name, values in figures.items()}


def stored(folder, runs, size):
    """A store of the runs whose files have so many runs each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay.store.store, "MOST_RUNS", size)
        Store.add(folder, runs, Origin([], "1"))
    return Store.open(folder)


@given(
    seed=st.integers(0, 2**32),
    asked=st.sampled_from(
        [
            {},
            {"mode": "max"},
            {"keep": "last"},
            {"keep": "best-saved", "unit": "seconds"},
            {"objective": "eval_score", "objective_mode": "max"},
            {"unit": "epochs"},
        ]
    ),
    odd=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_division_into_files_gives_the_same_bits(seed, asked, odd):
    chance = random.Random(seed)
    runs = made_runs(seed, 9, odd=odd)
    rules = parse_policies(SOME)
    question = Question(monitor="eval_loss", **asked)
    whole = sum_runs(runs, rules, question).sums.figures()
    assert list(whole) == list(STREAMED)
    chance.shuffle(runs)
    total = None
    while runs:
        size = chance.randint(1, len(runs))
        part = sum_runs(runs[:size], rules, question).sums
        total = part if total is None else part + total
        del runs[:size]
    assert bits(total.figures()) == bits(whole)
    # and they are those of a sweep, but for the rounding of its sums
    swept = sweep_study(Study(made_runs(seed, 9, odd=odd), rules, question), rules, optional=True).figures
    for name in STREAMED:
        np.testing.assert_allclose(whole[name], swept[name], rtol=1e-13, atol=1e-15, err_msg=name)


def test_a_store_gives_what_its_runs_give_at_once(tmp_path):
    runs = made_runs(4, 30)
    rules = parse_policies(SOME)
    question = Question(monitor="eval_loss")
    store = stored(tmp_path / "s", runs, 7)
    assert len(store.shards) == 5
    swept = sweep_store(store, rules, question)
    assert bits(swept.figures) == bits(sum_runs(runs, rules, question).sums.figures())
    assert (swept.runs, swept.monitored) == (30, 30)
    backwards = sweep_store(
        store, rules, question, run_all=lambda call, tasks: [call(task) for task in reversed(tasks)]
    )
    assert bits(backwards.figures) == bits(swept.figures)
    few = sweep_store(Store.open(tmp_path / "s", "evals > 7"), rules, question)
    kept = [run for run in runs if len(run) > 7]
    assert few.runs == len(kept) < 30
    assert bits(few.figures) == bits(sum_runs(kept, rules, question).sums.figures())


def test_what_a_file_lacks_is_reported_for_all_files_together(tmp_path):
    chance = random.Random(1)
    whole = [made_run(number, chance, evals=9) for number in range(4)]
    without = [made_run(number, chance, evals=9, lacks=("eval_loss",)) for number in range(4, 8)]
    store = stored(tmp_path / "s", [*whole, *without], 2)
    rules = parse_policies(["patience=2"])
    swept = sweep_store(store, rules, Question(monitor="eval_loss"))
    assert (swept.runs, swept.monitored, swept.figures["runs"].tolist()) == (8, 4, [4.0])
    (lacking,) = [one for one in swept.findings if one.kind == "no-metric"]
    assert (len(lacking.runs), lacking["total"]) == (4, 8)  # as of all runs at once
    with pytest.raises(InputError, match="can be tried on no run of the store"):
        sweep_store(store, parse_policies(["patience=2,monitor=eval_none"]), Question(monitor="eval_loss"))


def test_a_companion_that_some_files_lack_is_one_finding(tmp_path):
    chance = random.Random(2)
    made = [
        made_run(number, chance, evals=9, lacks=("train_loss",) if number % 4 < 3 else ())
        for number in range(12)
    ]
    lacking = [run for run in made if "train_loss" not in run.columns]
    store = stored(tmp_path / "s", sorted(made, key=lambda run: run in lacking), 3)
    rules = parse_policies(["patience=2", "gap:patience=2,window=3"])
    swept = sweep_store(store, rules, Question(monitor="eval_loss"))
    assert swept.figures["runs"].tolist() == [12.0, 3.0]
    (one,) = [one for one in swept.findings if one.kind == "companion-missing"]
    assert (len(one.runs), one["available"]) == (9, True)
    assert set(one.runs) == {run.id for run in lacking}
    assert len(sentences(swept.findings)) == len(swept.findings)


def test_a_filter_that_leaves_no_run_is_an_error(tmp_path):
    stored(tmp_path / "s", made_runs(1, 4), 2)
    with pytest.raises(InputError, match="has no run of which --where 'evals > 99' is true"):
        sweep_store(Store.open(tmp_path / "s", "evals > 99"), parse_policies(["never"]), Question())


def test_a_damaged_file_is_reported_and_the_others_count(tmp_path):
    store = stored(tmp_path / "s", made_runs(1, 6), 2)
    damaged = store.folder / store.shards[1].file
    damaged.write_bytes(damaged.read_bytes()[:-50])
    swept = sweep_store(store, parse_policies(["patience=2"]), Question(monitor="eval_loss"))
    assert swept.runs == 4
    assert [one.log for one in swept.findings if one.kind == "unreadable-table"] == [str(damaged)]


def test_files_that_disagree_on_the_metric_ask_for_it(tmp_path):
    chance = random.Random(1)
    one = [made_run(number, chance, evals=9, lacks=("eval_error", "eval_score")) for number in range(2)]
    other = [
        made_run(number, chance, evals=9, lacks=("eval_loss", "eval_score", "train_loss"))
        for number in range(2, 4)
    ]
    store = stored(tmp_path / "s", [*one, *other], 2)
    with pytest.raises(InputError, match="Give --monitor"):
        sweep_store(store, parse_policies(["patience=2"]), Question())

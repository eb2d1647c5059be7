"""Stops and outcomes of random runs and policies, against what must hold and against a plain loop."""

import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.stops import StopsFinder
from replay.errors import InputError, ReplayWarning
from replay.policies.spec import parse_policy
from tests.policies.curves import VALUES, modified_policies, plain_policies

from . import loops
from .runs import random_run, run

POLICIES = [
    "never",
    "patience=1",
    "patience=2,min_delta=0.1",
    "transformers:patience=2",
    "nonfinite",
    "patience=1,every=2",
    "patience=1 & budget=300",
]


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=10), min_size=1, max_size=4),
    st.sampled_from(["min", "max"]),
)
@settings(max_examples=150, deadline=None)
def test_a_batch_of_runs_gives_what_each_run_gives_alone(curves, mode):
    runs = [run(f"r{number}", eval_x=values) for number, values in enumerate(curves)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplayWarning)
        together = simulate_policies(runs, POLICIES, Question(mode=mode)).rows()
        alone = [
            row for made in runs for row in simulate_policies([made], POLICIES, Question(mode=mode)).rows()
        ]

    def key(row):
        return row["policy"], row["run"]

    assert repr(sorted(together, key=key)) == repr(sorted(alone, key=key))


@given(st.lists(VALUES, min_size=1, max_size=12), st.sampled_from(["min", "max"]), st.sampled_from(POLICIES))
@settings(max_examples=300, deadline=None)
def test_what_holds_for_every_outcome(values, mode, policy):
    row = simulate_policies([run(eval_x=values)], [policy], Question(mode=mode)).rows()[0]
    assert 0 <= row["saved"] <= 1
    assert row["used"] <= row["used_full"]
    assert row["lost"] is None or 0 <= row["lost"] <= 1
    assert row["regret"] is None or row["regret"] >= 0
    if row["kept"] is not None and row["best"] is not None:
        assert row["kept"] >= row["best"] if mode == "min" else row["kept"] <= row["best"]
    if row["stopped_eval"] is None:
        assert row["saved"] == 0
    assert row["regret"] != 0 or row["lost"] in (0, None)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_more_patience_never_stops_earlier_nor_loses_more(values, patience):
    first, second = (
        simulate_policies([run(eval_x=values)], [f"patience={wait}"], Question(mode="min")).rows()[0]
        for wait in (patience, patience + 1)
    )
    assert (first["stopped_eval"] or np.inf) <= (second["stopped_eval"] or np.inf)
    assert second["regret"] <= first["regret"]


#: Policies that share signals, thinned evals and companions, and some that cannot judge every run.
SHARING = [
    *(f"patience={wait},min_delta={delta}" for wait in (1, 2, 3, 50) for delta in (0, 0.05)),
    *(f"patience={wait},every=2" for wait in (1, 2)),
    *(f"gl={limit}" for limit in (1, 5, 50)),
    *(f"pq={limit},strip=2" for limit in (0.5, 2)),
    *(f"target={target}" for target in (0.3, -0.2, 5)),
    *(f"budget={budget}" for budget in (0, 3, 100)),
    "patience=1 & up=1",
    "patience=2,every=2 | budget=100,every=3",
    "patience=1,monitor=eval_error",
    "patience=1,monitor=eval_score",
    "target=0.3,monitor=eval_loss,mode=max",
    "budget=0.5,unit=epochs",
    "budget=900,unit=tokens",
    "one-epoch",
    "never",
]
QUESTIONS = [
    {},
    {"mode": "max"},
    {"keep": "last"},
    {"keep": "best-saved", "unit": "seconds"},
    {"keep": "transformers", "unit": "tokens"},
    {"objective": "eval_score"},
    {"objective": "eval_score", "keep": "last", "unit": "seconds"},
    {"objective": "eval_error", "objective_mode": "max", "mode": "max", "unit": "epochs"},
    {"objective": "eval_loss", "mode": "max", "keep": "transformers"},
]


@st.composite
def studies(draw):
    """Runs, policies that can be tried on some of them, and a question."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    question = Question(monitor="eval_loss", **draw(st.sampled_from(QUESTIONS)))
    plain = (question.unit, question.keep, question.objective) == ("steps", "best", None)
    optional = ("epoch", "tokens", "train_loss", "eval_error", "eval_score") if plain else ()
    runs = [
        random_run(f"r{number}", chance, lacks=[name for name in optional if chance.random() < 0.15])
        for number in range(draw(st.integers(1, 6)))
    ]
    if not plain:  # else there may be nothing to count, to keep or to judge by, which is an error
        metrics = ("eval_loss", "eval_error", "eval_score", "val_loss")
        runs = [made for made in runs if all(made.columns[name].present[1:].any() for name in metrics)]
        runs.append(random_run("more", random.Random(5)))
    policies = draw(st.lists(st.one_of(plain_policies(), modified_policies()), max_size=4))
    policies += [parse_policy(spec) for spec in chance.sample(SHARING, 8)]
    return runs, list({policy.spec(): policy for policy in policies}.values()), question


def some_can_be_tried(runs, policy, question):
    """Whether a policy can be tried on some run, where its metrics and columns are there."""
    return any(loops.outcome(made, policy, question) is not None for made in runs)


@given(studies())
@settings(max_examples=200, deadline=None)
def test_outcomes_are_those_of_a_plain_loop(study):
    runs, policies, question = study
    tried = []
    for policy in policies:
        if some_can_be_tried(runs, policy, question):
            tried.append(policy)
        else:
            with pytest.raises(InputError):
                simulate_policies(runs, [policy], question)
    if not tried:
        return
    rows = simulate_policies(runs, tried, question).rows()
    expected = [
        row for policy in tried for made in runs if (row := loops.outcome(made, policy, question)) is not None
    ]
    assert [(row["policy"], row["run"]) for row in rows] == [(row["policy"], row["run"]) for row in expected]
    for row, by_loop in zip(rows, expected, strict=True):
        assert set(row) == {*by_loop, "own_best"}
        for name, value in by_loop.items():
            if isinstance(value, float) and name not in ("stopped_step", "best_step", "kept_step"):
                assert row[name] == pytest.approx(value, rel=1e-12, abs=1e-12), (row, name)
            else:
                assert row[name] == value, (row, name)


@given(studies())
@settings(max_examples=100, deadline=None)
def test_stops_and_reasons_are_the_same_together_and_alone(study):
    """Traces, views and payoffs that policies share change nothing."""
    runs, policies, question = study
    tried = [policy for policy in policies if some_can_be_tried(runs, policy, question)]
    if not tried:
        return
    together = simulate_policies(runs, tried, question)
    alone = [row for policy in tried for row in simulate_policies(runs, [policy], question).rows()]
    assert repr(together.rows()) == repr(alone)
    # the finder of sweeps and searches, which makes no traces, gives the same stops
    study = together.study
    finder = StopsFinder(study, tried)
    seen = set()
    for members, view, positions in finder.blocks():
        seen |= set(members)
        for member, row in zip(members, positions.tolist(), strict=True):
            assert row == together.stops.positions[member, view.runs].tolist(), tried[member].spec()
    assert seen == set(range(len(tried)))

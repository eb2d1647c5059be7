"""Stops and outcomes of random runs and policies, against what must hold and against a plain loop."""

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import ReplayWarning
from tests.policies.curves import VALUES

from .runs import run

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
    assert row["regret"] != 0 or row["lost"] == 0


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_more_patience_never_stops_earlier_nor_loses_more(values, patience):
    first, second = (
        simulate_policies([run(eval_x=values)], [f"patience={wait}"], Question(mode="min")).rows()[0]
        for wait in (patience, patience + 1)
    )
    assert (first["stopped_eval"] or np.inf) <= (second["stopped_eval"] or np.inf)
    assert second["regret"] <= first["regret"]

"""Where policies stop runs, and what is reported about policies and runs that do not go together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.stops import UNAVAILABLE, Stops
from replay.engine.study import Study
from replay.errors import InputError, ReplayWarning
from replay.policies.spec import parse_policy
from replay.policies.stops import NEVER, REFUSED
from replay.report.sentences import sentences
from replay.search.sweep import sweep_study

from .runs import run


def test_one_epoch_without_epochs_is_told_and_left_out():
    outcomes = simulate_policies([run(eval_loss=[1.0, 0.5])], ["patience=1"], baselines=True)
    assert "one-epoch" not in outcomes.policies
    assert any("one-epoch needs epoch" in text for text in sentences(outcomes.findings))


def test_a_companion_that_is_lacking_is_refused_by_name():
    with pytest.raises(InputError, match="patience=1,unit=epochs needs epoch, which no run logs"):
        replay.simulate([run(eval_loss=[1.0, 0.5])], ["patience=1,unit=epochs"])
    with pytest.raises(InputError, match="budget=3,unit=tokens needs tokens"):
        replay.simulate([run(eval_loss=[1.0, 0.5])], ["budget=3,unit=tokens"])
    both = [run("a", eval_loss=[1.0, 0.5], epoch=[1, 2]), run("b", eval_loss=[1.0, 0.5])]
    with pytest.warns(ReplayWarning, match="1 run lacks: b"):
        assert list(replay.simulate(both, ["patience=1,unit=epochs"]).run) == ["a"]


def test_policies_that_differ_in_their_threshold_have_each_their_own_reference():
    """What the eval after the stop would be compared with is here the threshold itself."""
    specs = [
        f"{rule}={value}{more}"
        for rule in ("target", "divergence")
        for value in (0.3, 5)
        for more in ("", ",every=2")
    ]
    rows = simulate_policies([run(eval_loss=[1.0, 0.5])], specs).rows()
    assert [row["own_best"] for row in rows] == [0.3, 0.3, 5, 5] * 2


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=14),
    st.sampled_from(["patience=2", "target=0.3", "nonfinite | patience=3", "patience=1,every=1"]),
    st.sampled_from(["patience=2,monitor=eval_acc", "target=0.6,monitor=eval_acc"]),
)
@settings(max_examples=150, deadline=None)
def test_a_policy_or_another_that_is_logged_at_other_evals_stops_at_the_earlier_step(evals, one, other):
    """Each eval logs the loss, the accuracy or both."""
    loss = [None if which == 1 else value / 10 for value, _, which in evals]
    accuracy = [None if which == 0 else value / 10 for _, value, which in evals]
    made = run(eval_loss=loss, eval_acc=accuracy)
    question = Question(monitor="eval_loss")
    specs = [one, other, f"{one} | {other}", f"{other} | {one}"]
    stops = {row["spec"]: row["stopped_step"] for row in simulate_policies([made], specs, question).rows()}
    first, second, both, turned = (stops[parse_policy(spec).spec()] for spec in specs)
    known = [step for step in (first, second) if step is not None]
    assert both == turned == (min(known) if known else None)


def test_a_simulation_names_each_policy_that_lacks_a_companion_and_a_sweep_the_first_of_them():
    loss = [1.0, 0.9, 0.8, 0.7]
    runs = [run("a", eval_loss=loss, train_loss=loss), run("b", eval_loss=loss)]
    specs = ["pq=1", "pq=2", "pq=2,strip=2"]
    found = simulate_policies(runs, specs).findings
    assert [(finding.kind, finding.policy, finding.runs) for finding in found] == [
        ("companion-missing", spec, ("b",)) for spec in ("pq=1", "pq=2", "pq=2,strip=2")
    ]
    rules = [parse_policy(spec) for spec in specs]
    swept = sweep_study(Study(runs, rules, Question()), rules).findings
    assert [(finding.kind, finding.policy) for finding in swept] == [("companion-missing", "pq=1")]


def test_a_run_that_lacks_what_a_policy_needs_is_marked_as_such():
    runs = [run("a", eval_loss=[1.0, 2.0], epoch=[1, 2]), run("b", eval_loss=[1.0, 2.0])]
    policies = [parse_policy("patience=1,unit=epochs"), parse_policy("patience=9")]
    stops = Stops.find(Study(runs, policies, Question()), policies)
    assert stops.positions.tolist() == [[1, UNAVAILABLE], [NEVER, NEVER]]
    assert UNAVAILABLE < 0
    assert len({UNAVAILABLE, NEVER, REFUSED}) == 3


def test_a_sweep_names_the_policy_that_cannot_judge_most_runs_and_counts_the_others():
    runs = [
        run("a", eval_loss=[1.0, 0.5, 0.6, 0.9]),
        run("b", eval_loss=[1.0, 1.2, 0.9, -0.1]),
        run("c", eval_loss=[1.0, 1.1, -0.1, 0.5]),
    ]
    # gl=15 stops b at its eval 2, gl=5 c as well, each before the loss falls below 0
    rules = [parse_policy(spec) for spec in ("gl=5", "gl=15", "gl=30", "gl=40")]
    (finding,) = sweep_study(Study(runs, rules, Question()), rules).findings
    assert (finding.kind, finding.policy) == ("refused", "gl=30")
    assert finding.facts == {"count": 2, "total": 3, "others": 2}
    alone = [parse_policy("gl=30")]
    (finding,) = sweep_study(Study(runs, alone, Question()), alone).findings
    assert finding["others"] == 0

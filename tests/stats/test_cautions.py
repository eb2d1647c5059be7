"""Findings on figures that are easy to misread."""

import numpy as np
import pytest

import replay
from replay import Run
from replay.data.finding import Kind
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.report.sentences import sentence
from replay.stats.cautions import find_first_stretch, find_near_one
from replay.stats.summary import summarise


def run(id, values, meta=None, name="eval_loss"):
    return Run(id, {"step": np.arange(1, len(values) + 1), name: values}, meta)


#: patience=1 stops at the third eval and loses half of what is gained from the first one on.
TAIL = [1.0, 0.8, 0.9, 0.8, 0.7, 0.6, 0.7, 0.8]


def stretched(runs, policies=("patience=1",)):
    outcomes = simulate_policies(runs, policies, baselines=True)
    summary = summarise(outcomes)
    later = dict(zip(summary["spec"], summary["lost_later_mean"], strict=True))
    return find_first_stretch(outcomes, summary), later


def test_an_eval_before_the_training_does_not_hide_what_is_lost_after_it():
    plain = [run(str(number), TAIL) for number in range(9)]
    early = [run(str(number), [20.6, *TAIL]) for number in range(9)]
    findings, later = stretched(plain)
    assert findings == []
    assert later["patience=1"] is None, "no first stretch dominates"
    (finding,), later = stretched(early)
    assert later["patience=1"] == pytest.approx(0.5)
    assert later["never"] == 0
    ((policy, lost, measured_later),) = finding["policies"]
    assert (policy, lost, measured_later) == ("patience=1", pytest.approx(0.01), pytest.approx(0.5))
    assert (finding.kind, len(finding.runs), finding["total"], finding["later_runs"]) == (
        Kind.FIRST_STRETCH,
        9,
        9,
        9,
    )
    text = sentence(finding)
    assert text.startswith(
        "9 of 9 runs make more than half of the improvement in eval_loss between the first"
    )
    assert "patience=1 loses 1.0%, but 50% measured from the second eval on" in text


def test_the_base_model_begins_the_first_stretch_too():
    based = [run(str(number), TAIL, {"reference": {"eval_loss": 20.6}}) for number in range(9)]
    (finding,), later = stretched(based)
    assert later["patience=1"] == pytest.approx(0.5)
    assert "between the base model and the first eval" in sentence(finding)


def test_it_takes_half_of_the_runs_and_a_policy_that_loses_twice_as_much():
    def mix(early):
        return [run(str(number), [*([20.6] if number < early else []), *TAIL]) for number in range(9)]

    assert stretched(mix(4))[0] == []
    assert stretched(mix(4))[1]["patience=1"] is not None, "the figure is there all the same"
    assert len(stretched(mix(5))[0]) == 1
    assert stretched([run(str(number), [20.6, *TAIL]) for number in range(9)], ["patience=9"])[0] == []


def test_sweep_warns_of_it_once():
    early = [run(str(number), [20.6, *TAIL]) for number in range(9)]
    with pytest.warns(replay.ReplayWarning, match="measured from the second eval on") as warned:
        frame = replay.sweep(early, ["patience=1", "patience=9"])
    assert len(warned) == 1
    assert frame.lost_later_mean.tolist() == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize(
    ("best", "mode", "found"),
    [
        (0.99, "max", True),
        (0.8, "max", True),
        (0.79, "max", False),
        (1.2, "max", False),
        (0.99, "min", False),
    ],
)
def test_relative_regret_says_little_near_1(best, mode, found):
    runs = [run(str(number), [best - 0.3, best, best - 0.1], name="eval_x") for number in range(3)]
    if mode == "min":
        runs = [run(str(number), [best + 0.3, best, best + 0.1], name="eval_x") for number in range(3)]
    study = Study(runs, [], Question("eval_x", mode))
    findings = find_near_one(study, [0.005])
    assert bool(findings) is found
    assert find_near_one(study, []) == []
    if found:
        ((share, before, after),) = findings[0]["limits"]
        assert (share, before) == (0.005, pytest.approx(1 - best))
        assert after == pytest.approx(1 - best * 0.995)


def test_the_sentence_states_the_error_rates():
    runs = [run(str(number), [0.5, 0.99, 0.98], name="eval_accuracy") for number in range(3)]
    (finding,) = find_near_one(Study(runs, [], Question()), [0.01])
    text = sentence(finding)
    assert "1.0% of it takes the error rate from 1.0% to 2.0%, 1.99 times as much" in text

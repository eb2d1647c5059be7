"""The public functions that choose: `replay.choose_policy` and `replay.plan`."""

import pandas as pd
import pytest

import replay
from replay.errors import InputError

TURNS = [1.0, 0.5, 0.75, 0.8, 0.9, 1.0]


def runs(count, values=TURNS, **meta):
    evals = pd.DataFrame({"step": range(1, len(values) + 1), "eval_loss": values})
    return [replay.Run(id=f"r{number}", evals=evals, meta=meta) for number in range(count)]


def test_a_guaranteed_policy():
    choice = replay.choose_policy(runs(19), ["patience=1", "patience=2"])
    assert (choice.status, choice.policy, choice.runs) == ("guaranteed", "patience=1", 19)
    assert (choice.saved, choice.lost) == (pytest.approx(0.5), 0)
    assert choice.bound == pytest.approx(1 / 20)
    assert choice.needed_runs == 19
    assert "loses at most 5% of the improvement on further runs" in choice.reason


def test_a_best_guess():
    choice = replay.choose_policy(runs(12))
    assert (choice.status, choice.policy) == ("best guess", "patience=1")
    assert (choice.lost, choice.needed_runs) == (0, 19)
    assert choice.bound > 0, "the upper end of the interval"


def test_that_the_runs_cannot_tell():
    choice = replay.choose_policy(runs(12, planned_steps=100))
    assert (choice.status, choice.policy, choice.saved, choice.lost, choice.bound) == (
        "cannot tell",
        None,
        None,
        None,
        None,
    )
    assert choice.needed_runs is None
    assert "12 of 12 runs are censored" in choice.reason


def test_settings_of_the_question_and_the_confidence():
    made = [
        replay.Run(id=run.id, evals=run.evals.assign(eval_acc=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), meta={})
        for run in runs(24)
    ]
    assert replay.choose_policy(made, ["patience=1"], monitor="eval_loss").status == "guaranteed"
    assert (
        replay.choose_policy(made, ["patience=1"], monitor="eval_loss", confidence=0.9).status == "best guess"
    )
    judged = replay.choose_policy(made, ["patience=1"], monitor="eval_loss", objective="eval_acc")
    assert judged.status == "cannot tell"


def test_a_plan():
    plan = replay.plan(runs(8), ["patience=1"])
    assert (plan.needed_units, plan.more_units, plan.today.is_guaranteed) == (19, 11, False)
    assert plan.supported.bound == pytest.approx(1 / 9)
    assert replay.plan(runs(19), ["patience=1"]).today.policy.spec() == "patience=1"


@pytest.mark.parametrize(
    "settings", [{"max_lost": 5}, {"max_lost": -0.1}, {"confidence": 95}, {"confidence": 1}]
)
def test_what_is_out_of_range(settings):
    for function in (replay.choose_policy, replay.plan):
        with pytest.raises(InputError, match=next(iter(settings))):
            function(runs(8), **settings)


def test_a_choice_is_a_table_in_a_notebook():
    choice = replay.Choice("best guess", "patience=3 & gl<2>", 0.31, 0.02, 0.06, "No <b>proof</b>.", 9, None)
    html = choice._repr_html_()
    assert "patience=3 &amp; gl&lt;2&gt;" in html
    assert "<b>" not in html
    assert "<td style='text-align: left'>31%</td>" in html
    assert html.startswith("<table>")

"""The answer of ``replay simulate``: its notes on what bounds the outcomes, in every style."""

import json

import numpy as np

from replay import Run
from replay.engine.scoring import simulate_policies
from replay.report.render import render
from replay.report.simulate import build
from replay.stats.summary import summarise

FALLING = (
    "2 of 3 runs have a falling learning rate: stopping one of them early is not the same as planning a"
    " shorter schedule."
)


def simulated(rates, policies=("patience=2", "patience=9")):
    made = []
    for number, rate in enumerate(rates):
        values = [1.0, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
        columns = {"step": np.arange(1, 9), "eval_loss": values, "learning_rate": rate}
        made.append(Run(str(number), columns, {"planned_steps": 8}))
    result = simulate_policies(made, policies, baselines=True)
    return build(result, summarise(result))


def test_notes_stand_in_every_style():
    document = simulated([np.linspace(1, 0.1, 8), np.linspace(1, 0.1, 8), np.ones(8)])
    notes = json.loads(render(document, "json"))["notes"]
    assert notes == [
        FALLING,
        (
            "3 of 3 runs have too few evals to try patience=9: it can stop at eval 10 at the earliest, which"
            " is their last or comes after it."
        ),
    ]
    assert all(f"\n- {note}\n" in render(document, "markdown") for note in notes)
    text = render(document, "text")
    assert all(note in " ".join(text.split()) for note in notes)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_often_there_is_no_note():
    document = simulated([np.ones(8)] * 3, ["patience=2"])
    assert json.loads(render(document, "json"))["notes"] == []
    assert "learning rate" not in render(document, "text")

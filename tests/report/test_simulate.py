"""The answer of ``replay simulate``: its notes on what bounds the outcomes, in every style."""

import json

import numpy as np

from replay import Run
from replay.engine.simulation import replay_runs
from replay.report.simulate import as_json, as_markdown, as_text
from replay.stats.summary import summarise

FALLING = (
    "2 of 3 runs have a falling learning rate: stopping one of them early is not what training with a shorter"
    " schedule would have given."
)


def simulation(rates, policies=("patience=2", "patience=9")):
    made = []
    for number, rate in enumerate(rates):
        values = [1.0, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
        made.append(Run(str(number), {"step": np.arange(1, 9), "eval_loss": values, "learning_rate": rate}))
    found = replay_runs(made, policies, baselines=True)
    return found, summarise(found)


def test_notes_stand_in_every_style():
    found, summary = simulation([np.linspace(1, 0.1, 8), np.linspace(1, 0.1, 8), np.ones(8)])
    notes = json.loads(as_json(found, summary))["notes"]
    assert notes == [
        FALLING,
        (
            "3 of 3 runs have too few evals to try patience=9: it can stop at eval 10 at the earliest, which"
            " is their last or comes after it."
        ),
    ]
    assert all(f"\n{note}\n" in as_markdown(found, summary, False) for note in notes)
    text = as_text(found, summary, False)
    assert all(note in " ".join(text.split()) for note in notes)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_often_there_is_no_note():
    found, summary = simulation([np.ones(8)] * 3, ["patience=2"])
    assert json.loads(as_json(found, summary))["notes"] == []
    assert "learning rate" not in as_text(found, summary, False)

"""Runs and a question, resolved."""

import pytest

import replay
from replay import Run
from replay.errors import InputError, ReplayWarning

from .runs import run


def test_bad_arguments():
    made = run(eval_loss=[1.0, 0.5])
    with pytest.raises(InputError, match="no runs"):
        replay.simulate([], ["never"])
    with pytest.raises(InputError, match="unique"):
        replay.simulate([made, made], ["never"])
    with pytest.raises(InputError, match="not 3"):
        replay.simulate([made], [3])
    with pytest.raises(InputError, match="keep is"):
        replay.simulate([made], ["never"], keep="first")
    with pytest.raises(InputError, match="mode is min or max"):
        replay.simulate([made], ["never"], mode="low")


def test_runs_without_evals_are_left_out_and_told():
    empty = Run("empty", {"step": []})
    with pytest.warns(ReplayWarning, match="1 of 2 runs has no evals"):
        assert list(replay.simulate([empty, run(eval_loss=[1.0])], ["never"]).run) == ["r"]
    with pytest.raises(InputError, match="no run has a held-out metric"):
        replay.simulate([empty], ["never"])

"""The figure of one run under one policy."""

import numpy as np
import pandas
import pytest

import replay
from replay.engine.explain import explain
from replay.engine.question import Question
from replay.errors import InputError
from replay.report.plots.explain import draw, save


def explained(values, policy):
    steps = np.arange(1, len(values) + 1) * 10
    evals = pandas.DataFrame({"step": steps, "eval_loss": values})
    run = replay.Run(id="r$1", evals=evals, meta={})
    return explain(run, policy, Question(monitor="eval_loss", mode="min"))


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_stop_the_reference_and_the_checkpoint_are_drawn():
    figure = draw(explained([1.0, 0.8, 0.9, 0.95, 0.7], "patience=2"))
    top, bottom = figure.axes
    drawn = lines(top)
    assert list(drawn["eval_loss"].get_ydata()) == [1.0, 0.8, 0.9, 0.95, 0.7]
    assert list(drawn["stop"].get_xdata()) == [40, 40]
    assert (drawn["checkpoint kept"].get_xdata()[0], drawn["checkpoint kept"].get_ydata()[0]) == (20, 0.8)
    assert "reference" in drawn
    assert bottom.get_ylabel() == "counter"
    assert top.get_title() == r"r\$1 under patience=2"


def test_a_policy_that_never_stops_and_values_that_are_not_finite(tmp_path):
    figure = draw(explained([1.0, float("nan"), 0.9, float("inf"), 0.7], "patience=9"))
    assert "stop" not in lines(figure.axes[0])
    for ending in ("png", "svg", "pdf"):
        save(explained([1.0, float("nan"), 0.9, 0.7], "nonfinite"), tmp_path / f"stop.{ending}")
        assert (tmp_path / f"stop.{ending}").stat().st_size > 1000
    with pytest.raises(InputError, match="cannot draw a"):
        save(explained([1.0, 0.9], "patience=1"), tmp_path / "stop.xyz")

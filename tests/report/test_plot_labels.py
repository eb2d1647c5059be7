"""Labels of the marks in `replay simulate --plot`: none lies on another one or on a mark."""

import itertools
import re

import numpy as np
import pandas
import pytest
from matplotlib.text import Annotation

import replay
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.report.plots.labels import _MOST_NUMBERED
from replay.report.plots.simulate import draw
from replay.stats.summary import summarise

QUESTION = Question(monitor="eval_loss", mode="min")


def runs(count=9, evals=40):
    random = np.random.default_rng(5)
    for number in range(count):
        steps = np.arange(1, evals + 1)
        best = random.integers(8, 34)
        values = 1 + np.abs(steps - best) / 30 + 0.03 * random.standard_normal(evals)
        frame = pandas.DataFrame({"step": 10 * steps, "eval_loss": values})
        yield replay.Run(id=f"a run with a rather long name, number {number}", evals=frame, meta={})


def drawn(*specs):
    outcomes = simulate_policies(list(runs()), list(specs), QUESTION)
    figure = draw(outcomes, summarise(outcomes))
    figure.draw_without_rendering()
    return figure


def labels(figure):
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation)]


def assert_apart(figure):
    """No label overlaps another one, lies beyond the axes, or has the middle of a mark under it."""
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    # the extent of the words alone, without the line that leads to them
    boxes = [super(Annotation, text).get_window_extent(renderer) for text in labels(figure)]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    marks = [
        axes.transData.transform((line.get_xdata()[0], line.get_ydata()[0]))
        for line in axes.get_lines()
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("|", "_")  # the ends of intervals
    ]
    assert marks
    inside = axes.get_window_extent(renderer)
    for box in boxes:
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
        assert not any(box.contains(*mark) for mark in marks)


def words(figure):
    return [part for text in labels(figure) for part in re.split(r",\s", text.get_text())]


def test_a_few_policies_are_named_where_they_are():
    specs = ["patience=1", "patience=2", "patience=3", "gl=5", "patience=6,start=0.5"]
    figure = drawn(*specs)
    assert_apart(figure)
    shown = ", ".join(text.get_text() for text in labels(figure))
    assert all(spec in shown for spec in specs)
    assert not figure.legends


def test_a_long_name_is_shown_without_its_middle():
    long = " | ".join(f"(patience={number} & budget=0.{number})" for number in range(2, 9))
    figure = drawn(long, "patience=12")
    assert_apart(figure)
    (shown,) = (text.get_text() for text in labels(figure) if "..." in text.get_text())
    assert len(shown) <= 64
    assert shown.startswith("(patience=2")
    assert shown.endswith("budget=0.8)")


@pytest.mark.parametrize("count", [13, 30, 60])
def test_many_policies_are_numbered_and_a_key_has_their_names(count):
    specs = [f"patience={number},min_delta={number / 1000}" for number in range(1, count + 1)]
    figure = drawn(*specs)
    assert_apart(figure)
    (key,) = figure.legends
    entries = [text.get_text() for text in key.get_texts()]
    numbered = min(count, _MOST_NUMBERED)
    assert [entry.split()[0] for entry in entries[:numbered]] == [str(at + 1) for at in range(numbered)]
    assert any(entry.endswith(specs[0]) for entry in entries)
    assert ([f"and {count - numbered} more policies"] if count > numbered else []) == entries[numbered:]
    shown = [int(word) for word in words(figure) if word.isdecimal()]
    assert len(shown) == len(set(shown)) >= min(numbered, 12)
    renderer = figure.canvas.get_renderer()
    extent = key.get_window_extent(renderer)
    assert extent.x0 >= figure.axes[0].get_window_extent(renderer).x1
    assert extent.x1 <= figure.bbox.x1 + 1


def test_marks_that_lie_on_one_another_share_a_label():
    figure = drawn("patience=3", "patience=3 | patience=9", "patience=1")
    assert any("patience=3, patience=3 | patience=9" in text.get_text() for text in labels(figure))


def test_marks_that_share_a_label_too_long_to_read_are_numbered():
    same = [f"patience=3 | patience={number}" for number in range(20, 28)]
    figure = drawn("patience=3", *same)
    assert_apart(figure)
    (key,) = figure.legends
    entries = [text.get_text() for text in key.get_texts()]
    assert all(any(entry.endswith(spec) for entry in entries) for spec in same)
    assert {int(word) for word in words(figure)} == set(range(1, len(entries) + 1))


def test_the_figures_of_a_policy_are_drawn_at_its_mark():
    outcomes = simulate_policies(list(runs()), ["patience=2"], QUESTION)
    summary = summarise(outcomes)
    figure = draw(outcomes, summary)
    (label,) = (text for text in labels(figure) if text.get_text() == "patience=2")
    row = list(summary["spec"]).index("patience=2")
    assert label.xy == (100 * summary["saved_mean"][row], 100 * summary["lost_mean"][row])

"""What is read fast is what a plain loop over the same input gives."""

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.data.run import Run
from replay.readers.agreement import LoggedCurve
from replay.readers.assemble import assemble
from replay.readers.csv_table import ABSENT, cell_number
from replay.readers.duplicates import _Index
from replay.readers.flatten import flat_numbers
from replay.readers.points import Points, number
from replay.readers.segments import Segment, _Turns, merge_segments

NUMBERS = st.one_of(
    st.integers(-(10**400), 10**400),
    st.integers(-5, 5),
    st.floats(),
    st.booleans(),
    st.sampled_from(["0.5", "x"]),
)


@given(st.dictionaries(st.text(max_size=3), NUMBERS, max_size=6))
def test_numbers_of_a_plain_row(record):
    expected = {name: value for name, item in record.items() if (value := number(item)) is not None}
    found = flat_numbers(record)
    assert list(found) == list(expected)
    assert np.array_equal(list(found.values()), list(expected.values()), equal_nan=True)
    assert all(type(value) is float for value in found.values())


def cell_by_rules(cell, delimiter):
    text = cell.strip()
    if text.lower() in ABSENT or "_" in text:
        return None
    comma = re.fullmatch(r"[-+]?(\d+),(\d+)(e[-+]?\d+)?", text, re.IGNORECASE)
    if comma is not None and (delimiter != "," or comma[1] == "0" or len(comma[2]) != 3):
        text = text.replace(",", ".")
    elif re.fullmatch(r"[-+]?([1-9]\d{0,2}(,\d{3})+(\.\d+)?|(\d+\.?\d*|\.\d+)\s?%)", text):
        text = text.replace(",", "").rstrip("% ")
    try:
        return float(text)
    except ValueError:
        return None


CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            "None ",
            "-",
            "nan",
            "-inf",
            "1_000",
            "1,5",
            " 2,5e3",
            "1,250",
            "0,250",
            "5 %",
            "3;4",
            "٣",
        ]
    ),
    st.floats().map(str),
    st.text("0123456789.,eE+-_ ", max_size=8),
    st.text(max_size=5),
)


@given(CELLS, st.sampled_from(",;\t"))
def test_the_value_of_a_cell(cell, delimiter):
    found, expected = cell_number(cell, delimiter), cell_by_rules(cell, delimiter)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def is_interleaved(step, begin, index, before):
    """Whether a turn back is that of two writers, point by point."""
    old = step[begin:index]
    top = old.max()
    few = 8 if before else 2
    new = step[index : index + few + 2]
    fall = np.flatnonzero(np.diff(new) < 0)
    new = new[: fall[0] + 1] if len(fall) else new
    again = new[new <= top]
    if len(again) > few:
        return False
    if before or new[-1] <= top:
        return before
    passed = np.unique(old[old > step[index]])
    return not np.isin(passed, again).all() or not np.isin(again, old).any()


@given(st.lists(st.integers(0, 12), min_size=3, max_size=40), st.integers(0, 20), st.booleans())
def test_turns_back_of_two_writers(steps, start, before):
    step = np.array(steps, dtype=float)
    points = Points(np.arange(len(step)), step, np.zeros(len(step)))
    for index in (np.flatnonzero(np.diff(step) < 0) + 1).tolist():
        if start < index:
            expected = is_interleaved(step, start, index, before)
            assert _Turns(points, start).is_interleaved(index, before) == expected


@given(st.lists(st.integers(0, 30), max_size=20))
def test_one_segment_has_the_first_value_of_each_step(steps):
    step = np.array(steps, dtype=float)
    points = Points(np.arange(len(step)), step, np.arange(len(step)) / 7)
    merged, segment, repeated, overlapped = merge_segments(points, [Segment(0, None)])
    unique, first = np.unique(step, return_index=True)
    assert merged.step.tolist() == unique.tolist()
    assert merged.value.tolist() == (first / 7).tolist()
    assert segment.tolist() == [0.0] * len(unique)
    assert (repeated, overlapped) == (len(step) - len(unique), 0)


VALUES = st.one_of(
    st.integers(1, 3).map(float),
    st.floats(0.5, 0.501).map(lambda value: round(value, 4)),
    st.floats(0.5, 0.501),
    st.sampled_from([math.nan, math.inf, 0.0, 1e-300, -0.5]),
)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=8))
def test_series_near_a_point(series):
    curves = [
        LoggedCurve(owner, "loss", np.arange(len(values), dtype=float), np.array(values), True)
        for owner, values in enumerate(series)
    ]
    points = [point for curve in curves for point in curve.anchors if math.isfinite(point[1])]
    found = _Index(curves, {step for step, _ in points}).near(points) if points else []
    for (step, value), owners in zip(points, found, strict=True):
        reach = max(6e-4 * abs(value), 6e-5)
        for curve in curves:
            near = [
                other
                for at, other in zip(curve.step.tolist(), curve.value.tolist(), strict=True)
                if abs(at - step) <= 1 and abs(other - value) <= 0.999 * reach
            ]
            rounded = [other for other in (value, *near) if float(f"{other:.9e}") == other]
            same = any(np.float32(other) == np.float32(value) for other in near)
            if same or (near and (len(rounded) == len(near) + 1)):
                assert curve.owner in owners
            if not any(
                abs(at - step) <= 1 and abs(other - value) <= 1.001 * reach
                for at, other in zip(curve.step.tolist(), curve.value.tolist(), strict=True)
            ):
                assert curve.owner not in owners


def test_unrounded_values_that_differ_are_not_near():
    step, one = np.arange(3.0), np.array([0.9, 0.8, 0.512345678912345])
    curves = [
        LoggedCurve(0, "loss", step, one, True),
        LoggedCurve(1, "loss", step, one + 1e-5, True),
        LoggedCurve(2, "loss", step, np.round(one, 4), True),
        LoggedCurve(3, "loss", step, one.astype(np.float32).astype(float), True),
    ]
    index = _Index(curves, {2.0})
    assert index.near([(2.0, float(one[2]))]) == [{0, 2, 3}]


def test_a_run_with_another_id_has_the_same_parts():
    points = {"loss": Points(np.arange(3), np.arange(3.0), np.arange(3.0))}
    points["eval_loss"] = points["loss"]
    (run,) = assemble("a", points, held_out={"eval_loss"}, info=Run("b", {"step": [1.0]}).info)
    other = run.replace(id="c")
    assert (other.id, other.info, other.metrics) == ("c", run.info, run.metrics)
    assert other.columns is run.columns
    assert other.train is run.train
    assert (run.id, len(other)) == ("a", 3)

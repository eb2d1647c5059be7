"""How text and rows become points."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.readers import points
from replay.readers.flatten import flat_rows
from replay.readers.points import PointsBuilder, number, open_text, round_interval


def test_parts_of_one_step_are_added_up_once():
    builder = PointsBuilder()
    for step in (1, 2):
        builder.add(step, {"a": 1.0})
        builder.add_parts(step, "sum", {"one": 1.0})
        builder.add_parts(step, "sum", {"two": 2.0})
        builder.add_parts(step, "sum", {"one": 5.0})
    assert builder.points()["sum"].value.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (0.5, 0.5),
        ("NaN", math.nan),
        ("-Infinity", -math.inf),
        ("inf", math.inf),
        (None, None),
        (True, None),
        ("0.5", 0.5),
        (" -1e-05 ", -1e-5),
        ("tensor(0.25, device='cuda:0')", 0.25),
        ("np.float32(0.125)", 0.125),
        ("tensor(nan)", math.nan),
        ("tensor([1, 2])", None),
        ("1_000", None),
        ("12:30", None),
        ("6.5%", 6.5),
        ("-50 %", -50),
        ("1,250", 1250),
        ("12,345,678.5", 12345678.5),
        ("1,25", None),
        ("0,912", None),
        ("5%5", None),
        ("", None),
        ("text", None),
        ([], None),
        (10**400, None),
    ],
)
def test_numbers(value, expected):
    found = number(value)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_text_in_other_encodings(tmp_path):
    path = tmp_path / "log"
    for data in ("é,1\n".encode("utf-8-sig"), "é,1\n".encode("utf-16"), "é,1\n".encode()):
        path.write_bytes(data)
        with open_text(path) as file:
            assert file.read() == "é,1\n"
    path.write_bytes(b"\xe9,1\n")
    with open_text(path) as file:
        assert file.read() == "\ufffd,1\n"


def test_intervals_for_hints():
    assert [round_interval(steps) for steps in (0, 1, 100, 1200, 8610, 1e6)] == [1, 1, 5, 50, 200, 50000]


@pytest.mark.parametrize("most_tables", [0, 1, 256])
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 9), st.dictionaries(st.sampled_from("abcd"), st.floats() | st.integers(-9, 9))
        ),
        max_size=20,
    )
)
def test_rows_with_the_same_names_are_kept_as_they_came(most_tables, rows):
    builder = PointsBuilder()
    expected = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "_MOST_TABLES", most_tables)
        for place, (step, values) in enumerate(rows, 1):
            builder.add(step, values)
            for name, value in values.items():
                expected.setdefault(name, []).append((place, step, value))
    made = builder.points()
    assert list(made) == list(expected)
    for name, series in made.items():
        order, step, value = zip(*expected[name], strict=True)
        assert series.order.tolist() == list(order)
        assert series.step.tobytes() == np.array(step, dtype=float).tobytes()
        assert series.value.tobytes() == np.array(value, dtype=float).tobytes()


def test_only_the_wanted_names_of_a_row_are_kept():
    builder = PointsBuilder()
    builder.add(1, {"a": 1.0, "b": 2.0, "c": 3.0}, ("c", "a"))
    builder.add(2, {"a": 4.0, "b": 5.0, "c": 6.0}, ("c", "a"))
    made = builder.points()
    assert list(made) == ["c", "a"]
    assert made["a"].value.tolist() == [1.0, 4.0]
    assert made["c"].value.tolist() == [3.0, 6.0]
    assert made["a"].step is made["c"].step


def test_names_beyond_the_limit_are_left_out(monkeypatch):
    monkeypatch.setattr(points, "MOST_NAMES", 3)
    builder = PointsBuilder()
    for step in range(3):
        builder.add(step, {"a": 1.0, "b": 1.0, "eval_a": 1.0})
        builder.add(step, {"c": 1.0, "d": 1.0, "eval_b": 1.0})
    made = builder.points()
    assert list(made) == ["a", "b", "eval_a", "c", "eval_b"]
    assert all(len(series.step) == 3 for series in made.values())
    assert [finding["part"] for finding in builder.findings(Path("log"))] == ["name"]


def test_numbers_of_rows():
    rows = [{"step": 1, "loss": 0.5}, None, {"step": 2, "loss": 1}]
    assert list(flat_rows(rows)) == [rows[0], rows[2]]
    others = [{"step": 1, "loss": 10**400}, {"step": "2", "loss": None, "eval": {"loss": True, "f1": 0.5}}]
    assert list(flat_rows(rows + others)) == [rows[0], rows[2], {"step": 1.0}, {"step": 2.0, "eval/f1": 0.5}]

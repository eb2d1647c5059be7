"""How text and rows become points."""

import math

import pytest

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
        ("6.5%", None),
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

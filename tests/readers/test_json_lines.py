"""Lines of JSON, whole and damaged."""

import pytest

from replay.readers.json_lines import JsonLines, complete_elements, parse_lines
from replay.report.sentences import sentences


def read(*lines):
    rows = JsonLines(lines, "log")
    return list(rows), sentences(rows.findings)


def test_values_in_order():
    assert read('{"a": NaN}\n', "\n", "\0\0\n", "[1, 2]\n", "3") == (
        [{"a": pytest.approx(float("nan"), nan_ok=True)}, [1, 2], 3],
        [],
    )


def test_what_cannot_be_read_is_counted():
    values, problems = read('{"a": 1}\n', "text\n", "[" * 100_000 + "\n", '{"b"')
    assert values == [{"a": 1}]
    assert problems == [
        "log: its last line (4) is cut off; it is left out",
        "log: 2 of 4 lines are not JSON objects; they are left out",
    ]


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ('[{"a": 1}, {"b": 2}, {"c"', [[{"a": 1}, {"b": 2}]]),
        ("  [[1], [2]", [[[1], [2]]]),
        ("[1, 22", []),  # whether this is 22 or 223 nobody knows
        ('{"a": [', []),
        ("[", []),
        ("", []),
    ],
)
def test_elements_of_a_list_that_is_cut_off(text, elements):
    assert complete_elements(text) == elements


def test_the_first_lines():
    assert parse_lines(b'\xef\xbb\xbf{"a": 1}\ntext\n{"b": 2}\n{"c"', 3) == [{"a": 1}, {"b": 2}]

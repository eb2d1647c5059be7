import json
import math

import numpy as np
import pytest

from replay.errors import printable
from replay.report.tables import command, csv_text, json_text, lines, markdown, number, percent, wrapped


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (0.0004, "<0.1%"),
        (0.0042, "0.4%"),
        (0.042, "4.2%"),
        (0.0999, "10%"),
        (0.31, "31%"),
        (1, "100%"),
        (None, "?"),
        (math.nan, "?"),
    ],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (3, "3"), (3.0, "3"), (0.123456, "0.1235"), (1e-9, "1e-09"), (math.inf, "inf")],
)
def test_number(value, text):
    assert number(value) == text


def test_a_wide_first_cell_gets_its_own_line_and_the_last_is_wrapped():
    text = lines(
        ["policy", "saved", "why"],
        [["p" * 70, "31%", "a reason that goes on and on and on and on"]],
        left=(0, 2),
        width=60,
    )
    assert all(len(line) <= 70 for line in text)
    assert text[1] == "p" * 59 + "~"
    assert text[2].split() == ["31%", "a", "reason", "that", "goes", "on", "and", "on"] or "31%" in text[2]
    assert lines(["a", "b"], [], left=(0,)) == ["a  b"]


def test_strict_json():
    document = json.loads(
        json_text(
            {"a": math.nan, "b": [math.inf, -math.inf], "c": np.float64(1.5), "d": np.int64(3), "e": None}
        )
    )
    assert document == {"a": None, "b": ["Infinity", "-Infinity"], "c": 1.5, "d": 3, "e": None}


def test_csv_keeps_every_digit_and_quotes():
    assert (
        csv_text([{"a": 0.1 + 0.2, "b": 'x,"y'}, {"a": None, "b": 3}], ["a", "b"])
        == 'a,b\n0.30000000000000004,"x,""y"\n,3\n'
    )


def test_markdown_escapes():
    assert markdown(["a"], [["x|y <b>"]]).splitlines()[2] == "| x\\|y \\<b\\> |"


def test_nothing_steers_the_terminal():
    assert printable("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert printable("Größe µ") == "Größe µ"


def test_commands_are_quoted_and_broken_before_options():
    assert command(["replay", "explain", "a b", "--run", "x"]) == ["replay explain 'a b' --run x"]
    long = command(
        ["replay", "explain", "logs" * 15, "--policy", "patience=3", "--run", "r"], indent="next: "
    )
    assert long == [
        f"next: replay explain {'logs' * 15} \\",
        "        --policy patience=3 \\",
        "        --run r",
    ]


def test_wrapped_is_never_empty():
    assert wrapped("") == [""]
    assert all(len(line) <= 80 for line in wrapped("word " * 60))

import math

import pytest

from replay.report.format import number, percent


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

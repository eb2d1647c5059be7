"""JSON of which the end may be missing."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.readers.partial_json import parse_partly

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_whole_text(value):
    parsed = parse_partly(json.dumps(value))
    assert parsed.value == value
    assert parsed.broken is None
    assert not parsed.open


def is_part(part, whole, opened):
    """Whether a value is the beginning of another one."""
    if isinstance(whole, dict) and isinstance(part, dict):
        keys = list(whole)[: len(part)]
        return list(part) == keys and all(is_part(part[key], whole[key], opened) for key in keys)
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(map(lambda a, b: is_part(a, b, opened), part, whole))
    return part == whole and type(part) is type(whole)


@given(VALUES, st.data())
def test_the_beginning_of_a_text_holds_nothing_that_the_whole_does_not(value, data):
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 1])))
    cut = text[: data.draw(st.integers(0, max(len(text) - 1, 0)))]
    parsed = parse_partly(cut)
    if parsed.broken is None:  # a number that lacks digits is a number
        assert not isinstance(value, dict | list | str)
    else:
        assert parsed.value is None or is_part(parsed.value, value, parsed.open)
        assert parsed.broken <= len(cut)


@pytest.mark.parametrize(
    ("text", "value", "opened"),
    [
        ('{"a": [1, 2, 3', {"a": [1, 2]}, 2),
        ('{"a": [1, 2], "b": tru', {"a": [1, 2]}, 1),
        ('{"a": [{"b": 1}, {"c": 2, "d": "x', {"a": [{"b": 1}, {"c": 2}]}, 3),
        ('{"a": 1, b', {"a": 1}, 1),
        ('{"a": [1, 2}]}', {"a": [1, 2]}, 2),
        ('{"a" 1}', {}, 1),
        ("", None, 0),
        ("text", None, 0),
        ("[1 2]", [1], 1),
        ('\ufeff{"a": 1, ', {"a": 1}, 1),
    ],
)
def test_what_stands_before_the_break(text, value, opened):
    parsed = parse_partly(text)
    assert parsed.value == value
    assert parsed.broken is not None
    assert len(parsed.open) == opened


def test_words_for_numbers():
    value = parse_partly('{"a": [NaN, Infinity, -Infinity, null, 1e5], "b": ').value["a"]
    assert math.isnan(value[0])
    assert value[1:] == [math.inf, -math.inf, None, 1e5]


def test_nested_without_end():
    parsed = parse_partly('{"a":' * 100_000)
    assert len(parsed.open) == 100
    assert parse_partly("[" * 100_000).broken is not None


@pytest.mark.parametrize("text", ['{"a": [1, 2,], "b": {"c": 3,},}', '{"a": [1, 2\n,\n], "b": {"c": 3}}\n'])
def test_a_comma_behind_the_last_element_breaks_nothing(text):
    assert parse_partly(text) == ({"a": [1, 2], "b": {"c": 3}}, None, ())


@pytest.mark.parametrize("text", ["[1,,2]", "[,1]", "{,}"])
def test_a_comma_elsewhere_does(text):
    assert parse_partly(text).broken is not None

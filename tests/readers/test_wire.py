"""Protobuf's wire format, against messages that protobuf itself writes."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event

from replay.readers.wire import first, floating, message_fields, text
from tests.readers.blocks import message


def test_a_message_of_protobuf():
    event = Event(wall_time=1.5, step=300, file_version="brain.Event:2")
    fields = dict(message_fields(event.SerializeToString()))
    assert floating(fields[1]) == 1.5
    assert fields[2] == 300
    assert text(fields[3]) == "brain.Event:2"
    event = Event(step=2**40)
    event.summary.value.add(tag="loss", simple_value=0.25)
    value = first(first(event.SerializeToString(), 5), 1)
    assert text(first(value, 1)) == "loss"
    assert floating(first(value, 2)) == 0.25
    assert first(value, 9) is None


def test_a_negative_number_has_ten_bytes():
    assert dict(message_fields(Event(step=-1).SerializeToString())) == {2: 2**64 - 1}


@given(st.lists(st.tuples(st.integers(1, 5000), st.one_of(st.integers(0, 2**63), st.binary(max_size=300)))))
def test_fields_come_back(fields):
    assert list(message_fields(message(*fields))) == fields


def test_other_types_have_no_value():
    assert text(5) is None
    assert floating(5) is None
    assert floating(b"abc") is None
    assert math.isnan(floating(b"\0\0\0\0\0\0\xf8\x7f"))


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x0a\x05ab", b"\x0b", b"\x09\0", b"\x00\x00", b"\x08" + b"\xff" * 11, b"\x80"]
)
def test_what_is_no_message(data):
    with pytest.raises(ValueError, match=r"field|number|type"):
        list(message_fields(data))


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_else(data):
    with contextlib.suppress(ValueError):
        list(message_fields(data))

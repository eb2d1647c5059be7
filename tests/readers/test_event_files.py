"""TensorBoard event files as they are written: every point, and damage."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.errors import InputError
from replay.readers import NothingFound, read
from replay.readers.event_files import read_events
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve
from tests.readers.events import LOSS, header, load, name, scalar, series, tensor, write

# ---------------------------------------------------------------- every point, bit by bit


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b/c", "tensor"]),
            st.integers(-(2**62), 2**62),
            st.floats(width=32, allow_nan=True),
            st.floats(0, 4e9, allow_nan=False),
        ),
        max_size=60,
    )
)
def test_points_are_those_of_the_event_accumulator(tmp_path_factory, points):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path_factory.mktemp("events")
    events = []
    for tag, step, value, wall in points:
        proto = TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value], tensor_shape=TensorShapeProto())
        events.append(
            tensor(tag, step, proto, wall=wall) if tag == "tensor" else scalar(tag, step, value, wall)
        )
    path = write(folder / name(), events)
    accumulator = EventAccumulator(
        str(path), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False
    )
    accumulator.Reload()
    file = read_events(path)
    assert file.damage is None
    found = file.scalars

    def bits(values):
        return np.array(values, dtype=np.float32).tobytes()

    expected = {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}
    tensors = {tag: accumulator.Tensors(tag) for tag in accumulator.Tags()["tensors"]}
    assert set(found) == {*expected, *tensors}
    for tag, rows in {**expected, **tensors}.items():
        assert found[tag].step.tolist() == [row.step for row in rows]
        assert found[tag].wall.tolist() == [row.wall_time for row in rows]
        values = [row.value if tag in expected else row.tensor_proto.float_val[0] for row in rows]
        assert bits(found[tag].value) == bits(values)


def test_more_points_than_tensorboard_would_sample(tmp_path):
    write(tmp_path / "run" / name(), [scalar("val/loss", step, 1.0 / (step + 1)) for step in range(12000)])
    (run,) = load(tmp_path).values()
    assert len(run) == 12000
    assert run.steps[-1] == 11999


@pytest.mark.parametrize(
    ("dtype", "field", "numpy"),
    [
        ("DT_FLOAT", "float_val", "<f4"),
        ("DT_DOUBLE", "double_val", "<f8"),
        ("DT_INT32", "int_val", "<i4"),
        ("DT_INT64", "int64_val", "<i8"),
        ("DT_UINT8", "int_val", "u1"),
        ("DT_INT16", "int_val", "<i2"),
        ("DT_UINT32", "uint32_val", "<u4"),
        ("DT_UINT64", "uint64_val", "<u8"),
        ("DT_BOOL", "bool_val", "?"),
    ],
)
def test_tensors_of_every_type(tmp_path, dtype, field, numpy):
    value = 1 if "f" not in numpy else 0.1
    filled = TensorProto(dtype=getattr(types_pb2, dtype), tensor_shape=TensorShapeProto(), **{field: [value]})
    packed = TensorProto(
        dtype=getattr(types_pb2, dtype),
        tensor_shape=TensorShapeProto(),
        tensor_content=np.array(value, dtype=numpy).tobytes(),
    )
    path = write(tmp_path / name(), [tensor("val/x", 1, filled), tensor("val/x", 2, packed)])
    found = read_events(path).scalars
    assert found["val/x"].value.tolist() == [float(np.array(value, dtype=numpy))] * 2


def test_half_precision(tmp_path):
    half = int(np.array(0.1, dtype=np.float16).view(np.uint16))
    brain = int(np.array(0.1, dtype=np.float32).view(np.uint32)) >> 16
    shape = TensorShapeProto()
    events = [
        tensor("half", 1, TensorProto(dtype=types_pb2.DT_HALF, tensor_shape=shape, half_val=[half])),
        tensor(
            "half",
            2,
            TensorProto(dtype=types_pb2.DT_HALF, tensor_shape=shape, tensor_content=struct.pack("<H", half)),
        ),
        tensor("brain", 1, TensorProto(dtype=types_pb2.DT_BFLOAT16, tensor_shape=shape, half_val=[brain])),
        tensor(
            "brain",
            2,
            TensorProto(
                dtype=types_pb2.DT_BFLOAT16, tensor_shape=shape, tensor_content=struct.pack("<H", brain)
            ),
        ),
    ]
    found = read_events(write(tmp_path / name(), events)).scalars
    assert found["half"].value.tolist() == [float(np.float16(0.1))] * 2
    assert found["brain"].value.tolist() == [0.099609375] * 2


def test_a_tensor_without_values_or_with_several_is_no_scalar(tmp_path):
    two = TensorProto(
        dtype=1, float_val=[1.0, 2.0], tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=2)])
    )
    one = TensorProto(
        dtype=1, float_val=[3.0], tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    )
    none = TensorProto(dtype=1, tensor_shape=TensorShapeProto())
    text = TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"x"], tensor_shape=TensorShapeProto())
    other = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="histograms"))
    events = [
        tensor("val/odd", 1, two),
        tensor("val/fine", 1, one),
        tensor("val/none", 1, none),
        tensor("val/text", 1, text),
        tensor("val/histogram", 1, one, other),
    ]
    write(tmp_path / name(), events)
    found = read(tmp_path)
    (run,) = found.runs
    assert run.metrics == ("val/fine",)
    assert any(
        "'val/odd' holds tensors of more than one element" in text for text in sentences(found.findings)
    )


def test_metadata_may_come_with_the_first_point_only(tmp_path):
    proto = TensorProto(dtype=1, float_val=[3.0], tensor_shape=TensorShapeProto())
    hidden = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="pr_curves"))
    events = [
        tensor("val/a", 1, proto),
        tensor("val/a", 2, proto, None),
        tensor("val/b", 1, proto, hidden),
        tensor("val/b", 2, proto, None),
    ]
    found = read_events(write(tmp_path / name(), events)).scalars
    assert found["val/a"].step.tolist() == [1, 2]
    assert "val/b" not in found


# ---------------------------------------------------------------- damage


def test_a_file_that_is_cut_off_and_one_that_is_corrupt_say_so(tmp_path):
    whole = write(tmp_path / "cut" / name(), series("val/loss", LOSS)).read_bytes()
    (tmp_path / "cut" / name()).write_bytes(whole[:-5])
    broken = bytearray(
        write(tmp_path / "corrupt" / name(), series("val/loss", [2 * value for value in LOSS])).read_bytes()
    )
    broken[len(broken) // 2] ^= 8
    (tmp_path / "corrupt" / name()).write_bytes(broken)
    (tmp_path / "zeros" / name()).parent.mkdir()
    (tmp_path / "zeros" / name()).write_bytes(
        write(tmp_path / "zeros" / name(), series("val/loss", [3 * value for value in LOSS])).read_bytes()
        + bytes(500)
    )
    found = read(tmp_path)
    runs = {run.id: run for run in found.runs}
    assert list(curve(runs["cut"], "val/loss").values()) == LOSS[:3]
    assert 0 < len(runs["corrupt"]) < 4
    assert len(runs["zeros"]) == 4
    problems = {Path(finding.log).parent.name: sentence(finding) for finding in found.findings}
    assert "cut off at byte" in problems["cut"]
    assert "the 4 events before are kept" in problems["cut"]
    assert "corrupt at byte" in problems["corrupt"]
    assert "cut off at byte" in problems["zeros"]
    assert "only zero bytes follow" in problems["zeros"]


def test_empty_and_header_only_files_beside_real_ones_are_nothing_to_talk_about(tmp_path):
    write(tmp_path / "run" / name(), series("val/loss", LOSS))
    write(tmp_path / "run" / "events.out.tfevents.1700000001.host.profile-empty", [])
    (tmp_path / "run" / name(3)).write_bytes(b"")
    assert list(load(tmp_path)) == ["run"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: write(path, []), "only its header"),
        (lambda path: path.write_bytes(b"\0" * 100), "zero bytes"),
    ],
)
def test_such_files_alone_are_told(tmp_path, make, said):
    make(tmp_path / name())
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert said in sentence(caught.value.findings[0])


def test_records_that_are_no_events(tmp_path):
    with (tmp_path / name()).open("wb") as file:
        writer = RecordWriter(file)
        for record in (
            header().SerializeToString(),
            scalar("val/loss", 1, 0.5).SerializeToString(),
            b"\xff\xff\xff no event",
            scalar("val/loss", 2, 0.4).SerializeToString(),
        ):
            writer.write(record)
    found = read(tmp_path)
    assert len(found.runs[0]) == 1
    assert "corrupt: record 3 is no event" in sentence(found.findings[0])


def test_record_files_of_a_data_set_are_not_taken_for_events(tmp_path):
    with (tmp_path / "train.tfrecord").open("wb") as file:
        RecordWriter(file).write(b"\x0a\x10\x0a\x0e\x0a\x05label\x12\x05\x1a\x03\x0a\x01\x07")
    with pytest.raises(InputError, match="no log found"):
        read(tmp_path)


# ---------------------------------------------------------------- which files are one run

"""TensorBoard event files, written by TensorBoard's and PyTorch's own writers."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.errors import InputError
from replay.readers import NothingFound, read
from replay.readers.event_files import read_events
from replay.readers.formats.tensorboard import FORMAT
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve

SCALARS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))


def header(wall=1.7e9):
    return Event(wall_time=wall, file_version="brain.Event:2")


def scalar(tag, step, value, wall=None):
    event = Event(wall_time=1.7e9 + step if wall is None else wall, step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def tensor(tag, step, proto, metadata=SCALARS, wall=None):
    event = Event(wall_time=1.7e9 + step if wall is None else wall, step=step)
    event.summary.value.add(tag=tag, tensor=proto, metadata=metadata)
    return event


def write(path, events, head=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in [*([header()] if head else []), *events]:
            writer.write(event.SerializeToString())
    return path


def name(number=1):
    return f"events.out.tfevents.{1700000000 + number}.host.{number}.0"


def load(root):
    """The runs below a folder by id, without a word of complaint."""
    found = read(root)
    assert not found.findings
    return {run.id: run for run in found.runs}


def series(tag, values, first=1, wall=None):
    return [
        scalar(tag, first + place, value, None if wall is None else wall + place)
        for place, value in enumerate(values)
    ]


LOSS = [1.0, 0.5, 0.75, 0.25]


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


def test_restarts_in_one_folder_are_runs_and_resumes_are_not(tmp_path):
    for number, values in enumerate(([0.9, 0.8, 0.7], [0.95, 0.85], [0.91, 0.81, 0.71, 0.61])):
        events = series("val/loss", values, wall=1.7e9 + 100 * number)
        write(tmp_path / "restarted" / name(number), [header(1.7e9 + 100 * number), *events], head=False)
    write(tmp_path / "resumed" / name(1), series("val/loss", [1.9, 1.8, 1.7, 9.0], wall=1.7e9))
    write(tmp_path / "resumed" / name(2), series("val/loss", [1.6, 1.5, 1.4], first=4, wall=1.7e9 + 500))
    runs = load(tmp_path)
    assert sorted(runs) == ["restarted#1", "restarted#2", "restarted#3", "resumed"]
    assert [len(runs[f"restarted#{number}"]) for number in (1, 2, 3)] == [3, 2, 4]
    assert list(curve(runs["resumed"], "val/loss").values()) == pytest.approx([1.9, 1.8, 1.7, 1.6, 1.5, 1.4])


def test_files_are_ordered_by_when_their_data_begins_not_by_name(tmp_path):
    write(tmp_path / "run" / name(1), series("val/loss", [0.6, 0.5, 0.4], first=4, wall=1.7e9 + 900))
    write(tmp_path / "run" / name(2), series("val/loss", [0.9, 0.8, 0.7, 9.0], wall=1.7e9))
    (run,) = load(tmp_path).values()
    assert list(curve(run, "val/loss").values()) == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


def test_train_and_validation_folders_are_one_run(tmp_path):
    for folder in ("one", "two"):
        shift = 0.01 * (folder == "two")
        write(
            tmp_path / folder / "train" / name(),
            [scalar("epoch_loss", step, 2.0 - step / 5 + shift) for step in range(4)],
        )
        write(
            tmp_path / folder / "validation" / name(),
            [scalar("epoch_loss", step, value + shift) for step, value in enumerate(LOSS)],
        )
    runs = load(tmp_path)
    assert sorted(runs) == ["one", "two"]
    run = runs["one"]
    assert run.metrics == ("validation/epoch_loss",)
    assert set(run.train) == {"train/epoch_loss"}
    assert run.steps.tolist() == [1, 2, 3, 4]  # Keras counts finished epochs from 0
    assert run.info.step_unit == "epoch"
    assert run.trained_steps == 4
    assert run.columns["train_loss"].values == pytest.approx([2.0, 1.8, 1.6, 1.4])


def test_restarts_of_a_pair_of_folders_are_split_alike(tmp_path):
    for attempt in range(2):
        wall = 1.7e9 + 1000 * attempt
        write(
            tmp_path / "run" / "train" / name(attempt),
            [scalar("epoch_loss", step, 2.0 + attempt, wall + 10 * step) for step in range(4)],
        )
        write(
            tmp_path / "run" / "validation" / name(attempt),
            [scalar("epoch_loss", step, LOSS[step] + attempt, wall + 10 * step + 5) for step in range(4)],
        )
    runs = load(tmp_path)
    assert list(runs) == ["run#1", "run#2"]
    for number, run in enumerate(runs.values()):
        assert list(curve(run, "validation/epoch_loss").values()) == [value + number for value in LOSS]
        assert run.columns["train_loss"].values.tolist() == [2.0 + number] * 4


def test_what_keras_logs_by_batch_is_no_epoch(tmp_path):
    write(
        tmp_path / "run" / "train" / name(),
        [scalar("epoch_loss", step, 1.0) for step in range(4)]
        + [scalar("batch_loss", step, 1.0) for step in range(0, 400, 20)],
    )
    validation = [scalar("epoch_loss", step, value) for step, value in enumerate(LOSS)]
    validation += [
        scalar("evaluation_loss_vs_iterations", 100 * (step + 1), value) for step, value in enumerate(LOSS)
    ]
    write(tmp_path / "run" / "validation" / name(), validation)
    (run,) = load(tmp_path).values()
    assert run.metrics == ("validation/epoch_loss",)
    assert len(run) == 4
    assert run.trained_steps == 4
    assert "count batches" in sentence(run.info.findings[0])


def test_an_estimator_evaluates_into_a_folder_below(tmp_path):
    write(tmp_path / "model" / name(), series("loss", [2.0, 1.5, 1.2, 1.1]))
    write(tmp_path / "model" / "eval" / name(), series("loss", LOSS))
    (run,) = load(tmp_path).values()
    assert run.id == "model"
    assert run.metrics == ("eval/loss",)
    assert set(run.train) == {"loss"}


def test_sibling_runs_are_not_merged(tmp_path):
    """Ultralytics calls its runs train, train2, …; other people call theirs test."""
    for number, folder in enumerate(("train", "train2", "test_lr", "exp")):
        write(tmp_path / "runs" / folder / name(), series("val/loss", [value + number for value in LOSS]))
    assert sorted(load(tmp_path)) == ["runs/exp", "runs/test_lr", "runs/train", "runs/train2"]


def test_add_scalars_and_add_hparams_of_pytorch(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path / "run")) as writer:
        for step, value in enumerate(LOSS):
            writer.add_scalars("my/loss", {"train": value + 1, "val": value}, step)
            writer.add_scalar("lr", 0.1, step)
        writer.add_hparams({"lr": 0.1, "layers": 3, "name": "x"}, {"hparam/accuracy": 0.5})
    (run,) = load(tmp_path).values()
    assert run.id == "run"
    assert run.metrics == ("my/loss/val",)
    assert set(run.train) == {"my/loss/train", "lr"}
    assert list(curve(run, "my/loss/val").values()) == LOSS
    assert run.info.hyperparameters == {"lr": 0.1, "layers": 3, "name": "x"}


def test_a_run_that_is_named_like_a_series_of_its_neighbour_stays_apart(tmp_path):
    write(tmp_path / "base" / name(), series("val/loss", LOSS))
    write(tmp_path / "base" / "run_1" / name(), series("val/loss", [0.1, 0.2, 0.3]))
    assert sorted(load(tmp_path)) == ["base", "base/run_1"]


# ---------------------------------------------------------------- what else an event file tells


def huggingface(path, arguments, steps=(10, 20, 30, 40)):
    text = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    proto = TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=[json.dumps(arguments).encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    config = TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=[b'{"_name_or_path": "tiny"}'],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    events = [
        tensor("args/text_summary", 0, proto, text, 1.7e9),
        tensor("model_config/text_summary", 0, config, text, 1.7e9),
    ]
    for step, value in zip(steps, LOSS, strict=True):
        wall = 1.7e9 + 100 + step
        row = {
            "train/loss": 1.0,
            "train/learning_rate": 1e-3,
            "train/epoch": step / 20,
            "eval/loss": value,
            "eval/runtime": 2.5,
            "eval/samples_per_second": 4.0,
            "train/epoch ": 0,
        }
        events += [scalar(tag, step, number, wall) for tag, number in row.items() if tag != "train/epoch "]
    events += [
        scalar("train/train_runtime", steps[-1], 77.0),
        scalar("train/total_flos", steps[-1], 2.0**40),
        scalar("train/train_loss", steps[-1], 0.9),
    ]
    return write(path, events)


def test_what_transformers_says_about_its_run(tmp_path):
    huggingface(
        tmp_path / "run" / name(),
        {
            "max_steps": 60,
            "metric_for_best_model": "loss",
            "greater_is_better": False,
            "learning_rate": 1e-3,
            "lists": [1],
        },
    )
    (run,) = load(tmp_path).values()
    assert run.metrics == ("eval/loss",)
    assert run.columns["eval_seconds"].values.tolist() == [2.5] * 4
    assert run.columns["epoch"].values.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert run.columns["wall_seconds"].values.tolist() == [110, 120, 130, 140]
    assert run.columns["wall_time"].values.tolist() == [1.7e9 + 110, 1.7e9 + 120, 1.7e9 + 130, 1.7e9 + 140]
    assert set(run.train) == {"train/loss", "train/learning_rate"}
    info = run.info
    assert (info.train_runtime, info.total_flos, info.planned_steps, info.model) == (
        77.0,
        2.0**40,
        60,
        "tiny",
    )
    assert info.monitor == "eval/loss"
    assert info.modes == {"eval/loss": "min"}
    assert info.hyperparameters["learning_rate"] == 1e-3


def test_planned_steps_from_planned_epochs(tmp_path):
    huggingface(tmp_path / "run" / name(), {"max_steps": -1, "num_train_epochs": 5.0})
    huggingface(
        tmp_path / "done" / name(), {"max_steps": -1, "num_train_epochs": 2.0}, steps=(11, 21, 31, 40)
    )
    runs = load(tmp_path)
    assert runs["run"].info.planned_steps == 100
    assert runs["done"].info.planned_steps == 40


def test_a_restart_counts_its_seconds_from_its_own_begin(tmp_path):
    for number in range(2):
        wall = 1.7e9 + 9000 * number
        write(
            tmp_path / "run" / name(number),
            [header(wall), *series("val/loss", [0.9 + number, 0.8, 0.7], wall=wall + 10)],
            head=False,
        )
    for run in load(tmp_path).values():
        assert run.columns["wall_seconds"].values.tolist() == [10, 11, 12]


def test_a_pause_before_a_resume_is_no_train_time(tmp_path):
    write(
        tmp_path / "run" / name(1),
        [header(1.7e9), *series("val/loss", [0.9, 0.8], wall=1.7e9 + 10)],
        head=False,
    )
    write(
        tmp_path / "run" / name(2),
        [header(1.7e9 + 9000), *series("val/loss", [0.7, 0.6], first=3, wall=1.7e9 + 9010)],
        head=False,
    )
    (run,) = load(tmp_path).values()
    assert run.columns["wall_seconds"].values.tolist() == [10, 11, 21, 22]


def test_lightning(tmp_path):
    events = [scalar("hp_metric", 0, -1.0), scalar("hp_metric", 0, -1.0)]
    for epoch in range(3):
        for batch in range(5):
            events.append(scalar("valid_loss_step/epoch_" + str(epoch), batch, 0.3 * batch))
        last = 50 * (epoch + 1) - 1
        events += [
            scalar("valid_loss_epoch", last, 1.0 / (epoch + 1)),
            scalar("epoch", last, epoch),
            scalar("train_loss_step", last, 0.5),
            scalar("epoch", last, epoch),
        ]
    write(tmp_path / "version_0" / name(), events)
    (run,) = load(tmp_path).values()
    assert run.metrics == ("valid_loss_epoch",)
    assert run.steps.tolist() == [49, 99, 149]
    assert run.columns["epoch"].values.tolist() == [0, 1, 2]
    assert "hp_metric" not in run.train


def test_evals_of_an_ultralytics_run(tmp_path):
    events = []
    for epoch in (1, 2, 3):
        events += [scalar("train/box_loss", epoch, 1.0)] * 3 + [
            scalar("metrics/mAP50(B)", epoch, epoch / 4),
            scalar("val/box_loss", epoch, 2.0 / epoch),
        ]
    events += [scalar("metrics/mAP50(B)", 3, 0.9), scalar("metrics/mAP50(B)", 3, 0.9)]
    write(tmp_path / "train" / name(), events)
    (run,) = load(tmp_path).values()
    assert set(run.metrics) == {"metrics/mAP50(B)", "val/box_loss"}
    assert list(curve(run, "metrics/mAP50(B)").values()) == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["train/loss", "train/learning_rate"], "eval_strategy"),
        (["epoch_loss"], "validation_data"),
        (["loss", "hp_metric"], "validation_step"),
        (["loss"], "add_scalar"),
    ],
)
def test_without_evals_it_says_what_would_have_logged_them(tmp_path, tags, said):
    write(tmp_path / name(), [scalar(tag, step, 1.0 / (step + 1)) for step in range(4) for tag in tags])
    (run,) = load(tmp_path).values()
    assert len(run) == 0
    assert said in sentence(run.info.eval_hint)


def test_the_file_name_does_not_matter(tmp_path):
    data = write(tmp_path / "x", series("val/loss", LOSS)).read_bytes()
    assert FORMAT.sniff(tmp_path / "anything", data)
    assert FORMAT.sniff(
        tmp_path / "anything", write(tmp_path / "y", series("val/loss", LOSS), head=False).read_bytes()
    )
    assert not FORMAT.sniff(
        tmp_path / "tfevents.md", b"# about tfevents files, in words that go on for a while"
    )


def test_large_records_are_checked_but_not_parsed(tmp_path):
    image = Event(wall_time=1.7e9, step=1)
    image.summary.value.add(tag="image").image.encoded_image_string = os.urandom(3 << 20)
    path = write(
        tmp_path / name(), [*series("val/loss", LOSS[:2]), image, *series("val/loss", LOSS[2:], first=3)]
    )
    assert list(curve(next(iter(load(tmp_path).values())), "val/loss").values()) == LOSS
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 1
    path.write_bytes(broken)
    found = read(tmp_path)
    assert len(found.runs[0]) == 2
    assert "corrupt" in sentence(found.findings[0])

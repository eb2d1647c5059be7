"""Runs of TensorBoard event files, written by TensorBoard's and PyTorch's own writers."""

import json
import os

import pytest
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from replay.data.finding import Kind
from replay.readers import read
from replay.readers.formats.tensorboard import FORMAT
from replay.report.sentences import sentence
from tests.readers.columns import curve
from tests.readers.events import LOSS, header, load, name, scalar, series, tensor, write


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


def test_values_without_any_step_are_placed_by_the_longest_series(tmp_path):
    events = []
    for epoch, loss in enumerate(LOSS):
        events += [scalar("loss", 0, 2.0 - epoch / 4, wall=1.7e9 + 10 * epoch + part) for part in range(3)]
        events.append(scalar("val_loss", 0, loss, wall=1.7e9 + 10 * epoch + 5))
    write(tmp_path / name(), events)
    (run,) = load(tmp_path).values()
    assert curve(run) == dict(zip([3, 6, 9, 12], LOSS, strict=True))
    assert Kind.STEPS_NOT_LOGGED in {finding.kind for finding in run.info.findings}


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


@pytest.mark.parametrize("tag", ["loss", "my/loss"])
def test_add_scalars_of_tensorboardx(tmp_path, tag):
    """It makes a folder for the tag, and in it one for each series."""
    write(tmp_path / "run" / name(), series("val/acc", [0.1, 0.2, 0.3, 0.4]))
    write(tmp_path / "run" / tag / "train" / name(), series(tag, [value + 1 for value in LOSS]))
    write(tmp_path / "run" / tag / "val" / name(), series(tag, LOSS))
    (run,) = load(tmp_path).values()
    assert (run.id, set(run.metrics), set(run.train)) == (
        "run",
        {"val/acc", f"{tag}/val"},
        {f"{tag}/train"},
    )
    assert list(curve(run, f"{tag}/val").values()) == LOSS


def test_runs_below_a_run_that_are_named_like_their_tag_stay_apart(tmp_path):
    write(tmp_path / "base" / name(), series("val/loss", LOSS))
    for number in (1, 2):
        folder = tmp_path / "base" / "loss" / f"seed{number}"
        write(folder / name(), series("val/loss", [value + number for value in LOSS]))
    assert sorted(load(tmp_path)) == ["base", "base/loss/seed1", "base/loss/seed2"]


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


@pytest.mark.parametrize(("last", "planned"), [(393, 393), (390, 400), (402, 402), (410, 400)])
def test_the_end_of_planned_epochs_is_known_up_to_rounding(tmp_path, last, planned):
    """At the end of 20 epochs of 20 steps some versions of transformers count up to 2 % less."""
    arguments = {"max_steps": -1, "num_train_epochs": 20.0}
    huggingface(tmp_path / "run" / name(), arguments, steps=(100, 200, 300, last))
    (run,) = load(tmp_path).values()
    assert run.info.planned_steps == planned


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

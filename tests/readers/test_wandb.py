"""W&B's run files: what stands in them beside plain rows, and files that hold nothing."""

import json
import math

import pytest

from replay.readers import NothingFound, read, sniff
from replay.readers.formats.wandb import FORMAT
from replay.report.sentences import sentences
from tests.readers.blocks import framed, message
from tests.readers.columns import curve
from tests.readers.reading import refusal

MAGIC = b":W&B\xe1\xbe\0"


def history(values, step=None, number=2):
    """A history record; ``number`` is the field of the key, which old writers put elsewhere."""
    items = [(1, message((number, name), (16, json.dumps(value)))) for name, value in values.items()]
    return message((2, message(*items, *([] if step is None else [(2, message((1, step)))]))))


def put(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(framed(records, MAGIC))
    return path


def offline(folder, time, run):
    return folder / "wandb" / f"offline-run-20260102_{time}-{run}" / f"run-{run}.wandb"


ROWS = [history({"val_loss": 2.0 - step / 100}, step) for step in (10, 20, 30)]
END = message((18, message((2, 5))))


def test_a_run_that_ended_and_one_that_did_not(tmp_path):
    put(offline(tmp_path, "100000", "ended"), *ROWS, END)
    others = [[history({"val_loss": start / step}, step) for step in (10, 20, 30)] for start in (7.0, 9.0)]
    put(offline(tmp_path, "110000", "failed"), *others[0], message((18, message((1, 255)))))
    put(offline(tmp_path, "120000", "running"), *others[1])
    runs = {run.id.rsplit("-", 1)[-1]: run.info.complete for run in read(tmp_path).runs}
    assert runs == {"ended": True, "failed": False, "running": False}


def test_the_step_is_an_item_or_a_message_of_its_own(tmp_path):
    rows = [history({"val_loss": 3.0, "_step": 10}, 99), history({"val_loss": 2.0}, 20)]
    rows += [
        message((2, message((1, message((2, "val_loss"), (16, "4.0"))), (2, b""))))
    ]  # step 0 is left out
    rows += [message((2, message((1, message((2, "val_loss"), (16, "9.0"))))))]  # no step at all
    (run,) = read(put(tmp_path / "run-a.wandb", rows[2], *rows[:2], rows[3])).runs
    assert curve(run) == {0: 4.0, 10: 3.0, 20: 2.0}


def test_old_writers_nest_objects_in_one_item(tmp_path):
    rows = [history({"val": {"loss": 1.0 / step, "f1": "NaN"}}, step, number=1) for step in (5, 10)]
    (run,) = read(put(tmp_path / "run-a.wandb", *rows)).runs
    assert curve(run, "val.loss") == {5: 0.2, 10: 0.1}
    assert all(math.isnan(value) for value in curve(run, "val.f1").values())


def test_text_media_and_histograms_are_not_metrics(tmp_path):
    other = {
        "val_image": {"_type": "image-file", "size": 400, "width": 20},
        "val_text": "words",
        "val_histogram": {"_type": "histogram", "values": [1, 2], "bins": [0, 1, 2]},
        "_runtime": 3.5,
    }
    rows = [history({"val_loss": 1.0 / step, **other}, step) for step in (5, 10)]
    (run,) = read(put(tmp_path / "run-a.wandb", *rows)).runs
    assert run.metrics == ("val_loss",)
    assert not run.train


def test_settings_of_the_run_and_of_its_config(tmp_path):
    def config(**values):
        return message(*((1, message((1, name), (16, json.dumps(value)))) for name, value in values.items()))

    start = message((17, message((1, "a"), (3, "project"), (4, config(max_steps=100, lr=0.1)), (8, "shown"))))
    more = message((5, config(max_steps=80, metric_for_best_model="loss", greater_is_better=False)))
    rows = [history({"eval/loss": 1.0 / step}, step) for step in (5, 10)]
    (run,) = read(put(tmp_path / "run-a.wandb", start, more, *rows)).runs
    info = run.info
    assert (info.planned_steps, info.group, info.monitor) == (80, "project", "eval/loss")
    assert info.extra["run_name"] == "shown"
    assert info.hyperparameters["lr"] == 0.1


def test_a_declared_step_that_not_all_metrics_share_does_not_count(tmp_path):
    rows = [history({"val_loss": 1.0, "test_loss": 2.0, "seen": 100 * n}, 7 * n) for n in (1, 2)]
    declare = [message((12, message((1, "val_loss"), (4, "seen"))))]
    (run,) = read(put(tmp_path / "run-a.wandb", *declare, *rows)).runs
    assert list(curve(run)) == [7, 14]
    declare.append(message((12, message((2, "test_*"), (4, "seen")))))
    (run,) = read(put(tmp_path / "run-a.wandb", *declare, *rows)).runs
    assert list(curve(run)) == [100, 200]


def test_folders_of_one_id_are_one_run_in_the_order_of_their_names(tmp_path):
    put(offline(tmp_path, "110000", "a"), *(history({"val_loss": -float(s)}, s) for s in (20, 30)), END)
    put(offline(tmp_path, "100000", "a"), *(history({"val_loss": float(s)}, s) for s in (10, 20)))
    put(offline(tmp_path, "100000", "b"), *(history({"val_loss": 5.0 + s}, s) for s in (10, 20)))
    first, second = read(tmp_path).runs
    assert (first.id, second.id) == ("wandb/a", "wandb/offline-run-20260102_100000-b")
    assert curve(first) == {10: 10, 20: -20, 30: -30}
    assert first.info.complete
    assert len(first.info.sources) == 2


def test_runs_of_one_name_of_which_one_goes_on_are_one_training(tmp_path):
    """transformers begins a run with another id when it resumes."""

    def write(time, run, name, steps, scale):
        start = message((17, message((1, run), (3, "project"), (8, name))))
        rows = [history({"train/loss": scale / s, "train/global_step": s}, n) for n, s in enumerate(steps)]
        evals = [s for s in steps if s % 20 == 0]
        rows += [history({"eval/loss": scale / s, "train/global_step": s}, 99 + s) for s in evals]
        put(offline(tmp_path, time, run), start, *rows)

    write("100000", "aaa", "first", range(5, 75, 5), 7.0)
    write("110000", "bbb", "first", range(55, 105, 5), 9.0)
    write("120000", "ccc", "other", range(55, 105, 5), 4.0)
    write("130000", "ddd", "first", range(5, 105, 5), 3.0)
    runs = {run.id.rsplit("-", 1)[-1]: run for run in read(tmp_path).runs}
    assert set(runs) == {"wandb", "ccc", "ddd"}
    assert curve(runs["wandb"], "eval/loss") == {20: 7 / 20, 40: 7 / 40, 60: 9 / 60, 80: 9 / 80, 100: 9 / 100}
    assert runs["wandb"].info.resumes == (55,)


def test_a_link_to_the_latest_run_does_not_count_again(tmp_path):
    path = put(offline(tmp_path, "100000", "a"), *ROWS)
    (tmp_path / "wandb" / "latest-run").symlink_to(path.parent)
    assert len(read(tmp_path).runs) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (MAGIC, "no scalars in it, only its header"),
        (framed([END], MAGIC), "no scalars in it, only its header"),
        (framed([END, END, END], MAGIC), "no scalars in it, only other data"),
    ],
)
def test_files_without_a_row(tmp_path, content, reason):
    path = tmp_path / "run-a.wandb"
    path.write_bytes(content)
    assert sniff(path) is FORMAT
    assert refusal(FORMAT, path) == f"{path}: {reason}"


def test_a_corrupt_record_ends_the_file(tmp_path):
    path = put(tmp_path / "run-a.wandb", *ROWS)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    found = read(path)
    assert list(curve(found.runs[0])) == [10, 20]
    assert "a record does not fit its checksum; the 2 events before are kept" in sentences(found.findings)[0]
    put(path, *ROWS[:2], b"\x0f no message")
    found = read(path)
    assert list(curve(found.runs[0])) == [10, 20]
    assert "corrupt: record 3 is no event" in sentences(found.findings)[0]


def test_one_killed_file_of_two_does_not_hide_the_other(tmp_path):
    put(offline(tmp_path, "100000", "a"), *ROWS)
    empty = offline(tmp_path, "110000", "a")
    empty.parent.mkdir()
    empty.write_bytes(b"")
    found = read(tmp_path)
    assert len(found.runs[0]) == 3
    assert sentences(found.findings) == [f"{empty}: the file is empty"]


def test_a_value_nested_too_deeply_is_left_out(tmp_path):
    deep = message((1, message((2, "x"), (16, "[" * 100_000))), (1, message((2, "val_loss"), (16, "1.5"))))
    (run,) = read(put(tmp_path / "run-a.wandb", message((2, deep + message((2, message((1, 5)))))))).runs
    assert curve(run) == {5: 1.5}


def test_nothing_but_killed_runs(tmp_path):
    put(offline(tmp_path, "100000", "a"))
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert "only its header" in sentences(caught.value.findings)[0]

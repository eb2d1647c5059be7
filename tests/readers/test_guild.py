"""Guild AI's runs in their hidden folders."""

import shutil

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from replay.readers import NothingFound, read
from replay.report.sentences import sentences
from tests.readers.columns import curve

RUN = "00112233445566778899aabbccddeeff"


def put(home, rows, *, second=0, **attributes):
    (home / "attrs").mkdir(parents=True, exist_ok=True)
    for name, text in attributes.items():
        (home / "attrs" / name).write_text(text)
    with (home / f"events.out.tfevents.17000000{second:02}.host.1.0").open("wb") as file:
        writer = RecordWriter(file)
        for step, name, value in rows:
            event = Event(wall_time=1_700_000_000 + second + step, step=step)
            event.summary.value.add(tag=name, simple_value=value)
            writer.write(event.SerializeToString())
    return home


def guild_home(tmp_path, run=RUN):
    return tmp_path / ".guild" / "runs" / run / ".guild"


def test_a_run_in_hidden_folders(tmp_path):
    rows = [(step, name, 1.0 / step) for step in (1, 2, 4) for name in ("loss", "val_loss")]
    attributes = {"exit_status": "0\n", "label": '"l\\xE4 1"', "flags": "max_steps: 8\nlr: 0.5\n"}
    attributes["op"] = "deps: []\nop-cmd:\n  cmd-args: []\n"
    home = put(guild_home(tmp_path), rows, started="1699999999000000", **attributes)
    (home / "opref").write_text("script:/a/folder '' '' train")
    found = read(tmp_path)
    assert not found.findings
    (run,) = found.runs
    assert run.id == f".guild/runs/{RUN}"
    assert curve(run) == {1: 1.0, 2: 0.5, 4: 0.25}
    info = run.info
    assert (info.format, info.group, info.complete, info.planned_steps) == ("guild", "train", True, 8)
    assert info.extra["run_name"] == "lä 1"
    assert run.columns["wall_seconds"].values.tolist() == [2.0, 3.0, 5.0]


@pytest.mark.parametrize("status", ["-9", "1", None])
def test_a_run_that_did_not_end_well(tmp_path, status):
    attributes = {} if status is None else {"exit_status": status}
    put(guild_home(tmp_path), [(1, "val_loss", 1.0)], **attributes)
    assert read(tmp_path).runs[0].info.complete is False


def test_a_restarted_run_has_its_later_values(tmp_path):
    home = guild_home(tmp_path)
    put(home, [(10, "val_loss", 3.0), (20, "val_loss", 9.0)], second=0)
    put(home, [(20, "val_loss", 2.0), (30, "val_loss", 1.0)], second=50)
    (run,) = read(tmp_path).runs
    assert curve(run) == {10: 3.0, 20: 2.0, 30: 1.0}


def test_a_run_named_itself(tmp_path):
    home = put(guild_home(tmp_path), [(1, "val_loss", 1.0), (2, "val_loss", 0.5)])
    for path in (home, home.parent, home.parents[2]):
        (run,) = read(path).runs
        assert curve(run) == {1: 1.0, 2: 0.5}
        assert run.id


def test_deleted_runs_do_not_count(tmp_path):
    put(guild_home(tmp_path), [(1, "val_loss", 1.0)])
    shutil.copytree(tmp_path / ".guild" / "runs", tmp_path / ".guild" / "trash" / "runs")
    put(tmp_path / ".guild" / "trash" / "runs" / ("f" * 32) / ".guild", [(1, "val_loss", 7.0)])
    assert [run.id for run in read(tmp_path).runs] == [f".guild/runs/{RUN}"]


def test_what_a_run_wrote_beside_counts_too(tmp_path):
    put(guild_home(tmp_path), [(1, "val_loss", 1.0), (2, "val_loss", 0.5), (3, "val_loss", 0.25)])
    beside = guild_home(tmp_path).parent / "output"
    beside.mkdir()
    (beside / "metrics.csv").write_text("step,val_loss,val_f1\n1,4.0,0.5\n2,3.5,0.6\n3,3.0,0.7\n")
    assert {run.info.format for run in read(tmp_path).runs} == {"guild", "csv"}


def test_a_run_without_scalars(tmp_path):
    put(guild_home(tmp_path), [])
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert sentences(caught.value.findings) == [f"{guild_home(tmp_path)}: the run has logged no metric"]

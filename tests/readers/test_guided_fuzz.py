"""Damaged logs, chosen by the code that they reach. `python -m tests.readers.guided_fuzz` reads as many as
one likes.
"""

import os
import re
import subprocess
import sys

import pytest

from replay.readers import FORMATS

pytest.importorskip("atheris", reason="atheris has no build for this machine")
SEED = os.environ.get("REPLAY_FUZZ_SEED", "1")
RUNS = 600


def run(folder, *arguments, before="pass"):
    """The finished process of the fuzzer, which ends its process itself."""
    code = f"import tests.readers.guided_fuzz as guided\n{before}\nguided.main()"
    command = [sys.executable, "-c", code, *arguments, "--seed", SEED, "--keep", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [format.name for format in FORMATS])
def test_logs_that_reach_new_code(name, tmp_path):
    done = run(tmp_path / "failed", name, "--runs", str(RUNS), "--corpus", str(tmp_path / "corpus"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert not any((tmp_path / "failed").iterdir())
    covered = [int(found) for found in re.findall(r"cov: (\d+)", done.stderr)]
    assert covered[-1] > covered[0]  # the readers are watched
    assert any((tmp_path / "corpus").iterdir())


@pytest.mark.slow
def test_a_failure_is_kept_and_ends_the_run(tmp_path):
    defect = (
        "from replay.readers.points import PointsBuilder\n"
        "def fail(*files): raise ValueError('a defect of a reader')\n"
        "PointsBuilder.points = fail"
    )
    done = run(tmp_path, "jsonl", "--runs", "50", before=defect)
    assert done.returncode != 0
    assert "a defect of a reader" in done.stderr
    assert len(list(tmp_path.glob("jsonl-crash-*"))) == 1
